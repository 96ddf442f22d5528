"""Abrupt coupling by products of step weights, with any weight of the transition layer."""

from __future__ import annotations

import numpy as np

from halocline.adress.coupling._two_level import TwoLevelCoupling, add
from halocline.adress.regions import Resolution
from halocline.errors import UserError
from halocline.potentials.base import Evaluation, Potential
from halocline.topology import FloatArray


class AbruptCoupling(TwoLevelCoupling):
    """E = sum_{a<b} w_a w_b U_fine + (1 - w_a w_b) U_coarse with w = 1 in AT, ``delta_weight`` in Δ and 0 in the reservoir.

    With a weight of one this is the subtractive coupling of pair potentials (J. Chem. Phys. 149, 024104 (2018)); with one half
    pairs of AT and Δ count half and pairs within Δ a quarter. The energy jumps at both borders of Δ unless the weight is one.

    Args:
        delta_weight: weight of molecules in Δ, 0 to 1.

    Raises:
        UserError: a weight outside this range, or potentials that are not sums over pairs of molecules.
    """

    name = "abrupt"
    summary = "product of step weights 1, delta_weight and 0 for pairs of molecules; energy and momentum conserved between crossings"
    _fine_rule, _coarse_rule = "product", "complement"

    def __init__(self, fine: Potential, coarse: Potential, delta_weight: float = 1.0) -> None:
        super().__init__(fine, coarse)
        if not 0.0 <= delta_weight <= 1.0:
            raise UserError(
                f"the weight of the transition layer is {delta_weight:g}", "coupling.delta_weight", "Give a number from 0 to 1."
            )
        self.delta_weight = float(delta_weight)
        self.depends_on_levels = self.delta_weight != 1.0

    def weights(self, resolution: Resolution) -> FloatArray:
        """(n_molecules,) step weights; a membership without regions has no Δ."""
        if resolution.regions is None or not self.depends_on_levels:
            return resolution.members.astype(np.float64)
        return np.array([1.0, self.delta_weight, 0.0])[resolution.levels]

    def evaluate(self, positions: FloatArray, resolution: Resolution) -> Evaluation:
        weights = self.weights(resolution)
        between = [*self._fine_parts(positions, weights), *self._coarse_parts(positions, weights)]
        return add([self._nothing(), *self._within(positions, resolution.members), *between])
