"""Labels from electronic structure: periodic boxes and droplets by one engine, small clusters by another."""

from __future__ import annotations

import functools
import math
import time
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from halocline.config.study import Study
from halocline.datasets.frame import Frame, frame_key
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure, UserError
from halocline.execute.base import Executor, make_executor, run_tasks
from halocline.labels import Labels
from halocline.progress import Progress
from halocline.reference.base import ReferenceEngine, make_engine
from halocline.results import StageResult
from halocline.stages._label_figures import describe
from halocline.stages._label_records import Failures, label_times, note_time
from halocline.stages.base import Context, Cost, Stage
from halocline.state import State
from halocline.systems.droplets import cut_cluster

LEAST_SUCCESS = 0.9
"""Share of labels that must succeed; below it the failures are no accidents and the dataset would be biased."""
HOPELESS = 10
"""This many failures without one success end the work at once."""
TRIES = 50
"""Attempts at cutting a cluster that is not there yet."""


@dataclass(frozen=True)
class LabelCount:
    """What :func:`label_frames` did.

    Attributes:
        requested: frames given.
        present: of these, labelled before.
        new: labelled now.
        failures: kind of failure -> number.
        seconds: wall time of each new label.
    """

    requested: int
    present: int
    new: int
    failures: dict[str, int]
    seconds: tuple[float, ...]

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


def label_frames(
    frames: Sequence[Frame],
    engine: ReferenceEngine,
    quantities: Collection[str],
    store: Dataset,
    workers: Executor | int,
    progress: Progress | None = None,
    description: str = "labelling",
) -> LabelCount:
    """Label what the store lacks, appending each label as it completes.

    Safe to kill and repeat: labels in the store are kept, configurations that cannot be labelled (no convergence, bad
    geometry) are not tried again, crashes are. Failures are written to ``label_failures.json`` beside the store. At the end the
    frames stand in the order given, whatever the number of workers.

    Args:
        frames: configurations; labels they carry already are ignored.
        engine: checked for installation, quantities and periodicity before anything starts.
        quantities: what to compute; those without a meaning for a frame (stress of a droplet) are left out for it.
        store: open dataset.
        workers: where the work runs, or a number of processes; 0 works in this one.

    Raises:
        UserError: the engine cannot do this.
        RunFailure: nothing, or less than 90 %, succeeded.
    """
    check_engine(engine, quantities, {frame.state.periodic for frame in frames})
    if not frames:
        raise RunFailure("there is no configuration to label", str(store.path), "Raise dataset.frames or multipoles.clusters.")
    level = engine.level()
    keys = {frame_key(frame.state, level): frame for frame in frames}
    present = store.keys() & set(keys)
    failures = Failures(store.path)
    hopeless = failures.lasting() & set(keys)
    todo = [(key, frame) for key, frame in keys.items() if key not in present and key not in hopeless]
    seconds: list[float] = []
    work = functools.partial(compute_labels, engine, tuple(quantities))
    states = [frame.state for _, frame in todo]
    for index, outcome in run_tasks(work, states, workers, description=description, progress=progress):
        key, frame = todo[index]
        if isinstance(outcome, Exception):
            failures.add(key, frame, outcome)
            _refuse_hopeless(failures, seconds, store)
            continue
        labels, duration = outcome
        store.append(frame.with_labels(labels, level))
        failures.remove(key)
        note_time(store.path, key, duration)
        seconds.append(duration)
    kinds = failures.kinds(set(keys))
    count = LabelCount(len(keys), len(present), len(seconds), kinds, tuple(seconds))
    _refuse_too_few(count, store, failures)
    _restore_order(store, list(keys))
    return count


def check_engine(engine: ReferenceEngine, quantities: Collection[str], periodic: Collection[bool]) -> None:
    """Refuse an engine that cannot label such frames, before any work.

    Raises:
        UserError: not installed, or it lacks a quantity or a periodicity.
    """
    remedy = engine.missing()
    if remedy:
        raise UserError(f"engine '{engine.name}' is not installed", "study file", remedy)
    if not quantities:
        raise UserError("no quantity is asked for", "study file: quantities", "Name at least one, such as energy.")
    for kind in periodic:
        if not engine.check_request(quantities, kind):
            frames = "periodic boxes" if kind else "clusters"
            remedy = f"Ask for one of: {', '.join(sorted(engine.provides))}."
            raise UserError(f"{', '.join(quantities)} have no meaning for {frames}", "study file: quantities", remedy)


def compute_labels(engine: ReferenceEngine, quantities: Sequence[str], state: State) -> tuple[Labels, float]:
    """Labels of one configuration and the wall seconds they took; runs in a worker process."""
    start = time.perf_counter()
    labels = engine.compute(state, quantities)
    return labels, time.perf_counter() - start


