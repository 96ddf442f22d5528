"""What a calibration has to say: numbers, figures and one sentence."""

from __future__ import annotations

import math
from pathlib import Path

from halocline.adress.regions import Regions
from halocline.config.study import Study
from halocline.dynamics.calibration import Calibration
from halocline.dynamics.calibration_windows import STREAK, Window
from halocline.dynamics.heat_ledger import needed_friction
from halocline.results import Number, StageResult
from halocline.stages._bulk_runs import Pressures
from halocline.stages._calibration_figures import convergence_figure, force_figure, integral_figure, profile_figure
from halocline.stages._compensation import is_compensated, left_over
from halocline.stages._first_force import followed_species, is_pressure_balance, pressure_difference
from halocline.stages._target_density import FILE, ROLE, TargetDensity
from halocline.topology import FloatArray
from halocline.units import BAR, KILOJOULE_PER_MOLE, thermal_energy

RESERVOIR_FACTOR = "n kT kappa_T of the reservoir"
"""Number of this stage that the observable of the number in AT uses."""


def calibration_result(
    study: Study, regions: Regions, outcome: Calibration, pressures: Pressures, first: FloatArray, density: float,
    target: TargetDensity | None = None, folder: Path | None = None,
) -> StageResult:  # fmt: skip
    """The result of the stage.

    Args:
        first: (n_species, n_bins) tables that the calibration began with, eV/Å.
        density: of the box, molecules/Å^3.
        target: the density of AT, where it is another one.
        folder: of the stage, with what the windows left there of drift forces.
    """
    last = outcome.windows[-1]
    deviation, error = last.worst()
    expected, balance, note = expected_integral(study, outcome, pressures, density, target, folder)
    tolerance = study.calibration.tolerance
    words = f"{100 * deviation:+.1f} ± {100 * error:.1f} %" if error < 1 else f"{100 * deviation:+.1f} % (error unknown, windows too short)"
    state = "converged" if outcome.converged else "NOT converged (limited by noise)" if outcome.limited_by_noise else "NOT converged"
    summary = (
        f"thermodynamic force {state} after {len(outcome.windows)} windows: the largest density deviation is {words}, "
        f"tolerance {100 * tolerance:g} %"
    )
    if outcome.limited_by_noise:
        summary += "; no deviation is significant, longer windows (calibration.window, calibration.replicas) would decide"
    summary += note
    effective = pressures.n_effective
    numbers = [
        Number("pressure of the atomistic model", pressures.atomistic / BAR, "bar", pressures.atomistic_error / BAR, effective),
        Number("compressibility", pressures.compressibility * BAR, "/bar", pressures.compressibility_error * BAR, effective),
        Number("pressure of the reservoir", pressures.reservoir / BAR, "bar", pressures.reservoir_error / BAR, effective),
        *balance,
        *integral_numbers(outcome),
        *core_numbers(study, last),
        Number("largest density deviation, last window", 100 * deviation, "%", 100 * error),
        Number("windows", len(outcome.windows)),
    ]
    needed, words = friction_needed(study, last)
    numbers += needed
    summary += words
    if math.isfinite(pressures.reservoir_compressibility_error):
        factor = density * thermal_energy(study.system.temperature)
        value, spread = factor * pressures.reservoir_compressibility, factor * pressures.reservoir_compressibility_error
        numbers.append(Number(RESERVOIR_FACTOR, value, "", spread, effective))
    figures = [
        profile_figure(outcome, regions),
        force_figure(outcome, first),
        convergence_figure(outcome.windows, tolerance, first_judged(study), place_of(study)),
        integral_figure(outcome, expected, is_compensated(study)),
    ]
    result = StageResult(summary, numbers, figures, files={"force": "thermodynamic_force.json", "state": "state.h5"})
    if target is not None:
        result.summary += f"; target density {target.numbers()[1]}, from mu_ex {target.numbers()[0]}"
        result.numbers[:0], result.files[ROLE] = target.numbers(), FILE
        result.tables.append(target.table())
    return result


