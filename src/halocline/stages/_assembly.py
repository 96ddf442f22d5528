"""From a study and the files of earlier stages to simulations: shared by calibrate, simulate and validate."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halocline import registry
from halocline.adress.coupling.base import Coupling
from halocline.adress.coupling.make import make_coupling
from halocline.adress.regions import BoolArray, Regions
from halocline.adress.reservoir import reservoir_of
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.dynamics.bulk import full_resolution
from halocline.dynamics.checkpoint import CheckpointHook, has_checkpoint, read_checkpoint
from halocline.dynamics.correlation import CorrelationHook, correlation_path
from halocline.dynamics.monitors import HeatingMonitor, Monitor
from halocline.dynamics.recording import RecordHook
from halocline.dynamics.rigid_mover import MoverFactory
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.dynamics.start import quench
from halocline.files import hash_file, read_arrays, write_arrays
from halocline.molecules.base import build_topology
from halocline.potentials.base import Potential
from halocline.potentials.intramolecular import Intramolecular
from halocline.potentials.learned import LearnedAtoms
from halocline.progress import Progress
from halocline.stages._classical import classical_fine, mover_factory, parameters_hash, with_terms_within, within_molecules
from halocline.stages._compensation import FILE as COMPENSATION
from halocline.stages._compensation import freeze, is_compensated
from halocline.stages._target_density import wanted_density
from halocline.stages.base import Context
from halocline.state import State
from halocline.systems.packing import composition, study_edges

MONITOR_INTERVAL = 50
"""Steps between checks of a run's health."""
CORRELATION_INTERVAL = 8.0
"""fs between samples of time correlations, or four steps where those are longer; 250 of them make the longest lag, 2 ps and more."""


def fine_of(context: Context) -> Potential:
    """The potential of full resolution, with the force cap of the study: the atomistic model, or the classical force field."""
    if context.study.is_classical:
        return classical_fine(context.study)
    return LearnedAtoms(context.file("train", "atomistic"), force_cap=context.study.dynamics.force_cap)


def coarse_of(context: Context) -> Potential:
    """The reservoir: beads and the terms within flexible molecules, or the latter alone for tracers."""
    study, reservoir = context.study, reservoir_of(context.study)
    between = reservoir.between(study, context.file("train", "coarse") if reservoir.is_trained else None)
    return with_terms_within(between, within_molecules(study) if study.is_classical else Intramolecular(context.file("train", "atomistic")))


def coupling_of(context: Context) -> Coupling:
    """The coupling of the open run, not yet bound.

    Raises:
        UserError: its table of the free-energy compensation belongs to other settings.
    """
    coupling = make_coupling(context.study.coupling, fine_of(context), coarse_of(context))
    if is_compensated(context.study):
        own = context.folder / COMPENSATION
        freeze(coupling, own if own.exists() else context.file("calibrate", "compensation"), force_settings(context))
    return coupling


def integrator_of(study: Study, points: bool = False) -> MoverFactory | None:
    """What makes the integrator of a run; None for the one of flexible molecules that simulations have by themselves.

    Args:
        points: whether rigid molecules outside S1 move as mass points.
    """
    return mover_factory(study, points) if study.is_classical else None


def regions_of(study: Study, interaction_range: float = 0.0) -> Regions:
    """Regions about the middle of the box, checked against the reach of the fine potential where it is known.

    Raises:
        UserError: the regions do not fit into the box, or Δ is too thin.
    """
    kind: type[Regions] = registry.get("regions", study.regions.shape, "study file: regions.shape")
    topology = build_topology(composition(study.system.molecules))
    regions = kind.of_section(study.regions, study_edges(study.system), topology)
    regions.check(interaction_range)
    return regions


def box_of(context: Context) -> State:
    """The production box of the build stage."""
    return Dataset.open(context.file("build", "box"))[0].state


def density_of(state: State) -> float:
    """Molecules per Å^3."""
    return state.topology.n_molecules / state.volume


