"""Calibrate: the thermodynamic force that makes the density of the open system flat."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halocline.adress.regions import BoolArray, Regions
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.dynamics.bulk import BulkResult, bulk_pressure
from halocline.dynamics.calibration import Calibration, CalibrationSettings, Window, calibrate
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.simulation import Hook, Simulation
from halocline.files import read_arrays, write_arrays
from halocline.potentials.base import Potential
from halocline.results import Figure, Number, Series, StageResult, Table
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
from halocline.stages._classical import step_seconds
from halocline.stages.base import Context, Cost, Stage
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import BAR, KILOJOULE_PER_MOLE, thermal_energy

SAMPLE = 20.0
"""fs between samples of the density."""
ATOM_STEP = 25e-6
"""CPU seconds of an atom and step of the open system, for the estimate."""
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


class CalibrateStage(Stage):
    """Bulk pressures, warm start, then windows of open dynamics until the density is flat within the tolerance."""

    name = "calibrate"
    needs = ("build", "train")
    uses = ("system", "regions", "coupling", "dynamics", "calibration")
    uses_classical = ("force_field", *uses)

    def run(self, context: Context) -> StageResult:
        """Files: ``force`` (thermodynamic_force.json) and ``state`` (state.h5).

        Raises:
            UserError: regions that do not fit, or a transition layer thinner than the reach of the atomistic model.
            RunFailure: a run blew up; finished windows are kept.
        """
        study = context.study
        regions = regions_of(study, fine_of(context).interaction_range)
        pressures, start = _bulk_runs(context)
        force = warm_start(study, regions, start, pressures)
        first = force.tables.copy()

        def build(
            force: ThermodynamicForce, state: State, inside: BoolArray | None, number: int, hooks: list[Hook], equilibration: int
        ) -> Simulation:
            seed = study.system.seed + 100 + number
            return open_simulation(context, state, inside, force, seed, [Monitor(MONITOR_INTERVAL), *hooks], equilibration)

        outcome = calibrate(build, start, regions, force, settings_of(study), context.folder, context.progress)
        details = {"converged": outcome.converged, "windows": len(outcome.windows), "pressures": dataclasses.asdict(pressures)}
        outcome.force.save(context.folder / "thermodynamic_force.json", force_settings(context), details)
        write_open_start(context.folder / "state.h5", OpenStart(outcome.state, outcome.inside))
        result = _result(study, regions, outcome, pressures, first, density_of(start))
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
        time = 2 * section.bulk + section.iterations * section.window
        return Cost(
            steps_of(study, time) * step,
            f"two bulk runs of {section.bulk / 1e3:g} ps, at most {section.iterations} windows of {section.window / 1e3:g} ps",
        )


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


def settings_of(study: Study) -> CalibrationSettings:
    section = study.calibration
    return CalibrationSettings(
        steps_of(study, section.window),
        section.discard,
        section.iterations,
        section.tolerance,
        section.smoothing,
        section.damping,
        section.compressibility,
        steps_of(study, SAMPLE),
        steps_of(study, study.dynamics.checkpoint),
        followed_species(study),
    )


def followed_species(study: Study) -> tuple[int, ...]:
    """Indices of the species that the regions move with."""
    return tuple(index for index, name in enumerate(study.system.molecules) if name == study.regions.follow)


def warm_start(study: Study, regions: Regions, start: State, pressures: Pressures) -> ThermodynamicForce:
    """Tables whose integral balances the momentum flux of the two bulk liquids."""
    margin = study.calibration.margin
    window = (regions.atomistic, regions.outer + margin)
    force = ThermodynamicForce(start.topology.species, regions.reach, study.calibration.bin, window)
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
        return Pressures(atomistic[0], atomistic[1], ideal, 0.0, atomistic[2]), state
    reservoir, _ = _bulk(context, state, coarse_of(context), "reservoir", "pressure of the reservoir")
    return Pressures(atomistic[0], atomistic[1], reservoir[0], reservoir[1], min(atomistic[2], reservoir[2])), state


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
        values = np.array([result.pressure, result.error, result.n_effective])
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
    state = "converged" if outcome.converged else "NOT converged"
    summary = (
        f"thermodynamic force {state} after {len(outcome.windows)} windows: the largest density deviation is {words}, "
        f"tolerance {100 * tolerance:g} %"
    )
    effective, unit = pressures.n_effective, KILOJOULE_PER_MOLE
    numbers = [
        Number("pressure of the atomistic model", pressures.atomistic / BAR, "bar", pressures.atomistic_error / BAR, effective),
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
    figures = [
        _profile_figure(outcome, regions),
        _force_figure(outcome, first),
        _convergence_figure(outcome.windows, tolerance),
        _integral_figure(outcome, expected, expected_error),
    ]
    return StageResult(summary, numbers, figures, files={"force": "thermodynamic_force.json", "state": "state.h5"})


def _profile_figure(outcome: Calibration, regions: Regions) -> Figure:
    centres, species = outcome.force.centres.tolist(), outcome.force.species
    series = [
        Series(f"{name}, {label} window", centres, window.density[kind], window.error[kind], "line" if label == "last" else "dashed")
        for label, window in (("first", outcome.windows[0]), ("last", outcome.windows[-1]))
        for kind, name in enumerate(species)
    ]
    caption = f"AT ends at {regions.atomistic:g} A, the transition layer at {regions.outer:g} A. Both sides of the slab averaged."
    return Figure("calibration-density", "Density during calibration", "distance from the centre (A)", "density / target", series, caption)


def _force_figure(outcome: Calibration, first: FloatArray) -> Figure:
    centres, species = outcome.force.centres.tolist(), outcome.force.species
    series = [Series(f"{name}, warm start", centres, (1e3 * first[kind]).tolist(), None, "dashed") for kind, name in enumerate(species)]
    series += [Series(f"{name}, calibrated", centres, (1e3 * outcome.force.tables[kind]).tolist()) for kind, name in enumerate(species)]
    caption = "Force on a molecule, positive outwards. Its integral is a pressure difference per molecule, not a chemical potential."
    return Figure("thermodynamic-force", "Thermodynamic force", "distance from the centre (A)", "force (meV/A)", series, caption)


def _convergence_figure(windows: Sequence[Window], tolerance: float) -> Figure:
    index = [float(number + 1) for number in range(len(windows))]
    worst = 100 * np.array([window.worst() for window in windows])
    core = 100 * np.array([(window.blocks[0][0], window.block_errors[0][0]) for window in windows])
    series = [
        Series("largest in AT and transition layer", index, np.abs(worst[:, 0]).tolist(), worst[:, 1].tolist(), "points"),
        Series("AT", index, np.abs(core[:, 0]).tolist(), core[:, 1].tolist(), "points"),
        Series("tolerance", [0.5, len(windows) + 0.5], [100 * tolerance] * 2, None, "dashed"),
    ]
    caption = "Deviation of the density from the target, by window: AT, and the worst of AT and 3 A blocks of the transition layer."
    return Figure("calibration-convergence", "Convergence of the calibration", "window", "density deviation (%)", series, caption)


def _integral_figure(outcome: Calibration, expected: float, error: float) -> Figure:
    index = [float(number + 1) for number in range(len(outcome.windows))]
    series = [
        Series(name, index, [window.integral[kind] / KILOJOULE_PER_MOLE for window in outcome.windows], None, "points")
        for kind, name in enumerate(outcome.force.species)
    ]
    ends = [0.5, len(index) + 0.5]
    balance = [expected / KILOJOULE_PER_MOLE] * 2
    series.append(Series("(P_AT - P_reservoir)/n from bulk runs", ends, balance, [error / KILOJOULE_PER_MOLE] * 2, "dashed"))
    caption = "Momentum balance: the force towards AT, integrated, carries the pressure difference of the two liquids."
    return Figure("calibration-integral", "Integral of the thermodynamic force", "window", "integral (kJ/mol)", series, caption)
