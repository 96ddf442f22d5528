"""Monitors: stop a run that has gone wrong, and say where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from halocline.adress.regions import LEVEL_NAMES
from halocline.dynamics.checkpoint import write_checkpoint
from halocline.dynamics.simulation import Hook, Simulation
from halocline.dynamics.statistics import mean_and_error
from halocline.errors import RunFailure
from halocline.topology import FloatArray

_REMEDY = (
    "Use a shorter dynamics.timestep, raise dynamics.friction_transition and friction_reservoir, or train the model on more "
    "configurations; the last checkpoint is kept."
)


_COOLER = (
    "Raise dynamics.friction_transition and friction_reservoir, use an interacting reservoir (coupling.reservoir) or a shorter "
    "dynamics.timestep; dynamics.heating and dynamics.heating_time say how much is accepted, and for how long."
)

PIECES = 20
"""Parts of the heating time whose temperatures give its error."""
INDEPENDENT = 5
"""Samples of the temperature within the heating time that are certainly independent. Heat leaves a region without friction in
about half a picosecond, so that twenty pieces of 5 ps say less than they seem to."""
SIGMAS = 4.0
"""Standard errors that heating must exceed: a nanosecond holds hundreds of windows of 5 ps, three would be crossed by chance."""


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


class HeatingMonitor(Hook):
    """Stops a run whose AT, Δ or reservoir has been off its temperature for a while, and writes a checkpoint.

    The temperature of the last ``steps`` is judged from twenty pieces. A run is stopped when both halves are off by more than
    ``tolerance`` in the same direction, and the whole by more than four standard errors. The error is that of the pieces with
    their correlation, and at least sqrt(2/f)/sqrt(5), the fluctuation of f degrees of freedom at five independent instants.

    Args:
        tolerance: accepted relative deviation.
        steps: how long it may last.
        checkpoint: where the state at that moment is kept, or None. Put this hook after those whose state belongs into it.
        during_equilibration: whether the first part counts too.
    """

    name = "heating"

    def __init__(self, tolerance: float, steps: int, checkpoint: Path | None = None, during_equilibration: bool = False) -> None:
        self.tolerance, self.checkpoint, self.during_equilibration = tolerance, checkpoint, during_equilibration
        self.interval = max(1, steps // PIECES)
        self._energy, self._degrees = np.zeros(3), np.zeros(3)
        self._pieces = np.zeros((0, 2, 3))

    def __call__(self, simulation: Simulation) -> None:
        if simulation.degree_sums.sum() < self._degrees.sum():  # the sums started again
            self._energy, self._degrees = np.zeros(3), np.zeros(3)
        energy, degrees = simulation.energy_sums - self._energy, simulation.degree_sums - self._degrees
        self._energy, self._degrees = simulation.energy_sums.copy(), simulation.degree_sums.copy()
        if not degrees.any():
            return
        self._pieces = np.concatenate([self._pieces, [[energy, degrees]]])[-PIECES:]
        if len(self._pieces) == PIECES:
            self._judge(simulation)

    def state(self) -> dict[str, np.ndarray]:
        return {"energy": self._energy.copy(), "degrees": self._degrees.copy(), "pieces": self._pieces.copy()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        if arrays:
            self._energy, self._degrees, self._pieces = arrays["energy"], arrays["degrees"], arrays["pieces"]

    def _judge(self, simulation: Simulation) -> None:
        target = simulation.thermostat.temperature
        for level, name in enumerate(LEVEL_NAMES):
            energies, degrees = self._pieces[:, 0, level], self._pieces[:, 1, level]
            if not degrees.all():  # empty at times: nothing to go by
                continue
            pieces = simulation.temperatures(energies, degrees)
            half = PIECES // 2
            off = np.array([pieces[:half].mean(), pieces[half:].mean()]) / target - 1.0
            smallest = target * np.sqrt(2.0 * self.interval / degrees.mean() / INDEPENDENT)
            mean, error, _ = mean_and_error(pieces)
            error = max(error, float(smallest))
            lasting = (off > self.tolerance).all() or (off < -self.tolerance).all()
            if lasting and abs(mean - target) >= SIGMAS * error:
                self._stop(simulation, name, mean, error)

    def _stop(self, simulation: Simulation, name: str, mean: float, error: float) -> None:
        kept = ""
        if self.checkpoint is not None:
            write_checkpoint(simulation, self.checkpoint)
            kept = f" The state at that moment is in {self.checkpoint.name}."
        length = PIECES * self.interval * simulation.thermostat.timestep / 1e3
        target = simulation.thermostat.temperature
        what = f"the {name} region had {mean:.0f} ± {error:.0f} K instead of {target:.0f} K for {length:.3g} ps"
        where = f"step {simulation.steps} ({simulation.time:.0f} fs) of the {simulation.resolution} run"
        raise RunFailure(what, where, _COOLER + kept)
