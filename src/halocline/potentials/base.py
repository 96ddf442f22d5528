"""What exerts forces: the interface between anything with an energy and the dynamics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halocline.topology import FloatArray, Topology

BoolArray = NDArray[np.bool_]


@dataclass
class Evaluation:
    """Energy and forces of a subset of molecules.

    Attributes:
        energy: eV.
        forces: (n_atoms, 3), eV/Å, of the whole system; zero for atoms outside the subset.
        virial: (3, 3), eV, sum over r outer F of the subset, or None where it was not asked for.
        capped: (n_molecules,) number of capped pairs that each molecule takes part in.
    """

    energy: float
    forces: FloatArray
    virial: FloatArray | None
    capped: NDArray[np.int64]


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
    """

    interaction_range: float = 0.0
    additive_over_molecules: bool = False

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

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._n_atoms, self._n_molecules = topology.n_atoms, topology.n_molecules

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        zero_virial = np.zeros((3, 3)) if virial else None
        return Evaluation(0.0, np.zeros((self._n_atoms, 3)), zero_virial, np.zeros(self._n_molecules, dtype=np.int64))


class SumPotential(Potential):
    """Linear combination of potentials."""

    def __init__(self, terms: Sequence[tuple[float, Potential]]) -> None:
        self.terms = list(terms)
        self.interaction_range = max((term.interaction_range for _, term in self.terms), default=0.0)
        self.additive_over_molecules = all(term.additive_over_molecules for _, term in self.terms)

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

    def reset(self) -> None:
        for _, term in self.terms:
            term.reset()


def _scaled(evaluation: Evaluation, factor: float) -> Evaluation:
    virial = None if evaluation.virial is None else factor * evaluation.virial
    return Evaluation(factor * evaluation.energy, factor * evaluation.forces, virial, evaluation.capped)
