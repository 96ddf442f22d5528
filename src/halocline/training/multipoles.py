"""Training of dipoles, quadrupoles, polarizabilities and charges on labelled clusters or boxes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from halocline.config.study import MultipoleModel as MultipoleSection
from halocline.models.model import Model, make_representation
from halocline.progress import Progress, Silent
from halocline.training.data import LabelledFrame, hash_inputs, identity
from halocline.training.energy_forces import initialise
from halocline.training.label_matching import (
    LabelledGraphs,
    LabelMatching,
    molecular_charges,
    require_heads,
    require_some_labels,
    set_means,
)
from halocline.training.loop import Schedule
from halocline.training.outcome import Place, TrainingOutcome, one_level, train_objective

LEARNING_RATE = 4e-3
BATCH = 16
AVERAGING = 0.999
"""Largest decay of the running average of the weights."""


def train_multipoles(
    section: MultipoleSection,
    frames_train: Sequence[LabelledFrame],
    frames_valid: Sequence[LabelledFrame],
    folder: Path,
    budget: float,
    seed: int,
    progress: Progress | None = None,
    name: str = "multipoles",
    steps: int | None = None,
    learning_rate: float = LEARNING_RATE,
    batch: int = BATCH,
    epochs: float | None = None,
    weights: Mapping[str, float] | None = None,
    charges: Mapping[str, float] | None = None,
    conserved: str = "molecule",
) -> TrainingOutcome:
    """Train the heads of the section and save the model as ``folder/name.safetensors``; resumes like ``train_energy_forces``.

    Each head's squared error is divided by the spread of its label, so that none drowns another, and by the number of
    molecules as the head says. A frame that lacks a label, or has NaN for it, counts for the other labels alone.

    Args:
        section: representation, size, cut-off and heads.
        frames_train, frames_valid: clusters or boxes with a label for at least one head each.
        folder: where model, curve and checkpoints go.
        budget: s of wall time for the loop itself.
        seed: of weights and order.
        progress: one bar.
        name: of the files.
        steps: exact number of steps instead of a time.
        learning_rate: peak of the cosine.
        batch: frames per step.
        epochs: passes over the training frames instead of a time.
        weights: quantity -> factor of its term of the loss; 1 by default.
        charges: species -> molecular charge in e; by default that of the registered molecule.
        conserved: "molecule", or "frame" where charge may flow between molecules.

    Raises:
        UserError: no frames, a label that no frame has, a head without label, or a species whose charge is not known.
        RunFailure: the training diverges, or its checkpoint is corrupt.
    """
    heads = list(section.heads)
    require_heads(heads, ("energy",), "multipole_model.heads")
    counts = {"training": require_some_labels(frames_train, heads, "training frames")}
    counts["validation"] = require_some_labels(frames_valid, heads, "validation frames")
    level = one_level([*frames_train, *frames_valid], "training frames")
    if epochs is not None:
        steps = max(1, math.ceil(epochs * math.ceil(len(frames_train) / batch)))
    known = molecular_charges([*frames_train, *frames_valid], charges, "training frames")
    options = {"learning_rate": learning_rate, "batch": batch, "weights": dict(weights or {}), "charges": known, "conserved": conserved}
    place = Place(folder, name, _inputs(section, frames_train, frames_valid, budget, seed, steps, options))
    done = place.finished()
    if done is not None:
        return done
    model = _new_model(section, [*frames_train, *frames_valid], known, conserved, seed)
    train, valid = (LabelledGraphs(frames, heads, section.cutoff, known) for frames in (frames_train, frames_valid))
    set_means(model, train)
    objective = LabelMatching(model, train, valid, weights)
    schedule = Schedule(budget, learning_rate, min(batch, len(train)), seed, steps, averaging=AVERAGING)
    card = {
        "purpose": f"{', '.join(heads)} of molecules",
        "level_of_theory": level,
        "data": {"training_frames": len(frames_train), "validation_frames": len(frames_valid), "labels": counts},
        "loss": {"weights": objective.weights},
        "label_spread": objective.spreads,
        "molecules_per_frame": sorted({frame.state.topology.n_molecules for frame in frames_train}),
        "seed": seed,
    }
    return train_objective(objective, schedule, place, progress or Silent(), f"training {name}", card)


def _new_model(
    section: MultipoleSection, frames: Sequence[LabelledFrame], charges: Mapping[str, float], conserved: str, seed: int
) -> Model:
    """Fresh weights of a seed; the global random state is left as it was."""
    types = sorted({int(kind) for frame in frames for kind in frame.state.topology.atomic_numbers})
    metadata = {"species": sorted(charges), "molecular_charges": dict(charges), "charge_conserved_per": conserved}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        representation = make_representation(section.name, types, section.features, section.layers, section.cutoff)
        model = Model("atoms", representation, section.heads, None, metadata)
        initialise(model)
    return model


def _inputs(
    section: MultipoleSection,
    train: Sequence[LabelledFrame],
    valid: Sequence[LabelledFrame],
    budget: float,
    seed: int,
    steps: int | None,
    options: Mapping[str, object],
) -> str:
    arrays: list[np.ndarray] = []
    for frame in [*train, *valid]:
        labels = [np.asarray(frame.labels.get(head, math.nan), dtype=np.float64) for head in section.heads]
        arrays += [*identity(frame.state), *labels]
    return hash_inputs(section, arrays, (len(train), len(valid)), budget, seed, steps, **options)
