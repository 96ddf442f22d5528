"""Thermodynamic force: a table of force against distance that makes the density flat.

Update rule, with the excess dn_j of the density of species j over its target and its cost M (:mod:`~halocline.adress.density_response`):

    F_i(d) <- F_i(d) - c d/dd sum_j M_ij(d) dn_j(d)

For one species and the same M = 1/(n0^2 kappa_T) everywhere this is the rule of Phys. Rev. Lett. 108, 170602 (2012).

Its integral is a pressure difference per molecule, (P_AT - P_reservoir)/n0 counted towards AT, and not a chemical potential.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from halocline.adress.density_profile import density_gradient, smooth_density
from halocline.adress.density_response import smooth_share
from halocline.adress.force_kernel import outward_force
from halocline.adress.regions import Regions
from halocline.errors import RunFailure, UserError
from halocline.files import read_json, write_json
from halocline.topology import FloatArray, IntArray

FORMAT_VERSION = 1


def update_prefactor(density: float, compressibility: float) -> float:
    """1/(n0^2 kappa_T) in eV Å^3, from molecules/Å^3 and Å^3/eV; 12.42 eV Å^3 for water at 298 K."""
    return 1.0 / (density**2 * compressibility)


class ThermodynamicForce:
    """Force on centres of mass along the outward direction, one table per species.

    Symmetric by construction: the tables are functions of the distance of :class:`~halocline.adress.regions.Regions`, so the
    force of a slab is antisymmetric and that of a sphere radial. Between bin centres the force is linear, beyond the window it
    is zero; the energy is its exact integral, zero in AT.

    Args:
        species: names, in the order of the topology.
        length: distance covered, the reach of the regions, Å.
        width: wanted bin width, Å; adjusted so that a whole number of bins fits.
        window: (start, stop) distances between which the force may act, Å.
    """

    def __init__(self, species: tuple[str, ...], length: float, width: float, window: tuple[float, float]) -> None:
        if not 0.0 <= window[0] < window[1] <= length + 1e-9:
            raise UserError(
                f"the window of the thermodynamic force, {window[0]:g} to {window[1]:g} A, does not fit into half the box ({length:g} A)",
                "calibration.margin",
                f"Make calibration.margin smaller by at least {window[1] - length:.3g} A or system.length longer.",
            )
        n_bins = max(2, round(length / width))
        self.species, self.window = species, (float(window[0]), float(window[1]))
        self.length, self.width = float(length), float(length) / n_bins
        self.centres: FloatArray = (np.arange(n_bins, dtype=np.float64) + 0.5) * self.width
        self.tables = np.zeros((len(species), n_bins))

    @property
    def edges(self) -> FloatArray:
        """(n_bins + 1,) borders of the bins, Å."""
        return np.arange(len(self.centres) + 1, dtype=np.float64) * self.width

    @property
    def tables(self) -> FloatArray:
        """(n_species, n_bins) outward force at the bin centres, eV/Å."""
        return self._tables

    @tables.setter
    def tables(self, tables: FloatArray) -> None:
        self._tables = np.array(tables, dtype=np.float64)
        self._prepare()

    def copy(self, tables: FloatArray | None = None) -> ThermodynamicForce:
        """The same window and bins, with (n_species, n_bins) other tables if they are given."""
        result = ThermodynamicForce(self.species, self.length, self.width, self.window)
        result.tables = self.tables if tables is None else tables
        return result

    def check(self, species: tuple[str, ...], regions: Regions, where: str = "thermodynamic force") -> None:
        """Refuse tables that cannot hold the density of these regions.

        Args:
            species: of the system, in the order of its topology.

        Raises:
            UserError: a species without a table, tables in another order, or a window that starts within AT, ends before the
                border of Δ or lies beyond the reach of the regions.
        """
        missing = [name for name in species if name not in self.species]
        if missing or self.species != species:
            what = f"{', '.join(missing)} has no table" if missing else f"the species are {', '.join(species)}"
            remedy = "Calibrate a force for all species of the system, in its order."
            raise UserError(f"{what}; the thermodynamic force holds {', '.join(self.species)}", where, remedy)
        start, stop = self.window
        if start < regions.atomistic - 1e-6 or stop < regions.outer - 1e-6 or stop > regions.reach + 1e-6:
            raise UserError(
                f"the window of the thermodynamic force, {start:g} to {stop:g} A, does not fit regions with AT up to "
                f"{regions.atomistic:g} A, the transition layer up to {regions.outer:g} A and profiles up to {regions.reach:g} A",
                where,
                "Calibrate a force for these regions; a table of others can start it (calibration.start).",
            )

    def in_window(self) -> np.ndarray:
        """(n_bins,) whether the centre of a bin lies in the window."""
        return (self.centres >= self.window[0]) & (self.centres <= self.window[1])

    def force(self, distance: FloatArray, species: IntArray | int = 0) -> FloatArray:
        """(n,) outward force in eV/Å at distances in Å, for one species or one per molecule."""
        return self._interpolate(np.asarray(distance, dtype=np.float64), species)[0]

    def energy(self, distance: FloatArray, species: IntArray | int = 0) -> FloatArray:
        """(n,) minus the integral of the force from the centre, eV."""
        return self._interpolate(np.asarray(distance, dtype=np.float64), species)[1]

    def evaluate(self, distance: FloatArray, species: IntArray) -> tuple[float, FloatArray]:
        """Energy in eV, and the outward force (n_molecules,) in eV/Å, along the gradient of the distance.

        Args:
            distance: (n_molecules,) from the core of the regions, Å.
            species: (n_molecules,) species of each.
        """
        energy, force = outward_force(distance, species, self.width, self._knots, self._values, self._energies, self._slopes)
        return float(energy), force

    def update(
        self,
        excess: FloatArray,
        stiffness: FloatArray | float,
        damping: float,
        smoothing: float = 0.0,
        volumes: FloatArray | None = None,
        mirror: bool | tuple[bool, bool] = True,
    ) -> None:
        """One iteration: subtract the gradient of what the smoothed excess of the density costs, inside the window.

        Args:
            excess: (n_species, n_bins) number density less its target, both sides of a slab averaged, molecules/Å^3.
            stiffness: (n_species, n_species, n_bins) d mu_i/d n_j, or one number for a single species, eV Å^3.
            damping: the fraction c.
            smoothing: standard deviation of the Gaussian, Å.
            volumes: (n_bins,) of the shells; equal ones, those of a slab, if not given.
            mirror: whether the profile continues symmetrically beyond its inner and outer end.
        """
        shells = np.ones(len(self.centres)) if volumes is None else volumes
        smooth = smooth_density(excess, shells, self.width, smoothing)
        cost = np.einsum("ijb,jb->ib", stiffness, smooth) if isinstance(stiffness, np.ndarray) else stiffness * smooth
        gradient = np.where(self.in_window(), density_gradient(cost, self.width, mirror), 0.0)
        self.tables = self.tables - damping * gradient

    def start_about(self, regions: Regions, inward_integral: FloatArray, weight_power: int = 0) -> None:
        """A force with the given integral (n_species,) in eV where the interactions change.

        That is the border of an abrupt coupling, where the force is constant and as wide on both sides as the window is beyond. For a
        coupling with a smooth weight it is the whole layer, with the slope of the share of the fine interaction.
        """
        if weight_power:
            share = smooth_share(regions, self.centres, weight_power)
            self._spread(inward_integral, -np.gradient(share) * self.in_window())
            return
        margin = self.window[1] - regions.outer
        # Without a margin the force acts inside the layer alone, and still needs a few bins to act in.
        reach = min(max(margin, 4.0 * self.width), 0.5 * regions.transition)
        self.warm_start(inward_integral, regions.outer - reach, regions.outer + margin)

    def warm_start(self, inward_integral: FloatArray, start: float, stop: float) -> None:
        """Constant force between two distances with the given integral towards AT.

        The momentum balance n0 * INT F_in dx = P_AT - P_reservoir makes the integral (P_AT - P_reservoir)/n0.

        Args:
            inward_integral: (n_species,) INT F_in dx, eV.
            start, stop: distances, Å; cut to the window.

        Raises:
            UserError: no bin of the table lies between them.
        """
        low, high = max(start, self.window[0]), min(stop, self.window[1])
        covered = np.clip(np.minimum(self.edges[1:], high) - np.maximum(self.edges[:-1], low), 0.0, None) * self.in_window()
        if not covered.any():
            remedy = "Make calibration.bin smaller, or calibration.margin or regions.transition larger."
            raise UserError(f"no bin of the thermodynamic force lies between {low:g} and {high:g} A", "calibration.bin", remedy)
        self._spread(inward_integral, covered)

    def _spread(self, inward_integral: FloatArray, profile: FloatArray) -> None:
        """Tables in proportion to a profile (n_bins,) that is not negative, with the given integrals."""
        self.tables = -np.outer(inward_integral, profile / profile.sum() / self.width)
        # Interpolation and the ends of the window change the integral by some per cent: scale it back.
        scale = np.divide(inward_integral, self.inward_integral(), out=np.ones(len(self.species)), where=self.inward_integral() != 0)
        self.tables = self.tables * scale[:, None]

    def inward_integral(self) -> FloatArray:
        """(n_species,) -INT F dd = INT F_in dx over one side, eV: a pressure difference per molecule."""
        return np.array([self.energy(np.array([self.length]), kind)[0] for kind in range(len(self.species))])

    def save(self, path: Path, settings: Mapping[str, Any], details: Mapping[str, Any] | None = None) -> None:
        """Write the tables with the settings that they belong to, atomically."""
        data = {
            "format_version": FORMAT_VERSION,
            "species": list(self.species),
            "length": self.length,
            "window": list(self.window),
            "width": self.width,
            "distance": self.centres,
            "force": self.tables,
            "energy": [self.energy(self.centres, kind) for kind in range(len(self.species))],
            "settings": dict(settings),
            "details": dict(details or {}),
        }
        write_json(path, data)

    @classmethod
    def load(cls, path: Path, settings: Mapping[str, Any] | None = None) -> ThermodynamicForce:
        """Read tables; refuse those made with other settings.

        Args:
            settings: what the run will use, or None to read the tables for display only.

        Raises:
            UserError: friction, cap, hysteresis, temperature, density, regions or models differ.
            RunFailure: missing or not such a file.
        """
        data = read_json(path)
        if data.get("format_version") != FORMAT_VERSION:
            remedy = "Run 'halocline calibrate' again with this version."
            raise RunFailure(f"format version {data.get('format_version')} is not {FORMAT_VERSION}", str(path), remedy)
        if settings is not None:
            refuse_other_settings(data["settings"], dict(settings), path, "the thermodynamic force")
        force = cls(tuple(data["species"]), data["length"], data["width"], (data["window"][0], data["window"][1]))
        force.tables = np.array(data["force"])
        return force

    def _prepare(self) -> None:
        """Knots of the piecewise linear force, exact energies there."""
        start, stop = self.window
        between = self.centres[(self.centres > start) & (self.centres < stop)]
        self._knots = np.concatenate([[start], between, [stop]])
        self._values = np.array([np.interp(self._knots, self.centres, table) for table in self._tables])
        steps = np.diff(self._knots)
        areas = 0.5 * (self._values[:, 1:] + self._values[:, :-1]) * steps
        self._energies = np.concatenate([np.zeros((len(areas), 1)), -np.cumsum(areas, axis=1)], axis=1)
        self._slopes = np.diff(self._values, axis=1) / steps

    def _interpolate(self, distance: FloatArray, species: IntArray | int) -> tuple[FloatArray, FloatArray]:
        # Beyond the window the force is zero and the energy that of the nearer end.
        start, stop = self.window
        nearest = np.minimum(np.maximum(distance, start), stop)
        knot = np.minimum(np.searchsorted(self._knots, nearest, side="right") - 1, len(self._knots) - 2)
        offset = nearest - self._knots[knot]
        value, slope = self._values[species, knot], self._slopes[species, knot]
        force = (value + slope * offset) * (nearest == distance)
        return force, self._energies[species, knot] - offset * (value + 0.5 * slope * offset)


def refuse_other_settings(stored: dict[str, Any], wanted: dict[str, Any], path: Path, what: str) -> None:
    """Raise a UserError that names every setting that differs."""
    differing = [key for key in sorted(stored.keys() | wanted.keys()) if not _equal(stored.get(key), wanted.get(key))]
    if differing:
        pairs = ", ".join(f"{key}: {stored.get(key)} there, {wanted.get(key)} here" for key in differing)
        remedy = "Run 'halocline calibrate' again, or go back to the settings of the table."
        raise UserError(f"{what} belongs to other settings ({pairs})", str(path), remedy)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)) and not isinstance(one, bool):
        return bool(np.isclose(one, other, rtol=1e-9, atol=0.0))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(one == other)
