"""Mass density against distance, and its mean in AT and in the transition layers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from halocline.dynamics.record import Snapshot
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.geometry import Shells, profile_edges, two_sided
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
    """Density of whole molecules at their centres of mass; the sides of a slab are averaged wherever blocks are judged."""

    name = "density"
    summary = "mass density against distance, its mean in AT and in 3 A blocks of AT and of the transition layers"
    version = 2

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        regions = setting.regions
        self.shells = Shells(regions, setting.cell, profile_edges(regions, BIN))
        self.edges, self.centres, self.bins = self.shells.edges, self.shells.centres, len(self.shells.centres)
        self.block_edges, self.inner_blocks = _block_edges(regions.atomistic, regions.transition)
        self._blocks = Shells(regions, setting.cell, self.block_edges)
        self._core = Shells(regions, setting.cell, np.array([0.0, regions.atomistic, regions.outer]))

    def update(self, snapshot: Snapshot) -> None:
        regions, masses = self.setting.place(snapshot), snapshot.topology.molecule_masses / AMU_PER_CUBIC_ANGSTROM
        coordinate = regions.shift(snapshot.centres)
        distance = np.abs(coordinate)
        profile, blocks = self.shells.density(regions, coordinate, masses), self._blocks.density(regions, distance, masses)
        atomistic, transition = self._core.density(regions, distance, masses)
        self.store(profile=profile, blocks=blocks, atomistic=atomistic, transition=transition)

    def atomistic(self) -> Estimate:
        """Mean density in AT, g/cm^3."""
        return mean(self.series("atomistic"))

    def blocks(self) -> list[Estimate]:
        """Density of each block, from the centre outwards, both sides together, g/cm^3."""
        return [mean(column) for column in self.series("blocks").T]

    def transition(self) -> Estimate:
        """Mean density in the transition layers, g/cm^3."""
        return mean(self.series("transition"))

    def result(self) -> list[Number]:
        return [
            number("mean density in AT", self.atomistic(), "g/cm3"),
            number("mean density in the transition layers", self.transition(), "g/cm3"),
        ]

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, Density)
        target, accepted = Estimate(self.setting.mass_density), self.setting.tolerances.density
        source = "full-resolution run" if self.setting.moves else "target"

        def claim(name: str, value: Estimate, measured: Callable[[], Estimate]) -> Comparison:
            # Around a molecule that the regions follow the density is that of its solvation shells, not the target.
            expected = measured() if self.setting.moves else target
            return Comparison(name, value, expected, accepted * target.value, "g/cm3", source, _REMEDY)

        edges = self.block_edges
        inner, outer = list[Comparison](), list[Comparison]()
        for k, block in enumerate(self.blocks()):
            where, place = ("AT", inner) if k < self.inner_blocks else ("the transition layers", outer)
            name = f"density in blocks of {where}: {edges[k]:.1f} to {edges[k + 1]:.1f} A from the centre"
            place.append(claim(name, block, lambda k=k: reference.blocks()[k]))  # type: ignore[misc]
        return [claim("mean density in AT", self.atomistic(), reference.atomistic), inner, outer]

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, Density)
        regions, target = self.setting.regions, self.setting.mass_density
        sides = (-1.0, 1.0) if two_sided(regions) else (0.0, 1.0)
        ends = [sides[0] * regions.reach, regions.reach]
        values = self.series("profile").mean(axis=0)
        closed = reference.series("profile").mean(axis=0)
        # One outline a region, drawn as a flat arch: vertical lines are not a kind of series.
        heights = [0.85 * target, 1.15 * target, 1.15 * target, 0.85 * target]
        borders = [
            curve(label, [sides[0] * x, sides[0] * x, x, x], heights, style="dashed")
            for label, x in (("border of AT", regions.atomistic), ("border of the transition layers", regions.outer))
        ]
        caption = (
            f"Density of whole molecules at their centres of mass in bins of {self.edges[1] - self.edges[0]:.2f} A, with one standard "
            f"error. AT reaches {regions.atomistic:g} A from the centre, the transition layers to {regions.outer:g} A."
        )
        series = [
            curve("open", self.centres, values, column_errors(self.series("profile"))),
            curve("full resolution", reference.centres, closed, column_errors(reference.series("profile"))),
            curve("target", ends, [target, target], style="dashed"),
            *borders,
        ]
        return [Figure("density", "Density along the box", "distance from the centre (A)", "density (g/cm3)", series, caption)]


def _block_edges(atomistic: float, transition: float) -> tuple[FloatArray, int]:
    """Edges of blocks of about 3 Å from the centre to the end of Δ, and the number of those in AT."""
    inner, outer = (max(1, math.floor(width / BLOCK + 0.5)) for width in (atomistic, transition))
    first = np.linspace(0.0, atomistic, inner + 1)
    return np.concatenate([first, atomistic + np.linspace(0.0, transition, outer + 1)[1:]]), inner
