"""Free-energy compensation of Hamiltonian AdResS: DH(w) of each species.

    Helmholtz (flat pressure)   DH(w) = DF(w)/N,              d(DF/N)/dw = <V^AT - V^CG>_w
    Gibbs (flat density)        DH(w) = DF(w)/N + Dp(w)/n

Phys. Rev. Lett. 110, 108301 (2013). With a reservoir of ideal gas DH(1) of the Helmholtz table is f_ex, the excess Helmholtz
energy per molecule, and that of the Gibbs table mu_ex = f_ex + p_ex/n.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.interpolate import CubicSpline

from halocline.adress.thermodynamic_force import refuse_other_settings
from halocline.errors import RunFailure, UserError
from halocline.files import read_json, write_json
from halocline.topology import FloatArray, IntArray

FORMAT_VERSION = 1


class FreeEnergyCompensation:
    """DH(w) and its derivative between knots of w, by cubic Hermite polynomials; DH(0) = 0.

    Args:
        species: names, in the order of the topology.
        knots: (n_knots,) ascending weights from 0 to 1.
        slopes: (n_species, n_knots) dDH/dw, eV; zero if not given.
        values: (n_species, n_knots) DH, eV; the integral of a cubic spline through the slopes if not given.

    Raises:
        UserError: knots that do not ascend from 0 to 1, tables of another shape, or that are not numbers.
    """

    def __init__(
        self, species: tuple[str, ...], knots: FloatArray | None = None, slopes: FloatArray | None = None, values: FloatArray | None = None
    ) -> None:
        self.species = tuple(species)
        self.knots = np.linspace(0.0, 1.0, 21) if knots is None else np.asarray(knots, dtype=np.float64)
        ascending = self.knots.ndim == 1 and len(self.knots) > 1 and bool((np.diff(self.knots) > 0).all())
        if not ascending or self.knots[0] != 0.0 or self.knots[-1] != 1.0:
            raise UserError(
                f"the weights {self.knots} do not ascend from 0 to 1", "free-energy compensation", "Measure at w = 0 and w = 1, too."
            )
        self.set(np.zeros((len(self.species), len(self.knots))) if slopes is None else slopes, values)

    @classmethod
    def from_kirkwood(
        cls,
        species: tuple[str, ...],
        weights: FloatArray,
        mean_difference: FloatArray,
        pressure: FloatArray | None = None,
        density: FloatArray | float | None = None,
    ) -> Self:
        """From runs with the same weight for all molecules, at constant volume and temperature.

        Args:
            species: names, in the order of the topology.
            weights: (n_w,) weights of the runs, from 0 to 1.
            mean_difference: (n_w,) or (n_species, n_w) mean of V^AT - V^CG of one molecule, eV.
            pressure: (n_w,) eV/Å^3, for the Gibbs table; None for the Helmholtz table.
            density: n of the liquid, molecules/Å^3, (n_species,) or one for all; needed with a pressure. In a mixture this is the
                total density: every molecule displaces the same pressure difference.

        Raises:
            UserError: shapes that do not fit, a pressure without a density or the other way round.
        """
        knots, slopes = np.asarray(weights, dtype=np.float64), np.atleast_2d(np.asarray(mean_difference, dtype=np.float64))
        table = cls(species, knots, slopes)
        if (pressure is None) != (density is None):
            remedy = "Give both for a Gibbs table (flat density), neither for a Helmholtz table (flat pressure)."
            raise UserError("pressure and density belong together", "free-energy compensation", remedy)
        if pressure is None or density is None:
            return table
        difference = np.asarray(pressure, dtype=np.float64) - float(np.asarray(pressure)[0])
        volume = 1.0 / np.broadcast_to(np.asarray(density, dtype=np.float64), (len(species),))[:, None]
        table.set(table.slopes + volume * CubicSpline(knots, difference)(knots, 1), table.values + volume * difference)
        return table

    def set(self, slopes: FloatArray, values: FloatArray | None = None) -> None:
        """Take new tables (n_species, n_knots): dDH/dw and, unless it is to be integrated, DH, in eV."""
        slopes = np.array(slopes, dtype=np.float64)
        shape = (len(self.species), len(self.knots))
        if slopes.shape != shape or not np.isfinite(slopes).all():
            raise UserError(
                f"a table of shape {slopes.shape} does not fit {shape}, or is not finite", "free-energy compensation", "Look at it."
            )
        if values is None:
            primitive = CubicSpline(self.knots, slopes, axis=1).antiderivative()
            values = primitive(self.knots) - primitive(0.0)[:, None]
        self.slopes, self.values = slopes, np.array(values, dtype=np.float64) - np.asarray(values)[:, :1]

    def evaluate(self, weights: FloatArray, species: IntArray | int = 0) -> tuple[FloatArray, FloatArray]:
        """(n,) DH and dDH/dw in eV at (n,) weights, for one species or one per molecule."""
        knot = np.clip(np.searchsorted(self.knots, weights, side="right") - 1, 0, len(self.knots) - 2)
        width = self.knots[knot + 1] - self.knots[knot]
        t = (np.asarray(weights) - self.knots[knot]) / width
        v0, v1 = self.values[species, knot], self.values[species, knot + 1]
        s0, s1 = width * self.slopes[species, knot], width * self.slopes[species, knot + 1]
        b, c = 3 * (v1 - v0) - 2 * s0 - s1, 2 * (v0 - v1) + s0 + s1
        return v0 + t * (s0 + t * (b + t * c)), (s0 + t * (2 * b + 3 * t * c)) / width

    def total(self) -> FloatArray:
        """(n_species,) DH(1), eV."""
        return self.values[:, -1].copy()

    def save(self, path: Path, settings: Mapping[str, Any], details: Mapping[str, Any] | None = None) -> None:
        """Write the tables with the settings that they belong to, atomically."""
        tables = {"weights": self.knots, "energy": self.values, "slope": self.slopes}
        rest = {"settings": dict(settings), "details": dict(details or {})}
        write_json(path, {"format_version": FORMAT_VERSION, "species": list(self.species), **tables, **rest})

    @classmethod
    def load(cls, path: Path, settings: Mapping[str, Any] | None = None) -> Self:
        """Read tables; refuse those made with other settings.

        Args:
            settings: what the run will use, or None to read the tables for display only.

        Raises:
            UserError: the settings differ.
            RunFailure: missing or not such a file.
        """
        data = read_json(path)
        if data.get("format_version") != FORMAT_VERSION or "slope" not in data:
            remedy = "Measure the free-energy compensation again with this version."
            raise RunFailure(f"this is no free-energy compensation of format {FORMAT_VERSION}", str(path), remedy)
        if settings is not None:
            refuse_other_settings(data["settings"], dict(settings), path, "the free-energy compensation")
        return cls(tuple(data["species"]), np.array(data["weights"]), np.array(data["slope"]), np.array(data["energy"]))