def cut_clusters(frames: Sequence[Frame], count: int, sizes: Sequence[int], seed: int) -> list[Frame]:
    """Distinct clusters in equal shares of the sizes, taken from all trajectories in turn.

    Args:
        frames: configurations; boxes are preferred, droplets are used where there is no box.
        count: number of clusters.
        sizes: molecules per cluster.
        seed: same seed, same clusters.

    Raises:
        UserError: a size beyond the number of molecules, or too few distinct clusters.
    """
    rng = np.random.default_rng([seed, zlib.crc32(b"clusters")])
    boxes = [frame for frame in frames if frame.state.periodic] or list(frames)
    by_trajectory: dict[str, list[Frame]] = {}
    for frame in boxes:
        by_trajectory.setdefault(frame.trajectory, []).append(frame)
    names = list(by_trajectory)
    clusters: dict[str, Frame] = {}
    for number in range(count if names else 0):
        # The shift by one whenever the pattern would repeat lets every trajectory give every size in the end.
        trajectory = names[(number + number // math.lcm(len(names), len(sizes))) % len(names)]
        size, members = sizes[number % len(sizes)], by_trajectory[trajectory]
        for _ in range(TRIES):
            source = members[int(rng.integers(len(members)))]
            words = f"{size} molecules cut from {source.source or 'a box'}"
            cluster = Frame(cut_cluster(source.state, size, rng), trajectory=trajectory, source=words)
            if cluster.key not in clusters:
                clusters[cluster.key] = cluster
                break
    if len(clusters) < count:
        remedy = "Lower multipoles.clusters, or raise dataset.frames."
        raise UserError(f"only {len(clusters)} different clusters of {count} could be cut", "multipoles.clusters", remedy)
    return list(clusters.values())


class LabelStage(Stage):
    """Label configurations and clusters."""

    name = "label"
    needs = ("build",)
    uses = ("reference", "multipoles", "system")

    def run(self, context: Context) -> StageResult:
        study, folder = context.study, context.folder
        with Dataset.open(context.file("build", "configurations")) as stored:
            configurations = list(stored)
        if not configurations:
            where = str(context.file("build", "configurations"))
            raise RunFailure("there is no configuration to label", where, "Raise dataset.frames and build again.")
        engines = [make_engine(study.reference), make_engine(study.multipoles)]
        clusters = cut_clusters(configurations, study.multipoles.clusters, study.multipoles.sizes, study.system.seed)
        # Both engines are checked before the first does any work: a run must not fail at its end for want of the second.
        check_engine(engines[0], study.reference.quantities, {frame.state.periodic for frame in configurations})
        check_engine(engines[1], study.multipoles.quantities, {False})
        counts, files = [], {"boxes": "boxes.h5", "clusters": "clusters.h5"}
        work = [(configurations, study.reference.quantities), (clusters, study.multipoles.quantities)]
        for engine, (frames, quantities), (what, name) in zip(engines, work, files.items(), strict=True):
            with Dataset.resume(folder / name) as store:
                words = f"{what} ({engine.name})"
                counts.append(label_frames(frames, engine, quantities, store, make_executor(study.execute), context.progress, words))
        boxes, labelled_clusters = ([*Dataset.open(folder / name)] for name in files.values())
        times = [label_times(folder / name) for name in files.values()]
        result = describe(boxes, labelled_clusters, counts, times, [engine.level() for engine in engines])
        result.files = files
        return result

    def cost(self, study: Study) -> Cost:
        boxes = study.dataset.frames * box_seconds(study)
        sizes = study.multipoles.sizes
        each = [_seconds(study.multipoles.engine, study.multipoles.method, size) for size in sizes]
        clusters = study.multipoles.clusters * sum(each) / len(sizes)
        what = f"{study.dataset.frames} configurations with {study.reference.engine} ({study.reference.method}), "
        what += f"{study.multipoles.clusters} clusters with {study.multipoles.engine} ({study.multipoles.method})"
        return Cost(boxes + clusters, what)


def box_seconds(study: Study) -> float:
    """Rough CPU seconds of the label of one box."""
    return _seconds(study.reference.engine, study.reference.method, study.dataset.molecules)


def _seconds(engine: str, method: str, molecules: int) -> float:
    """Rough CPU seconds of one label of so many molecules of the size of water."""
    if engine == "tblite":
        return (9.5 if "GFN2" in method else 1.5) * (molecules / 32) ** 2.3
    if engine == "pyscf":
        return 1.0 * molecules**2.75
    if engine == "analytic":
        return 0.002 * molecules / 32
    return 60.0 * (molecules / 32) ** 2.5


def _refuse_hopeless(failures: Failures, seconds: Sequence[float], store: Dataset) -> None:
    if not seconds and len(store) == 0 and len(failures.own) >= HOPELESS:
        what, remedy = failures.commonest()
        where = str(failures.path)
        raise RunFailure(f"the first {len(failures.own)} labels all failed; most often: {what}", where, remedy)


def _refuse_too_few(count: LabelCount, store: Dataset, failures: Failures) -> None:
    good = count.present + count.new
    if good < LEAST_SUCCESS * count.requested or good == 0:
        what, remedy = failures.commonest()
        message = f"only {good} of {count.requested} labels succeeded, {LEAST_SUCCESS:.0%} are needed; most often: {what}"
        raise RunFailure(message, str(failures.path), f"{remedy} Labels that succeeded are kept in {store.path.name}.")


def _restore_order(store: Dataset, keys: Sequence[str]) -> None:
    """Older frames first, then these in the order in which they were asked for."""
    asked = set(keys)
    stored = store.keys()
    older = [frame.key for frame in store if frame.key not in asked]
    store.reorder([*older, *(key for key in keys if key in stored)])
