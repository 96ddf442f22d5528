"""What a change of density costs: the derivative of chemical potentials that turns a density error into an error of the force.

A liquid answers a potential phi with n_i(d) so that mu_i(n(d)) + phi_i(d) is constant. A profile that is off by dn is therefore cured by

    phi_i <- phi_i + c sum_j M_ij(d) dn_j(d),    M_ij = d mu_i / d n_j,

which for one species with the same compressibility everywhere is the rule of Phys. Rev. Lett. 108, 170602 (2012), M = 1/(n0^2 kappa_T).
But tracers are far softer than the liquid in front of them, by sixteen times for water, and a fraction c that suits one is too large or too
small for the other. M therefore changes at the border. In a mixture

    M_ij = kT delta_ij/n_i + 1/(n^2 kappa_T) - kT/n,

ideal mixing upon an interaction that depends on the total density n: a change of all densities in proportion costs 1/(n^2 kappa_T), one of
the composition alone kT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from halocline.adress.regions import Regions
from halocline.topology import FloatArray

SURFACE = 3.0
"""Depth below the border over which a molecule lacks neighbours of its own resolution, about one diameter, Å."""


@dataclass(frozen=True)
class DensityResponse:
    """Isothermal compressibilities of AT and of the reservoir, Å^3/eV, and kT in eV; a reservoir of tracers has 1/(n kT)."""

    compressibility: float
    reservoir: float
    thermal: float

    def stiffness(self, density: FloatArray, regions: Regions, centres: FloatArray) -> FloatArray:
        """(n_species, n_species, n_bins) M in eV Å^3: of AT, falling to that of the reservoir in the last 3 Å before the border.

        Args:
            density: (n_species,) molecules/Å^3; species without molecules take no part.
            centres: (n_bins,) distances, Å.
        """
        total = float(density.sum())
        reservoir = np.clip((centres - regions.outer) / SURFACE + 1.0, 0.0, 1.0)
        own, other = (1.0 / (total**2 * kappa) - self.thermal / total for kappa in (self.compressibility, self.reservoir))
        ideal = np.diag(np.divide(self.thermal, density, out=np.zeros(len(density)), where=density > 0))
        return np.asarray(ideal[:, :, None] + own * (1.0 - reservoir) + other * reservoir)
