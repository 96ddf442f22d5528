"""Labels are never made twice, never lost, and never made by an engine that cannot provide them."""

import json
import os
import signal
import time
from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
import pytest

from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure, UserError
from halocline.labels import Labels
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.reference.analytic import AnalyticEngine
from halocline.reference.base import NotConverged, ReferenceEngine
from halocline.results import StageResult
from halocline.stages._label_records import label_times, note_time
from halocline.stages.base import Context
from halocline.stages.label import LabelStage, check_engine, cut_clusters, label_frames
from halocline.stages.train import TrainStage
from halocline.state import State

EDGE = 9.87


def box(seed: int, molecules: int = 27, trajectory: str = "run 0") -> Frame:
    rng = np.random.default_rng(seed)
    side = round(molecules ** (1 / 3))
    corners = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3) * EDGE / side + rng.normal(0, 0.1, (molecules, 3))
    turned = [corner + np.array(WATER.geometry) @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for corner in corners]
    state = State(np.concatenate(turned), np.eye(3) * EDGE, build_topology([(WATER, molecules)]), info={"temperature": 300.0})
    return Frame(state, trajectory=trajectory, source="a lattice")


def droplet(seed: int) -> Frame:
    whole = box(seed)
    return Frame(whole.state.select(range(8)).isolated(), trajectory=whole.trajectory)


class Counting(ReferenceEngine):
    """Counts its work; configurations whose number is in ``failing`` do not converge."""

    name = "counting"
    summary = "test"
    provides: ClassVar[frozenset[str]] = frozenset({"energy", "forces", "stress"})
    periodic = True
    molecular = True

    def __init__(self, failing: tuple[int, ...] = (), stop_after: int = 10**9) -> None:
        self.failing, self.stop_after, self.seen = failing, stop_after, list[float]()

    def level(self) -> dict[str, Any]:
        return {"engine": "counting"}

    def calculate(self, state: State, quantities: Collection[str]) -> Labels:
        if len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(float(state.positions[0, 0]))
        if len(self.seen) - 1 in self.failing:
            raise NotConverged("no convergence after 250 cycles", "engine 'counting'", "Raise the electronic temperature.")
        values = {"energy": np.array(1.0), "forces": np.zeros_like(state.positions), "stress": np.zeros((3, 3))}
        return {name: values[name] for name in quantities}


def test_labels_are_the_engine_s_own_and_stress_is_left_out_for_droplets(tmp_path):
    engine, frames = AnalyticEngine(), [box(0), droplet(1), box(2)]
    with Dataset.create(tmp_path / "a.h5") as store:
        count = label_frames(frames, engine, ["energy", "forces", "stress"], store, workers=2)
    assert (count.requested, count.present, count.new, count.failed) == (3, 0, 3, 0)
    assert len(count.seconds) == 3
    stored = list(Dataset.open(tmp_path / "a.h5"))
    for label, frame in zip(stored, frames, strict=True):
        direct = engine.compute(frame.state, ["energy", "forces"])
        np.testing.assert_allclose(label.labels["energy"], direct["energy"], rtol=1e-12)
        np.testing.assert_allclose(label.labels["forces"], direct["forces"], rtol=1e-9, atol=1e-12)
        assert ("stress" in label.labels) is frame.state.periodic
        assert label.level == engine.level()
        assert (label.trajectory, label.state.info) == (frame.trajectory, frame.state.info)


def test_the_dataset_does_not_depend_on_the_number_of_workers_or_on_an_interruption(tmp_path):
    frames = [box(seed) for seed in range(6)]
    for name, workers in (("one.h5", 0), ("two.h5", 2)):
        with Dataset.create(tmp_path / name) as store:
            label_frames(frames, AnalyticEngine(), ["energy", "forces"], store, workers)
    with Dataset.create(tmp_path / "part.h5") as store:
        label_frames(frames[3:5], AnalyticEngine(), ["energy", "forces"], store, workers=0)
    with Dataset.open(tmp_path / "part.h5") as store:
        count = label_frames(frames, AnalyticEngine(), ["energy", "forces"], store, workers=0)
    assert (count.present, count.new) == (2, 4)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes() == (tmp_path / "part.h5").read_bytes()


def test_an_interrupted_run_continues_and_labels_nothing_twice(tmp_path):
    frames = [box(seed) for seed in range(5)]
    first, second = Counting(stop_after=2), Counting()
    with pytest.raises(KeyboardInterrupt), Dataset.create(tmp_path / "a.h5") as store:
        label_frames(frames, first, ["energy"], store, workers=0)
    with Dataset.open(tmp_path / "a.h5") as store:
        count = label_frames(frames, second, ["energy"], store, workers=0)
        again = label_frames(frames, Counting(stop_after=0), ["energy"], store, workers=0)
    assert (count.present, count.new) == (2, 3)
    assert (again.present, again.new) == (5, 0)
    assert sorted(first.seen + second.seen) == sorted(frame.state.positions[0, 0] for frame in frames)


