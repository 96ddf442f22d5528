"""What a change of density costs: the derivative of chemical potentials that turns a density error into an error of the force.

A liquid answers a potential phi with n_i(d) so that mu_i(n(d)) + phi_i(d) is constant. A profile that is off by dn is therefore cured by

    phi_i <- phi_i + c sum_j M_ij(d) dn_j(d),    M_ij = d mu_i / d n_j,

which for one species with the same compressibility everywhere is the rule of Phys. Rev. Lett. 108, 170602 (2012), M = 1/(n0^2 kappa_T).
But tracers are far softer than the liquid in front of them, by sixteen times for water, and a fraction c that suits one is too large or too
small for the other. With s(d), the share of the fine interaction that acts at d,

    M_ij = kT delta_ij/n_i + s m(kappa_T) + (1 - s) m(kappa_R),      m(kappa) = 1/(n^2 kappa) - kT/n:

ideal mixing upon an interaction that depends on the total density n. A change of all densities in proportion costs 1/(n^2 kappa_T)
in AT, one of the composition alone kT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from halocline.adress.regions import Regions
from halocline.topology import FloatArray

SURFACE = 3.0
"""Depth below an abrupt border over which a molecule lacks neighbours of its own resolution, about one diameter, Å."""


def smooth_share(regions: Regions, centres: FloatArray, weight_power: int) -> FloatArray:
    """(n_bins,) w^(p/4) of a coupling in which the fine interaction acts in the share w^p of the smooth weight.

    What resists compression is the core. One of r^-12, weakened to w^p, has a diameter that shrinks as w^(p/12), and its volume
    as w^(p/4): a liquid is stiff until w is very small.
    """
    return np.asarray(regions.weight(centres) ** (0.25 * weight_power))


@dataclass(frozen=True)
class DensityResponse:
    """What couplings and liquids answer with.

    Attributes:
        compressibility: isothermal, of AT, Å^3/eV.
        reservoir: that of the reservoir; None for an ideal gas of tracers.
        thermal: kT, eV.
        weight_power: of :class:`~halocline.adress.coupling.base.Coupling`.
    """

    compressibility: float
    reservoir: float | None
    thermal: float
    weight_power: int = 0

    def share(self, regions: Regions, centres: FloatArray) -> FloatArray:
        """(n_bins,) s(d): that of a smooth coupling; one in S1 of an abrupt one, falling in the last 3 Å before the border."""
        if self.weight_power:
            return smooth_share(regions, centres, self.weight_power)
        return 1.0 - np.clip((centres - regions.outer) / SURFACE + 1.0, 0.0, 1.0)

    def stiffness(self, density: FloatArray, regions: Regions, centres: FloatArray) -> FloatArray:
        """(n_species, n_species, n_bins) M in eV Å^3.

        Args:
            density: (n_species, n_bins) or (n_species,) target, molecules/Å^3; species without molecules take no part.
            centres: (n_bins,) distances, Å.
        """
        each = np.broadcast_to(density.reshape(len(density), -1), (len(density), len(centres)))
        total, share = each.sum(axis=0), self.share(regions, centres)

        def interaction(kappa: float | None) -> FloatArray:
            return np.zeros(len(total)) if kappa is None else 1.0 / (total**2 * kappa) - self.thermal / total

        common = share * interaction(self.compressibility) + (1.0 - share) * interaction(self.reservoir)
        ideal = np.divide(self.thermal, each, out=np.zeros(each.shape), where=each > 0)
        return np.asarray(np.eye(len(each))[:, :, None] * ideal[:, None] + common)
