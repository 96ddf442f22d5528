"""Calibrate: the thermodynamic force that makes the density of the open system flat."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halocline.adress.coupling.make import make_coupling
from halocline.adress.force_start import start_from_file
from halocline.adress.regions import Regions
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.dynamics.bulk import BulkResult, bulk_pressure
from halocline.dynamics.calibration import Calibration, calibrate
from halocline.dynamics.calibration_runs import WindowTask
from halocline.dynamics.calibration_windows import CalibrationSettings, Window
from halocline.dynamics.heat_ledger import needed_friction
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.overlaps import refuse_overlaps
from halocline.dynamics.simulation import Hook, Simulation
from halocline.errors import RunFailure, UserError
from halocline.execute.base import make_executor
from halocline.files import read_arrays, write_arrays
from halocline.potentials.base import Potential
from halocline.progress import Silent
from halocline.results import Number, StageResult, Table
from halocline.stages._assembly import (
    MONITOR_INTERVAL,
    OpenStart,
    coarse_of,
    density_of,
    fine_of,
    force_settings,
    integrator_of,
    open_simulation,
    regions_of,
    relaxed_box,
    steps_of,
    write_open_start,
)
from halocline.stages._calibration_figures import convergence_figure, force_figure, integral_figure, profile_figure
from halocline.stages._classical import is_ideal, species_of, step_seconds
from halocline.stages._compensation import FILE as COMPENSATION
from halocline.stages._compensation import balance, integrate_compensation, is_compensated, measure_compensation
from halocline.stages._compensation import figure as compensation_figure
from halocline.stages._compensation import numbers as compensation_numbers
from halocline.stages.base import Context, Cost, Stage
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import BAR, KILOJOULE_PER_MOLE, thermal_energy

SAMPLE = 20.0
"""fs between samples of the density."""
REPLICA_SEED = 100_000
"""Distance between the seeds of replicas."""
ATOM_STEP = 25e-6
"""CPU seconds of an atom and step of the open system, for the estimate."""
RESERVOIR_FACTOR = "n kT kappa_T of the reservoir"
"""Number of this stage that the observable of the number in AT uses."""
LARGEST_UNCERTAINTY = 1.0
"""Relative error beyond which a measured compressibility is refused."""
LARGEST_TENSION = 1000.0 * BAR
"""A liquid under more tension than this is near its spinodal: molecules leave an open region and a cavity forms in it."""


@dataclass(frozen=True)
class Pressures:
    """Of the atomistic liquid and of the reservoir at the same density and temperature, eV/Å^3 with errors."""

    atomistic: float
    atomistic_error: float
    reservoir: float
    reservoir_error: float
    n_effective: float
    compressibility: float = math.nan
    compressibility_error: float = math.nan
    reservoir_compressibility: float = math.nan
    reservoir_compressibility_error: float = math.nan


class CalibrateStage(Stage):
    """Bulk pressures, warm start, then windows of open dynamics until the density is flat within the tolerance."""

    name = "calibrate"
    needs = ("build", "train")
    uses = ("system", "regions", "coupling", "dynamics", "calibration")
    version = 2
    uses_classical = ("force_field", *uses)

    def run(self, context: Context) -> StageResult:
        """Files: ``force`` (thermodynamic_force.json) and ``state`` (state.h5).

        Raises:
            UserError: regions that do not fit, a transition layer thinner than the reach of the atomistic model, a start whose
                table does not fit, or overlapping molecules.
            RunFailure: a run blew up; finished windows are kept.
        """
        study = context.study
        regions = regions_of(study, fine_of(context).interaction_range)
        check_start(study)
        pressures, start = _bulk_runs(context)
        force, origin = first_force(study, regions, start, pressures)
        first = force.tables.copy()
        may_overlap = is_compensated(study) or (study.is_classical and all(is_ideal(molecule) for molecule in species_of(study)))
        if is_compensated(study):
            start = _compensate(context, start, force)
        build = functools.partial(build_window, dataclasses.replace(context, progress=Silent()))
        arguments = (settings_of(study, pressures), context.folder, context.progress, make_executor(study.execute), may_overlap)
        outcome = calibrate(build, start, regions, force, *arguments)
        details = {
            "converged": outcome.converged,
            "limited by noise": outcome.limited_by_noise,
            "windows": len(outcome.windows),
            # What a reservoir of tracers does not have stays out.
            "pressures": {name: value for name, value in dataclasses.asdict(pressures).items() if math.isfinite(value)},
            "origin": origin,
        }
        outcome.force.save(context.folder / "thermodynamic_force.json", force_settings(context), details)
        write_open_start(context.folder / "state.h5", OpenStart(outcome.state, outcome.inside))
        result = _result(study, regions, outcome, pressures, first, density_of(start))
        if is_compensated(study):
            result.numbers += compensation_numbers(balance(context.folder, outcome))
            result.figures.append(compensation_figure(context.folder))
            result.files["compensation"] = COMPENSATION
        warning = tension_warning(pressures)
        if warning is not None:
            context.progress.log(f"warning: {warning}")
            result.summary += f"; {warning}"
            result.tables.append(Table("calibration-fails", "State point", ["what", "what to do"], [[warning, TENSION_REMEDY]]))
        return result

    def cost(self, study: Study) -> Cost:
        section = study.calibration
        molecules = sum(study.system.molecules.values())
        step = step_seconds(study) if study.is_classical else 3 * molecules * ATOM_STEP
        time = 2 * section.bulk + section.iterations * section.replicas * section.window
        replicas = f", {section.replicas} replicas of each" if section.replicas > 1 else ""
        words = f"two bulk runs of {section.bulk / 1e3:g} ps, at most {section.iterations} windows of {section.window / 1e3:g} ps{replicas}"
        return Cost(steps_of(study, time) * step, words)


def _compensate(context: Context, start: State, force: ThermodynamicForce) -> State:
    """Measure the free-energy compensation, and start the calibration where that ended."""
    study = context.study
    refuse_overlaps(start)
    if study.coupling.compensation == "kirkwood":
        return integrate_compensation(study, start, fine_of(context), coarse_of(context), context.folder, context.progress)
    section = study.coupling.model_copy(update={"compensation": "on-the-fly"})
    coupling = make_coupling(section, fine_of(context), coarse_of(context))
    simulation = open_simulation(context, start, None, force, study.system.seed + 50, [], 0, coupling)
    window, every = steps_of(study, study.calibration.window), steps_of(study, study.dynamics.checkpoint)
    return measure_compensation(simulation, window, context.folder, every, context.progress)


def build_window(context: Context, task: WindowTask, hooks: list[Hook]) -> Simulation:
    """The open system of one replica; importable, so that replicas can be built in other processes."""
    seed = context.study.system.seed + 100 + task.number + REPLICA_SEED * task.replica
    every: list[Hook] = [Monitor(MONITOR_INTERVAL), *hooks]
    return open_simulation(context, task.start, task.inside, task.force, seed, every, task.discard)


def tension_warning(pressures: Pressures) -> str | None:
    """Words about an atomistic liquid that is too far below its own density to stay whole, or None.

    A closed box holds a stretched liquid together; an open region does not, because its molecules can leave into a
    reservoir whose pressure is higher.
    """
    if pressures.atomistic + 2.0 * pressures.atomistic_error > -LARGEST_TENSION:
        return None
    value = Number("", pressures.atomistic / BAR, "bar", pressures.atomistic_error / BAR)
    return f"the atomistic model is under tension at this density ({value}): the open region may cavitate"


TENSION_REMEDY = "Raise system.density towards the density at which this level of theory has no pressure, or use another level."


def settings_of(study: Study, pressures: Pressures) -> CalibrationSettings:
    """As the study says, with the measured compressibility where it asks for that.

    Raises:
        RunFailure: the bulk run was too short to measure it.
    """
    given = study.calibration.compressibility
    if given == "measured":
        given = pressures.compressibility
        if not pressures.compressibility_error < LARGEST_UNCERTAINTY * given:
            raise RunFailure(
                f"the compressibility is {given:.3g} ± {pressures.compressibility_error:.2g} A3/eV, too uncertain to scale updates",
                "bulk run of the calibration",
                "Lengthen calibration.bulk, or state calibration.compressibility.",
            )
    section = study.calibration
    return CalibrationSettings(
        steps_of(study, section.window),
        section.discard,
        section.iterations,
        section.tolerance,
        section.smoothing,
        section.damping,
        given,
        steps_of(study, SAMPLE),
        steps_of(study, study.dynamics.checkpoint),
        section.replicas,
        study.dynamics.heating,
        steps_of(study, study.dynamics.heating_time),
        followed_species(study),
        section.border,
    )


def followed_species(study: Study) -> tuple[int, ...]:
    """Indices of the species that the regions move with."""
    return tuple(index for index, name in enumerate(study.system.molecules) if name == study.regions.follow)


def first_force(study: Study, regions: Regions, start: State, pressures: Pressures) -> tuple[ThermodynamicForce, dict[str, Any]]:
    """The first tables by ``calibration.start``, and where they come from.

    Raises:
        UserError: there is no such file, or its table does not fit.
    """
    if study.calibration.start == "pressure":
        return warm_start(study, regions, start, pressures), {"start": "pressure"}
    if study.calibration.start == "zero":
        return _empty_force(study, regions, start), {"start": "zero"}
    return start_from_file(Path(study.calibration.start), _empty_force(study, regions, start), regions)


def check_start(study: Study) -> None:
    """Refuse a start that does not exist, before any run."""
    start = study.calibration.start
    if start not in ("pressure", "zero") and not Path(start).is_file():
        remedy = "Give 'pressure', 'zero' or the path of a thermodynamic_force.json, from the folder where halocline runs."
        raise UserError(f"calibration.start is '{start}', and there is no such file", "study file: calibration.start", remedy)


def _empty_force(study: Study, regions: Regions, start: State) -> ThermodynamicForce:
    window = (regions.atomistic, regions.outer + study.calibration.margin)
    return ThermodynamicForce(start.topology.species, regions.reach, study.calibration.bin, window)


def warm_start(study: Study, regions: Regions, start: State, pressures: Pressures) -> ThermodynamicForce:
    """Tables whose integral balances the momentum flux of the two bulk liquids."""
    margin, force = study.calibration.margin, _empty_force(study, regions, start)
    integral = (pressures.atomistic - pressures.reservoir) / density_of(start)
    # Without a margin the force acts inside the layer alone, and still needs a few bins to act in.
    reach = min(max(margin, 4.0 * force.width), 0.5 * regions.transition)
    integrals = np.full(len(force.species), integral)
    integrals[list(followed_species(study))] = 0.0
    force.warm_start(integrals, regions.outer - reach, regions.outer + margin)
    return force


def _bulk_runs(context: Context) -> tuple[Pressures, State]:
    """Pressures of both potentials, and the equilibrated full-resolution configuration."""
    start = relaxed_box(context)
    atomistic, state = _bulk(context, start, fine_of(context), "atomistic", "pressure of the atomistic model")
    if context.study.coupling.reservoir == "tracer":
        ideal = density_of(start) * thermal_energy(context.study.system.temperature)
        return Pressures(atomistic[0], atomistic[1], ideal, 0.0, atomistic[2], *atomistic[3:]), state
    reservoir, _ = _bulk(context, state, coarse_of(context), "reservoir", "pressure of the reservoir")
    effective = min(atomistic[2], reservoir[2])
    return Pressures(atomistic[0], atomistic[1], reservoir[0], reservoir[1], effective, *atomistic[3:], *reservoir[3:]), state


def _bulk(context: Context, start: State, potential: Potential, name: str, words: str) -> tuple[list[float], State]:
    """(pressure, error, effective samples) and the last configuration; done once."""
    study, path = context.study, context.folder / f"bulk-{name}.npz"
    if not path.exists():
        section = study.dynamics
        result: BulkResult = bulk_pressure(
            start,
            potential,
            study.system.temperature,
            section.friction_reference,
            section.timestep,
            steps_of(study, study.calibration.bulk),
            study.calibration.discard,
            study.system.seed + 10,
            checkpoint=(context.folder / f"bulk-{name}-run.npz", steps_of(study, section.checkpoint)),
            progress=context.progress,
            description=words,
            make_mover=integrator_of(study),
        )
        assert result.state.velocities is not None
        values = np.array([result.pressure, result.error, result.n_effective, result.compressibility, result.compressibility_error])
        write_arrays(path, values=values, positions=result.state.positions, velocities=result.state.velocities)
    arrays = read_arrays(path)
    state = State(arrays["positions"], start.cell, start.topology, arrays["velocities"], start.periodic, dict(start.info))
    return arrays["values"].tolist(), state


def _result(study: Study, regions: Regions, outcome: Calibration, pressures: Pressures, first: FloatArray, density: float) -> StageResult:
    last = outcome.windows[-1]
    deviation, error = last.worst()
    expected = (pressures.atomistic - pressures.reservoir) / density
    expected_error = math.hypot(pressures.atomistic_error, pressures.reservoir_error) / density
    tolerance = study.calibration.tolerance
    words = f"{100 * deviation:+.1f} ± {100 * error:.1f} %" if error < 1 else f"{100 * deviation:+.1f} % (error unknown, windows too short)"
    state = "converged" if outcome.converged else "NOT converged (limited by noise)" if outcome.limited_by_noise else "NOT converged"
    summary = (
        f"thermodynamic force {state} after {len(outcome.windows)} windows: the largest density deviation is {words}, "
        f"tolerance {100 * tolerance:g} %"
    )
    if outcome.limited_by_noise:
        summary += "; no deviation is significant, longer windows (calibration.window, calibration.replicas) would decide"
    effective, unit = pressures.n_effective, KILOJOULE_PER_MOLE
    numbers = [
        Number("pressure of the atomistic model", pressures.atomistic / BAR, "bar", pressures.atomistic_error / BAR, effective),
        Number("compressibility", pressures.compressibility * BAR, "/bar", pressures.compressibility_error * BAR, effective),
        Number("pressure of the reservoir", pressures.reservoir / BAR, "bar", pressures.reservoir_error / BAR, effective),
        Number("expected pressure difference per molecule", expected / unit, "kJ/mol", expected_error / unit, effective),
        *(
            Number(f"integral of the thermodynamic force ({name})", value / unit, "kJ/mol", spread / unit, len(outcome.windows))
            for name, value, spread in zip(outcome.force.species, outcome.integral, outcome.integral_error)
        ),
        Number("density deviation in AT, last window", 100 * last.blocks[0][0], "%", 100 * last.block_errors[0][0]),
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
        convergence_figure(outcome.windows, tolerance),
        integral_figure(outcome, expected, expected_error),
    ]
    return StageResult(summary, numbers, figures, files={"force": "thermodynamic_force.json", "state": "state.h5"})


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
