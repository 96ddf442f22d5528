"""Train: atomistic model with active learning, multipole model, and beads taught by the atomistic model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure
from halocline.files import read_json
from halocline.models.model import Model
from halocline.potentials.intramolecular import Intramolecular
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.progress import Progress
from halocline.results import Figure, Number, StageResult, Table
from halocline.stages._active_learning import Round, run_round, split_round
from halocline.stages._coarse import bead_frames, judge_structure, run_beads
from halocline.stages._reservoir import prepare_reservoir, reservoir_cost
from halocline.stages.base import Context, Cost, Stage
from halocline.stages.label import box_seconds
from halocline.training.beads import train_beads
from halocline.training.energy_forces import train_energy_forces
from halocline.training.evaluate import evaluate_beads, evaluate_energy_forces, evaluate_multipoles
from halocline.training.multipoles import train_multipoles
from halocline.training.outcome import TrainingOutcome

ATOM_STEP = 15e-6
"""s of one core for one atom and time step of the atomistic kernel; for estimates only."""
SMALLEST_SPLIT = 4
"""Clusters needed to hold some back."""


class TrainStage(Stage):
    """Everything that is learned. Each part is kept as soon as it is finished, so that a killed stage continues."""

    name = "train"
    version_classical = 2
    needs = ("build", "label", "inspect")
    uses = (
        *("system", "reference", "dataset", "active_learning", "model", "multipole_model", "coarse_model"),
        *("dynamics.timestep", "dynamics.friction_transition", "dynamics.friction_reference"),
    )
    uses_classical = (
        *("system", "force_field", "coarse_table", "coupling.reservoir"),
        *("dynamics.timestep", "dynamics.friction_reference", "dynamics.force_cap"),
    )

    def run(self, context: Context) -> StageResult:
        """Train all models; files ``atomistic``, ``multipoles``, ``coarse`` and the grown ``dataset``.

        Raises:
            RunFailure: a training diverges, or no model trajectory survives.
        """
        study, folder = context.study, context.folder
        if study.is_classical:
            return prepare_reservoir(context)
        frames, split = list(Dataset.open(context.file("label", "boxes"))), read_json(context.file("inspect", "split"))
        model, rounds, learned, parts = _atomistic(study, folder, frames, split, context.progress)
        multipoles, multipole_parts = _multipoles(context)
        coarse, coarse_parts = _coarse(context, model)
        last = rounds[-1]
        summary = (
            f"force RMSE {last.fresh_error()} on frames that the model visits by itself "
            f"(forces are {last.spread:.0f} meV/A), {len(learned)} frames in {len(rounds) - 1} rounds"
        )
        result = StageResult(summary, [last.fresh_error()], tables=[_table(rounds)])
        for numbers, figures in (parts, multipole_parts, coarse_parts):
            result.numbers.extend(numbers)
            result.figures.extend(figures)
        paths = {"atomistic": model, "multipoles": multipoles, "coarse": coarse, "dataset": folder / "boxes.h5"}
        result.files = {role: str(path.relative_to(folder)) for role, path in paths.items()}
        return result

    def cost(self, study: Study) -> Cost:
        """Budgets of the trainings, labels of the rounds, and the teacher run; what a tabulated reservoir takes."""
        if study.is_classical:
            return reservoir_cost(study)
        rounds = study.active_learning.rounds
        training = study.model.budget * (1 + 0.5 * rounds) + study.multipole_model.budget + study.coarse_model.budget
        atoms = 3 * sum(study.system.molecules.values())
        teacher = study.coarse_model.teacher / study.dynamics.timestep * atoms * ATOM_STEP
        sampling = (rounds + 1) * study.active_learning.length / study.dynamics.timestep * 3 * study.dataset.molecules * ATOM_STEP
        labels = rounds * study.active_learning.frames + max(1, study.active_learning.frames // 2)
        words = f"{1 + rounds} trainings of the atomistic model, {labels} labels in {rounds + 1} rounds, 2 further models"
        return Cost(training + teacher + sampling + labels * box_seconds(study), words)


def _atomistic(
    study: Study, folder: Path, frames: Sequence[Frame], split: dict[str, str], progress: Progress
) -> tuple[Path, list[Round], list[Frame], tuple[list[Number], list[Figure]]]:
    """The atomistic model after all rounds, the rounds, all frames it learned from, and what to show."""
    train = [frame for frame in frames if split[frame.trajectory] == "train"]
    valid = [frame for frame in frames if split[frame.trajectory] == "valid"]
    test = [frame for frame in frames if split[frame.trajectory] == "test"]
    seed, budget = study.system.seed, study.model.budget
    outcome = train_energy_forces(study.model, train, valid, folder / "round-0", budget, seed, progress)
    outcomes, rounds = [outcome], []
    for number in range(study.active_learning.rounds + 1):
        last = number == study.active_learning.rounds
        # The last round only measures: its frames stay fresh.
        count = max(1, study.active_learning.frames // 2) if last else study.active_learning.frames
        place = folder / f"round-{number}"
        result, fresh = run_round(study, outcome.model, train, number, count, place / "visited", progress)
        rounds.append(result)
        if not last:
            more_train, more_valid = split_round(fresh)
            train, valid = train + more_train, valid + more_valid
            place = folder / f"round-{number + 1}"
            outcome = train_energy_forces(study.model, train, valid, place, 0.5 * budget, seed, progress, initial=outcome.model)
            outcomes.append(outcome)
        else:
            test = test + fresh
    learned = train + valid
    dataset = folder / "boxes.h5"
    dataset.unlink(missing_ok=True)
    with Dataset.create(dataset) as store:
        store.extend(learned + test)
    errors = evaluate_energy_forces(Model.load(outcome.model), test, seed)
    return outcome.model, rounds, learned, (errors.numbers, _curves(outcomes) + errors.figures)


def _curves(outcomes: Sequence[TrainingOutcome]) -> list[Figure]:
    return [
        outcome.learning_curve("force", 1e3, "meV/A", f"learning-{index}", f"Learning curve of the atomistic model, round {index}")
        for index, outcome in enumerate(outcomes)
    ]


def _table(rounds: Sequence[Round]) -> Table:
    rows = [
        [
            str(item.number),
            str(item.frames),
            str(item.dropped),
            str(len(item.failures)),
            str(item.fresh_error()),
            f"{item.spread:.0f} meV/A",
        ]
        for item in rounds
    ]
    columns = ["round", "frames labelled", "of these too distorted", "trajectories that stopped early", "force RMSE", "spread of forces"]
    caption = "Error of the model of each round on the frames it visits by itself, before it learns from them; the last ones stay unseen."
    return Table("active-learning", "Active learning", columns, rows, caption)


def _multipoles(context: Context) -> tuple[Path, tuple[list[Number], list[Figure]]]:
    """The dipole and polarizability model, and what to show of it."""
    study, section = context.study, context.study.multipole_model
    clusters = list(Dataset.open(context.file("label", "clusters")))
    if len(clusters) < SMALLEST_SPLIT:
        remedy = "Raise multipoles.clusters."
        raise RunFailure(f"{len(clusters)} labelled clusters are too few to hold some back", str(context.inputs["label"]), remedy)
    train, valid = split_clusters(clusters, study.system.seed)
    outcome = train_multipoles(section, train, valid, context.folder / "multipoles", section.budget, study.system.seed, context.progress)
    errors = evaluate_multipoles(Model.load(outcome.model), valid, study.system.seed, "clusters")
    return outcome.model, (errors.numbers, errors.figures)


def split_clusters(clusters: Sequence[Frame], seed: int) -> tuple[list[Frame], list[Frame]]:
    """Training and held-back clusters; those of one parent configuration never end up on both sides."""
    parents = sorted({frame.trajectory for frame in clusters})
    order = np.random.default_rng([seed, 11]).permutation(len(parents))
    held_back = {parents[index] for index in order[: max(1, round(0.2 * len(parents)))]}
    train = [frame for frame in clusters if frame.trajectory not in held_back]
    return train, [frame for frame in clusters if frame.trajectory in held_back]


def _coarse(context: Context, model: Path) -> tuple[Path, tuple[list[Number], list[Figure]]]:
    """Beads from the mapped forces of the atomistic model, and how their liquid compares."""
    study, section, folder = context.study, context.study.coarse_model, context.folder / "coarse"
    box = Dataset.open(context.file("build", "box"))[0].state
    seed, progress = study.system.seed, context.progress
    teacher = run_beads(study, box, LearnedAtoms(model), section.teacher, folder / "teacher", seed, progress, "teacher run")
    frames = bead_frames(box, teacher)
    cut = max(1, round(0.85 * len(frames)))
    temperature = study.system.temperature
    outcome = train_beads(section, frames[:cut], frames[cut:], folder, section.budget, seed, progress, temperature=temperature)
    errors = evaluate_beads(Model.load(outcome.model), frames[cut:], seed, "beads")
    start = box.with_positions(teacher["last"])
    beads = LearnedBeads(outcome.model) + Intramolecular(model)
    students = run_beads(study, start, beads, section.teacher, folder / "student", seed + 1, progress, "bead run")
    figure, numbers = judge_structure(box.cell, teacher["positions"], students["positions"])
    curve = outcome.learning_curve("force", 1e3, "meV/A", "learning-beads", "Learning curve of the beads")
    return outcome.model, (numbers + errors.numbers, [curve, figure, *errors.figures])
