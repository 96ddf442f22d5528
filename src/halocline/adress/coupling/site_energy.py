"""Abrupt coupling of the energies of sites in their full surroundings."""

from __future__ import annotations

import numpy as np

from halocline.adress.coupling._two_level import TwoLevelCoupling, add
from halocline.adress.regions import Resolution
from halocline.potentials.base import Evaluation
from halocline.topology import FloatArray


class SiteEnergyCoupling(TwoLevelCoupling):
    """E = sum_{a in S1} V_a^AT + sum_{a not in S1} V_a^CG, each V_a in the surroundings of the whole box.

    No potential ever sees a surface. The forces are the gradient of this energy at fixed membership; the energy jumps by
    V_a^AT - V_a^CG when molecule a crosses the border.

    Raises:
        UserError: potentials without energies of molecules.
    """

    name = "site-energy"
    summary = "energies of molecules in full surroundings, fine in S1 and coarse outside; no surface; conserved between crossings"
    sees_outside = True
    _fine_rule, _coarse_rule = "site", "site"

    def evaluate(self, positions: FloatArray, resolution: Resolution) -> Evaluation:
        inside = resolution.members.astype(np.float64)
        between = [*self._fine_parts(positions, inside), *self._coarse_parts(positions, 1.0 - inside)]
        return add([self._nothing(), *self._within(positions, resolution.members), *between])
