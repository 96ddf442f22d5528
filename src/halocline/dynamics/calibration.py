"""Calibration of the thermodynamic force: windows of open dynamics, each judged and, if need be, followed by an update.

The i-th update uses the fraction c_i = c0/(1 + i c0) of the full one, so that the tables settle instead of following the noise of
the density. When to update, to lengthen and to stop is decided in :mod:`halocline.dynamics.calibration_windows`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from halocline.adress.regions import BoolArray, Regions
from halocline.adress.target_profile import target_profile
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.calibration_integral import best_integral, with_integral
from halocline.dynamics.calibration_runs import Builder, WindowEnd, WindowTask, end_path, remove_window, run_replicas
from halocline.dynamics.calibration_windows import (
    LIMITED,
    STREAK,
    UPDATED,
    CalibrationSettings,
    Window,
    has_converged,
    is_limited_by_noise,
    judge,
    next_length,
)
from halocline.dynamics.overlaps import refuse_overlaps
from halocline.execute.base import Executor
from halocline.files import read_json, write_json
from halocline.progress import Progress, Silent
from halocline.state import State
from halocline.topology import FloatArray

UNKNOWN = 1e30
"""An error that is not known, in files."""


@dataclass(frozen=True)
class Calibration:
    """The outcome.

    Attributes:
        force: the tables that were found flat, or the mean of the last ones if none were, with the best integral.
        windows: all, in order.
        converged: whether the tolerance was met before the iterations ran out.
        limited_by_noise: whether it ended because the density was not known well enough, without a significant deviation.
        state, inside: where the last window (of the first replica) ended.
        integral, integral_error: (n_species,) INT F_in dx, eV.
        asked, asked_error: the same from the densities of the windows alone, without what was known before them.
    """

    force: ThermodynamicForce
    windows: list[Window]
    converged: bool
    limited_by_noise: bool
    state: State
    inside: BoolArray
    integral: FloatArray
    integral_error: FloatArray
    asked: FloatArray
    asked_error: FloatArray


def calibrate(
    build: Builder,
    start: State,
    regions: Regions,
    force: ThermodynamicForce,
    settings: CalibrationSettings,
    folder: Path,
    progress: Progress | None = None,
    workers: Executor | int = 1,
    may_overlap: bool = False,
) -> Calibration:
    """Iterate until the density is flat or the iterations run out; continues what ``folder`` holds.

    Args:
        build: makes the simulation of one replica of one window.
        start: equilibrated configuration.
        regions: at the beginning; moving ones follow in the runs.
        force: first tables.
        folder: for windows.json, checkpoints and the ends of windows.
        workers: executor or number of processes, where there are several replicas.
        may_overlap: whether ``start`` may hold molecules on top of each other, as an ideal gas and a reservoir of tracers do.

    Raises:
        UserError: the tables do not fit the regions or lack a species, or molecules overlap at the start.
        RunFailure: a window blew up.
    """
    progress = progress or Silent()
    topology = start.topology
    force.check(topology.species, regions)
    mean = np.bincount(topology.molecule_species, minlength=len(topology.species)) / start.volume
    density = mean if settings.density is None else np.full(len(mean), settings.density)
    windows, ends = _read(folder, settings.replicas)
    if not windows and not may_overlap:
        refuse_overlaps(start)
    while steps := next_length(windows, settings):
        number = len(windows)
        current = force.copy(np.array(windows[-1].updated) if windows else None)
        tasks = [_task(current, start, ends, number, replica, steps, settings, folder) for replica in range(settings.replicas)]
        ends = run_replicas(build, settings, tasks, workers, _words(windows, steps, settings), progress)
        volumes, power = np.mean([end.volumes for end in ends], axis=0), float(np.mean([end.power for end in ends]))
        updates = sum(window.outcome == UPDATED for window in windows)
        counts = [end.counts for end in ends]
        shape = _shape(settings, float(mean.sum()), regions, current, volumes, start.volume)
        window = judge(counts, volumes, regions, current, density, settings, steps, updates, power, shape)
        windows.append(settled(window, windows, force, regions, settings) if window.outcome == UPDATED else window)
        write_json(folder / "windows.json", [_plain(asdict(window)) for window in windows])
        remove_window(folder, number, settings.replicas)
        progress.log(_report(windows))
    converged = has_converged(windows, settings.tolerance)
    used = windows[-STREAK:] if converged else _last(windows)
    result = force.copy(np.mean([window.tables if converged else window.updated for window in used], axis=0))
    integral = integral_of(windows, force, settings)
    result = with_integral(result, regions, integral[0], settings.response.weight_power)
    asked = integral_of(windows, force, settings, math.inf)
    limited = not converged and is_limited_by_noise(windows, settings.tolerance)
    return Calibration(result, windows, converged, limited, ends[0].state(start), ends[0].inside, *integral, *asked)


def _task(
    force: ThermodynamicForce, start: State, ends: Sequence[WindowEnd], number: int, replica: int, steps: int,
    settings: CalibrationSettings, folder: Path,
) -> WindowTask:  # fmt: skip
    discard = int(settings.discard * steps)
    if ends:
        end = ends[replica]
        return WindowTask(force, end.state(start), end.inside, number, replica, steps, discard, folder, end.heating)
    # The first replica goes on as it comes; the others draw velocities of their own.
    state = start if replica == 0 else replace(start, velocities=None)
    return WindowTask(force, state, None, number, replica, steps, discard, folder, {})


def _shape(
    settings: CalibrationSettings, mean: float, regions: Regions, force: ThermodynamicForce, volumes: FloatArray, volume: float
) -> FloatArray | float:
    """Target profile over the target density of AT; it falls to what a closed box leaves to the reservoir."""
    if settings.density is None:
        return 1.0
    return target_profile(settings.density, mean, regions, force.centres, force.window[1], volumes, volume) / settings.density


def _words(windows: Sequence[Window], steps: int, settings: CalibrationSettings) -> str:
    spent = sum(window.steps for window in windows) + steps
    share = f"{spent / settings.steps:.3g} of at most {settings.iterations} window lengths"
    return f"window {len(windows) + 1} ({share})" + (f", {settings.replicas} replicas" if settings.replicas > 1 else "")


def _report(windows: Sequence[Window]) -> str:
    deviation, error = windows[-1].worst()
    outcome = windows[-1].outcome + (", table kept and window doubled" if windows[-1].outcome == LIMITED else "")
    return f"window {len(windows)}: largest deviation {100 * deviation:+.1f} ± {100 * error:.1f} %, {outcome}"


def _last(windows: Sequence[Window]) -> list[Window]:
    """The last third: their tables are averaged."""
    return list(windows[-max(1, -(-len(windows) // 3)) :])


def settled(window: Window, before: Sequence[Window], first: ThermodynamicForce, regions: Regions, settings: CalibrationSettings) -> Window:
    """A window whose new tables have the best integral after all windows, itself included."""
    value = integral_of([*before, window], first, settings)[0]
    return window.moved_to(with_integral(first.copy(np.array(window.updated)), regions, value, settings.response.weight_power))


def integral_of(
    windows: Sequence[Window], first: ThermodynamicForce, settings: CalibrationSettings, first_error: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """(n_species,) best INT F_in dx after these windows, and its error, eV; ``first_error`` takes the place of that of the settings."""
    asked, errors, corrections = (
        np.array([getattr(window, name) for window in windows]) for name in ("asked", "asked_error", "correction")
    )
    lengths, known = [window.steps for window in windows], settings.first_error if first_error is None else first_error
    found = np.array(
        [
            best_integral(value, known, asked[:, kind], errors[:, kind], corrections[:, kind], lengths)
            for kind, value in enumerate(first.inward_integral())
        ]
    )
    found[list(settings.followed)] = 0.0
    return found[:, 0], found[:, 1]


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: an unknown error is written as a huge one."""
    return {
        key: value if isinstance(value, (str, int)) else np.nan_to_num(np.array(value), posinf=UNKNOWN).tolist()
        for key, value in data.items()
    }


def _infinite(data: dict[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`_plain`."""
    return {
        key: value if isinstance(value, (str, int)) else np.where(np.array(value) >= UNKNOWN, np.inf, np.array(value)).tolist()
        for key, value in data.items()
    }


def _read(folder: Path, replicas: int) -> tuple[list[Window], list[WindowEnd]]:
    """Finished windows, and where the replicas stand after them."""
    if not (folder / "windows.json").exists():
        return [], []
    windows = [Window(**_infinite(item)) for item in read_json(folder / "windows.json")]
    return windows, [WindowEnd.read(end_path(folder, len(windows), replica)) for replica in range(replicas)]
