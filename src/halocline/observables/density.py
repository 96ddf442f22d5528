"""Mass density along x, and its mean in AT and in the transition layers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from halocline.dynamics.record import Snapshot
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.statistics import Estimate, column_errors, mean
from halocline.results import Figure, Number
from halocline.topology import FloatArray
from halocline.units import AMU_PER_CUBIC_ANGSTROM

BIN = 0.5
"""Width of a bin of the profile, Å."""
BLOCK = 3.0
"""Width of the blocks in which flatness is judged, Å: waves shorter than a molecule are packing, not a drift of density."""

_REMEDY = "Calibrate the thermodynamic force further (calibration.iterations, calibration.window), or widen regions.transition."


class Density(Observable):
    """Density of whole molecules at their centres of mass; the two sides of the slab are averaged wherever blocks are judged."""

    name = "density"
    summary = "mass density along x, its mean in AT and in 3 A blocks of AT and of the transition layers"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        regions = setting.regions
        self.bins = max(2, 2 * round((2.0 * regions.reach) / (2 * BIN)))
        self.edges = np.linspace(-regions.reach, regions.reach, self.bins + 1)
        self.block_edges, self.inner_blocks = _block_edges(regions.atomistic, regions.transition)

    def update(self, snapshot: Snapshot) -> None:
        setting, masses = self.setting, snapshot.topology.molecule_masses
        x = setting.regions.shift(snapshot.centres)
        profile = _mass_density(x, masses, self.edges, setting.cross_section)
        blocks = _mass_density(np.abs(x), masses, self.block_edges, 2.0 * setting.cross_section)
        inside = np.abs(x) < setting.regions.atomistic
        atomistic = masses[inside].sum() / (2.0 * setting.regions.atomistic * setting.cross_section * AMU_PER_CUBIC_ANGSTROM)
        self.store(profile=profile, blocks=blocks, atomistic=atomistic)

    @property
    def centres(self) -> FloatArray:
        """(bins,) distance from the centre of the slab, Å."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def atomistic(self) -> Estimate:
        """Mean density in AT, g/cm^3."""
        return mean(self.series("atomistic"))

    def blocks(self) -> list[Estimate]:
        """Density of each block, from the centre outwards, both sides together, g/cm^3."""
        return [mean(column) for column in self.series("blocks").T]

    def transition(self) -> Estimate:
        """Mean density in the transition layers, g/cm^3."""
        widths = np.diff(self.block_edges)[self.inner_blocks :]
        return mean(self.series("blocks")[:, self.inner_blocks :] @ widths / widths.sum())

    def result(self) -> list[Number]:
        return [
            number("mean density in AT", self.atomistic(), "g/cm3"),
            number("mean density in the transition layers", self.transition(), "g/cm3"),
        ]

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        target = Estimate(self.setting.mass_density)
        tolerance = self.setting.tolerances.density * target.value

        def claim(name: str, value: Estimate) -> Comparison:
            return Comparison(name, value, target, tolerance, "g/cm3", "target", _REMEDY)

        blocks, edges = self.blocks(), self.block_edges
        names = [f"{edges[k]:.1f} to {edges[k + 1]:.1f} A from the centre" for k in range(len(blocks))]
        inner = [claim(f"density in blocks of AT: {name}", block) for name, block in zip(names, blocks)][: self.inner_blocks]
        outer = [claim(f"density in blocks of the transition layers: {name}", block) for name, block in zip(names, blocks)]
        return [claim("mean density in AT", self.atomistic()), inner, outer[self.inner_blocks :]]

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, Density)
        regions, target = self.setting.regions, self.setting.mass_density
        ends = [-regions.reach, regions.reach]
        values = self.series("profile").mean(axis=0)
        closed = reference.series("profile").mean(axis=0)
        # One outline a region, drawn as a flat arch: vertical lines are not a kind of series.
        heights = [0.85 * target, 1.15 * target, 1.15 * target, 0.85 * target]
        borders = [
            curve(label, [-x, -x, x, x], heights, style="dashed")
            for label, x in (("border of AT", regions.atomistic), ("border of the transition layers", regions.outer))
        ]
        caption = (
            f"Density of whole molecules at their centres of mass in bins of {2.0 * regions.reach / self.bins:.2f} A, with one standard "
            f"error. AT reaches {regions.atomistic:g} A from the centre, the transition layers to {regions.outer:g} A."
        )
        series = [
            curve("open", self.centres, values, column_errors(self.series("profile"))),
            curve("full resolution", reference.centres, closed, column_errors(reference.series("profile"))),
            curve("target", ends, [target, target], style="dashed"),
            *borders,
        ]
        return [Figure("density", "Density along the box", "distance from the centre (A)", "density (g/cm3)", series, caption)]


def _mass_density(x: FloatArray, masses: FloatArray, edges: FloatArray, cross_section: float) -> FloatArray:
    """(bins,) g/cm^3 of molecules at x."""
    mass: NDArray[np.float64] = np.histogram(x, edges, weights=masses)[0]
    return mass / (np.diff(edges) * cross_section * AMU_PER_CUBIC_ANGSTROM)


def _block_edges(atomistic: float, transition: float) -> tuple[FloatArray, int]:
    """Edges of blocks of about 3 Å from the centre to the end of Δ, and the number of those in AT."""
    inner, outer = (max(1, math.floor(width / BLOCK + 0.5)) for width in (atomistic, transition))
    first = np.linspace(0.0, atomistic, inner + 1)
    return np.concatenate([first, atomistic + np.linspace(0.0, transition, outer + 1)[1:]]), inner
