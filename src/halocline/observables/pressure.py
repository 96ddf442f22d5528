"""Pressure in AT from forces between molecules (Irving and Kirkwood, J. Chem. Phys. 18, 817 (1950), averaged over AT).

    P_kk V_AT = N_AT kT + sum over pairs of molecules of l_ab (R_ab)_k (F_ab)_k

with R_ab between centres of mass, F_ab the sum of the forces between their sites (molecular virial), and l_ab the share of
the straight line between the two centres that lies in AT (volume average: Cormier, Rickman and Delph, J. Appl. Phys. 89, 99
(2001), doi 10.1063/1.1328406). Needs a potential that is a sum over pairs of sites; many-body potentials give no numbers.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np

from halocline.adress.regions import Slab, Sphere
from halocline.dynamics.record import Snapshot
from halocline.models.graphs import half_pairs
from halocline.observables.base import Comparison, Observable, Setting, number
from halocline.observables.geometry import segment_fraction
from halocline.observables.statistics import Estimate, mean
from halocline.results import Number
from halocline.topology import FloatArray, IntArray
from halocline.units import thermal_energy

SAMPLES = 200
"""Configurations evaluated per run, evenly spread."""
TOLERANCE = 0.1
"""Accepted difference of pressures, as a share of that of an ideal gas of the same density."""
MEGAPASCAL = 160217.6634
"""1 eV/Å^3 in MPa."""


@runtime_checkable
class SitePairs(Protocol):
    """A bound potential that is a sum over pairs of sites of different molecules.

    Attributes:
        cutoff: Å, between sites.
        centres: whether the sites are centres of mass instead of atoms.
    """

    cutoff: float
    centres: bool

    def pair_force(self, first: IntArray, second: IntArray, distance: FloatArray) -> FloatArray:
        """(n,) repulsion between sites at a distance (n,), eV/Å; zero beyond the cut-off."""
        ...


class Pressure(Observable):
    """Diagonal of the pressure tensor averaged over AT; over the whole box in the closed reference, where all places are equal."""

    name = "pressure"
    summary = "pressure in AT from forces between pairs of molecules, for potentials that are sums over pairs of sites"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.law = setting.fine if isinstance(setting.fine, SitePairs) and isinstance(setting.regions, (Slab, Sphere)) else None
        self.stride, self._seen = max(1, math.ceil(setting.rows / SAMPLES)), 0

    def update(self, snapshot: Snapshot) -> None:
        due = self._seen % self.stride == 0
        self._seen += 1
        if self.law is not None and due:
            self.store(diagonal=pressure_diagonal(self.setting, self.law, snapshot))

    def pressure(self) -> Estimate:
        """A third of the trace, eV/Å^3."""
        return pressure_mean(self.setting, self.series("diagonal").mean(axis=1))

    def normal(self) -> Estimate:
        """Along x, eV/Å^3."""
        return pressure_mean(self.setting, self.series("diagonal")[:, 0])

    def result(self) -> list[Number]:
        if self.law is None:
            return []
        numbers = [number("pressure in AT", self.pressure().scaled(MEGAPASCAL), "MPa")]
        if isinstance(self.setting.regions, Slab):
            numbers.append(number("pressure in AT along x", self.normal().scaled(MEGAPASCAL), "MPa"))
        return numbers

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, Pressure)
        if self.law is None or reference.law is None:
            return []
        tolerance = TOLERANCE * self.setting.density * thermal_energy(self.setting.temperature) * MEGAPASCAL
        mine, theirs = (item.pressure().scaled(MEGAPASCAL) for item in (self, reference))
        remedy = "Calibrate the thermodynamic force further, or widen regions.transition to at least the cut-off."
        return [Comparison("pressure in AT", mine, theirs, tolerance, "MPa", "full-resolution run", remedy)]


def pressure_mean(setting: Setting, series: FloatArray) -> Estimate:
    """Of (n,) pressures; exact in a closed box without interactions, where each of them is N kT/V."""
    if setting.is_full and not setting.moves and not setting.interacts:
        return Estimate(float(series.mean()))
    return mean(series)


def pressure_diagonal(setting: Setting, law: SitePairs, snapshot: Snapshot) -> FloatArray:
    """(3,) P_xx, P_yy, P_zz of AT, or of the whole box of a closed homogeneous run, eV/Å^3."""
    topology, centres, regions = snapshot.topology, snapshot.centres, setting.place(snapshot)
    everywhere = setting.is_full and not setting.moves
    points = centres if law.centres else snapshot.positions
    molecule = np.arange(topology.n_molecules) if law.centres else topology.molecule_of_atom
    i, j, shifts = half_pairs(points, snapshot.cell, True, law.cutoff)
    resolved = (molecule[i] != molecule[j]) & snapshot.inside[molecule[i]] & snapshot.inside[molecule[j]]
    i, j, shifts = i[resolved], j[resolved], shifts[resolved]
    between = points[j] + shifts - points[i]
    distance = np.linalg.norm(between, axis=1)
    away = points - centres[molecule]
    start, line = centres[molecule[i]], between - away[j] + away[i]
    share = np.ones(len(i)) if everywhere else segment_fraction(regions, start, line)
    virial = ((share * law.pair_force(i, j, distance) / distance)[:, None] * between * line).sum(axis=0)
    inside = np.ones(topology.n_molecules, dtype=bool) if everywhere else regions.distance(centres) < regions.atomistic
    volume = setting.volume if everywhere else float(regions.volumes(snapshot.cell)[0])
    return (inside.sum() * thermal_energy(setting.temperature) + virial) / volume