def steps_of(study: Study, time: float) -> int:
    """Time steps in a time in fs, at least one; a multiple of the steps of the reservoir, after which books are complete."""
    every = study.coupling.reservoir_steps
    return every * max(1, round(time / study.dynamics.timestep / every))


def open_thermostat(study: Study) -> Thermostat:
    section = study.dynamics
    friction = (section.friction_atomistic, section.friction_transition, section.friction_reservoir)
    return Thermostat(section.timestep, study.system.temperature, friction)


def reference_thermostat(study: Study) -> Thermostat:
    section = study.dynamics
    return Thermostat(section.timestep, study.system.temperature, (section.friction_reference,) * 3)


def relaxed_box(context: Context) -> State:
    """The production box after the quench with the atomistic model; done once in a stage's folder."""
    study, path = context.study, context.folder / "relaxed.npz"
    box = box_of(context)
    if not path.exists():
        arguments = (study.dynamics.timestep, study.system.temperature, study.system.seed)
        relaxed = quench(box, fine_of(context), *arguments, progress=context.progress, make_mover=integrator_of(study))
        assert relaxed.velocities is not None
        write_arrays(path, positions=relaxed.positions, velocities=relaxed.velocities)
    arrays = read_arrays(path)
    return State(arrays["positions"], box.cell, box.topology, arrays["velocities"], box.periodic, dict(box.info))


def force_settings(context: Context) -> dict[str, Any]:
    """Everything that a thermodynamic force belongs to: another value of any of these needs another force."""
    study = context.study
    models = {"atomistic": parameters_hash(study) if study.is_classical else hash_file(context.file("train", "atomistic"))}
    if reservoir_of(study).is_trained:
        models["coarse"] = hash_file(context.file("train", "coarse"))
    box = box_of(context)
    return {
        "coupling": study.coupling.name,
        "reservoir": study.coupling.reservoir,
        "reservoir_steps": study.coupling.reservoir_steps,
        "compensation": study.coupling.compensation if is_compensated(study) else "none",
        "delta_weight": study.coupling.delta_weight,
        "friction": list(open_thermostat(study).friction),
        "force_cap": study.dynamics.force_cap,
        "timestep": study.dynamics.timestep,
        "temperature": study.system.temperature,
        "density": wanted_density(context, box),
        "regions": regions_of(study).to_json(),
        "cell": box.edges.tolist(),
        "models": models,
    }


