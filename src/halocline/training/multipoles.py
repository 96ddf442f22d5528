"""Training of dipoles, polarizabilities and charges on labelled clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from halocline import registry
from halocline.config.study import MultipoleModel as MultipoleSection
from halocline.errors import UserError
from halocline.labels import QUANTITIES
from halocline.models.base import Graph
from halocline.models.graphs import build_graph, join_graphs
from halocline.models.heads.dipole import DipoleHead
from halocline.models.heads.polarizability import PolarizabilityHead
from halocline.models.model import Model, make_representation
from halocline.progress import Progress, Silent
from halocline.training.data import LabelledFrame, hash_inputs, require_labels
from halocline.training.loop import Objective, Schedule
from halocline.training.outcome import Place, TrainingOutcome, one_level, train_objective

LEARNING_RATE = 2e-3
BATCH = 8


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
) -> TrainingOutcome:
    """Train the heads of the section and save the model as ``folder/name.safetensors``; resumes like ``train_energy_forces``.

    Each head's squared error is divided by the spread of its label, so that none drowns another.

    Args:
        section: representation, size, cut-off and heads.
        frames_train, frames_valid: isolated clusters with a label for every head.
        folder: where model, curve and checkpoints go.
        budget: s of wall time for the loop itself.
        seed: of weights and order.
        progress: one bar.
        name: of the files.
        steps: exact number of steps instead of a time.

    Raises:
        UserError: no frames, a missing label, a head without label, or a species whose charge is not known.
        RunFailure: the training diverges, or its checkpoint is corrupt.
    """
    heads = list(section.heads)
    if not heads or any(head not in QUANTITIES or head == "energy" for head in heads):
        raise UserError(f"heads {heads} cannot be trained on clusters", "multipole_model.heads", "Use dipole, polarizability or charges.")
    for frames, what in ((frames_train, "training clusters"), (frames_valid, "validation clusters")):
        require_labels(frames, heads, what)
    level = one_level([*frames_train, *frames_valid], "training clusters")
    place = Place(folder, name, _inputs(section, frames_train, frames_valid, budget, seed, steps))
    done = place.finished()
    if done is not None:
        return done
    species = sorted({name for frame in [*frames_train, *frames_valid] for name in frame.state.topology.species})
    charges = {name: float(registry.get("molecules", name, "training clusters").charge) for name in species}
    types = sorted({int(kind) for frame in [*frames_train, *frames_valid] for kind in frame.state.topology.atomic_numbers})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        representation = make_representation(section.name, types, section.features, section.layers, section.cutoff)
        model = Model("atoms", representation, heads, None, {"species": species, "molecular_charges": charges})
    train, valid = (_Samples(frames, heads, section.cutoff, charges) for frames in (frames_train, frames_valid))
    set_means(model, train)
    objective = LabelMatching(model, train, valid)
    schedule = Schedule(budget, LEARNING_RATE, min(BATCH, len(train.graphs)), seed, steps, averaging=0.995)
    card = {
        "purpose": f"{', '.join(heads)} of molecules in small clusters",
        "level_of_theory": level,
        "data": {"training_frames": len(frames_train), "validation_frames": len(frames_valid)},
        "label_spread": objective.spreads,
        "molecules_per_frame": sorted({frame.state.topology.n_molecules for frame in frames_train}),
        "seed": seed,
    }
    return train_objective(objective, schedule, place, progress or Silent(), f"training {name}", card)


class _Samples:
    """Graphs and labels (n_values per frame) of clusters."""

    def __init__(self, frames: Sequence[LabelledFrame], heads: Sequence[str], cutoff: float, charges: dict[str, float]) -> None:
        self.graphs = [build_graph(frame.state, cutoff, torch.float32, charges) for frame in frames]
        self.labels = {
            head: [torch.as_tensor(np.asarray(frame.labels[head]), dtype=torch.float32)[None] for frame in frames] for head in heads
        }
        for head in heads:
            if QUANTITIES[head].extent == "atom":
                self.labels[head] = [label[0] for label in self.labels[head]]

    def batch(self, samples: Sequence[int]) -> tuple[Graph, dict[str, Tensor]]:
        graph = join_graphs([self.graphs[index] for index in samples])
        return graph, {head: torch.cat([labels[index] for index in samples]) for head, labels in self.labels.items()}


class LabelMatching(Objective):
    """Sum over heads of the mean squared error over the variance of the label about its mean tensor.

    Args:
        model: with one head for each label.
        train, valid: graphs and labels.
    """

    note = (100.0, "% of spread")

    def __init__(self, model: Model, train: _Samples, valid: _Samples) -> None:
        self.model, self.train, self.n_samples = model, train, len(train.graphs)
        _, labels = train.batch(range(self.n_samples))
        self.spreads = {head: spread_of(value) for head, value in labels.items()}
        self.valid = valid.batch(range(len(valid.graphs)))
        self.sums: dict[str, float] = {}
        self.steps = 0

    def loss(self, samples: list[int]) -> Tensor:
        graph, labels = self.train.batch(samples)
        output = self.model(graph)
        total = torch.zeros(())
        for head, label in labels.items():
            loss = (output[head] - label).square().mean() / self.spreads[head] ** 2
            self.sums[head] = self.sums.get(head, 0.0) + float(loss.detach())
            total = total + loss
        self.steps += 1
        return total

    def training_errors(self) -> dict[str, float]:
        """Root-mean-square errors relative to the spread: ``total`` over all heads, and each head."""
        errors = _relative(self.sums, max(self.steps, 1)) if self.sums else {}
        self.sums, self.steps = {}, 0
        return errors

    def validation_errors(self) -> dict[str, float]:
        graph, labels = self.valid
        with torch.no_grad():
            output = self.model(graph)
        squares = {head: float((output[head] - label).square().mean()) / self.spreads[head] ** 2 for head, label in labels.items()}
        return _relative(squares, 1)


def _relative(squares: dict[str, float], count: int) -> dict[str, float]:
    errors = {head: math.sqrt(value / count) for head, value in squares.items()}
    return {"total": math.sqrt(sum(value / count for value in squares.values()) / len(squares)), **errors}


def spread_of(values: Tensor) -> float:
    """Root mean square of the components of (n, ...) values about the isotropic part of their mean.

    Vectors and the anisotropic part of tensors average to zero over orientations; only the mean of the diagonal is a constant
    that anybody could guess.
    """
    if values.dim() == 3:
        mean = values.diagonal(dim1=1, dim2=2).mean()
        values = values - mean * torch.eye(3)
    return max(float(values.double().square().mean().sqrt()), 1e-9)


def set_means(model: Model, samples: _Samples) -> None:
    """Least-squares charges and isotropic polarizabilities by element: what is left to learn is the rest."""
    graph, labels = samples.batch(range(len(samples.graphs)))
    index = model.representation.type_index[graph.types]
    n_types = len(model.types)
    one_hot = torch.nn.functional.one_hot(index, n_types).double()
    if "polarizability" in labels:
        head = model.heads["polarizability"]
        assert isinstance(head, PolarizabilityHead)
        counts = torch.zeros(graph.n_frames, n_types, dtype=torch.float64).index_add(0, graph.frame, one_hot)
        isotropic = labels["polarizability"].double().diagonal(dim1=1, dim2=2).mean(dim=1)
        head.shift.copy_(torch.linalg.lstsq(counts, isotropic[:, None], driver="gelsd").solution[:, 0])
        left = labels["polarizability"].double() - (counts @ head.shift.double())[:, None, None] * torch.eye(3, dtype=torch.float64)
        head.scale.fill_(max(float(left.square().mean().sqrt()), 1e-6))
    if "dipole" in labels:
        dipole = model.heads["dipole"]
        assert isinstance(dipole, DipoleHead)
        # Constant charges of the elements, shifted within molecules as the head does: the dipole is linear in them.
        columns = []
        for kind in range(n_types):
            per_molecule = torch.zeros(graph.n_molecules, dtype=torch.float64)
            totals = per_molecule.index_add(0, graph.molecule, one_hot[:, kind])
            sizes = per_molecule.index_add(0, graph.molecule, torch.ones(len(index), dtype=torch.float64))
            charge = one_hot[:, kind] - (totals / sizes)[graph.molecule]
            columns.append(torch.zeros(graph.n_frames, 3).double().index_add(0, graph.frame, charge[:, None] * graph.positions.double()))
        design = torch.stack(columns, dim=2).reshape(-1, n_types)
        solution = torch.linalg.lstsq(design, labels["dipole"].double().reshape(-1, 1), driver="gelsd").solution
        dipole.type_charge.copy_(solution[:, 0])
        left = labels["dipole"].double().reshape(-1) - (design @ solution)[:, 0]
        dipole.scale.fill_(max(float(left.square().mean().sqrt()), 1e-6))


def _inputs(
    section: MultipoleSection, train: Sequence[LabelledFrame], valid: Sequence[LabelledFrame], budget: float, seed: int, steps: int | None
) -> str:
    arrays: list[np.ndarray] = []
    for frame in [*train, *valid]:
        arrays += [frame.state.topology.atomic_numbers, frame.state.positions, *(np.asarray(frame.labels[head]) for head in section.heads)]
    return hash_inputs(section, arrays, (len(train), len(valid)), budget, seed, steps)
