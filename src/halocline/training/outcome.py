"""What a training leaves behind, and how it is recognised when it is asked for again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from halocline import files, registry
from halocline.errors import UserError
from halocline.labels import QUANTITIES
from halocline.models.card import evenly
from halocline.models.model import Model
from halocline.progress import Progress
from halocline.results import Figure, Series
from halocline.training.data import LabelledFrame, Sites
from halocline.training.loop import Objective, Progression, Schedule, run_loop

CURVE_POINTS = 20
"""Points of the learning curve that a card keeps."""


@dataclass(frozen=True)
class TrainingOutcome:
    """A finished training.

    Attributes:
        model: the model file.
        curve_file: JSON with ``n_samples`` and ``curve``, one dictionary per validation.
        steps, epochs, seconds: how long it took (wall time of the loop).
        errors: last validation errors of the kept weights, internal units.
        prior_error: eV/Å, force error of the prior alone on the training data; 0 without a prior.
        reused: whether the same training had been finished before.
    """

    model: Path
    curve_file: Path
    steps: int
    epochs: float
    seconds: float
    errors: dict[str, float]
    prior_error: float = 0.0
    reused: bool = False

    @property
    def curve(self) -> list[dict[str, float]]:
        return list(files.read_json(self.curve_file)["curve"])

    def learning_curve(self, name: str, factor: float, unit: str, key: str, title: str) -> Figure:
        """Error ``name`` against wall time, training and validation, times ``factor``."""
        curve = self.curve
        series = []
        for label, prefix in (("training (since the last point)", "train_"), ("validation", "valid_")):
            points = [(row["seconds"], row[prefix + name] * factor) for row in curve if prefix + name in row]
            if points:
                series.append(Series(label, [point[0] for point in points], [point[1] for point in points]))
        return Figure(key, title, "wall time / s", f"{name} error / {unit}", series, log_y=True)


@dataclass(frozen=True)
class Place:
    """Files of one training in a folder; everything temporary is named after its inputs."""

    folder: Path
    name: str
    inputs: str

    @property
    def model(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    @property
    def curve(self) -> Path:
        return self.folder / f"{self.name}.curve.json"

    @property
    def record(self) -> Path:
        return self.folder / f"{self.name}.outcome.json"

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"{self.name}.{self.inputs[:12]}.checkpoint"

    def finished(self) -> TrainingOutcome | None:
        """The outcome, if this very training was finished before."""
        if not (self.record.exists() and self.model.exists() and self.curve.exists()):
            return None
        record = files.read_json(self.record)
        if record["inputs"] != self.inputs or record["model_hash"] != files.hash_file(self.model):
            return None
        return TrainingOutcome(self.model, self.curve, **record["outcome"], reused=True)


def train_objective(
    objective: Objective,
    schedule: Schedule,
    place: Place,
    progress: Progress,
    description: str,
    card: Mapping[str, Any],
    prior_error: float = 0.0,
) -> TrainingOutcome:
    """Run the loop, complete the model card, save model and outcome, remove the checkpoint."""
    progression = run_loop(objective, schedule, place.checkpoint, place.curve, progress, description)
    errors = _kept_errors(progression)
    epochs = progression.step * schedule.batch / objective.n_samples
    length = {"steps": progression.step, "epochs": round(epochs, 2), "seconds": round(progression.seconds, 1)}
    model = objective.model
    model.metadata["card"] = {
        **card,
        "training": {**asdict(schedule), **length},
        "validation_errors": errors,
        "errors": errors_against_spread(errors, card.get("label_spread", {})),
        "learning_curve": short_curve(progression.curve),
        "versions": _versions(),
    }
    model.save(place.model)
    outcome: dict[str, Any] = {
        "steps": progression.step,
        "epochs": epochs,
        "seconds": progression.seconds,
        "errors": errors,
        "prior_error": prior_error,
    }
    record = {"inputs": place.inputs, "model_hash": files.hash_file(place.model), "outcome": outcome}
    files.write_json(place.record, record)
    for old in place.folder.glob(f"{place.name}.*.checkpoint"):
        old.unlink()
    return TrainingOutcome(place.model, place.curve, **outcome)


def _kept_errors(progression: Progression) -> dict[str, float]:
    """Validation errors of the weights that were kept."""
    row = progression.curve[progression.best_row]
    return {name[6:]: value for name, value in row.items() if name.startswith("valid_")}


def errors_against_spread(errors: Mapping[str, float], spreads: Mapping[str, float]) -> list[dict[str, Any]]:
    """Validation errors as the card shows them: ``quantity``, ``error``, ``spread``, both in ``unit``, and ``relative``, their ratio.

    Args:
        errors: ``force`` in eV/Å, ``energy`` in eV per site, and any other quantity relative to its spread.
        spreads: of the labels, by quantity.
    """
    absolute, rows = {"force": ("forces", "eV/A"), "energy": ("energy per site", "eV")}, []
    for name, value in errors.items():
        if name in absolute:
            quantity, unit = absolute[name]
            spread = spreads.get("forces" if name == "force" else name)
            relative = value / spread if spread else None
            rows.append({"quantity": quantity, "unit": unit, "error": value, "spread": spread, "relative": relative})
        elif name in QUANTITIES and name in spreads:
            spread = spreads[name]
            rows.append({"quantity": name, "unit": _unit_by_size(name), "error": value * spread, "spread": spread, "relative": value})
    return rows


def _unit_by_size(name: str) -> str:
    """Unit of the errors of a head, which are divided by a power of the number of molecules: see ``Head.growth``."""
    size = {0.0: "", 0.5: "/sqrt(molecule)", 1.0: "/molecule"}
    return QUANTITIES[name].unit + size[registry.get("heads", name).growth]


def force_spread(model: Model, sites: Sequence[Sites]) -> dict[str, float]:
    """Spread of the labels, for the card: root mean square of the force components (eV/Å), and standard deviation of what energies
    per site are beyond the references of the model (eV), where there are two or more."""
    known = np.concatenate([item.forces.ravel() for item in sites])
    found = {"forces": float(np.sqrt(np.nanmean(known**2)))}
    shift = dict(zip(model.types, model.get_buffer("heads.energy.shift").tolist()))
    labelled = [item for item in sites if item.energy is not None and math.isfinite(item.energy)]
    if len(labelled) > 1:
        residual = [(item.energy - sum(shift[int(kind)] for kind in item.types)) / len(item.types) for item in labelled]
        found["energy"] = float(np.std(residual))
    return found


def short_curve(curve: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The learning curve for the card: step, seconds and validation errors at a few points, with four digits."""
    rows = []
    for row in evenly(curve, CURVE_POINTS):
        errors = {name[6:]: value for name, value in row.items() if name.startswith("valid_")}
        short = {name: float(f"{value:.4g}") for name, value in errors.items()}
        rows.append({"step": row["step"], "seconds": round(row["seconds"], 1), **short})
    return rows


def _versions() -> dict[str, str]:
    return {"halocline": metadata.version("halocline"), "torch": str(torch.__version__)}


def one_level(frames: Sequence[LabelledFrame], what: str) -> dict[str, Any] | None:
    """The level of theory that all frames share; None where frames do not carry one.

    Raises:
        UserError: frames of different levels, whose energies have nothing to do with each other.
    """
    levels = {files.hash_data(level): level for level in (getattr(frame, "level", None) for frame in frames) if level is not None}
    if len(levels) > 1:
        raise UserError(f"the frames are labelled at {len(levels)} different levels of theory", what, "Train on one level at a time.")
    return next(iter(levels.values()), None)
