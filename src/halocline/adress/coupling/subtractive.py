"""Subtractive coupling: the fine potential replaces the coarse one inside S1."""

from __future__ import annotations

import copy

import numpy as np

from halocline.adress.coupling.base import Coupling
from halocline.adress.regions import BoolArray
from halocline.potentials.base import Evaluation, Potential, SumPotential
from halocline.topology import FloatArray, Topology


class SubtractiveCoupling(Coupling):
    """E = E_fine(S1) + E_coarse(all) - E_coarse(S1).

    For pair potentials: both partners in S1 -> fine, any other pair -> coarse. A coarse potential that is a sum over
    molecules (tracers with their intramolecular terms) reduces to the molecules outside S1 and is evaluated there only.
    """

    name = "subtractive"
    summary = "E_fine(S1) + E_coarse(all) - E_coarse(S1); abrupt, energy and momentum conserved between crossings"

    def __init__(self, fine: Potential, coarse: Potential) -> None:
        super().__init__(fine, coarse)
        terms = _flat(1.0, coarse)
        self._outside = [(factor, term) for factor, term in terms if term.additive_over_molecules]
        self._everywhere = [(factor, term) for factor, term in terms if not term.additive_over_molecules]
        # A second instance for S1: each keeps a neighbour list of its own molecules instead of throwing it away twice a step.
        self._removed = [(factor, copy.deepcopy(term)) for factor, term in self._everywhere]

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        for potential in self._potentials():
            potential.bind(topology, cell)

    def evaluate(self, positions: FloatArray, inside: BoolArray) -> Evaluation:
        self._common = self._evaluate_everywhere(positions, inside)
        return self._combine(positions, inside)

    def change(self, positions: FloatArray, old: Evaluation, inside: BoolArray) -> tuple[Evaluation, float]:
        # E_coarse(all) does not know the membership: keep what evaluate() found at these positions.
        if not self._common and not inside.all():
            self._common = self._evaluate_everywhere(positions, inside)
        new = self._combine(positions, inside)
        return new, new.energy - old.energy

    def reset(self) -> None:
        for potential in self._potentials():
            potential.reset()

    def _potentials(self) -> list[Potential]:
        return [self.fine, *(term for _, term in [*self._outside, *self._everywhere, *self._removed])]

    def _evaluate_everywhere(self, positions: FloatArray, inside: BoolArray) -> list[Evaluation]:
        if inside.all():
            return []
        return [term.evaluate(positions) for _, term in self._everywhere]

    def _combine(self, positions: FloatArray, inside: BoolArray) -> Evaluation:
        if inside.all():
            return self.fine.evaluate(positions)
        first = self.fine.evaluate(positions, inside)
        energy, forces, capped = first.energy, np.array(first.forces, dtype=np.float64), np.array(first.capped)
        parts = [(factor, term.evaluate(positions, ~inside), 1) for factor, term in self._outside]
        parts += [(factor, result, 1) for (factor, _), result in zip(self._everywhere, self._common)]
        parts += [(-factor, term.evaluate(positions, inside), -1) for factor, term in self._removed]
        for factor, part, count in parts:
            energy += factor * part.energy
            if factor == 1.0:
                forces += part.forces
            elif factor == -1.0:
                forces -= part.forces
            else:
                forces += factor * part.forces
            capped += count * part.capped
        return Evaluation(energy, forces, None, capped)


def _flat(factor: float, potential: Potential) -> list[tuple[float, Potential]]:
    """Terms of a sum of sums with their factors."""
    if isinstance(potential, SumPotential):
        return [item for inner, term in potential.terms for item in _flat(factor * inner, term)]
    return [(factor, potential)]
