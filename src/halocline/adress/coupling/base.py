"""How the potentials of two neighbouring levels are combined into one energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from halocline.adress.regions import Resolution
from halocline.errors import UserError
from halocline.potentials.base import Evaluation, Potential
from halocline.topology import FloatArray, Topology


class Coupling(ABC):
    """Energy and forces of an open system for a given resolution of its molecules. One file of this package each.

    Unless :attr:`is_hamiltonian` says otherwise, the forces at fixed membership of S1 = AT ∪ Δ are the exact gradient of the
    energy. A change of membership at fixed positions may make the energy jump; :meth:`change` returns the jump, which the
    heat ledger takes as heat (physics of the abrupt scheme, J. Chem. Phys. 149, 024104 (2018)).

    Names of the constructor's further arguments that are keys of the study's ``coupling`` section are taken from there.

    Args:
        fine: potential of S1.
        coarse: potential of everything; :class:`~halocline.potentials.base.Zero` or a sum over molecules for tracers.

    Attributes:
        name: word used in study files.
        is_hamiltonian: whether forces are the gradient of the energy at fixed membership.
        conserves_momentum: whether the forces add up to zero where those of the potentials do.
        sees_outside: whether molecules outside S1 feel the fine potential, so that their orientation matters.
        weight_power: p where the interaction of the fine level acts in the share w^p of the smooth weight; zero for an abrupt border.
        is_weighted: whether energy and forces depend on the smooth weights, and so on every move of the regions.
        depends_on_levels: whether molecules of AT and Δ are treated differently, so that crossings between them make the energy jump.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    is_hamiltonian: ClassVar[bool] = True
    conserves_momentum: ClassVar[bool] = True
    sees_outside: ClassVar[bool] = False
    is_weighted: ClassVar[bool] = False
    weight_power: ClassVar[int] = 0
    depends_on_levels: bool = False

    def __init__(self, fine: Potential, coarse: Potential) -> None:
        self.fine, self.coarse = fine, coarse

    @abstractmethod
    def bind(self, topology: Topology, cell: FloatArray) -> None:
        """Prepare every potential for a system; see :meth:`halocline.potentials.base.Potential.bind`."""

    @abstractmethod
    def evaluate(self, positions: FloatArray, resolution: Resolution) -> Evaluation:
        """Energy (eV), forces (n_atoms, 3; eV/Å) and capped pairs.

        Args:
            positions: (n_atoms, 3), Å, whole molecules.
            resolution: members of S1 and weights, at these positions.
        """

    def change(self, positions: FloatArray, old: Evaluation, resolution: Resolution) -> tuple[Evaluation, float]:
        """The evaluation for a new membership at the same positions, and the jump of the energy in eV.

        Args:
            positions: (n_atoms, 3), Å, the same as ``old`` was evaluated at.
            old: evaluation with the membership until now.
            resolution: with the new members of S1.
        """
        new = self.evaluate(positions, resolution)
        return new, new.energy - old.energy

    def evaluate_parts(
        self, positions: FloatArray, resolution: Resolution, seldom: bool, moved: bool = True
    ) -> tuple[Evaluation, Evaluation | None]:
        """What changes fast, and the rest, which is only needed every few steps; together they are :meth:`evaluate`.

        Args:
            positions: (n_atoms, 3), Å.
            resolution: as for :meth:`evaluate`.
            seldom: whether the rest is wanted.
            moved: False where the positions are those of the last call and the membership alone is new.

        Raises:
            UserError: the coupling cannot tell the parts.
        """
        remedy = "Set coupling.reservoir_steps to 1, or use coupling.name: subtractive."
        raise UserError(f"the coupling '{self.name}' has no part that can be evaluated less often", "coupling.reservoir_steps", remedy)

    def missing_work(self, before: tuple[Resolution, Evaluation], after: tuple[Resolution, Evaluation]) -> float:
        """Change of the energy along one step, eV, that the forces are not the gradient of; zero where there is a Hamiltonian.

        Args:
            before, after: resolution and evaluation at the start and the end of a step, at the same regions and membership.
        """
        return 0.0

    @abstractmethod
    def reset(self) -> None:
        """Let every potential forget its neighbour lists."""
