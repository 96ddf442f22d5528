"""What exerts forces: the interface between anything with an energy and the dynamics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from halocline.errors import UserError
from halocline.topology import FloatArray, Topology

BoolArray = NDArray[np.bool_]
Rule = Literal["site", "product", "complement"]
"""How the weights w of molecules scale an energy: sum_a w_a V_a, sum_{a<b} w_a w_b U_ab, or sum_{a<b} (1 - w_a w_b) U_ab."""

PAIR_FACTORS: dict[Rule, tuple[float, float, float]] = {"site": (0.0, 0.5, 0.0), "product": (0.0, 0.0, 1.0), "complement": (1.0, 0.0, -1.0)}
"""Factor f_ab = c0 + c1 (w_a + w_b) + c2 w_a w_b of the energy of two molecules."""


@dataclass
class Evaluation:
    """Energy and forces of a subset of molecules.

    Attributes:
        energy: eV.
        forces: (n_atoms, 3), eV/Å, of the whole system; zero for atoms outside the subset.
        virial: (3, 3), eV, sum over r outer F of the subset, or None where it was not asked for.
        capped: (n_molecules,) number of capped pairs that each molecule takes part in.
        sites: (n_molecules,), eV, derivative of a weighted energy by the weight of each molecule. For the rule "site" these are the
            energies V_a of molecules in their surroundings; that of a molecule of weight zero may be left out (zero).
    """

    energy: float
    forces: FloatArray
    virial: FloatArray | None
    capped: NDArray[np.int64]
    sites: FloatArray = field(default_factory=lambda: np.zeros(0))


class Potential(ABC):
    """Energy and forces on any subset of molecules of a system.

    The subset is all the potential ever sees: molecules outside it do not exist for it (physics of the abrupt scheme).
    Implementations may keep neighbour lists between calls; :meth:`reset` drops them.

    Attributes:
        interaction_range: Å; two molecules further apart than this (between any two of their atoms, or between their
            centres of mass for bead potentials) cannot appear in one term of the energy. For a message-passing network
            cut-off times number of layers.
        additive_over_molecules: True where the energy is a sum over single molecules, so that the energy of a set
            minus that of a subset is the energy of the rest.
        pairwise: True where the energy is a sum over pairs of molecules, and :meth:`of_part` looks at the pairs of the part alone.
        rules: ways in which :meth:`evaluate_weighted` can scale the energy; empty where it is not a sum over molecules or pairs.
        centres_only: True where the energy knows a molecule by its centre of mass alone, so that its orientation is free.
    """

    interaction_range: float = 0.0
    additive_over_molecules: bool = False
    pairwise: bool = False
    rules: frozenset[Rule] = frozenset()
    centres_only: bool = False

    @abstractmethod
    def bind(self, topology: Topology, cell: FloatArray) -> None:
        """Prepare for a system; must be called before :meth:`evaluate`, again when the system changes.

        Args:
            topology: molecules of the whole system.
            cell: (3, 3), Å, orthorhombic, periodic in all directions.

        Raises:
            UserError: a species or element that the potential does not know, or a cell shorter than twice the cut-off.
        """

    @abstractmethod
    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        """Energy and forces of the molecules in ``subset``.

        Args:
            positions: (n_atoms, 3), Å, whole molecules, not necessarily wrapped.
            subset: (n_molecules,) mask, or None for all.
            virial: whether to compute the virial as well.
        """

    def of_part(self, positions: FloatArray, members: BoolArray, part: BoolArray) -> Evaluation:
        """What some members of a subset add to its energy, E(members) - E(members without part), and its forces on all of them.

        Args:
            positions: (n_atoms, 3), Å, whole molecules.
            members: (n_molecules,) mask of the subset.
            part: (n_molecules,) mask of some of them.
        """
        if self.additive_over_molecules:
            return self.evaluate(positions, part)
        whole, rest = self.evaluate(positions, members), self.evaluate(positions, members & ~part)
        return Evaluation(whole.energy - rest.energy, whole.forces - rest.forces, None, whole.capped - rest.capped)

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        """Energy scaled by weights of molecules, and its forces at fixed weights.

        With the energy V_a of molecule a in its surroundings (half of each of its pairs, for a pair potential) and the
        energy U_ab of two molecules:

            "site"        E = sum_a w_a V_a
            "product"     E = sum_{a<b} w_a w_b U_ab
            "complement"  E = sum_{a<b} (1 - w_a w_b) U_ab

        :attr:`Evaluation.sites` holds dE/dw_a: V_a, sum_b w_b U_ab, and -sum_b w_b U_ab. Pairs whose factor is zero may be left out of
        it: they are not looked for, and smooth weights have no slope where such a factor begins.

        Args:
            positions: (n_atoms, 3), Å, whole molecules, not necessarily wrapped.
            weights: (n_molecules,), from 0 to 1.
            rule: one of :attr:`rules`.

        Raises:
            UserError: the potential cannot be scaled in this way.
        """
        remedy = "Use coupling.name: subtractive, or a potential with such energies."
        raise UserError(f"{type(self).__name__} has no energies that can be scaled by the rule '{rule}'", "coupling", remedy)

    def reset(self) -> None:  # noqa: B027 - most potentials keep nothing
        """Forget neighbour lists; results must not depend on whether this was called."""

    def __add__(self, other: Potential) -> Potential:
        return SumPotential([(1.0, self), (1.0, other)])

    def __sub__(self, other: Potential) -> Potential:
        return SumPotential([(1.0, self), (-1.0, other)])

    def __rmul__(self, factor: float) -> Potential:
        return SumPotential([(float(factor), self)])


class Zero(Potential):
    """No interaction: tracers, ideal gases, null tests."""

    additive_over_molecules = True
    rules = frozenset({"site", "product", "complement"})
    centres_only = True

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._n_atoms, self._n_molecules = topology.n_atoms, topology.n_molecules

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        nothing = self.evaluate(positions)
        nothing.sites = np.zeros(self._n_molecules)
        return nothing

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        zero_virial = np.zeros((3, 3)) if virial else None
        return Evaluation(0.0, np.zeros((self._n_atoms, 3)), zero_virial, np.zeros(self._n_molecules, dtype=np.int64))


class SumPotential(Potential):
    """Linear combination of potentials."""

    def __init__(self, terms: Sequence[tuple[float, Potential]]) -> None:
        self.terms = list(terms)
        self.interaction_range = max((term.interaction_range for _, term in self.terms), default=0.0)
        self.additive_over_molecules = all(term.additive_over_molecules for _, term in self.terms)
        self.rules = frozenset.intersection(*(term.rules for _, term in self.terms))
        self.centres_only = all(term.centres_only for _, term in self.terms)

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        for _, term in self.terms:
            term.bind(topology, cell)

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        factor, first = self.terms[0]
        total = first.evaluate(positions, subset, virial)
        if factor != 1.0:
            total = _scaled(total, factor)
        for factor, term in self.terms[1:]:
            part = _scaled(term.evaluate(positions, subset, virial), factor)
            both = None if total.virial is None or part.virial is None else total.virial + part.virial
            total = Evaluation(total.energy + part.energy, total.forces + part.forces, both, total.capped + part.capped)
        return total

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        parts = [_scaled(term.evaluate_weighted(positions, weights, rule), factor) for factor, term in self.terms]
        total = parts[0]
        for part in parts[1:]:
            sites = total.sites + part.sites
            total = Evaluation(total.energy + part.energy, total.forces + part.forces, None, total.capped + part.capped, sites)
        return total

    def reset(self) -> None:
        for _, term in self.terms:
            term.reset()


def _scaled(evaluation: Evaluation, factor: float) -> Evaluation:
    virial = None if evaluation.virial is None else factor * evaluation.virial
    return Evaluation(factor * evaluation.energy, factor * evaluation.forces, virial, evaluation.capped, factor * evaluation.sites)
