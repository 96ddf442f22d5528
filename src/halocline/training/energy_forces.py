"""Training of the atomistic model on energies and forces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from halocline import files
from halocline.config.study import Model as ModelSection
from halocline.errors import UserError
from halocline.models.model import Model, make_representation
from halocline.models.priors.fit import PairFit, PairFitSettings, fit_pair_prior
from halocline.progress import Progress, Silent
from halocline.training.cleaning import LARGEST_FORCE, clean_labels
from halocline.training.data import LabelledFrame, Sites, atom_sites, hash_inputs, require_labels
from halocline.training.forces import EnergyWeights, ForceMatching, force_error, prior_terms, residual_batches, set_references
from halocline.training.loop import Schedule
from halocline.training.outcome import Place, TrainingOutcome, force_spread, one_level, train_objective

ENERGY_WEIGHT = 0.3
PRIOR_FRAMES = 200


def train_energy_forces(
    section: ModelSection,
    frames_train: Sequence[LabelledFrame],
    frames_valid: Sequence[LabelledFrame],
    folder: Path,
    budget: float,
    seed: int,
    progress: Progress | None = None,
    initial: Path | None = None,
    name: str = "atomistic",
    steps: int | None = None,
    energy_weight: float = ENERGY_WEIGHT,
    late_energy_weight: float | None = None,
    largest_force: float = LARGEST_FORCE,
) -> TrainingOutcome:
    """Train a model on periodic boxes and isolated droplets in any mixture, and save it as ``folder/name.safetensors``.

    Run again after being killed it continues from its checkpoint; run again when finished it returns at once.

    Args:
        section: representation, size, cut-off, learning rate and batch.
        frames_train, frames_valid: with labels ``energy`` and ``forces``, all of one level of theory.
        folder: where model, curve and checkpoints go.
        budget: s of wall time for the loop itself; neighbour lists, prior and start-up come on top.
        seed: of weights and order.
        progress: one bar.
        initial: model to start from (same representation): its prior, energy references and weights are kept, so that
            what was learned stays meaningful, and the learning rate is halved.
        name: of the files.
        steps: exact number of optimisation steps instead of a time.
        energy_weight: of squared energy errors beside squared force errors, see :class:`halocline.training.forces.ForceMatching`.
        late_energy_weight: what the energy weight rises to in the second half; None: it stays.
        largest_force: eV/Å, frames with a larger force component are left out and counted in the model card.

    Raises:
        UserError: no frames, a missing label, mixed levels of theory, an ``initial`` that does not fit, a negative weight, or
            no frame below ``largest_force``.
        RunFailure: the training diverges, or its checkpoint is corrupt.
    """
    require_labels(frames_train, ("energy", "forces"), "training frames")
    require_labels(frames_valid, ("energy", "forces"), "validation frames")
    level = one_level([*frames_train, *frames_valid], "training frames")
    train, cleaned = clean_labels(atom_sites(frames_train, section.cutoff), largest_force, "training frames")
    valid, cleaned_valid = clean_labels(atom_sites(frames_valid, section.cutoff), largest_force, "validation frames")
    weights = EnergyWeights(energy_weight, energy_weight if late_energy_weight is None else late_energy_weight)
    place = Place(folder, name, _inputs(section, train, valid, budget, seed, steps, initial, weights))
    done = place.finished()
    if done is not None:
        return done
    model, prior = _start(section, train, seed, initial)
    _require_known_types(model, valid)
    model.metadata.update(_metadata(frames_train))
    of_train, of_valid = prior_terms(model, train), prior_terms(model, valid)
    if initial is None:
        set_references(model, train, of_train)
    batches = residual_batches(model, train, of_train), residual_batches(model, valid, of_valid)
    objective = ForceMatching(model, *batches, weights)
    rate = section.learning_rate * (0.5 if initial is not None else 1.0)
    schedule = Schedule(budget, rate, section.batch, seed, steps)
    prior_error = 0.0 if model.prior is None else force_error(valid, of_valid)
    card = {
        "level_of_theory": level,
        "seed": seed,
        "initial": None if initial is None else files.hash_file(initial),
        "prior": prior,
        "loss": {"energy_weight": weights.early, "late_energy_weight": weights.late},
        "cleaning": {"training": cleaned, "validation": cleaned_valid},
        "label_spread": force_spread(model, valid),
        **_description(model, train, valid, frames_train),
    }
    return train_objective(objective, schedule, place, progress or Silent(), f"training {name}", card, prior_error)


def _require_known_types(model: Model, valid: Sequence[Sites]) -> None:
    unknown = {int(kind) for item in valid for kind in item.types} - set(model.types)
    if unknown:
        what = f"elements {sorted(unknown)} occur in the validation frames but not in training"
        raise UserError(what, "validation frames", "Split the data differently.")


def _description(model: Model, train: Sequence[Sites], valid: Sequence[Sites], frames: Sequence[LabelledFrame]) -> dict[str, Any]:
    """Purpose, data and domain of the model, for its card."""
    return {
        "purpose": "potential energy and forces of the atoms",
        "data": {"training_frames": len(train), "validation_frames": len(valid), "sites": sum(len(item.types) for item in train)},
        "domain": _domain(model, train, frames),
    }


def _start(section: ModelSection, train: Sequence[Sites], seed: int, initial: Path | None) -> tuple[Model, dict[str, Any]]:
    """A new model with fitted prior, or the initial one; and what the card says of the prior."""
    types = sorted({int(kind) for item in train for kind in item.types})
    if initial is not None:
        model = Model.load(initial).convert(torch.float32)
        shape = model.representation
        asked = (section.name, section.features, section.layers, section.cutoff)
        if (shape.name, shape.features, shape.layers, shape.cutoff) != asked or not set(types) <= set(model.types):
            what = f"it is {shape.name} with {shape.features} features, {shape.layers} layers, {shape.cutoff} A for types {model.types}"
            raise UserError(what, str(initial), "Start from a model of the same shape, or train from scratch.")
        return model.train(), dict(model.metadata.get("card", {}).get("prior", {}))
    fit = fit_pair_prior(spread(train, PRIOR_FRAMES), types, section.cutoff)
    model = new_model("atoms", section, types, fit, seed)
    return model, describe_prior(fit, PairFitSettings())


def new_model(
    kind: str,
    section: Any,
    types: Sequence[int],
    fit: PairFit,
    seed: int,
    heads: Sequence[str] = ("energy",),
    metadata: Mapping[str, Any] | None = None,
) -> Model:
    """A model with fresh weights of a seed; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        representation = make_representation(section.name, types, section.features, section.layers, section.cutoff)
        model = Model(kind, representation, heads, fit.tables, metadata)
        initialise(model)
        return model