def test_labelling_survives_sigkill(tmp_path):
    frames = [box(seed, 8) for seed in range(40)]
    rounds = 0
    while rounds < 30:
        rounds += 1
        child = os.fork()
        if child == 0:
            try:
                with Dataset.resume(tmp_path / "a.h5") as store:
                    label_frames(frames, AnalyticEngine(), ["energy", "forces"], store, workers=0)
                os._exit(0)
            finally:
                os._exit(1)
        time.sleep(0.02 * rounds)
        os.kill(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
    assert rounds > 1
    stored = list(Dataset.open(tmp_path / "a.h5"))
    assert [frame.state.positions[0, 0] for frame in stored] == [frame.state.positions[0, 0] for frame in frames]
    assert sum('"a.h5"' in line for line in (tmp_path / "label_times.jsonl").read_text().splitlines()) <= 40 + rounds


def test_a_torn_line_among_the_timings_costs_that_timing_alone(tmp_path):
    (tmp_path / "label_times.jsonl").write_text('{"store": "a.h5", "key": "1", "seconds": 2.5}\n{"store": "a.h5", "ke')
    note_time(tmp_path / "a.h5", "2", 1.0)
    note_time(tmp_path / "a.h5", "3", 3.0)
    note_time(tmp_path / "b.h5", "3", 9.0)
    assert label_times(tmp_path / "a.h5") == [2.5, 3.0]


def test_failures_are_recorded_counted_and_not_repeated(tmp_path):
    frames = [box(seed, 8) for seed in range(20)]
    engine = Counting(failing=(3, 11))
    with Dataset.create(tmp_path / "a.h5") as store:
        count = label_frames(frames, engine, ["energy"], store, workers=0)
        assert (count.new, count.failures) == (18, {"NotConverged": 2})
        again = Counting()
        assert label_frames(frames, again, ["energy"], store, workers=0).failed == 2
    assert again.seen == []
    written = json.loads((tmp_path / "label_failures.json").read_text())["a.h5"]
    assert [failure["what"] for failure in written.values()] == ["no convergence after 250 cycles"] * 2
    assert all(failure["remedy"] == "Raise the electronic temperature." for failure in written.values())


def test_too_few_successes_are_refused_but_kept(tmp_path):
    with Dataset.create(tmp_path / "a.h5") as store:
        with pytest.raises(RunFailure, match=r"only 8 of 10 labels succeeded, 90% are needed; most often: no convergence") as caught:
            label_frames([box(seed, 8) for seed in range(10)], Counting(failing=(0, 5)), ["energy"], store, workers=0)
        assert len(store) == 8
    assert "kept in a.h5" in caught.value.remedy


def test_hopeless_work_ends_early_and_empty_work_is_refused(tmp_path):
    engine = Counting(failing=tuple(range(100)))
    with Dataset.create(tmp_path / "a.h5") as store:
        with pytest.raises(RunFailure, match="the first 10 labels all failed"):
            label_frames([box(seed, 8) for seed in range(50)], engine, ["energy"], store, workers=0)
        assert len(engine.seen) == 10
        with pytest.raises(RunFailure, match="no configuration to label"):
            label_frames([], engine, ["energy"], store, workers=0)


def test_an_engine_that_cannot_is_refused_before_it_starts(tmp_path, monkeypatch):
    engine = Counting()
    with Dataset.create(tmp_path / "a.h5") as store:
        with pytest.raises(UserError, match="does not provide polarizability") as caught:
            label_frames([box(0)], engine, ["energy", "polarizability"], store, workers=0)
        assert "It provides: energy, forces, stress" in caught.value.remedy
        with pytest.raises(UserError, match="stress have no meaning for clusters"):
            label_frames([droplet(0)], engine, ["stress"], store, workers=0)
        monkeypatch.setattr(Counting, "missing", classmethod(lambda cls: "pip install counting"))
        with pytest.raises(UserError, match="not installed") as caught:
            label_frames([box(0)], engine, ["energy"], store, workers=0)
    assert caught.value.remedy == "pip install counting"
    assert engine.seen == []
    with pytest.raises(UserError, match="no quantity"):
        check_engine(AnalyticEngine(), [], {True})


def test_clusters_come_in_equal_shares_from_all_trajectories():
    frames = [box(seed, 8, f"run {seed % 4}") for seed in range(8)] + [droplet(9)]
    clusters = cut_clusters(frames, 24, [1, 2, 3], seed=5)
    sizes = [cluster.state.topology.n_molecules for cluster in clusters]
    assert [sizes.count(size) for size in (1, 2, 3)] == [8, 8, 8]
    assert [sum(c.trajectory == f"run {k}" for c in clusters) for k in range(4)] == [6, 6, 6, 6]
    for k in range(4):
        assert {c.state.topology.n_molecules for c in clusters if c.trajectory == f"run {k}"} == {1, 2, 3}
    assert len({cluster.key for cluster in clusters}) == 24
    assert not any(cluster.state.periodic for cluster in clusters)
    assert [c.key for c in cut_clusters(frames, 24, [1, 2, 3], seed=5)] == [c.key for c in clusters]
    assert [c.key for c in cut_clusters(frames, 24, [1, 2, 3], seed=6)] != [c.key for c in clusters]
    with pytest.raises(UserError, match="only 8 different clusters of 20"):
        cut_clusters(frames[:1], 20, [1], seed=0)
    with pytest.raises(UserError, match="cannot cut 9 molecules out of 8"):
        cut_clusters(frames[:1], 1, [9], seed=0)


def stage_context(tmp_path, **sections: dict[str, Any]) -> Context:
    build = tmp_path / "build"
    if not build.exists():
        with Dataset.create(build / "configurations.h5") as dataset:
            dataset.extend([box(seed, 27, f"run {seed % 3}") for seed in range(6)] + [droplet(seed) for seed in range(7, 9)])
    chosen = {
        "reference": {"engine": "analytic", "quantities": ["energy", "forces", "stress", "charges"]},
        "multipoles": {"engine": "analytic", "clusters": 6, "quantities": ["dipole", "polarizability"]},
        **sections,
    }
    (tmp_path / "label").mkdir(exist_ok=True)
    built = StageResult("", files={"configurations": "configurations.h5"})
    return Context(Study(**chosen), tmp_path / "label", {"build": build}, {"build": built})


def test_the_stage_labels_boxes_droplets_and_clusters(tmp_path):
    context = stage_context(tmp_path)
    result = LabelStage().run(context)
    boxes, clusters = (Dataset.open(context.folder / result.files[role]) for role in ("boxes", "clusters"))
    assert (len(boxes), len(clusters)) == (8, 6)
    assert set(boxes[0].labels) == {"energy", "forces", "stress", "charges"}
    assert set(boxes[-1].labels) == {"energy", "forces", "charges"}
    assert set(clusters[0].labels) == {"dipole", "polarizability"}
    assert {cluster.trajectory for cluster in clusters} == {"run 0", "run 1", "run 2"}
    assert result.number("labelled boxes").value == 6
    assert result.number("labelled droplets").value == 2
    assert result.number("failed labels").value == 0
    times = result.number("time per label, boxes")
    assert times.value > 0
    assert times.unit == "s"
    assert times.n_effective == 8
    table = next(table for table in result.tables if table.key == "label-counts")
    assert ["stress", "eV/A^3", "6", "0", "0"] in [list(row) for row in table.rows]
    assert ["polarizability", "A^3", "0", "0", "6"] in [list(row) for row in table.rows]
    assert {figure.key for figure in result.figures} == {"label-energy", "label-forces", "label-dipole", "label-polarizability"}
    for figure in result.figures:
        for series in figure.series:
            width = series.x[1] - series.x[0]
            assert sum(series.y) * width == pytest.approx(1, abs=0.02)
    assert StageResult.from_json(json.loads(json.dumps(result.to_json()))).summary == result.summary
    before = (context.folder / "boxes.h5").read_bytes()
    again = LabelStage().run(context)
    assert (context.folder / "boxes.h5").read_bytes() == before
    assert again.number("time per label, boxes").value == times.value


def test_the_stage_refuses_impossible_labels_before_any_work(tmp_path):
    context = stage_context(tmp_path, multipoles={"engine": "analytic", "quantities": ["dipole", "homo"]})
    with pytest.raises(UserError, match="does not provide homo"):
        LabelStage().run(context)
    assert list(context.folder.iterdir()) == []


def test_the_cost_grows_with_the_number_and_size_of_frames():
    small, large = Study(), Study(dataset={"frames": 480, "molecules": 64})
    assert LabelStage().cost(large).cpu_seconds > 2 * LabelStage().cost(small).cpu_seconds > 0
    slow = Study(reference={"method": "GFN2-xTB"})
    assert TrainStage().cost(slow).cpu_seconds > TrainStage().cost(small).cpu_seconds, "rounds of active learning label too"
    assert f"{Study().dataset.frames} configurations with tblite (GFN1-xTB)" in LabelStage().cost(small).what
