"""Monitors: stop a run that has gone wrong, and say where."""

from __future__ import annotations

import numpy as np

from halocline.adress.regions import LEVEL_NAMES
from halocline.dynamics.simulation import Hook, Simulation
from halocline.errors import RunFailure
from halocline.topology import FloatArray

_REMEDY = (
    "Use a shorter dynamics.timestep, raise dynamics.friction_transition and friction_reservoir, or train the model on more "
    "configurations; the last checkpoint is kept."
)


class Monitor(Hook):
    """Checks every ``interval`` steps that forces are finite, regions are not hot and molecules are whole.

    Args:
        interval: steps between checks.
        hottest: largest accepted temperature of a region, in units of the target, averaged since the last check.
        stretch: largest accepted distance of an atom from its centre of mass, in units of the largest at the start.
    """

    name = "monitor"
    during_equilibration = True

    def __init__(self, interval: int, hottest: float = 2.0, stretch: float = 1.8) -> None:
        self.interval, self.hottest, self.stretch = interval, hottest, stretch
        self._energy, self._degrees = np.zeros(3), np.zeros(3)
        self._extent: FloatArray | None = None

    def __call__(self, simulation: Simulation) -> None:
        where = f"step {simulation.steps} ({simulation.time:.0f} fs) of the {simulation.resolution} run"
        self._check_finite(simulation, where)
        self._check_temperature(simulation, where)
        self._check_molecules(simulation, where)

    def state(self) -> dict[str, np.ndarray]:
        return {"energy": self._energy.copy(), "degrees": self._degrees.copy()}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self._energy, self._degrees = arrays["energy"], arrays["degrees"]

    def _check_finite(self, simulation: Simulation, where: str) -> None:
        bad = ~np.isfinite(simulation.forces).all(axis=1)
        if bad.any():
            molecule = int(simulation.topology.molecule_of_atom[np.argmax(bad)])
            raise RunFailure(f"{int(bad.sum())} atoms have NaN or infinite forces, the first in molecule {molecule}", where, _REMEDY)

    def _check_temperature(self, simulation: Simulation, where: str) -> None:
        if simulation.degree_sums.sum() < self._degrees.sum():  # the sums started again
            self._energy, self._degrees = np.zeros(3), np.zeros(3)
        energy, degrees = simulation.energy_sums - self._energy, simulation.degree_sums - self._degrees
        self._energy, self._degrees = simulation.energy_sums.copy(), simulation.degree_sums.copy()
        target = simulation.thermostat.temperature
        for name, value, count in zip(LEVEL_NAMES, simulation.temperatures(energy, degrees), degrees):
            # A handful of atoms may be that hot by chance.
            if count >= 90 * self.interval and value > self.hottest * target:
                raise RunFailure(f"the {name} region has {value:.0f} K instead of {target:.0f} K", where, _REMEDY)

    def _check_molecules(self, simulation: Simulation, where: str) -> None:
        topology = simulation.topology
        if self._extent is None:
            self._extent = self._extents(simulation, simulation.initial.positions)
        extent = self._extents(simulation, simulation.integrator.coordinates)
        limit = np.zeros(len(topology.species))
        np.maximum.at(limit, topology.molecule_species, self._extent)
        broken = extent > self.stretch * limit[topology.molecule_species] + 1e-6
        if broken.any():
            molecule = int(np.argmax(np.where(broken, extent, 0.0)))
            level = LEVEL_NAMES[simulation.levels[molecule]]
            what = f"{int(broken.sum())} molecules are broken, the worst is {molecule} ({level} region, {extent[molecule]:.2f} A across)"
            raise RunFailure(what, where, _REMEDY)

    def _extents(self, simulation: Simulation, positions: FloatArray) -> FloatArray:
        """(n_molecules,) largest distance of an atom from the centre of mass, Å."""
        topology = simulation.topology
        offsets = positions - topology.centres_of_mass(positions)[topology.molecule_of_atom]
        return np.maximum.reduceat(np.linalg.norm(offsets, axis=1), topology.offsets[:-1])
