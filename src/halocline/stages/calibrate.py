"""Calibrate: the thermodynamic force that makes the density of the open system flat."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from halocline.adress.coupling.make import make_coupling
from halocline.adress.density_response import DensityResponse
from halocline.adress.reservoir import reservoir_of
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.dynamics.calibration import calibrate
from halocline.dynamics.calibration_runs import WindowTask
from halocline.dynamics.calibration_windows import CalibrationSettings
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.overlaps import refuse_overlaps
from halocline.dynamics.simulation import Hook, Simulation
from halocline.execute.base import make_executor
from halocline.progress import Silent
from halocline.results import StageResult, Table
from halocline.stages._assembly import (
    MONITOR_INTERVAL,
    OpenStart,
    coarse_of,
    density_of,
    fine_of,
    force_settings,
    open_simulation,
    regions_of,
    steps_of,
    write_open_start,
)
from halocline.stages._bulk_runs import TENSION_REMEDY, bulk_runs, tension_warning
from halocline.stages._calibration_result import calibration_result
from halocline.stages._classical import is_ideal, species_of, step_seconds
from halocline.stages._compensation import FILE as COMPENSATION
from halocline.stages._compensation import LENGTH as COMPENSATION_WINDOWS
from halocline.stages._compensation import balance, drift_hook, integrate_compensation, is_compensated, measure_compensation
from halocline.stages._compensation import figure as compensation_figure
from halocline.stages._compensation import numbers as compensation_numbers
from halocline.stages._first_force import (
    check_start,
    empty_force,
    first_error,
    first_force,
    followed_species,
    is_pressure_balance,
    require_compressibilities,
)
from halocline.stages._insertion_cost import beads_seconds, target_seconds, target_words
from halocline.stages._reservoir_excess import is_measured, reservoir_excess
from halocline.stages._response import response_of
from halocline.stages._solve_target import solve_target
from halocline.stages._target_density import has_target
from halocline.stages.base import Context, Cost, Stage
from halocline.state import State

SAMPLE = 20.0
"""fs between samples of the density."""
REPLICA_SEED = 100_000
"""Distance between the seeds of replicas."""
ATOM_STEP = 25e-6
"""CPU seconds of an atom and step of the open system, for the estimate."""


class CalibrateStage(Stage):
    """Bulk pressures, warm start, then windows of open dynamics until the density is flat within the tolerance."""

    name = "calibrate"
    needs = ("build", "train")
    # Not dynamics.length, .record or .checkpoint: a longer run, or one that records more often, goes on with the force it has.
    uses = (
        *("system", "regions", "coupling", "calibration", "dynamics.timestep", "dynamics.force_cap"),
        *(f"dynamics.friction_{name}" for name in ("atomistic", "transition", "reservoir", "reference")),
        *("dynamics.heating", "dynamics.heating_time"),
    )
    version = 5
    uses_classical = ("force_field", *uses)

    def run(self, context: Context) -> StageResult:
        """Files: ``force`` (thermodynamic_force.json) and ``state`` (state.h5), ``compensation`` and ``target`` where they are measured.

        Raises:
            UserError: regions that do not fit, a transition layer thinner than the reach of the atomistic model, a start whose
                table does not fit, or overlapping molecules.
            RunFailure: a run blew up, or a compressibility or a density is not known well enough; finished windows are kept.
        """
        study = context.study
        regions = regions_of(study, fine_of(context).interaction_range)
        check_start(study)
        pressures, start = bulk_runs(context)
        settings, target = settings_of(study, response_of(study, pressures, context.progress.log)), None
        if has_target(study):
            if study.calibration.start == "pressure" or is_pressure_balance(study):
                require_compressibilities(study, pressures)
            target = solve_target(study, start, regions, empty_force(study, regions), context.folder, context.progress)
            settings = dataclasses.replace(settings, density=target.density)
        force, origin = first_force(study, regions, start, pressures, target)
        settings = dataclasses.replace(settings, first_error=first_error(study, pressures, density_of(start), target))
        first = force.tables.copy()
        may_overlap = is_compensated(study) or (study.is_classical and all(is_ideal(molecule) for molecule in species_of(study)))
        if is_compensated(study):
            start = _compensate(context, start, force)
        build = functools.partial(build_window, dataclasses.replace(context, progress=Silent()))
        arguments = (settings, context.folder, context.progress, make_executor(study.execute), may_overlap)
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
        result = calibration_result(study, regions, outcome, pressures, first, density_of(start), target, context.folder)
        if is_compensated(study):
            ideal = 0.0 if target is None else target.ideal_difference(study.system.temperature)
            parts = balance(context.folder, outcome, ideal, reservoir_excess(context, start))
            result.numbers += compensation_numbers(parts)
            result.figures.append(compensation_figure(context.folder))
            result.files["compensation"] = COMPENSATION
        if math.isfinite(settings.first_error) and np.array_equal(outcome.integral, outcome.asked):
            result.summary += "; the densities exclude the integral of the balance of momentum, which was dropped"
        warning = tension_warning(pressures)
        if warning is not None:
            context.progress.log(f"warning: {warning}")
            result.summary += f"; {warning}"
            result.tables.append(Table("calibration-fails", "State point", ["what", "what to do"], [[warning, TENSION_REMEDY]]))
        return result

    def version_of(self, study: Study) -> int:
        """One more where a compensation is measured: its numbers moved when the others did not."""
        return super().version_of(study) + is_compensated(study)

    def cost(self, study: Study) -> Cost:
        section = study.calibration
        molecules = sum(study.system.molecules.values())
        step = step_seconds(study) if study.is_classical else 3 * molecules * ATOM_STEP
        time = 2 * section.bulk + section.iterations * section.replicas * section.window
        replicas = f", {section.replicas} replicas of each" if section.replicas > 1 else ""
        words = f"two bulk runs of {section.bulk / 1e3:g} ps, at most {section.iterations} windows of {section.window / 1e3:g} ps{replicas}"
        if is_compensated(study):
            time += COMPENSATION_WINDOWS * section.window
            words += f", {COMPENSATION_WINDOWS * section.window / 1e3:g} ps for the free-energy compensation"
        seconds = steps_of(study, time) * step
        if is_compensated(study) and is_measured(study):
            seconds += beads_seconds(study)
            words += f", {section.bulk / 1e3:g} ps of beads with insertions"
        if has_target(study):
            seconds += target_seconds(study)
            words += f", {target_words(study)} for the density at the target mu_ex"
        return Cost(seconds, words)


def _compensate(context: Context, start: State, force: ThermodynamicForce) -> State:
    """Measure the free-energy compensation, and start the calibration where that ended."""
    study = context.study
    refuse_overlaps(start)
    if study.coupling.compensation == "kirkwood":
        potentials = (fine_of(context), coarse_of(context))
        return integrate_compensation(study, start, *potentials, context.folder, context.progress, force_settings(context))
    section = study.coupling.model_copy(update={"compensation": "on-the-fly"})
    coupling = make_coupling(section, fine_of(context), coarse_of(context))
    simulation = open_simulation(context, start, None, force, study.system.seed + 50, [], 0, coupling)
    window, every = steps_of(study, study.calibration.window), steps_of(study, study.dynamics.checkpoint)
    arguments = (context.folder, every, context.progress, force_settings(context), reservoir_of(study).kirkwood_power)
    return measure_compensation(simulation, window, *arguments)


def build_window(context: Context, task: WindowTask, hooks: list[Hook]) -> Simulation:
    """The open system of one replica; importable, so that replicas can be built in other processes."""
    seed = context.study.system.seed + 100 + task.number + REPLICA_SEED * task.replica
    every: list[Hook] = [Monitor(MONITOR_INTERVAL), *hooks]
    if is_compensated(context.study):
        every.insert(1, drift_hook(task))
    return open_simulation(context, task.start, task.inside, task.force, seed, every, task.discard)


def settings_of(study: Study, response: DensityResponse) -> CalibrationSettings:
    """As the study says."""
    section = study.calibration
    return CalibrationSettings(
        steps_of(study, section.window),
        section.discard,
        section.iterations,
        section.tolerance,
        section.smoothing,
        section.damping,
        response,
        steps_of(study, SAMPLE),
        steps_of(study, study.dynamics.checkpoint),
        section.replicas,
        study.dynamics.heating,
        steps_of(study, study.dynamics.heating_time),
        followed_species(study),
        section.border,
    )