def run_recorded(
    simulation: Simulation, folder: Path, name: str, record: Path, length: float, study: Study, progress: Progress, words: str,
    density: float | None = None,
) -> float:  # fmt: skip
    """Run to the end with a record, a monitor and checkpoints; continue from the last checkpoint if there is one.

    Args:
        simulation: at its first step, with the hooks that the caller adds.
        name: of the checkpoint in ``folder``.
        length: of the recorded part, fs.
        words: for the bar.
        density: target for the header of the record, molecules/Å^3; that of the box if not given.

    Returns:
        Time steps per second of wall time; NaN where nothing was left to do.

    Raises:
        RunFailure: the run went wrong; the last checkpoint is kept.
    """
    steps, every = steps_of(study, length), steps_of(study, study.dynamics.record)
    checkpoint = folder / f"{name}.npz"
    recorder = RecordHook(record, every, density_of(simulation.initial) if density is None else density, steps // every)
    heating = HeatingMonitor(study.dynamics.heating, steps_of(study, study.dynamics.heating_time), checkpoint)
    correlation = CorrelationHook(correlation_path(record), max(4, steps_of(study, CORRELATION_INTERVAL)), study.dynamics.timestep)
    last: list[Hook] = [
        Monitor(MONITOR_INTERVAL),
        recorder,
        correlation,
        heating,
        CheckpointHook(checkpoint, steps_of(study, study.dynamics.checkpoint)),
    ]
    simulation.hooks += last
    first = simulation.steps
    if has_checkpoint(checkpoint):
        read_checkpoint(simulation, checkpoint)
    begun, resumed = time.perf_counter(), simulation.steps
    with progress.task(words, steps - first, simulation.steps - first) as bar:
        simulation.run(steps, bar)
    recorder.close()
    correlation.close()
    return (steps - resumed) / (time.perf_counter() - begun) if steps > resumed else math.nan


def run_full(context: Context, path: Path, length: float) -> Path:
    """The liquid at full atomistic resolution; needs the build and train stages only.

    Args:
        context: of the stage that asks; checkpoints go to its folder.
        path: of the record.
        length: of the recorded part, fs, after dynamics.equilibration.

    Returns:
        The record.

    Raises:
        RunFailure: the run went wrong; the last checkpoint is kept.
    """
    study = context.study
    fine = fine_of(context)
    regions = regions_of(study, fine.interaction_range)
    simulation = full_resolution(
        relaxed_box(context),
        fine,
        reference_thermostat(study),
        study.system.seed + 2,
        regions,
        equilibration=steps_of(study, study.dynamics.equilibration),
        make_mover=integrator_of(study),
    )
    run_recorded(simulation, context.folder, path.stem, path, length, study, context.progress, "full-resolution run")
    return path


@dataclass(frozen=True)
class OpenStart:
    """Where the calibration left the open system."""

    state: State
    inside: BoolArray


def write_open_start(path: Path, start: OpenStart) -> None:
    """Store a configuration with velocities and members of S1 as a dataset of one frame."""
    info = {**start.state.info, "inside": np.flatnonzero(start.inside).tolist()}
    state = State(start.state.positions, start.state.cell, start.state.topology, start.state.velocities, start.state.periodic, info)
    path.unlink(missing_ok=True)
    with Dataset.create(path) as dataset:
        dataset.append(Frame(state, source="end of the calibration"))


def read_open_start(path: Path) -> OpenStart:
    state = Dataset.open(path)[0].state
    inside = np.zeros(state.topology.n_molecules, dtype=bool)
    inside[np.array(state.info["inside"], dtype=np.int64)] = True
    return OpenStart(state, inside)


def open_simulation(
    context: Context, start: State, inside: BoolArray | None, force: ThermodynamicForce, seed: int, hooks: list[Hook], equilibration: int,
    coupling: Coupling | None = None,
) -> Simulation:  # fmt: skip
    """The open system, bound and ready; ``coupling`` unless it is that of the study."""
    coupling = coupling_of(context) if coupling is None else coupling
    regions, thermostat = regions_of(context.study, coupling.fine.interaction_range), open_thermostat(context.study)
    make = integrator_of(context.study, coupling.coarse.centres_only and not coupling.sees_outside)
    mover = make(start, thermostat.timestep, thermostat.temperature, seed) if make else None
    every = context.study.coupling.reservoir_steps
    arguments = (start, coupling, regions, thermostat, force, seed, "open", inside, hooks, equilibration)
    return Simulation(*arguments, integrator=mover, reservoir_steps=every)


def run_open(context: Context, start: OpenStart, force: ThermodynamicForce, path: Path, hooks: list[Hook]) -> tuple[Simulation, float]:
    """The open run: equilibration, then dynamics.length with a record.

    Returns:
        The simulation at its end, whose ledger and hooks hold the sums of the whole recorded part, and the speed of
        :func:`run_recorded`.

    Raises:
        RunFailure: the run went wrong; the last checkpoint is kept.
    """
    study = context.study
    equilibration = steps_of(study, study.dynamics.equilibration)
    simulation = open_simulation(context, start.state, start.inside, force, study.system.seed + 1, hooks, equilibration)
    arguments = (simulation, context.folder, "open", path, study.dynamics.length, study, context.progress, "open run")
    speed = run_recorded(*arguments, wanted_density(context, start.state))
    return simulation, speed
