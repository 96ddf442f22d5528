"""Interpolation of forces between pairs of molecules."""

from __future__ import annotations

from halocline.adress.coupling._two_level import TwoLevelCoupling, add
from halocline.adress.regions import Resolution
from halocline.potentials.base import Evaluation
from halocline.topology import FloatArray


class ForceInterpolationCoupling(TwoLevelCoupling):
    """F_ab = w_a w_b F_ab^AT + (1 - w_a w_b) F_ab^CG with smooth weights (J. Chem. Phys. 123, 224106 (2005)).

    Newton's third law is exact; there is no potential where the weights change. The energy

        E = sum_{a<b} w_a w_b U_ab^AT + (1 - w_a w_b) U_ab^CG

    is a diagnostic. Along a path it changes by -F dr and by what the forces leave out,

        dE = -sum_i F_i dr_i + sum_a g_a dw_a,    g_a = dE/dw_a = sum_b w_b (U_ab^AT - U_ab^CG),

    so that kinetic energy + E - INT sum_a g_a dw_a is constant. :meth:`missing_work` is that integral over one step by the
    trapezoidal rule, whose error is of the order of the integrator's.

    Raises:
        UserError: potentials that are not sums over pairs of molecules.
    """

    name = "force-interpolation"
    summary = "forces of pairs interpolated by smooth weights; momentum conserved, no Hamiltonian, needs a thermostat"
    is_hamiltonian = False
    is_weighted = True
    weight_power = 2
    _fine_rule, _coarse_rule = "product", "complement"

    def evaluate(self, positions: FloatArray, resolution: Resolution) -> Evaluation:
        weights = self._last_weight = resolution.weight
        between = [*self._fine_parts(positions, weights), *self._coarse_parts(positions, weights)]
        return add([self._nothing(), *self._within(positions, resolution.members), *between])

    def missing_work(self, before: tuple[Resolution, Evaluation], after: tuple[Resolution, Evaluation]) -> float:
        (old, first), (new, last) = before, after
        return float(0.5 * ((first.sites + last.sites) * (new.weight - old.weight)).sum())
