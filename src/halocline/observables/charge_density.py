"""Charge density, dipole density and net charge, from the point charges of the classical models of the species."""

from __future__ import annotations

import math

import numpy as np

from halocline.dynamics.record import Snapshot
from halocline.molecules.charges import charge_extent, dipoles, point_charges
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.geometry import Shells, profile_edges
from halocline.observables.statistics import Estimate, column_errors, mean, variance
from halocline.results import Figure, Number

BIN = 0.5
"""Å."""
BLOCK = 3.0
"""Width of the blocks of AT in which neutrality is judged, Å."""
TOLERANCE = 0.01
"""Accepted charge density of a block, as a share of the density of positive charge."""


class ChargeDensity(Observable):
    """Charge of atoms per volume against distance; zero on average anywhere in a homogeneous liquid.

    Molecules outside S1 may sleep as mass points, with the orientation that they had when they left. Profiles of both runs end where
    they begin: that of the dipoles at the border of S1, and that of the charges nearer by the extent of a molecule, so that every
    bin counts all charges that can be in it and no stale one.

    The dipole density is that of whole molecules at their centres of mass, along the direction towards lower resolution.
    The net charge of AT counts whole molecules, so it is zero for neutral species; for ions its mean is zero and its
    variance grows with the area of the border.
    """

    name = "charge"
    version = 2
    summary = "charge density and dipole density in AT and the transition layer, net charge of AT"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        regions, topology = setting.regions, setting.topology
        self.charges = point_charges(topology)
        self.charged = bool(np.any(self.charges))
        self.net = np.add.reduceat(self.charges, topology.offsets[:-1])
        self.has_ions = bool(np.any(np.abs(self.net) > 1e-6))
        complete = max(regions.outer - charge_extent(topology), BIN)
        self.shells = Shells(regions, setting.cell, profile_edges(regions, BIN, complete))
        self.outward = Shells(regions, setting.cell, np.linspace(0.0, regions.outer, max(1, round(regions.outer / BIN)) + 1))
        blocks = max(1, math.floor(regions.atomistic / BLOCK + 0.5))
        self.blocks = Shells(regions, setting.cell, np.linspace(0.0, regions.atomistic, blocks + 1))

    def update(self, snapshot: Snapshot) -> None:
        if not self.charged:
            return
        regions, charges = self.setting.place(snapshot), self.charges
        coordinate = regions.shift(snapshot.positions)
        distance = regions.distance(snapshot.centres)
        moments = (dipoles(snapshot.topology, charges, snapshot.positions) * regions.direction(snapshot.centres)).sum(axis=1)
        self.store(
            profile=self.shells.density(regions, coordinate, charges),
            dipole=self.outward.density(regions, distance, moments),
            blocks=self.blocks.density(regions, np.abs(coordinate), charges),
            net=float(self.net[distance < regions.atomistic].sum()),
        )

    def block_charges(self) -> list[Estimate]:
        """Charge density of blocks of AT from the centre outwards, e/Å^3."""
        return [mean(column) for column in self.series("blocks").T]

    def result(self) -> list[Number]:
        if not self.charged:
            return []
        edges = self.blocks.edges
        numbers = [
            number(f"charge density in AT, {edges[k]:.1f} to {edges[k + 1]:.1f} A from the centre", block, "e/A3")
            for k, block in enumerate(self.block_charges())
        ]
        if self.has_ions:
            net = self.series("net")
            numbers += [number("net charge of AT", mean(net), "e"), number("variance of the net charge of AT", variance(net), "e2")]
        return numbers

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, ChargeDensity)
        if not self.charged:
            return []
        edges, source = self.blocks.edges, "full-resolution run" if self.setting.moves else "symmetric value"
        positive = float(self.charges[self.charges > 0].sum()) / self.setting.volume
        remedy = "Widen regions.transition: molecules in AT are ordered by the border of the reservoir."
        expected = reference.block_charges() if self.setting.moves else [Estimate(0.0)] * (len(edges) - 1)
        names = [f"charge density in AT: {edges[k]:.1f} to {edges[k + 1]:.1f} A from the centre" for k in range(len(expected))]
        claims: list[Comparison | list[Comparison]] = [
            [
                Comparison(name, block, zero, TOLERANCE * positive, "e/A3", source, remedy)
                for name, block, zero in zip(names, self.block_charges(), expected)
            ]
        ]
        if self.has_ions and not self.setting.moves:
            allowed = 0.5 * math.sqrt(max(variance(reference.series("net")).value, 0.0))
            remedy = "Calibrate longer: each species needs a thermodynamic force of its own that keeps AT neutral."
            claims.append(Comparison("net charge of AT", mean(self.series("net")), Estimate(0.0), allowed, "e", "neutrality", remedy))
        return claims

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, ChargeDensity)
        if not self.charged:
            return []
        figures, away = [], "distance from the centre (A)"
        for key, title, unit, shells, caption in (
            ("profile", "Charge density", "charge density (e/A^3)", self.shells, "Point charges of atoms per volume of the bin."),
            ("dipole", "Dipole density", "dipole density (e/A^2)", self.outward, "Dipoles of molecules along the outward direction."),
        ):
            pairs = (("open", self), ("full resolution", reference))
            series = [curve(label, shells.centres, item.series(key).mean(axis=0), column_errors(item.series(key))) for label, item in pairs]
            regions = self.setting.regions
            caption += f" Zero in a homogeneous liquid; AT ends at {regions.atomistic:g} A, the transition layer at {regions.outer:g} A."
            figures.append(Figure(f"charge_{key}", title, away, unit, series, caption))
        return figures
