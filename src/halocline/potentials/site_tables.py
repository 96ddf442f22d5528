"""Parameters of pairs of sites: mixing rules, the Coulomb interaction with a cut-off, and where a capped force begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from scipy.optimize import brentq
from scipy.special import erf, erfc

from halocline.errors import UserError
from halocline.molecules.base import Nonbonded
from halocline.potentials.kernels.frame import SiteTable
from halocline.potentials.kernels.site_pairs import RealArray
from halocline.topology import FloatArray, IntArray, Topology
from halocline.units import COULOMB


@dataclass(frozen=True)
class Coulomb:
    """Energy of two unit charges over k: 1/r + constant + linear r + quadratic r^2 + P(2 (r/cutoff)^2 - 1), zero beyond the cut-off.

    Attributes:
        cutoff: Å.
        factor: 1, or 0 where there is no electrostatics at all.
        constant, linear, quadratic: 1/Å, 1/Å^2, 1/Å^3.
        smooth: coefficients of the polynomial P, highest power first, 1/Å; it stands for -erf(a r)/r.
    """

    cutoff: float
    factor: float
    constant: float
    linear: float
    quadratic: float
    smooth: tuple[float, ...] = ()

    @classmethod
    def make(cls, name: str, cutoff: float, dielectric: float, damping: float) -> Coulomb:
        """The interaction of a name.

        Raises:
            UserError: unknown name, or a damping so strong that it belongs to a shorter cut-off.
        """
        if name == "none":
            return cls(cutoff, 0.0, 0.0, 0.0, 0.0)
        if name == "reaction-field":
            quadratic = 0.5 / cutoff**3 if math.isinf(dielectric) else (dielectric - 1) / (2 * dielectric + 1) / cutoff**3
            return cls(cutoff, 1.0, -1 / cutoff - quadratic * cutoff**2, 0.0, quadratic)
        if name == "damped-shifted-force":
            x = damping * cutoff
            slope = float(erfc(x)) / cutoff**2 + 2 * damping / math.sqrt(math.pi) * math.exp(-(x**2)) / cutoff
            constant = -float(erfc(x)) / cutoff - slope * cutoff
            return cls(cutoff, 1.0, constant, slope, 0.0, _smooth_part(damping, cutoff) if damping > 0 else ())
        known = "reaction-field, damped-shifted-force, none"
        raise UserError(f"there is no electrostatics '{name}'", "ClassicalMolecules", f"Use one of: {known}.")

    def energy(self, r: float) -> float:
        t = 2 * (r / self.cutoff) ** 2 - 1
        smooth = float(np.polyval(self.smooth, t)) if self.smooth else 0.0
        return self.factor * (1 / r + self.constant + self.linear * r + self.quadratic * r**2 + smooth)

    def force(self, r: float) -> float:
        """Minus the derivative of :meth:`energy`, 1/Å^2."""
        t = 2 * (r / self.cutoff) ** 2 - 1
        smooth = float(np.polyval(np.polyder(self.smooth), t)) * 4 * r / self.cutoff**2 if self.smooth else 0.0
        return self.factor * (1 / r**2 - self.linear - 2 * self.quadratic * r - smooth)


def _smooth_part(damping: float, cutoff: float) -> tuple[float, ...]:
    """-erf(a r)/r is an entire function of r^2: interpolate it at Chebyshev points to 1e-10 of its value at zero."""
    scale = 2 * damping / math.sqrt(math.pi)

    def function(t: FloatArray) -> FloatArray:
        r = cutoff * np.sqrt(np.maximum(0.5 * (t + 1), 1e-30))
        return -erf(damping * r) / r

    grid = np.linspace(-1, 1, 400)
    for degree in range(4, 31, 2):
        series: FloatArray = chebyshev.chebinterpolate(function, degree)  # type: ignore[type-var, arg-type, unused-ignore]
        if np.abs(chebyshev.chebval(grid, series) - function(grid)).max() < 1e-10 * scale:
            return tuple(float(x) for x in chebyshev.cheb2poly(series)[::-1])
    found = f"a damping of {damping:g} /A over a cut-off of {cutoff:g} A is too strong"
    raise UserError(found, "ClassicalMolecules", f"Use a damping of at most {3.5 / cutoff:.2f} /A.")


def site_table(
    species: Sequence[Sequence[Nonbonded]], coulomb: Coulomb, force_cap: float, mixing: str, real: type[np.floating]
) -> SiteTable:
    """Interacting pairs of sites of all pairs of species.

    Args:
        species: sites of each.
        coulomb: interaction of charges.
        force_cap: eV/Å.
        mixing: "lorentz-berthelot" or "geometric".
        real: number type of the kernel.
    """
    n = len(species)
    start, stop = np.zeros((n, n), dtype=np.int64), np.zeros((n, n), dtype=np.int64)
    own: list[int] = []
    other: list[int] = []
    pair: list[tuple[float, ...]] = []
    core: list[tuple[float, float]] = []
    for s in range(n):
        for t in range(s, n):
            start[s, t] = len(own)
            for b, second in enumerate(species[t]):
                for a, first in enumerate(species[s]):
                    c12, c6, qq = _mixed(first, second, coulomb, mixing)
                    if c12 != 0 or c6 != 0 or qq != 0:
                        own.append(a)
                        other.append(b)
                        core.append(_core(c12, c6, qq, coulomb, force_cap))
                        shift = c12 / coulomb.cutoff**12 - c6 / coulomb.cutoff**6
                        pair.append((c12, c6, shift, core[-1][0] ** 2))
            stop[s, t] = len(own)
    pairs = np.array(pair, dtype=np.float64).reshape(-1, 4)
    cutoff = coulomb.cutoff
    field = [1.0, 0.0, cutoff**2, coulomb.constant, coulomb.linear, coulomb.quadratic, 2 * coulomb.quadratic, 2 / cutoff**2, 12.0, 6.0]
    return SiteTable(
        start=start,
        stop=stop,
        own=np.array(own, dtype=np.int64),
        other=np.array(other, dtype=np.int64),
        dispersive=(pairs[:, 0] != 0) | (pairs[:, 1] != 0),
        pair=pairs.astype(real),
        core=np.array(core, dtype=np.float64).reshape(-1, 2),
        capped=math.isfinite(force_cap),
        coulomb=real(COULOMB * coulomb.factor),
        field=np.array(field, dtype=real),
        polynomial=np.array(coulomb.smooth, dtype=real),
    )


class PairForces:
    """Forces between single pairs of sites, for those who need them one by one; in double precision.

    Args:
        species: sites of each.
        topology: molecules whose atoms are these sites.
        coulomb, force_cap, mixing: as in :func:`site_table`.
    """

    def __init__(self, species: Sequence[Sequence[Nonbonded]], topology: Topology, coulomb: Coulomb, force_cap: float, mixing: str) -> None:
        sizes = np.array([len(sites) for sites in species])
        first = np.concatenate([[0], np.cumsum(sizes)])
        within = np.arange(topology.n_atoms) - topology.offsets[topology.molecule_of_atom]
        self._kinds = first[topology.molecule_species[topology.molecule_of_atom]] + within
        sites = [site for sites in species for site in sites]
        self._table, self._coulomb = np.zeros((len(sites), len(sites), 5)), coulomb
        for a, b in np.ndindex(len(sites), len(sites)):
            mixed = _mixed(sites[a], sites[b], coulomb, mixing)
            self._table[a, b] = *mixed, *_core(*mixed, coulomb, force_cap)

    def __call__(self, first: IntArray, second: IntArray, distance: FloatArray) -> FloatArray:
        """(n,) repulsion between atoms ``first`` and ``second`` of different molecules at distances in Å, eV/Å."""
        c12, c6, qq, core, limit = np.moveaxis(self._table[self._kinds[first], self._kinds[second]], -1, 0)
        field, r = self._coulomb, distance
        t = 2 * (r / field.cutoff) ** 2 - 1
        smooth = np.polyval(np.polyder(field.smooth), t) * 4 * r / field.cutoff**2 if field.smooth else 0.0
        charged = 1 / r**2 - field.linear - 2 * field.quadratic * r - smooth
        force = np.where(r < core, limit, 12 * c12 / r**13 - 6 * c6 / r**7 + qq * charged)
        return np.where(r < field.cutoff, force, 0.0)


def site_charges(species: Sequence[Sequence[Nonbonded]], real: type[np.floating]) -> tuple[RealArray, IntArray]:
    """(n_species, largest number of sites) charges, e; (n_species, 2) first charged site and one more than the last."""
    charges = np.zeros((len(species), max((len(sites) for sites in species), default=1)), dtype=real)
    charged = np.zeros((len(species), 2), dtype=np.int64)
    for row, sites in enumerate(species):
        charges[row, : len(sites)] = [site.charge for site in sites]
        nonzero = np.flatnonzero(charges[row])
        if len(nonzero):
            charged[row] = nonzero[0], nonzero[-1] + 1
    return charges, charged


def _mixed(first: Nonbonded, second: Nonbonded, coulomb: Coulomb, mixing: str) -> tuple[float, float, float]:
    """4 eps s^12, 4 eps s^6 and k q q of two sites; eV and Å."""
    epsilon = math.sqrt(first.epsilon * second.epsilon)
    sigma = math.sqrt(first.sigma * second.sigma) if mixing == "geometric" else 0.5 * (first.sigma + second.sigma)
    return 4 * epsilon * sigma**12, 4 * epsilon * sigma**6, COULOMB * coulomb.factor * first.charge * second.charge


def _core(c12: float, c6: float, qq: float, coulomb: Coulomb, force_cap: float) -> tuple[float, float]:
    """Outermost distance at which the force of a pair reaches the cap, Å, and the force there, positive where repulsive; or zeros."""
    if math.isinf(force_cap):
        return 0.0, 0.0

    def force(r: float) -> float:
        return 12 * c12 / r**13 - 6 * c6 / r**7 + qq * coulomb.force(r) if qq else 12 * c12 / r**13 - 6 * c6 / r**7

    grid = np.geomspace(coulomb.cutoff, 1e-3, 4000)
    strong = next((k for k, r in enumerate(grid) if abs(force(float(r))) >= force_cap), None)
    if strong is None:
        return 0.0, 0.0
    if strong == 0:
        found = f"the force cap of {force_cap:g} eV/A is below the force of {abs(force(coulomb.cutoff)):.3g} eV/A at the cut-off"
        raise UserError(found, "ClassicalMolecules", "Raise the cap; 1 to 50 eV/A are usual.")
    radius = float(brentq(lambda r: abs(force(r)) - force_cap, float(grid[strong]), float(grid[strong - 1]), xtol=1e-14))
    return radius, force(radius)
