"""The tables within molecules of an atomistic model's prior, alone: what holds molecules together in a reservoir."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numba import njit

from halocline.errors import UserError
from halocline.models.model import Model
from halocline.potentials.base import BoolArray, Evaluation, Potential, Rule
from halocline.potentials.kernels.prior_pairs import prior_pair
from halocline.potentials.kernels.tables import PriorArrays, prior_arrays
from halocline.potentials.learned import load_model, require_finite, type_indices
from halocline.topology import FloatArray, IntArray, Topology


class Intramolecular(Potential):
    """Pair tables between the atoms of one molecule; molecules do not feel each other.

    Args:
        model: an atomistic model with a pair prior, or the safetensors file of one.

    Raises:
        UserError: the model has no tables within molecules, so that reservoir molecules would fall apart.
    """

    additive_over_molecules = True
    rules = frozenset({"site"})

    def __init__(self, model: Model | Path | str) -> None:
        self.model = load_model(model, "atoms", "Intramolecular", "an atomistic model")
        if self.model.prior is None or not bool((self.model.prior.pair_class[:, :, 1] >= 0).any()):
            raise UserError(
                "the model has no pair prior within molecules", "Intramolecular", "Train the atomistic model with its pair prior."
            )
        self._prior: PriorArrays = prior_arrays(self.model.prior, len(self.model.types))
        self.cutoff = float(self.model.prior.cutoff)
        self.interaction_range = 0.0

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._topology = topology
        self._types = type_indices(topology.atomic_numbers, self.model)
        self._all, self._ones = np.ones(topology.n_molecules, dtype=np.bool_), np.ones(topology.n_molecules)

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        return replace(self._evaluate(positions, self._all if subset is None else subset, self._ones, virial), sites=np.zeros(0))

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        if rule not in self.rules:
            return super().evaluate_weighted(positions, weights, rule)
        return self._evaluate(positions, self._all, np.asarray(weights, dtype=np.float64), False)

    def _evaluate(self, positions: FloatArray, selected: BoolArray, weights: FloatArray, virial: bool) -> Evaluation:
        topology = self._topology
        forces, tensor, own = np.zeros((topology.n_atoms, 3)), np.zeros((3, 3)), np.zeros(topology.n_molecules)
        points = np.ascontiguousarray(positions, dtype=np.float64)
        energy = _within_molecules(points, topology.offsets, selected, weights, self._types, self._prior, self.cutoff, forces, tensor, own)
        require_finite(energy, forces, topology)
        return Evaluation(energy, forces, tensor if virial else None, np.zeros(topology.n_molecules, dtype=np.int64), own)


@njit(cache=True, error_model="numpy")
def _within_molecules(
    positions: FloatArray, offsets: IntArray, selected: BoolArray, weights: FloatArray, types: IntArray, prior: PriorArrays,
    cutoff: float, forces: FloatArray, virial: FloatArray, own: FloatArray,
) -> float:  # fmt: skip
    energy = 0.0
    for molecule in range(len(selected)):
        if not selected[molecule]:
            continue
        for i in range(offsets[molecule], offsets[molecule + 1]):
            for j in range(i + 1, offsets[molecule + 1]):
                kind = prior.pair_class[types[i], types[j], 1]
                dx, dy, dz = positions[j, 0] - positions[i, 0], positions[j, 1] - positions[i, 1], positions[j, 2] - positions[i, 2]
                r = np.sqrt(dx * dx + dy * dy + dz * dz)
                if not np.isfinite(r):
                    return np.nan
                if kind < 0 or r >= cutoff:
                    continue
                value, slope = prior_pair(r, kind, prior)
                energy += weights[molecule] * value
                own[molecule] += value
                displacement = (dx, dy, dz)
                for k in range(3):
                    force = -weights[molecule] * slope * displacement[k] / r
                    forces[j, k] += force
                    forces[i, k] -= force
                    for m in range(3):
                        virial[m, k] += displacement[m] * force
    return energy
