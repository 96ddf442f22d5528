"""The runs of one window: replicas side by side in processes, each with its own state, none lost when the program is killed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halocline.adress.regions import BoolArray
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.calibration_windows import CalibrationSettings
from halocline.dynamics.checkpoint import CheckpointHook, has_checkpoint, previous_path, read_checkpoint
from halocline.dynamics.monitors import HeatingMonitor
from halocline.dynamics.recording import ProfileHook
from halocline.dynamics.simulation import Hook, Simulation
from halocline.execute.base import Executor, run_tasks
from halocline.files import read_arrays, write_arrays
from halocline.progress import Progress, Silent
from halocline.state import State
from halocline.topology import FloatArray, IntArray

VOLUME_SAMPLES = 40
"""How often the volumes of the shells of moving regions are measured in a window."""


@dataclass(frozen=True)
class WindowTask:
    """One replica of one window; plain data that can be sent to another process.

    Attributes:
        force: tables of the window.
        start: configuration; without velocities they are drawn.
        inside: members of S1, or None to place them by distance.
        number: of the window, from zero. replica: from zero.
        steps, discard: of the window and of its dropped first part.
        folder: for checkpoints and the end of the window.
        heating: state of the heating monitor at the end of the window before.
    """

    force: ThermodynamicForce
    start: State
    inside: BoolArray | None
    number: int
    replica: int
    steps: int
    discard: int
    folder: Path
    heating: dict[str, np.ndarray]

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"window-{_label(self.number, self.replica)}.npz"

    @property
    def end(self) -> Path:
        """Written when the window is over; says that it is."""
        return end_path(self.folder, self.number + 1, self.replica)


@dataclass(frozen=True)
class WindowEnd:
    """What a replica leaves: counts (n_samples, n_species, n_bins), shell volumes in Å^3, its configuration, heating power in eV/fs."""

    counts: IntArray
    volumes: FloatArray
    positions: FloatArray
    velocities: FloatArray
    inside: BoolArray
    power: float
    heating: dict[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> WindowEnd:
        arrays = read_arrays(path)
        heating = {key.removeprefix("heating."): value for key, value in arrays.items() if key.startswith("heating.")}
        places = (arrays["positions"], arrays["velocities"], arrays["inside"])
        return cls(arrays["counts"], arrays["volumes"], *places, float(arrays["power"]), heating)

    def state(self, start: State) -> State:
        return State(self.positions, start.cell, start.topology, self.velocities, start.periodic, dict(start.info))


Builder = Callable[[WindowTask, list[Hook]], Simulation]
"""(replica of a window, hooks) -> its simulation, at the beginning of the dropped part. With several replicas it must be importable."""


def end_path(folder: Path, windows: int, replica: int) -> Path:
    """Where a replica stands after so many windows."""
    return folder / f"end-{_label(windows, replica)}.npz"


def _label(number: int, replica: int) -> str:
    return f"{number}" if replica == 0 else f"{number}-replica-{replica}"


def run_replicas(
    build: Builder, settings: CalibrationSettings, tasks: Sequence[WindowTask], workers: Executor | int, words: str, progress: Progress
) -> list[WindowEnd]:
    """All replicas of a window; one alone runs in this process, several side by side.

    Raises:
        RunFailure: a replica failed. What the others finished is kept.
    """
    if len(tasks) == 1:
        run_window(build, settings, tasks[0], words, progress)
    else:
        work = functools.partial(run_window, build, settings)
        failures = [value for _, value in run_tasks(work, tasks, workers, words, progress) if isinstance(value, Exception)]
        if failures:
            raise failures[0]
    return [WindowEnd.read(task.end) for task in tasks]


def run_window(
    build: Builder, settings: CalibrationSettings, task: WindowTask, words: str = "", progress: Progress | None = None
) -> Path:  # fmt: skip
    """One replica of a window, from its last checkpoint if there is one; returns the file of its end.

    Raises:
        RunFailure: the run blew up or a region left its temperature; the last checkpoint is kept.
    """
    if task.end.exists():
        return task.end
    profile = ProfileHook(task.force.edges, len(task.force.species), settings.sample)
    volumes = ShellVolumeHook(task.force.edges, max(1, (task.steps - task.discard) // VOLUME_SAMPLES))
    heating = HeatingMonitor(settings.heating, settings.heating_steps, task.checkpoint, during_equilibration=True)
    heating.restore(task.heating)
    simulation = build(task, [profile, volumes, heating, CheckpointHook(task.checkpoint, settings.checkpoint)])
    if has_checkpoint(task.checkpoint):
        read_checkpoint(simulation, task.checkpoint)
    with (progress or Silent()).task(words, task.steps, simulation.steps + task.discard) as bar:
        simulation.run(task.steps - task.discard, bar)
    state, power = simulation.state, heating_power(simulation)
    assert state.velocities is not None
    # The sums of the next window start at zero; the temperatures of the last few picoseconds go on.
    lasting = {"heating.energy": np.zeros(3), "heating.degrees": np.zeros(3), "heating.pieces": heating.state()["pieces"]}
    arrays = {"counts": profile.counts, "volumes": volumes.mean(simulation), "power": np.array(power), **lasting}
    write_arrays(task.end, positions=state.positions, velocities=state.velocities, inside=simulation.inside, **arrays)
    return task.end


def heating_power(simulation: Simulation) -> float:
    """Mean heat of a crossing times crossings per time, and that of changes within S1, eV/fs; infinite where it is not known."""
    ledger, time = simulation.ledger, simulation.time
    if not simulation.coupling.is_hamiltonian:
        return ledger.external / time
    if ledger.flips == 0:
        return ledger.inner / time
    heat = ledger.heat_per_crossing()[0]
    return (0.5 * ledger.flips * heat + ledger.inner) / time if math.isfinite(heat) else math.inf


def remove_window(folder: Path, number: int, replicas: int) -> None:
    """Delete the checkpoints of a finished window and the ends of the one before it."""
    for replica in range(replicas):
        for path in (folder / f"window-{_label(number, replica)}.npz", end_path(folder, number, replica)):
            path.unlink(missing_ok=True)
            previous_path(path).unlink(missing_ok=True)


class ShellVolumeHook(Hook):
    """Mean volumes of shells between distances: those of regions that move and overlap change with time."""

    name = "shell volumes"

    def __init__(self, edges: FloatArray, interval: int) -> None:
        self.edges, self.interval = edges, interval
        self._sum, self._samples = np.zeros(len(edges) - 1), 0

    def __call__(self, simulation: Simulation) -> None:
        self._sum += self._volumes(simulation)
        self._samples += 1

    def mean(self, simulation: Simulation) -> FloatArray:
        """(n_bins,) Å^3; those of the present regions where nothing was sampled."""
        return self._sum / self._samples if self._samples else self._volumes(simulation)

    def state(self) -> dict[str, np.ndarray]:
        return {"sum": self._sum.copy(), "samples": np.array(self._samples)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self._sum, self._samples = arrays["sum"], int(arrays["samples"])

    def _volumes(self, simulation: Simulation) -> FloatArray:
        return simulation.regions.shell_volumes(self.edges, simulation.initial.cell)
