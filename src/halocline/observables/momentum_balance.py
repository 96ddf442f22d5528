"""Balance of momentum between AT and the reservoir: what the thermodynamic force carries.

For forces that obey Newton's third law the mean momentum flux changes along the outward direction by n F_th alone:

    P_AT = P_reservoir - INT n(d) F_th(d) dd            (from AT to the reservoir, F_th counted outwards)

The integral is a sum over molecules in every configuration, so the density that enters is the measured one with its ripples:
sum_i F_th(d_i)/A over the area A of both borders of a slab, sum_i F_th(d_i)/(4 pi d_i^2) for a sphere. For a sphere the
identity leaves out the surface term 2 INT (P_N - P_T)/d dd of an anisotropic layer; there the number is no pressure of AT.
"""

from __future__ import annotations

import math

import numpy as np

from halocline.adress.regions import Slab, Sphere
from halocline.dynamics.record import Snapshot
from halocline.observables.base import Comparison, Observable, Setting, number
from halocline.observables.geometry import surface_area
from halocline.observables.pressure import MEGAPASCAL, TOLERANCE, SitePairs, pressure_diagonal, pressure_mean
from halocline.observables.statistics import Estimate, function_of_means, mean
from halocline.results import Number
from halocline.topology import FloatArray
from halocline.units import thermal_energy

SAMPLES = 200
"""Configurations of the reference whose pressure is evaluated."""
RIM = 2.0
"""Thickness of the reservoir that gives its density where the force acts to the end of the box, Å."""


class MomentumBalance(Observable):
    """Pressure difference carried by the thermodynamic force, the pressure of AT that follows, and the net force on the system."""

    name = "momentum"
    summary = "momentum balance: pressure difference carried by the thermodynamic force, and the net force that should vanish"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        known = isinstance(setting.regions, (Slab, Sphere))
        # Drift forces of a Hamiltonian coupling carry part of the pressure difference: the balance does not hold there.
        known = known and setting.conserves_momentum
        self.force = setting.force if known and not setting.is_full else None
        self.law = setting.fine if known and setting.is_full and isinstance(setting.fine, SitePairs) else None
        self.stride, self._seen = max(1, math.ceil(setting.rows / SAMPLES)), 0

    @property
    def is_flat(self) -> bool:
        """Whether the identity gives the pressure of AT: planar borders and tracers, whose pressure is n kT."""
        return self.force is not None and isinstance(self.setting.regions, Slab) and self.setting.tracers

    def update(self, snapshot: Snapshot) -> None:
        due = self._seen % self.stride == 0
        self._seen += 1
        if self.law is not None and due:
            self.store(pressure=pressure_diagonal(self.setting, self.law, snapshot).mean())
        if self.force is None:
            return
        setting, regions = self.setting, self.setting.place(snapshot)
        distance = regions.distance(snapshot.centres)
        outward = self.force.evaluate(distance, snapshot.topology.molecule_species)[1]
        slab = isinstance(regions, Slab)
        area = surface_area(regions, setting.cell, regions.atomistic) if slab else 4.0 * math.pi * np.maximum(distance, 1e-6) ** 2
        edge = min(self.force.window[1], regions.reach - RIM)
        beyond = setting.volume - float(regions.shell_volumes(np.array([0.0, edge]), setting.cell)[0])
        net = (outward[:, None] * regions.direction(snapshot.centres)).sum(axis=0)
        self.store(carried=float((-outward / area).sum()), reservoir=float((distance >= edge).sum()) / beyond, net=net)

    def carried(self) -> Estimate:
        """-INT n F_th dd = P_AT - P_reservoir, eV/Å^3."""
        return self._of_force(self.series("carried"))

    def atomistic(self) -> Estimate:
        """Pressure of AT: that of the tracers at their measured density, and what the force carries; eV/Å^3."""
        columns = np.stack([self.series("carried"), self.series("reservoir")], axis=1)
        return function_of_means(columns, lambda m: m[0] + m[1] * thermal_energy(self.setting.temperature))

    def net(self) -> list[Estimate]:
        """Components of the sum of the thermodynamic forces on all molecules, eV/Å."""
        return [self._of_force(column) for column in self.series("net").T]

    def _of_force(self, series: FloatArray) -> Estimate:
        """Time average of what the force does; exactly zero where its tables are empty, as in an ideal gas."""
        return mean(series) if self.force is None or self.force.tables.any() else Estimate(0.0)

    def closed(self) -> Estimate:
        """Pressure of the full-resolution run, eV/Å^3."""
        return pressure_mean(self.setting, self.series("pressure"))

    @property
    def _directions(self) -> str:
        return "x" if isinstance(self.setting.regions, Slab) else "xyz"

    def result(self) -> list[Number]:
        if self.law is not None:
            return [number("pressure of the full-resolution run", self.closed().scaled(MEGAPASCAL), "MPa")]
        if self.force is None:
            return []
        words = "" if isinstance(self.setting.regions, Slab) else ", without the surface term"
        numbers = [number(f"pressure difference carried by the thermodynamic force{words}", self.carried().scaled(MEGAPASCAL), "MPa")]
        if self.is_flat:
            numbers.append(number("pressure in AT from the balance of momentum", self.atomistic().scaled(MEGAPASCAL), "MPa"))
        return numbers + [number(f"net thermodynamic force along {k}", force, "eV/A") for k, force in zip(self._directions, self.net())]

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, MomentumBalance)
        if self.force is None:
            return []
        setting = self.setting
        ideal = setting.density * thermal_energy(setting.temperature)
        area = surface_area(setting.regions, setting.cell, setting.regions.atomistic)
        remedy = "The two sides of AT do not balance: run longer, and look at the density profile."
        claims: list[Comparison | list[Comparison]] = [
            [
                Comparison(
                    f"net thermodynamic force: along {k}", force, Estimate(0.0), TOLERANCE * ideal * area, "eV/A", "symmetry", remedy
                )
                for k, force in zip(self._directions, self.net())
            ]
        ]
        if self.is_flat and reference.law is not None:
            remedy = (
                "Calibrate the thermodynamic force further: its integral with the density is the pressure of AT less that of the tracers."
            )
            mine, theirs = self.atomistic().scaled(MEGAPASCAL), reference.closed().scaled(MEGAPASCAL)
            tolerance, name = TOLERANCE * ideal * MEGAPASCAL, "pressure in AT from the balance of momentum"
            claims.append(Comparison(name, mine, theirs, tolerance, "MPa", "full-resolution run", remedy))
        return claims
