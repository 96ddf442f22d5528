"""Calibration of the thermodynamic force: windows of open dynamics, each followed by an update of the tables.

Window i uses the fraction c_i = c0/(1 + i/4) of the full update, so that the tables settle instead of following the noise of
the density. It has converged when the density of AT and of blocks of about 3 Å in Δ deviate from the target by no more than
the tolerance, known to better than the tolerance, in two windows in a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halocline.adress.regions import BoolArray, Regions
from halocline.adress.thermodynamic_force import ThermodynamicForce, update_prefactor
from halocline.dynamics.checkpoint import CheckpointHook, has_checkpoint, previous_path, read_checkpoint
from halocline.dynamics.recording import ProfileHook
from halocline.dynamics.simulation import Hook, Simulation
from halocline.dynamics.statistics import mean_and_error
from halocline.files import read_arrays, read_json, write_arrays, write_json
from halocline.progress import Progress, Silent
from halocline.state import State
from halocline.topology import FloatArray, IntArray

BLOCK = 3.0
"""Width of the blocks in which the density of Δ is judged, Å."""
UNKNOWN = 1e30
"""An error that is not known, in files."""
STREAK = 2
"""Windows in a row that must agree with the target."""


@dataclass(frozen=True)
class CalibrationSettings:
    """How to iterate; steps and sample are numbers of time steps, other quantities as in the study file.

    ``followed`` are species whose molecules the regions follow: they are at the centre by construction, and need no force.
    """

    steps: int
    discard: float
    iterations: int
    tolerance: float
    smoothing: float
    damping: float
    compressibility: float
    sample: int
    checkpoint: int
    followed: tuple[int, ...] = ()

    def fraction(self, window: int) -> float:
        """c_i of a window."""
        return self.damping / (1.0 + window / 4.0)


@dataclass(frozen=True)
class Window:
    """What one window saw, and the tables it used.

    Attributes:
        tables: (n_species, n_bins) eV/Å, during the window. updated: the same after it.
        density: (n_species, n_bins) relative to the target. error: standard errors.
        blocks: (n_species, n_blocks) relative deviations: AT first, then blocks of Δ from the inside out, the reservoir last.
        block_errors: standard errors.
        integral: (n_species,) INT F_in dx of ``updated``, eV.
    """

    tables: list[list[float]]
    updated: list[list[float]]
    density: list[list[float]]
    error: list[list[float]]
    blocks: list[list[float]]
    block_errors: list[list[float]]
    integral: list[float]

    def worst(self) -> tuple[float, float]:
        """Largest deviation in AT and Δ, by magnitude, and its error."""
        deviations, errors = np.array(self.blocks)[:, :-1].ravel(), np.array(self.block_errors)[:, :-1].ravel()
        index = int(np.argmax(np.abs(deviations)))
        return float(deviations[index]), float(errors[index])

    def agrees(self, tolerance: float) -> bool:
        """Whether every judged block is on target, and known to be."""
        errors = np.array(self.block_errors)[:, :-1]
        return abs(self.worst()[0]) <= tolerance and bool((errors <= tolerance).all())


@dataclass(frozen=True)
class Calibration:
    """The outcome.

    Attributes:
        force: mean of the last tables.
        windows: all, in order.
        converged: whether the tolerance was met before the iterations ran out.
        state, inside: where the last window ended.
        integral, integral_error: (n_species,) INT F_in dx, eV.
    """

    force: ThermodynamicForce
    windows: list[Window]
    converged: bool
    state: State
    inside: BoolArray
    integral: FloatArray
    integral_error: FloatArray


Builder = Callable[[ThermodynamicForce, State, BoolArray | None, int, list[Hook], int], Simulation]
"""(force, start, members of S1, number of the window, hooks, equilibration steps) -> simulation."""


def calibrate(
    build: Builder,
    start: State,
    regions: Regions,
    force: ThermodynamicForce,
    settings: CalibrationSettings,
    folder: Path,
    progress: Progress | None = None,
) -> Calibration:
    """Iterate until the density is flat or the iterations run out; continues what ``folder`` holds.

    Args:
        build: makes the simulation of one window.
        start: equilibrated configuration.
        force: first tables, from the warm start.
        folder: for windows.json and checkpoints.

    Raises:
        RunFailure: a window blew up.
    """
    progress = progress or Silent()
    topology = start.topology
    density = np.bincount(topology.molecule_species, minlength=len(topology.species)) / start.volume
    windows, state, inside = _read(folder, start)
    if windows:
        force.tables = np.array(windows[-1].updated)
    while len(windows) < settings.iterations and not has_converged(windows, settings.tolerance):
        number = len(windows)
        counts, state, inside = _run_window(build, state, inside, number, force, settings, folder, progress)
        window = _judge(counts, regions, force, density, start, settings, number)
        force.tables = np.array(window.updated)
        windows.append(window)
        _write(folder, windows, state, inside)
        deviation, error = window.worst()
        progress.log(f"window {number + 1}: largest deviation {100 * deviation:+.1f} ± {100 * error:.1f} %")
    used = _last(windows)
    force.tables = np.mean([window.updated for window in used], axis=0)
    integral, integral_error = _integral(force, used, density, settings)
    assert inside is not None
    converged = has_converged(windows, settings.tolerance)
    return Calibration(force, windows, converged, state, inside, integral, integral_error)


def has_converged(windows: Sequence[Window], tolerance: float) -> bool:
    """Whether the last windows all agree with the target."""
    return len(windows) >= STREAK and all(window.agrees(tolerance) for window in windows[-STREAK:])


def blocks_of(regions: Regions, edges: FloatArray) -> list[BoolArray]:
    """Masks of bins: AT, blocks of about 3 Å through Δ, the reservoir beyond the hysteresis."""
    centres = 0.5 * (edges[1:] + edges[:-1])
    n_blocks = max(1, round(regions.transition / BLOCK))
    borders = np.linspace(regions.atomistic, regions.outer, n_blocks + 1)
    transition = [(centres >= low) & (centres < high) for low, high in itertools.pairwise(borders)]
    beyond = centres >= regions.outer + regions.hysteresis
    judged = [mask for mask in (centres < regions.atomistic, *transition) if mask.any()]
    return [*judged, beyond if beyond.any() else centres >= regions.outer]


def _run_window(
    build: Builder, state: State, inside: BoolArray | None, number: int, force: ThermodynamicForce, settings: CalibrationSettings,
    folder: Path, progress: Progress,
) -> tuple[IntArray, State, BoolArray]:  # fmt: skip
    """Counts of molecules (n_samples, n_species, n_bins), and where the window ended."""
    discard = int(settings.discard * settings.steps)
    profile = ProfileHook(force.edges, len(force.species), settings.sample)
    checkpoint = folder / f"window-{number}.npz"
    hooks: list[Hook] = [profile, CheckpointHook(checkpoint, settings.checkpoint)]
    simulation = build(force, state, inside, number, hooks, discard)
    if has_checkpoint(checkpoint):
        read_checkpoint(simulation, checkpoint)
    with progress.task(f"window {number + 1} of at most {settings.iterations}", settings.steps, simulation.steps + discard) as bar:
        simulation.run(settings.steps - discard, bar)
    return profile.counts, simulation.state, simulation.inside


def _judge(
    counts: IntArray,
    regions: Regions,
    force: ThermodynamicForce,
    density: FloatArray,
    start: State,
    settings: CalibrationSettings,
    number: int,
) -> Window:
    """Densities with errors, and the update that follows."""
    expected = density[:, None] * regions.shell_volumes(force.edges, start.cell)
    bins = [[mean_and_error(series)[:2] for series in counts[:, kind].T] for kind in range(len(density))]
    values = np.array(bins) / expected[:, :, None]
    blocks = np.array([
        [_relative(counts[:, kind, mask].sum(1), float(expected[kind, mask].sum())) for mask in blocks_of(regions, force.edges)]
        for kind in range(len(density))
    ])  # fmt: skip
    before = force.tables.copy()
    blocks[list(settings.followed)] = [1.0, 0.0]
    values[list(settings.followed), :, 0] = 1.0
    force.update(values[:, :, 0] * density[:, None], density, settings.compressibility, settings.fraction(number), settings.smoothing)
    updated = force.tables.copy()
    return Window(
        before.tolist(),
        updated.tolist(),
        values[:, :, 0].tolist(),
        values[:, :, 1].tolist(),
        (blocks[:, :, 0] - 1.0).tolist(),
        blocks[:, :, 1].tolist(),
        force.inward_integral().tolist(),
    )


def _relative(series: IntArray, expected: float) -> tuple[float, float]:
    mean, error, _ = mean_and_error(series)
    return mean / expected, error / expected


def _last(windows: Sequence[Window]) -> list[Window]:
    """The last third: their tables are averaged."""
    return list(windows[-max(1, -(-len(windows) // 3)) :])


def _integral(
    force: ThermodynamicForce, used: Sequence[Window], density: FloatArray, settings: CalibrationSettings
) -> tuple[FloatArray, FloatArray]:
    """INT F_in dx of the averaged tables, and its error: what the density difference between AT and reservoir leaves open."""
    errors = np.array([np.array(window.block_errors)[:, [0, -1]] for window in used])
    scale = np.array([update_prefactor(float(value), settings.compressibility) * value for value in density])
    statistical = scale * np.sqrt((errors**2).sum(axis=(0, 2))) / len(used)
    spread = np.std([window.integral for window in used], axis=0)
    return force.inward_integral(), np.sqrt(statistical**2 + spread**2)


def _write(folder: Path, windows: Sequence[Window], state: State, inside: BoolArray) -> None:
    """The end of a window: its state first, for the list of windows says that it is there."""
    number = len(windows)
    assert state.velocities is not None
    write_arrays(folder / f"end-{number}.npz", positions=state.positions, velocities=state.velocities, inside=inside)
    write_json(folder / "windows.json", [_plain(asdict(window)) for window in windows])
    for path in (folder / f"window-{number - 1}.npz", folder / f"end-{number - 1}.npz"):
        path.unlink(missing_ok=True)
        previous_path(path).unlink(missing_ok=True)


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: an unknown error is written as a huge one."""
    return {key: np.nan_to_num(np.array(value), posinf=UNKNOWN).tolist() for key, value in data.items()}


def _infinite(data: dict[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`_plain`."""
    return {key: np.where(np.array(value) >= UNKNOWN, np.inf, np.array(value)).tolist() for key, value in data.items()}


def _read(folder: Path, start: State) -> tuple[list[Window], State, BoolArray | None]:
    if not (folder / "windows.json").exists():
        return [], start, None
    windows = [Window(**_infinite(item)) for item in read_json(folder / "windows.json")]
    end = read_arrays(folder / f"end-{len(windows)}.npz")
    state = State(end["positions"], start.cell, start.topology, end["velocities"], start.periodic, dict(start.info))
    return windows, state, end["inside"]
