"""Rounds of: run the model, label what it visits, measure its error there, train again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure
from halocline.execute.base import make_executor
from halocline.files import read_json, write_json
from halocline.models.model import Model
from halocline.progress import Progress
from halocline.reference.base import make_engine
from halocline.results import Number
from halocline.stages._sampling import Job, sample_frames
from halocline.stages.label import label_frames
from halocline.training.evaluate import evaluate_energy_forces

LARGEST_FORCE = 20.0
"""eV/Å; a configuration with a larger labelled force is out of a run that blew up, and is left out of training."""
VALIDATION_SHARE = 5
"""Every so many trajectories of a round, one is held back for early stopping."""


@dataclass(frozen=True)
class Round:
    """What a round of sampling showed.

    Attributes:
        number: 0 for the first model.
        frames: labelled configurations; of these ``dropped`` with forces beyond :data:`LARGEST_FORCE`.
        failures: trajectories that stopped early, in words.
        error: root mean square force error per component of the model that visited them, on all of them.
        spread: root mean square of the labelled force components, meV/Å.
    """

    number: int
    frames: int
    dropped: int
    failures: list[str]
    error: Number
    spread: float

    def fresh_error(self) -> Number:
        """The error under the name that the validation looks for."""
        return replace(self.error, name="force RMSE on fresh frames")


def run_round(
    study: Study, model: Path, starts: Sequence[Frame], number: int, frames: int, folder: Path, progress: Progress
) -> tuple[Round, list[Frame]]:
    """Sample with a model, label, and measure the error of that model on what it visited.

    Args:
        model: atomistic model file.
        starts: labelled frames to start trajectories from.
        number: of the round.
        frames: configurations to take, over all trajectories.
        folder: of the round; continues from what it holds.

    Returns:
        The round and its labelled frames, without those beyond the largest force.

    Raises:
        RunFailure: no trajectory survived, or labelling failed.
    """
    sampled = _sample_once(study, model, starts, number, frames, folder, progress)
    engine = make_engine(study.reference)
    with Dataset.resume(folder / "labelled.h5") as store:
        label_frames(
            sampled, engine, study.reference.quantities, store, make_executor(study.execute), progress, f"labels of round {number}"
        )
    labelled = list(Dataset.open(folder / "labelled.h5"))
    kept = [frame for frame in labelled if np.abs(frame.labels["forces"]).max() <= LARGEST_FORCE]
    if not kept:
        remedy = "Give the first training more frames (dataset.frames) or time (model.budget)."
        raise RunFailure(
            f"all {len(labelled)} configurations of round {number} have forces above {LARGEST_FORCE} eV/A", str(folder), remedy
        )
    stopped = read_json(folder / "stopped_early.json")
    # All of them: leaving out the frames that a bad model visits would flatter it.
    numbers = {number.name: number for number in evaluate_energy_forces(Model.load(model), labelled).numbers}
    error, spread = numbers["force error (RMSE by component)"], numbers["root mean square of the labels"]
    result = Round(number, len(labelled), len(labelled) - len(kept), stopped, error, spread.value)
    write_json(folder / "round.json", asdict(result))
    return result, kept


def split_round(frames: Sequence[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Training and validation frames of a round, by trajectory."""
    names = sorted({frame.trajectory for frame in frames})
    held_back = set(names[VALIDATION_SHARE - 1 :: VALIDATION_SHARE]) if len(names) >= VALIDATION_SHARE else set()
    train = [frame for frame in frames if frame.trajectory not in held_back]
    return train, [frame for frame in frames if frame.trajectory in held_back]


def _sample_once(
    study: Study, model: Path, starts: Sequence[Frame], number: int, frames: int, folder: Path, progress: Progress
) -> list[Frame]:
    """Configurations of the round, from the file if they were sampled before."""
    finished = folder / "stopped_early.json"
    path = folder / "sampled.h5"
    if not finished.exists():
        folder.mkdir(parents=True, exist_ok=True)
        jobs = _jobs(study, model, starts, number, frames)
        sampled, failures = sample_frames(jobs, study.dataset.droplets, study.system.seed + number, make_executor(study.execute), progress)
        path.unlink(missing_ok=True)
        with Dataset.create(path) as store:
            store.extend(sampled)
        write_json(finished, failures)
    return list(Dataset.open(path))


def _jobs(study: Study, model: Path, starts: Sequence[Frame], number: int, frames: int) -> list[Job]:
    """Trajectories at every temperature, each from another labelled box."""
    boxes = [frame for frame in starts if frame.state.periodic]
    temperatures = study.dataset.temperatures
    count = len(temperatures) * study.dataset.trajectories
    rng = np.random.default_rng([study.system.seed, 7, number])
    order = rng.permutation(len(boxes))
    steps = round(study.active_learning.length / study.dynamics.timestep / count)
    shares = np.diff(np.round(np.linspace(0, frames, count + 1)).astype(int))
    return [
        Job(
            model,
            boxes[order[index % len(boxes)]].state,
            temperatures[index % len(temperatures)],
            study.dynamics.timestep,
            study.dynamics.friction_transition,
            max(steps, int(shares[index])),
            int(shares[index]),
            study.system.seed + 1000 * number + index,
            f"round-{number}-{index}",
        )
        for index in range(count)
        if shares[index] > 0
    ]
