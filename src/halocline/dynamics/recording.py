"""Hooks that keep what a run visits: rows of a record, and counts of molecules against distance."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from halocline.dynamics.blocks import Blocks
from halocline.dynamics.record import RecordHeader, RecordWriter
from halocline.dynamics.simulation import Hook, Simulation
from halocline.topology import FloatArray, IntArray
from halocline.units import ACCELERATION, BOLTZMANN


class RecordHook(Hook):
    """Appends a row to a record every ``interval`` steps.

    Args:
        path: of the record; created at the first row, or cut to the checkpoint's rows after a restart.
        density: target, molecules/Å^3, for the header.
        capacity: rows of the whole run.
    """

    name = "record"

    def __init__(self, path: Path, interval: int, density: float, capacity: int) -> None:
        self.path, self.interval, self.density, self.capacity = path, interval, density, capacity
        self.writer: RecordWriter | None = None
        self._frames = 0
        self._energy, self._degrees = np.zeros(3), np.zeros(3)

    def __call__(self, simulation: Simulation) -> None:
        writer = self._open(simulation)
        energy, degrees = simulation.energy_sums - self._energy, simulation.degree_sums - self._degrees
        self._energy, self._degrees = simulation.energy_sums.copy(), simulation.degree_sums.copy()
        ledger = simulation.ledger
        writer.append(
            {
                "time": simulation.time,
                "positions": simulation.integrator.coordinates,
                "level": simulation.levels,
                "inside": simulation.inside,
                "temperature": simulation.temperatures(energy, degrees),
                "degrees": degrees / self.interval,
                "kinetic": simulation.kinetic,
                "potential": simulation.potential,
                "heat": ledger.total_heat,
                "thermostat": ledger.thermostat.sum() + ledger.external,
                "flips": ledger.flips,
                "capped": ledger.capped,
            }
        )

    def state(self) -> dict[str, np.ndarray]:
        # A checkpoint must not count rows that are not on disk.
        if self.writer is not None:
            self.writer.flush()
            self._frames = self.writer.frames
        return {"frames": np.array(self._frames), "energy": self._energy.copy(), "degrees": self._degrees.copy()}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self._frames, self._energy, self._degrees = int(arrays["frames"]), arrays["energy"], arrays["degrees"]
        if self.writer is not None:
            self.writer.close()
        self.writer = RecordWriter.resume(self.path, self._frames) if self._frames else None

    def close(self) -> None:
        """Bring everything to the disk; the record is complete."""
        if self.writer is not None:
            self.writer.flush()
            self.writer.close()
            self.writer = None

    def _open(self, simulation: Simulation) -> RecordWriter:
        if self.writer is None:
            header = RecordHeader(
                simulation.initial.cell,
                simulation.topology,
                simulation.regions,
                simulation.thermostat.temperature,
                self.density,
                simulation.thermostat.timestep,
                simulation.resolution,
                simulation.seed,
            )
            self.writer = RecordWriter.create(self.path, header, self.capacity)
        return self.writer


class ProfileHook(Hook):
    """Counts molecules of each species in bins of the distance from the centre, every ``interval`` steps.

    Attributes:
        counts: (n_samples, n_species, n_bins); both sides of the slab together.
    """

    name = "profile"

    def __init__(self, edges: FloatArray, n_species: int, interval: int) -> None:
        self.edges, self.n_species, self.interval = edges, n_species, interval
        self._samples: list[IntArray] = []

    @property
    def counts(self) -> IntArray:
        n_bins = len(self.edges) - 1
        return np.array(self._samples, dtype=np.int64).reshape(-1, self.n_species, n_bins)

    def __call__(self, simulation: Simulation) -> None:
        self._samples.append(count_molecules(simulation, self.edges, self.n_species))

    def state(self) -> dict[str, np.ndarray]:
        return {"counts": self.counts}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self._samples = list(arrays["counts"])


class TemperatureHook(Hook):
    """Translational temperature of molecules against distance, every ``interval`` steps.

    Samples are summed in blocks, of ``block`` samples at the start of a run.

    Centres of mass move slowly, so that the velocities at the end of a step serve (unlike those of bonds).
    """

    name = "temperature"

    def __init__(self, edges: FloatArray, interval: int, block: int = 50) -> None:
        self.edges, self.interval = edges, interval
        self._blocks = Blocks((2, len(edges) - 1), block)

    def __call__(self, simulation: Simulation) -> None:
        topology, n_bins = simulation.topology, len(self.edges) - 1
        velocities = topology.centres_of_mass(simulation.integrator.velocity_array)
        energies = 0.5 * topology.molecule_masses * (velocities**2).sum(1) / ACCELERATION
        bins = (simulation.distance / self.edges[1]).astype(np.int64)
        within = bins < n_bins
        counts = np.bincount(bins[within], minlength=n_bins)
        self._blocks.add(np.array([np.bincount(bins[within], energies[within], n_bins), counts]))

    def profile(self) -> tuple[FloatArray, FloatArray]:
        """(n_bins,) temperatures in K and their standard errors from whole blocks; NaN where nothing is known."""
        blocks = self._blocks.sums
        energy, count = blocks.sum(axis=0) + self._blocks.current
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = 2.0 * energy / (3.0 * BOLTZMANN * count)
            each = 2.0 * blocks[:, 0] / (3.0 * BOLTZMANN * blocks[:, 1])
            error = each.std(axis=0, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 3 else np.full(mean.shape, np.nan)
        return mean, error

    def state(self) -> dict[str, np.ndarray]:
        return self._blocks.state()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self._blocks.restore(arrays)


def count_molecules(simulation: Simulation, edges: FloatArray, n_species: int) -> IntArray:
    """(n_species, n_bins) molecules by distance from the core, in equal bins; those beyond the last edge are left out."""
    n_bins = len(edges) - 1
    bins = (simulation.distance / edges[1]).astype(np.int64)
    within = bins < n_bins
    flat = simulation.topology.molecule_species[within] * n_bins + bins[within]
    return np.bincount(flat, minlength=n_species * n_bins).reshape(n_species, n_bins)
