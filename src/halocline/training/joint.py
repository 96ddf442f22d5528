"""Training of energies, forces and any other quantities in one model, each frame with the labels that it has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halocline.config.study import Model as ModelSection
from halocline.errors import UserError
from halocline.models.model import Model
from halocline.models.priors.fit import PairFitSettings, fit_pair_prior
from halocline.progress import Progress, Silent
from halocline.training.data import Batch, LabelledFrame, Sites, atom_sites, hash_inputs, identity
from halocline.training.energy_forces import ENERGY_WEIGHT, PRIOR_FRAMES, describe_prior, new_model, shortest_distances, spread
from halocline.training.forces import ForceMatching, force_error, prior_terms, residual_batches, set_references
from halocline.training.label_matching import (
    LabelledGraphs,
    LabelMatching,
    molecular_charges,
    require_heads,
    require_some_labels,
    set_means,
)
from halocline.training.loop import Objective, Schedule
from halocline.training.outcome import Place, TrainingOutcome, one_level, train_objective


@dataclass(frozen=True)
class JointOptions:
    """What a joint training may be told beside the section of the study.

    Attributes:
        energy_weight: weight of the energy against the forces, see :class:`ForceMatching`.
        weights: quantity -> factor of its term, whose unit is the squared spread of the label; 1 by default.
        charges: species -> molecular charge, e; by default that of the registered molecule.
        conserved: what the total charge is exact of, "molecule" or "frame".
    """

    energy_weight: float = ENERGY_WEIGHT
    weights: Mapping[str, float] | None = None
    charges: Mapping[str, float] | None = None
    conserved: str = "molecule"


def train_joint(
    section: ModelSection,
    frames_train: Sequence[LabelledFrame],
    frames_valid: Sequence[LabelledFrame],
    folder: Path,
    budget: float,
    seed: int,
    heads: Sequence[str],
    options: JointOptions | None = None,
    progress: Progress | None = None,
    name: str = "joint",
    steps: int | None = None,
) -> TrainingOutcome:
    """Train one model on energies, forces and other quantities, and save it as ``folder/name.safetensors``.

    The loss is the sum of mean squared errors, each over the labels that there are and in units of the spread of the quantity:
    force components by the root mean square that the pair prior leaves, dipole and quadrupole by sqrt(N), polarizability by N.
    Resumes like ``train_energy_forces``.

    Args:
        section: representation (with vectors for dipole, quadrupole or polarizability), size, cut-off, learning rate, batch.
        frames_train, frames_valid: boxes or clusters, all of one level of theory, with at least one label each.
        folder: where model, curve and checkpoints go.
        budget: s of wall time for the loop itself.
        seed: of weights and order.
        heads: quantities beside energy and forces, at least one.
        options: weights of the loss and charges.
        progress: one bar.
        name: of the files.
        steps: exact number of steps instead of a time.

    Raises:
        UserError: no frames, a label that no frame has, mixed levels of theory, or a representation without vectors.
        RunFailure: the training diverges, or its checkpoint is corrupt.
    """
    options = options or JointOptions()
    require_heads(heads, ("energy",), "heads")
    wanted = ["energy", "forces", *heads]
    counts = {"training": require_some_labels(frames_train, wanted, "training frames")}
    counts["validation"] = require_some_labels(frames_valid, wanted, "validation frames")
    level = one_level([*frames_train, *frames_valid], "training frames")
    charges = molecular_charges([*frames_train, *frames_valid], options.charges, "training frames")
    place = Place(folder, name, _inputs(section, [frames_train, frames_valid], wanted, budget, seed, steps, options))
    done = place.finished()
    if done is not None:
        return done
    train, valid = (_Part.of(frames, heads, section.cutoff, charges) for frames in (frames_train, frames_valid))
    model, prior = _start(section, train, valid, seed, heads, charges, options)
    objective = JointMatching(model, train, valid, options)
    schedule = Schedule(budget, section.learning_rate, min(section.batch, len(train.sites)), seed, steps)
    card = {
        "purpose": f"potential energy and forces of the atoms, and {', '.join(heads)}",
        "level_of_theory": level,
        "data": {"training_frames": len(frames_train), "validation_frames": len(frames_valid), "labels": counts},
        "loss": {"energy_weight": options.energy_weight, "weights": objective.labels.weights},
        "label_spread": {"forces": objective.forces.scale, **objective.labels.spreads},
        "domain": {"shortest_distances": shortest_distances(train.sites, model.types)},
        "prior": prior,
        "seed": seed,
    }
    left = force_error(valid.matching, prior_terms(model, valid.matching))
    return train_objective(objective, schedule, place, progress or Silent(), f"training {name}", card, left)


@dataclass
class _Part:
    """One part of the split.

    Attributes:
        sites: of every frame.
        graphs: of every frame, with the labels beside energy and forces.
    """

    sites: list[Sites]
    graphs: LabelledGraphs

    @classmethod
    def of(cls, frames: Sequence[LabelledFrame], heads: Sequence[str], cutoff: float, charges: Mapping[str, float]) -> _Part:
        return cls(atom_sites(frames, cutoff), LabelledGraphs(frames, heads, cutoff, charges))

    @property
    def matching(self) -> list[Sites]:
        """Those with forces or an energy."""
        return [item for item in self.sites if _matches(item)]

    def batches(self, model: Model) -> list[Batch | None]:
        """Residual energies and forces of each frame; None where it has neither."""
        sites = self.matching
        made = iter(residual_batches(model, sites, prior_terms(model, sites)))
        return [next(made) if _matches(item) else None for item in self.sites]

    def labelled(self) -> list[bool]:
        """Whether each frame has a label beside energy and forces."""
        labels = self.graphs.labels.values()
        return [any(bool(torch.isfinite(label[index]).all()) for label in labels) for index in range(len(self.graphs))]


def _matches(item: Sites) -> bool:
    return item.energy is not None or _has_forces(item)


def _has_forces(item: Sites) -> bool:
    return bool(np.isfinite(item.forces).all())


class JointMatching(Objective):
    """Force matching and label matching of one model; a frame takes part in what it has labels for.

    Args:
        model: references, means and prior set.
        train, valid: of the split.
        options: weights.
    """

    note = (100.0, "% of spread")

    def __init__(self, model: Model, train: _Part, valid: _Part, options: JointOptions) -> None:
        self.model, self.n_samples = model, len(train.sites)
        self.batches, self.labelled = train.batches(model), train.labelled()
        matched = [batch for batch in self.batches if batch is not None]
        held_back = [batch for batch in valid.batches(model) if batch is not None]
        self.forces = ForceMatching(model, matched, held_back, options.energy_weight)
        self.labels = LabelMatching(model, train.graphs, valid.graphs, options.weights)
        self.place = dict(zip([index for index, batch in enumerate(self.batches) if batch is not None], range(len(matched))))

    def loss(self, samples: list[int]) -> Tensor:
        matched = [self.place[index] for index in samples if index in self.place]
        labelled = [index for index in samples if self.labelled[index]]
        terms = [self.forces.loss(matched)] if matched else []
        if labelled:
            terms.append(self.labels.loss(labelled))
        return torch.stack(terms).sum()

    def training_errors(self) -> dict[str, float]:
        return self._joined(self.forces.training_errors(), self.labels.training_errors())

    def validation_errors(self) -> dict[str, float]:
        return self._joined(self.forces.validation_errors(), self.labels.validation_errors())

    def _joined(self, forces: dict[str, float], labels: dict[str, float]) -> dict[str, float]:
        """``total`` relative to the spreads; ``force`` in eV/Å, ``energy`` in eV per site, the others relative to their spread."""
        each = {name: value for name, value in labels.items() if name != "total"}
        relative = [*each.values(), *([forces["force"] / self.forces.scale] if "force" in forces else [])]
        if not relative:
            return {}
        return {"total": math.sqrt(sum(value**2 for value in relative) / len(relative)), **forces, **each}


def _start(
    section: ModelSection,
    train: _Part,
    valid: _Part,
    seed: int,
    heads: Sequence[str],
    charges: Mapping[str, float],
    options: JointOptions,
) -> tuple[Model, dict[str, Any]]:
    """A model with prior, references and means fitted, and what the card says of the prior."""
    types = sorted({int(kind) for item in train.sites for kind in item.types})
    unknown = sorted({int(kind) for item in valid.sites for kind in item.types} - set(types))
    if unknown:
        what = f"elements {unknown} occur in the validation frames but not in training"
        raise UserError(what, "validation frames", "Split the data differently.")
    fit = fit_pair_prior(spread([item for item in train.sites if _has_forces(item)], PRIOR_FRAMES), types, section.cutoff)
    metadata = {"species": sorted(charges), "molecular_charges": dict(charges), "charge_conserved_per": options.conserved}
    model = new_model("atoms", section, types, fit, seed, ["energy", *heads], metadata)
    with_energy = [item for item in train.sites if item.energy is not None]
    set_references(model, with_energy, prior_terms(model, with_energy))
    set_means(model, train.graphs)
    return model, describe_prior(fit, PairFitSettings())


def _inputs(
    section: ModelSection,
    parts: Sequence[Sequence[LabelledFrame]],
    wanted: Sequence[str],
    budget: float,
    seed: int,
    steps: int | None,
    options: JointOptions,
) -> str:
    arrays: list[np.ndarray] = []
    for frame in [frame for part in parts for frame in part]:
        labels = [np.asarray(frame.labels.get(name, math.nan), dtype=np.float64) for name in wanted]
        arrays += [*identity(frame.state), *labels]
    plain = {"energy_weight": options.energy_weight, "weights": dict(options.weights or {}), "charges": dict(options.charges or {})}
    division = (len(parts[0]), len(parts[1]))
    return hash_inputs(section, arrays, division, budget, seed, steps, heads=list(wanted), conserved=options.conserved, **plain)
