"""How the potentials of two neighbouring levels are combined into one energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from halocline.adress.regions import BoolArray
from halocline.potentials.base import Evaluation, Potential
from halocline.topology import FloatArray, Topology


class Coupling(ABC):
    """Energy and forces of an open system for a given membership of S1 = AT ∪ Δ. One file of this package each.

    At fixed membership the forces are the exact gradient of the energy. A change of membership at fixed positions makes
    the energy jump; :meth:`change` returns the jump, which the heat ledger takes as heat (physics of the abrupt scheme,
    J. Chem. Phys. 149, 024104 (2018)).

    Args:
        fine: potential of S1.
        coarse: potential of everything; :class:`~halocline.potentials.base.Zero` or a sum over molecules for tracers.

    Attributes:
        name: word used in study files.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""

    def __init__(self, fine: Potential, coarse: Potential) -> None:
        self.fine, self.coarse = fine, coarse

    @abstractmethod
    def bind(self, topology: Topology, cell: FloatArray) -> None:
        """Prepare every potential for a system; see :meth:`halocline.potentials.base.Potential.bind`."""

    @abstractmethod
    def evaluate(self, positions: FloatArray, inside: BoolArray) -> Evaluation:
        """Energy (eV), forces (n_atoms, 3; eV/Å) and capped pairs for a membership.

        Args:
            positions: (n_atoms, 3), Å, whole molecules.
            inside: (n_molecules,) members of S1.
        """

    def change(self, positions: FloatArray, old: Evaluation, inside: BoolArray) -> tuple[Evaluation, float]:
        """The evaluation for a new membership at the same positions, and the jump of the energy in eV.

        Args:
            positions: (n_atoms, 3), Å, the same as ``old`` was evaluated at.
            old: evaluation with the membership until now.
            inside: (n_molecules,) new members of S1.
        """
        new = self.evaluate(positions, inside)
        return new, new.energy - old.energy

    @abstractmethod
    def reset(self) -> None:
        """Let every potential forget its neighbour lists."""
