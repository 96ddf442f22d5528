"""Free-energy compensation of the coupling "hamiltonian": measured at the start of the calibration, frozen from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from halocline.adress.chemical_potential import HamiltonianBalance, Term
from halocline.adress.compensation import FreeEnergyCompensation
from halocline.adress.coupling.base import Coupling
from halocline.adress.coupling.hamiltonian import HamiltonianCoupling
from halocline.adress.reservoir import reservoir_of
from halocline.config.study import Study
from halocline.dynamics.calibration import Calibration
from halocline.dynamics.calibration_runs import WindowTask
from halocline.dynamics.checkpoint import CheckpointHook, has_checkpoint, read_checkpoint
from halocline.dynamics.compensation_hook import CompensationHook
from halocline.dynamics.drift_momentum import DriftMomentumHook
from halocline.dynamics.kirkwood import kirkwood
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.nvt import rigid_lengths
from halocline.dynamics.simulation import Simulation
from halocline.dynamics.statistics import mean_and_error
from halocline.errors import UserError
from halocline.files import read_arrays, write_arrays
from halocline.potentials.base import Potential
from halocline.progress import Progress
from halocline.results import Figure, Number, Series
from halocline.stages._classical import species_of
from halocline.state import State
from halocline.units import KILOJOULE_PER_MOLE

FILE = "compensation.json"
LENGTH = 4
"""Length of the measurement, in calibration windows."""
SAMPLE, UPDATES, MEMORY = 10, 40, 20
"""Steps between samples; updates in the whole measurement; updates that the running average remembers."""
N_WEIGHTS = 8
"""Runs of a Kirkwood integration."""
N_BINS = 20
"""Of w, on the fly."""
DRIFT_SAMPLES = 1000
"""Of the momentum of drift forces, in a window of the calibration."""
SETTLED = 0.5
"""Last part of the measurement, which gives the value and the error of DH(1)."""


def is_compensated(study: Study) -> bool:
    """Whether the coupling of a study uses a table."""
    return study.coupling.name == HamiltonianCoupling.name and study.coupling.compensation != "none"


def freeze(coupling: Coupling, table: Path, settings: Mapping[str, Any]) -> None:
    """Let a Hamiltonian coupling use a table as it is.

    Args:
        settings: of the run; a table of others is refused.

    Raises:
        UserError: the table belongs to other settings.
    """
    assert isinstance(coupling, HamiltonianCoupling)
    coupling.table, coupling.compensation = FreeEnergyCompensation.load(table, settings), "kirkwood"


def measure_compensation(
    simulation: Simulation, window: int, folder: Path, checkpoint: int, progress: Progress, settings: Mapping[str, Any], power: int = 1
) -> State:
    """Let the table of a Hamiltonian coupling grow until it has settled; done once, continued where it was interrupted.

    Args:
        simulation: at its first step, its coupling in the mode "on-the-fly".
        window: steps of a calibration window.
        folder: for ``compensation.json`` and the checkpoint.
        checkpoint: steps between checkpoints.
        settings: that the table belongs to, stored with it.
        power: p of the knots w = s^p; 4 beside an ideal gas, where the slope of the table goes as w^(-3/4).

    Returns:
        Where the run ended, with velocities.
    """
    coupling, end = simulation.coupling, folder / "compensation.npz"
    assert isinstance(coupling, HamiltonianCoupling)
    assert coupling.table is not None
    if not end.exists():
        update = max(SAMPLE, LENGTH * window // UPDATES // SAMPLE * SAMPLE)
        coupling.table = FreeEnergyCompensation(coupling.table.species, np.linspace(0.0, 1.0, N_BINS + 1) ** power)
        hook, path = CompensationHook(coupling.table, SAMPLE, update, MEMORY), folder / "compensation-run.npz"
        simulation.hooks += [Monitor(50), hook, CheckpointHook(path, checkpoint)]
        if has_checkpoint(path):
            read_checkpoint(simulation, path)
        with progress.task("free-energy compensation", UPDATES * update, simulation.steps) as bar:
            simulation.run(UPDATES * update, bar)
        state = simulation.state
        assert state.velocities is not None
        coupling.table.save(folder / FILE, settings)
        late = hook.history[int((1 - SETTLED) * UPDATES) :]
        errors = np.array([mean_and_error(series)[1] for series in late.T])
        write_arrays(end, positions=state.positions, velocities=state.velocities, history=hook.history, errors=errors)
    arrays = read_arrays(end)
    return replace(simulation.initial, positions=arrays["positions"], velocities=arrays["velocities"])


def integrate_compensation(
    study: Study, start: State, fine: Potential, coarse: Potential, folder: Path, progress: Progress, settings: Mapping[str, Any]
) -> State:
    """The table by Kirkwood's integration of one species: all molecules at the same weight, from an ideal gas or from beads.

    Args:
        folder: for the table and what each run leaves; finished runs are not repeated.
        settings: that the table belongs to, stored with it.

    Returns:
        ``start``: the liquid at full resolution is where the calibration begins.

    Raises:
        UserError: a mixture, whose species would need an integration each.
    """
    if (folder / FILE).exists():
        return start
    names = start.topology.species
    if len(names) > 1:
        remedy = "Set coupling.compensation to 'on-the-fly'."
        raise UserError(f"Kirkwood's integration is for one species, not for {', '.join(names)}", "coupling.compensation", remedy)
    section, rigid = study.dynamics, {m.name: rigid_lengths(m) for m in species_of(study) if m.rigid}
    power = reservoir_of(study).kirkwood_power
    steps = LENGTH * max(1, round(study.calibration.window / section.timestep)) // N_WEIGHTS
    friction, temperature = section.friction_reference, study.system.temperature
    arguments = (start, fine, coarse, temperature, section.timestep, friction, steps, N_WEIGHTS, power)
    found = kirkwood(*arguments, seed=study.system.seed, progress=progress, rigid=rigid or None, folder=folder)
    history, errors = np.array([[found.free_energy.value]]), np.array([found.free_energy.error])
    write_arrays(folder / "compensation.npz", history=history, errors=errors, weights=found.weights, integrand=found.integrand)
    found.table(names[0]).save(folder / FILE, settings)
    return start


def drift_hook(task: WindowTask) -> DriftMomentumHook:
    """For a replica of a window: what drift forces and their compensation leave of each other."""
    steps = task.steps - task.discard
    return DriftMomentumHook(max(1, steps // DRIFT_SAMPLES), steps, drift_path(task.folder, task.number, task.replica))


def drift_path(folder: Path, number: int, replica: int) -> Path:
    """Where a replica of a window leaves its momentum of the drift forces."""
    return folder / f"drift-{number}-{replica}.npz"


def left_over(folder: Path, numbers: Sequence[int], replicas: int, density: float) -> tuple[float, float] | None:
    """Momentum that the compensation leaves to drift forces, per molecule, and its error, eV; None unless every run of them knows it.

    The thermodynamic force carries (P_AT - P_reservoir)/n less this.

    Args:
        numbers: of the windows, from zero.
        density: molecules/Å^3.
    """
    paths = [drift_path(folder, number, replica) for number in numbers for replica in range(replicas)]
    found = [read_arrays(path) for path in paths if path.exists()]
    known = np.array([(float(item["mean"]), float(item["error"])) for item in found if np.isfinite(item["error"])])
    if not len(paths) or len(known) < len(paths):
        return None
    values, errors = known.T / density
    within = float(np.sqrt((errors**2).sum())) / len(values)
    # Windows differ by more than they fluctuate: the table of the force changed between them.
    between = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return float(values.mean()), max(within, between)


def balance(
    folder: Path, outcome: Calibration, ideal: float = 0.0, reservoir: Sequence[Term] | None = None
) -> list[tuple[str, HamiltonianBalance]]:
    """Per species: compensation and residual force, whose sum is mu_ex of AT less that of the reservoir.

    Args:
        ideal: kT ln(n_AT/n_reservoir), eV, which the force carries where the two densities differ.
        reservoir: mu_ex of each species there, eV, where it is known.
    """
    table, errors = FreeEnergyCompensation.load(folder / FILE), read_arrays(folder / "compensation.npz")["errors"]
    parts = []
    for kind, name in enumerate(table.species):
        residual = Term(float(outcome.integral[kind]) - ideal, float(outcome.integral_error[kind]))
        own = None if reservoir is None else reservoir[kind]
        parts.append((name, HamiltonianBalance(Term(float(table.total()[kind]), float(errors[kind])), residual, own)))
    return parts


def numbers(parts: list[tuple[str, HamiltonianBalance]]) -> list[Number]:
    """Each part of the chemical potential in kJ/mol; that of AT alone where that of the reservoir is known."""
    unit = KILOJOULE_PER_MOLE
    found = []
    for name, part in parts:
        terms = [("free-energy compensation", part.compensation), ("mu_ex, AT - reservoir", part.difference)]
        if part.total is not None and part.reservoir is not None:
            terms += [("mu_ex, reservoir", part.reservoir), ("mu_ex, AT", part.total)]
        found += [Number(f"{words} ({name})", term.value / unit, "kJ/mol", term.error / unit) for words, term in terms]
    return found


def figure(folder: Path) -> Figure:
    """DH(1) after every update, and what the windows by themselves gave."""
    history, table = read_arrays(folder / "compensation.npz")["history"], FreeEnergyCompensation.load(folder / FILE)
    index = [float(k + 1) for k in range(len(history))]
    series = [
        Series(name, index, (history[:, kind] / KILOJOULE_PER_MOLE).tolist(), None, "points") for kind, name in enumerate(table.species)
    ]
    series += [
        Series(f"{name}, table in use", [index[0], index[-1]], [float(value) / KILOJOULE_PER_MOLE] * 2, None, "dashed")
        for name, value in zip(table.species, table.total())
    ]
    caption = "Integral over w of the mean energy difference of molecules in the layer, window by window. With tracers it tends to f_ex."
    return Figure("compensation", "Free-energy compensation", "update", "DH(1) (kJ/mol)", series, caption)
