"""What the train stage does in a study with a classical force field: prepare the reservoir."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from halocline.adress.reservoir import reservoir_of
from halocline.config.study import Study
from halocline.datasets.store import Dataset
from halocline.dynamics.bulk import full_resolution
from halocline.dynamics.checkpoint import CheckpointHook, has_checkpoint, read_checkpoint
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.dynamics.start import quench
from halocline.files import read_arrays, write_arrays
from halocline.mapping.structure import count_pairs, radial_distributions, species_pairs
from halocline.potentials.base import Potential
from halocline.potentials.boltzmann_inversion import direct_inversion, iterate, mismatch
from halocline.potentials.pair_table import PairTable
from halocline.results import Figure, Number, Series, StageResult
from halocline.stages._classical import classical_fine, mover_factory, step_seconds, with_terms_within, within_molecules
from halocline.stages.base import Context, Cost
from halocline.state import State
from halocline.systems.packing import study_edges
from halocline.topology import FloatArray, Topology
from halocline.units import thermal_energy

WIDTH = 0.05
"""Å, bins of g(r) and spacing of the tables."""
SAMPLE = 50
"""Time steps between samples of g(r)."""
EQUILIBRATION = 0.2
"""First share of every run that is dropped."""


@dataclass(frozen=True)
class Structure:
    """g(r) of a run, (n_pairs, n_bins) with errors, and where it ended."""

    g: FloatArray
    error: FloatArray
    positions: FloatArray


class StructureHook(Hook):
    """Counts pairs of centres of mass by distance."""

    name = "structure"

    def __init__(self, bins: FloatArray, interval: int = SAMPLE) -> None:
        self.bins, self.interval = bins, interval
        self.counts: list[FloatArray] = []

    def __call__(self, simulation: Simulation) -> None:
        topology, edges = simulation.topology, simulation.initial.edges
        self.counts.append(count_pairs(simulation.centres, topology.molecule_species, len(topology.species), edges, self.bins))

    def state(self) -> dict[str, np.ndarray]:
        return {"counts": np.array(self.counts)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.counts = list(arrays["counts"])


def prepare_reservoir(context: Context) -> StageResult:
    """Nothing for tracers; for tables a run at full resolution and iterative Boltzmann inversion, file ``coarse``.

    Raises:
        RunFailure: a run blew up, or is too short for its g(r).
    """
    study, folder = context.study, context.folder
    reservoir = reservoir_of(study)
    if not reservoir.is_tabulated:
        return StageResult(f"Nothing to prepare: the reservoir is {reservoir.summary}.")
    section, kT, start = study.coarse_table, thermal_energy(study.system.temperature), Dataset.open(context.file("build", "box"))[0].state
    r, pairs, shares = knots(study), species_pairs(start.topology), pair_shares(start.topology)
    target = _run(context, start, classical_fine(study), section.reference, "reference", "full-resolution run of the reservoir")
    start = start.with_positions(target.positions)
    on_knots = [np.interp(r, _centres(study), g) for g in target.g]
    tables = np.array([direct_inversion(r, g, kT) for g in on_knots])
    structures: list[Structure] = []
    for number in range(section.iterations + 1):
        path = folder / f"table-{number}.npz"
        PairTable(float(r[0]), WIDTH, dict(zip(pairs, tables))).save(path)
        beads = with_terms_within(reservoir.between(study, path), within_molecules(study))
        found = _run(context, start, beads, section.length, f"beads-{number}", f"beads, iteration {number}")
        structures.append(found)
        differences = _differences(study, found, target)
        context.progress.log(f"iteration {number}: mean |difference| of g(r) {differences @ shares:.4f}")
        measured = [np.interp(r, _centres(study), g) for g in found.g]
        tables = np.array([iterate(r, *rest, kT) for rest in zip(tables, measured, on_knots)])
    history = np.array([_differences(study, structure, target) for structure in structures])
    best = int(np.argmin(history @ shares))
    PairTable.load(folder / f"table-{best}.npz").save(folder / "coarse.npz")
    overall = history @ shares
    summary = (
        f"Tabulated potential of {start.topology.n_molecules} beads after {best} iterations: mean |difference| of g(r) "
        f"{overall[best]:.3f}, {overall[0]:.3f} after direct inversion."
    )
    return _result(summary, study, pairs, target, structures, history, best, PairTable.load(folder / "coarse.npz"))


def reservoir_cost(study: Study) -> Cost:
    """The run at full resolution and one of beads for each iteration."""
    reservoir = reservoir_of(study)
    if not reservoir.is_tabulated:
        return Cost(0.0, f"nothing: the reservoir is {reservoir.summary}")
    section = study.coarse_table
    steps = (section.reference + 0.5 * (section.iterations + 1) * section.length) / study.dynamics.timestep
    words = (
        f"a run of {section.reference / 1e3:g} ps at full resolution, {section.iterations + 1} of {section.length / 1e3:g} ps with beads"
    )
    return Cost(steps * step_seconds(study), words)


def knots(study: Study) -> FloatArray:
    """Distances of the table, Å, from one bin to the cut-off."""
    cutoff = study.coarse_table.cutoff
    count = round(cutoff / WIDTH)
    return cutoff - WIDTH * np.arange(count - 1, -1, -1, dtype=np.float64)


def _bins(study: Study) -> FloatArray:
    largest = min(study.coarse_table.cutoff + 2.0, 0.499 * float(study_edges(study.system).min()))
    return np.arange(0.0, max(largest, study.coarse_table.cutoff) + 1e-9, WIDTH)


def _centres(study: Study) -> FloatArray:
    bins = _bins(study)
    return 0.5 * (bins[1:] + bins[:-1])


def _run(context: Context, start: State, potential: Potential, length: float, name: str, words: str) -> Structure:
    """NVT run of everything with one potential, and its g(r); done once, continued from its checkpoint."""
    study, finished = context.study, context.folder / f"{name}.npz"
    if not finished.exists():
        dynamics, temperature = study.dynamics, study.system.temperature
        steps = max(5 * SAMPLE, round(length / dynamics.timestep))
        dropped, hook = round(EQUILIBRATION * steps), StructureHook(_bins(study))
        checkpoint = context.folder / f"{name}-run.npz"
        hooks = (Monitor(50), hook, CheckpointHook(checkpoint, max(1, round(dynamics.checkpoint / dynamics.timestep))))
        make = mover_factory(study)
        resumes = has_checkpoint(checkpoint)
        arguments = (start, potential, dynamics.timestep, temperature, study.system.seed)
        begin = start if resumes else quench(*arguments, make_mover=make)
        thermostat = Thermostat(dynamics.timestep, temperature, (dynamics.friction_reference,) * 3)
        simulation = full_resolution(begin, potential, thermostat, study.system.seed, None, hooks, dropped, make)
        if resumes:
            read_checkpoint(simulation, checkpoint)
        with context.progress.task(words, steps, simulation.steps + dropped) as bar:
            simulation.run(steps - dropped, bar)
        topology = start.topology
        g, error = radial_distributions(np.array(hook.counts), topology, start.volume, _bins(study))
        write_arrays(finished, g=g, error=error, positions=simulation.state.positions)
    return Structure(**read_arrays(finished))


def _differences(study: Study, found: Structure, target: Structure) -> FloatArray:
    """(n_pairs,) mean |difference| of g(r) up to the cut-off."""
    r = _centres(study)
    below = r <= study.coarse_table.cutoff
    return np.array([mismatch(r[below], g[below], wanted[below]) for g, wanted in zip(found.g, target.g)])


def pair_shares(topology: Topology) -> FloatArray:
    """(n_pairs,) share of each pair of species among all pairs of molecules, in the order of :func:`species_pairs`.

    Tables are judged by it: the g(r) of a single solute is mostly noise, and says nothing about the liquid of the reservoir.
    """
    numbers = dict(zip(topology.species, np.bincount(topology.molecule_species, minlength=len(topology.species))))
    pairs = [(numbers[a] * (numbers[a] - 1) / 2 if a == b else numbers[a] * numbers[b]) for a, b in species_pairs(topology)]
    return np.array(pairs, dtype=np.float64) / sum(pairs)


def _result(
    summary: str,
    study: Study,
    pairs: list[tuple[str, str]],
    target: Structure,
    structures: list[Structure],
    history: FloatArray,
    best: int,
    table: PairTable,
) -> StageResult:
    r, shown = _centres(study), sorted({0, best, len(structures) - 1})
    figures = []
    for row, pair in enumerate(pairs):
        series = [Series("full resolution", r.tolist(), target.g[row].tolist(), target.error[row].tolist())]
        series += [Series(f"beads, iteration {number}", r.tolist(), structures[number].g[row].tolist(), None, "dashed") for number in shown]
        caption = "Radial distribution of centres of mass at full resolution, and of beads with the tabulated potential."
        names = "-".join(pair)
        figures.append(Figure(f"inversion-{names}", f"Structure of the reservoir, {names}", "r (A)", "g(r)", series, caption))
    steps = list(map(float, range(len(structures))))
    series = [Series("-".join(pair), steps, history[:, row].tolist(), None, "points") for row, pair in enumerate(pairs)]
    caption = "Mean |difference| of g(r) from full resolution, up to the cut-off; iteration 0 is the direct Boltzmann inversion."
    figures.append(
        Figure("inversion-convergence", "Convergence of the inversion", "iteration", "mean |difference| of g(r)", series, caption)
    )
    distances = table.start + table.spacing * np.arange(len(next(iter(table.values.values()))))
    kT = thermal_energy(study.system.temperature)
    curves = []
    for pair, values in table.values.items():
        drawn = values < 8.0 * kT
        curves.append(Series("-".join(pair), distances[drawn].tolist(), (1e3 * values[drawn]).tolist()))
    caption = "Potential between beads, up to 8 kT; the core below goes on steeper."
    figures.append(Figure("reservoir-potential", "Potential of the reservoir", "r (A)", "energy (meV)", curves, caption))
    noise = [float(np.nanmean(np.hypot(target.error[row], structures[best].error[row]))) for row in range(len(pairs))]
    numbers = [
        Number(f"mean |difference| of g(r), {'-'.join(pair)}", float(history[best, row]), "", noise[row], 10)
        for row, pair in enumerate(pairs)
    ]
    numbers.append(Number("iterations", float(len(structures) - 1)))
    return StageResult(summary, numbers, figures, files={"coarse": "coarse.npz"})