def expected_integral(
    study: Study, outcome: Calibration, pressures: Pressures, density: float, target: TargetDensity | None, folder: Path | None
) -> tuple[tuple[float, float] | None, list[Number], str]:
    """INT F_in dx by the balance of momentum and its error in eV, the numbers that say so, and words where it cannot be judged.

    A compensation that was frozen before the windows leaves drift forces, whose momentum the windows have measured: the thermodynamic
    force carries the pressure difference less that.
    """
    if not is_pressure_balance(study):
        return None, [], ""
    difference, effective = pressure_difference(study, pressures, density, target), pressures.n_effective
    numbers = [_per_molecule("expected pressure difference per molecule", difference, effective)]
    if not is_compensated(study):
        return difference, numbers, ""
    windows = outcome.windows
    used = range(len(windows) - (STREAK if outcome.converged else max(1, -(-len(windows) // 3))), len(windows))
    left = None if folder is None else left_over(folder, used, study.calibration.replicas, density)
    if left is None:
        words = "the balance of momentum is not judged: what the compensation leaves of the drift forces was not measured"
        return None, [], f"; {words}"
    expected = (difference[0] - left[0], math.hypot(difference[1], left[1]))
    numbers.append(_per_molecule("of which drift forces carry", left, float(len(used))))
    numbers.append(_per_molecule("expected integral of the thermodynamic force", expected, min(effective, float(len(used)))))
    return expected, numbers, ""


def _per_molecule(words: str, value: tuple[float, float], effective: float) -> Number:
    difference, error = (item / KILOJOULE_PER_MOLE for item in value)
    return Number(words, difference, "kJ/mol", error, effective)


def integral_numbers(outcome: Calibration) -> list[Number]:
    """What the densities ask for alone, and what came of it together with the balance of momentum."""
    species, unit, windows = outcome.force.species, KILOJOULE_PER_MOLE, len(outcome.windows)
    asked = [
        Number(f"integral that the densities ask for ({name})", value / unit, "kJ/mol", spread / unit, windows)
        for name, value, spread in zip(species, outcome.asked, outcome.asked_error)
        if math.isfinite(spread)
    ]
    found = [
        Number(f"integral of the thermodynamic force ({name})", value / unit, "kJ/mol", spread / unit, windows)
        for name, value, spread in zip(species, outcome.integral, outcome.integral_error)
    ]
    return asked + found


def first_judged(study: Study) -> int:
    """The first species that has a thermodynamic force."""
    return next(index for index in range(len(study.system.molecules)) if index not in followed_species(study))


def place_of(study: Study) -> str:
    """Where the innermost density is judged."""
    return "at the inner end of the transition layer" if study.regions.follow else "in AT"


def core_numbers(study: Study, window: Window) -> list[Number]:
    """Deviation of each species that has a force in AT, or in what stands for it around a solute."""
    names, followed = list(study.system.molecules), followed_species(study)
    judged = [index for index in range(len(names)) if index not in followed]
    return [
        Number(
            f"density deviation {place_of(study)}, last window" + (f" ({names[index]})" if len(judged) > 1 else ""),
            100 * window.blocks[index][0],
            "%",
            100 * window.block_errors[index][0],
        )
        for index in judged
    ]


def friction_needed(study: Study, window: Window) -> tuple[list[Number], str]:
    """The friction that the heat of the last window asks for, and a warning where the study has less.

    The accepted rise of the temperature is ``dynamics.heating``.
    """
    if not math.isfinite(window.power) or window.layer <= 0:
        return [], ""
    rise = study.dynamics.heating * study.system.temperature
    needed, has = needed_friction(window.power, window.layer, rise), study.dynamics.friction_transition
    numbers = [
        Number("heating power of crossings, last window", 1e3 * window.power / KILOJOULE_PER_MOLE, "kJ/mol/ps"),
        Number("friction needed in the transition layer", 1e3 * needed, "/ps"),
    ]
    if needed <= has:
        return numbers, ""
    what = f"the heat of crossings needs a friction of {1e3 * needed:.3g} /ps to stay within {rise:.3g} K, the transition layer has"
    return numbers, f"; {what} {1e3 * has:.3g} /ps: raise dynamics.friction_transition"
