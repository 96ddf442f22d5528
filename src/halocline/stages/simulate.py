"""Simulate: the open-boundary run, its record and its books."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halocline.adress.regions import LEVEL_NAMES, Regions
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.dynamics.heat_ledger import HeatLedger
from halocline.dynamics.record import Record
from halocline.dynamics.recording import TemperatureHook
from halocline.dynamics.statistics import mean_and_error
from halocline.dynamics.trajectory import write_trajectory
from halocline.files import read_json, write_json
from halocline.observables.geometry import mean_shell_volumes
from halocline.results import Figure, Number, Series, StageResult
from halocline.stages._assembly import force_settings, read_open_start, run_open, steps_of
from halocline.stages._classical import step_seconds
from halocline.stages.base import Context, Cost, Stage
from halocline.topology import FloatArray
from halocline.units import KILOJOULE_PER_MOLE

ATOM_STEP = 25e-6
"""CPU seconds of an atom and step of the open system, for the estimate."""
TRAJECTORY_FRAMES = 500
"""Frames of the trajectory for other programs; the record holds all of them."""
TEMPERATURE_SAMPLE = 5.0
"""fs between samples of the temperature profile."""


class SimulateStage(Stage):
    """The open run with the calibrated force."""

    name = "simulate"
    needs = ("build", "train", "calibrate")
    uses = ("system", "regions", "coupling", "dynamics")
    version = 2
    uses_classical = ("force_field", *uses)

    def run(self, context: Context) -> StageResult:
        """Files: ``record`` (record.h5), ``trajectory`` (open.xtc), ``structure`` (open.pdb).

        Raises:
            UserError: the thermodynamic force belongs to other settings.
            RunFailure: the run went wrong; the last checkpoint is kept.
        """
        study, folder = context.study, context.folder
        force = ThermodynamicForce.load(context.file("calibrate", "force"), force_settings(context))
        start = read_open_start(context.file("calibrate", "state"))
        profile = TemperatureHook(force.edges, steps_of(study, TEMPERATURE_SAMPLE))
        simulation, speed = run_open(context, start, force, folder / "record.h5", [profile])
        speed = _kept_speed(folder, speed)
        with Record.open(folder / "record.h5") as record:
            every = max(1, len(record) // TRAJECTORY_FRAMES)
            write_trajectory(record, folder / "open.xtc", folder / "open.pdb", every)
            books = _read_books(record, simulation.ledger, study)
            density = _density(record, force.edges, record.density)
            figures = [
                _density_figure(force, density, simulation.regions),
                _temperature_figure(profile, study.system.temperature),
                _ledger_figure(books),
            ]
            numbers = _numbers(record, books, simulation.ledger)
        numbers.append(Number("speed", speed, "steps/s"))
        files = {"record": "record.h5", "trajectory": "open.xtc", "structure": "open.pdb"}
        return StageResult(_summary(study, numbers, simulation.ledger), numbers, figures, files=files)

    def cost(self, study: Study) -> Cost:
        section = study.dynamics
        steps = steps_of(study, section.length + section.equilibration)
        molecules = sum(study.system.molecules.values())
        step = step_seconds(study) if study.is_classical else 3 * molecules * ATOM_STEP
        return Cost(steps * step, f"{steps} steps of {molecules} molecules")


@dataclass(frozen=True)
class _Books:
    """The heat ledger against time; energies in eV, times in ps."""

    time: FloatArray
    heat: FloatArray
    thermostat: FloatArray
    remainder: FloatArray
    drift: float
    drift_error: float


def _read_books(record: Record, ledger: HeatLedger, study: Study) -> _Books:
    """What the record says about energy, and the drift of what should be constant, eV/ps."""
    time_ps = record.column("time") / 1e3
    heat, thermostat = record.column("heat"), record.column("thermostat")
    remainder = record.column("kinetic") + record.column("potential") - heat - thermostat - ledger.start
    # Slopes of blocks: the remainder is a random walk of rounding errors plus a drift, so that residuals of one fit say little.
    blocks = np.array_split(np.arange(len(time_ps)), min(8, max(1, len(time_ps) // 5)))
    slopes = [np.polyfit(time_ps[block], remainder[block], 1)[0] for block in blocks if len(block) > 2]
    error = float(np.std(slopes, ddof=1) / np.sqrt(len(slopes))) if len(slopes) > 2 else float("inf")
    drift = float((remainder[-1] - remainder[0]) / max(time_ps[-1] - time_ps[0], 1e-12)) if len(time_ps) > 1 else float("nan")
    return _Books(time_ps, heat, thermostat, remainder, drift, error)


def _density(record: Record, edges: FloatArray, target: float) -> FloatArray:
    """(n_bins, 2) density relative to the target, and its error."""
    counts = np.array([np.histogram(snapshot.distance, edges)[0] for snapshot in record])
    expected = target * mean_shell_volumes(record, edges)
    return np.array([mean_and_error(series)[:2] for series in counts.T]) / expected[:, None]


def _numbers(record: Record, books: _Books, ledger: HeatLedger) -> list[Number]:
    temperatures = record.column("temperature")
    length = len(record) * float(record.column("time")[0]) / 1e3
    numbers = []
    for level, name in enumerate(LEVEL_NAMES):
        series = temperatures[:, level]
        mean, error, effective = mean_and_error(series[np.isfinite(series)])
        numbers.append(Number(f"temperature, {name}", mean, "K", error, effective))
    in_core = record.regions.atomistic
    members = np.array([(snapshot.distance < in_core).sum() for snapshot in record])
    volume = float(mean_shell_volumes(record, np.array([0.0, in_core]))[0])
    mean, error, effective = mean_and_error(members / (record.density * volume))
    numbers.append(Number("density in AT / target", mean, "", error, effective))
    heat, heat_error = (value / KILOJOULE_PER_MOLE for value in ledger.heat_per_crossing())
    flips, crossings = ledger.flips / length, ledger.flips / 2
    power, power_error = 0.5 * flips * heat, 0.5 * flips * heat_error
    per_molecule = 1e3 / record.topology.n_molecules
    numbers += [
        Number("heat of one crossing in and out", heat, "kJ/mol", heat_error, crossings),
        Number("heating power of crossings", power, "kJ/mol/ps", power_error, crossings),
        Number("changes of membership", flips, "/ps", math.sqrt(ledger.flips) / length, ledger.flips),
        Number("ledger drift per molecule", per_molecule * books.drift, "meV/ps", per_molecule * books.drift_error),
    ]
    return numbers + [Number(f"capped pairs, {name}", float(count)) for name, count in zip(LEVEL_NAMES, ledger.capped)]


def _summary(study: Study, numbers: list[Number], ledger: HeatLedger) -> str:
    found = {number.name: number for number in numbers}
    capped = "no capped pair in AT" if ledger.capped[0] == 0 else f"{ledger.capped[0]:g} CAPPED PAIRS IN AT"
    return (
        f"{study.dynamics.length / 1e3:g} ps open: density in AT {found['density in AT / target']} of the target, "
        f"temperature there {found['temperature, atomistic']}, {found['changes of membership']} changes of membership, {capped}"
    )


def _density_figure(force: ThermodynamicForce, density: FloatArray, regions: Regions) -> Figure:
    series = [
        Series("open run", force.centres.tolist(), density[:, 0].tolist(), density[:, 1].tolist(), "line"),
        Series("target", [0.0, force.length], [1.0, 1.0], None, "dashed"),
    ]
    caption = f"AT ends at {regions.atomistic:g} A, the transition layer at {regions.outer:g} A."
    return Figure("open-density", "Density of the open run", "distance from the centre (A)", "density / target", series, caption)


def _temperature_figure(profile: TemperatureHook, target: float) -> Figure:
    mean, error = profile.profile()
    centres = 0.5 * (profile.edges[1:] + profile.edges[:-1])
    series = [
        Series("open run", centres.tolist(), mean.tolist(), error.tolist(), "line"),
        Series("thermostat", [0.0, float(profile.edges[-1])], [target, target], None, "dashed"),
    ]
    caption = "Translational temperature of molecules. Heat of the change of resolution shows as a hot layer at the border."
    return Figure("open-temperature", "Temperature of the open run", "distance from the centre (A)", "temperature (K)", series, caption)


def _ledger_figure(books: _Books) -> Figure:
    times = books.time.tolist()
    series = [
        Series("heat of changes of membership", times, books.heat.tolist()),
        Series("work of the thermostat and of moving regions", times, books.thermostat.tolist()),
        Series("kinetic + potential - both", times, books.remainder.tolist(), None, "dashed"),
    ]
    caption = (
        "Sums since recording began. The dashed line is what the books leave over: zero up to the error of the integrator. "
        "The heat also moves with the number of resolved molecules, whose energies the two potentials count from different zeros."
    )
    return Figure("heat-ledger", "Heat ledger", "time (ps)", "energy (eV)", series, caption)


def _kept_speed(folder: Path, speed: float) -> float:
    """Steps per second; a stage that only repeats its analysis reads what the run measured."""
    path = folder / "speed.json"
    if math.isfinite(speed):
        write_json(path, {"steps_per_second": speed})
    return float(read_json(path)["steps_per_second"]) if path.exists() else math.nan