def initialise(model: Model) -> None:
    """Glorot weights and zero biases: with the smaller default ones, forces start so weak that hundreds of steps pass idly."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)


def spread(items: Sequence[Sites], count: int) -> list[Sites]:
    """At most ``count`` items, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[int(index)] for index in np.linspace(0, len(items) - 1, count)]


def describe_prior(fit: PairFit, settings: PairFitSettings) -> dict[str, Any]:
    """Fit ranges and quality, for the card: without them nobody can repeat a prior."""
    classes = [
        {"types": list(kind.types), "within": kind.within, "range": [round(kind.low, 4), round(kind.high, 4)], "pairs": kind.count}
        for kind in fit.classes
    ]
    return {"force_rms": fit.rms, "force_rms_left": fit.residual, "classes": classes, "settings": dict(vars(settings))}


def shortest_distances(train: Sequence[Sites], types: Sequence[int]) -> list[dict[str, Any]]:
    """Shortest sampled distance of each pair of types, between and within molecules, Å."""
    shortest: dict[tuple[int, int, int], float] = {}
    for item in train:
        r, same = np.linalg.norm(item.displacements, axis=1), item.same_molecule
        low, high = np.minimum(item.types[item.i], item.types[item.j]), np.maximum(item.types[item.i], item.types[item.j])
        for key in {(int(a), int(b), int(s)) for a, b, s in np.unique(np.stack([low, high, same]), axis=1).T}:
            chosen = r[(low == key[0]) & (high == key[1]) & (same == key[2])]
            shortest[key] = min(shortest.get(key, np.inf), float(chosen.min()))
    return [{"types": [a, b], "within": bool(s), "shortest": round(r, 4)} for (a, b, s), r in sorted(shortest.items())]


def _domain(model: Model, train: Sequence[Sites], frames: Sequence[LabelledFrame]) -> dict[str, Any]:
    """Where the model has data: outside, its answers are guesses."""
    largest = max(float(np.abs(item.forces).max()) for item in train)
    info = [frame.state.info.get("temperature") for frame in frames]
    temperatures = sorted({round(float(value), 1) for value in info if isinstance(value, (int, float))})
    return {"shortest_distances": shortest_distances(train, model.types), "largest_force": largest, "temperatures": temperatures}


def _metadata(frames: Sequence[LabelledFrame]) -> dict[str, Any]:
    species = sorted({name for frame in frames for name in frame.state.topology.species})
    return {"species": species}


def _inputs(
    section: ModelSection,
    train: Sequence[Sites],
    valid: Sequence[Sites],
    budget: float,
    seed: int,
    steps: int | None,
    initial: Path | None,
    weights: EnergyWeights,
) -> str:
    """Hash of everything that the outcome depends on."""
    arrays: list[np.ndarray] = []
    for item in [*train, *valid]:
        # Pairs and shifts stand for the cell; molecules decide which prior acts.
        arrays += [item.types, item.molecule, item.positions, item.i, item.j, item.shifts, item.forces]
        arrays.append(np.array([item.energy, item.weight], dtype=np.float64))
    begun = None if initial is None else files.hash_file(initial)
    division = (len(train), len(valid))
    return hash_inputs(section, arrays, division, budget, seed, steps, initial=begun, energy_weights=asdict(weights))
