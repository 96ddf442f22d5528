"""Hamiltonian AdResS: energies of molecules interpolated by smooth weights, with free-energy compensation."""

from __future__ import annotations

from halocline.adress.compensation import FreeEnergyCompensation
from halocline.adress.coupling._two_level import TwoLevelCoupling, add
from halocline.adress.regions import Resolution
from halocline.errors import UserError
from halocline.potentials.base import Evaluation, Potential
from halocline.potentials.learned import spread_forces
from halocline.topology import FloatArray, Topology

MODES = ("none", "kirkwood", "on-the-fly")


class HamiltonianCoupling(TwoLevelCoupling):
    """H = K + sum_a [w_a V_a^AT + (1 - w_a) V_a^CG] - sum_a DH(w_a) (Phys. Rev. Lett. 110, 108301 (2013)).

    The forces are the exact gradient. Beside those of the two potentials they contain the drift force

        -(V_a^AT - V_a^CG - dDH/dw) grad w_a

    on the centre of mass of molecule a, of which atom i feels the share m_i/M. It acts on one molecule alone, so momentum is not
    conserved. :attr:`Evaluation.sites` is V_a^AT - V_a^CG, without compensation; it is complete in the layer.

    Sums over molecules are not interpolated where both potentials have them. Where one of them has none, because its site energies
    contain what happens within molecules, those of the other one are weighted like every other site energy.

    Args:
        compensation: "none", "kirkwood" (a table measured before) or "on-the-fly" (a table that grows during the run).

    Attributes:
        table: DH of each species, or None without compensation; zero to begin with in the mode "on-the-fly".

    Raises:
        UserError: potentials without energies of molecules, an unknown word, or no table where one is needed.
    """

    name = "hamiltonian"
    summary = "energies of molecules interpolated by smooth weights; energy conserved, momentum not; free-energy compensation"
    conserves_momentum = False
    is_weighted = True
    weight_power = 1
    sees_outside = True
    _fine_rule, _coarse_rule = "site", "site"

    def __init__(self, fine: Potential, coarse: Potential, compensation: str = "none") -> None:
        super().__init__(fine, coarse)
        if compensation not in MODES:
            raise UserError(f"compensation is '{compensation}'", "coupling.compensation", f"Use one of: {', '.join(MODES)}.")
        self.compensation = compensation
        self.table: FreeEnergyCompensation | None = None
        if not (self._fine_within and self._coarse_within):
            self._require([*self._fine_within, *self._coarse_within], "site")
            self._fine_between, self._coarse_between = self._fine_between + self._fine_within, self._coarse_between + self._coarse_within
            self._fine_within, self._coarse_within = [], []

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        super().bind(topology, cell)
        if self.compensation == "on-the-fly" and self.table is None:
            self.table = FreeEnergyCompensation(topology.species)
        if self.compensation == "kirkwood" and self.table is None:
            raise UserError(
                "the coupling 'hamiltonian' has no table of the free-energy compensation",
                "coupling.compensation",
                "Measure one by Kirkwood integration before the run, or use 'on-the-fly' or 'none'.",
            )
        if self.table is not None and self.table.species != topology.species:
            raise UserError(
                f"the free-energy compensation is for {', '.join(self.table.species)}, the system has {', '.join(topology.species)}",
                "coupling.compensation",
                "Measure the table again for this system.",
            )

    def evaluate(self, positions: FloatArray, resolution: Resolution) -> Evaluation:
        weight = self._last_weight = resolution.weight
        fine = add([self._nothing(), *self._fine_parts(positions, weight)])
        coarse = add([self._nothing(), *self._coarse_parts(positions, 1.0 - weight)])
        difference = fine.sites - coarse.sites
        total = add([(1.0, fine), (1.0, coarse), *self._within(positions, resolution.members)])
        total.sites, slope = difference, difference
        if self.table is not None:
            energy, table_slope = self.table.evaluate(weight, self._topology.molecule_species)
            total.energy -= float(energy.sum())
            slope = difference - table_slope
        drift = -slope[:, None] * resolution.weight_gradient
        total.forces = total.forces + spread_forces(drift, self._topology.offsets, self._share)
        return total
