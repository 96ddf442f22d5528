"""Open-boundary steps per second against full resolution, and what a reservoir molecule costs.

    python benchmarks/adress.py [--quick] [--json FILE]

Rigid SPC/E water at 298 K, 2 fs, reaction field at 9 Å, in a cube of 1728 molecules with a resolved sphere that holds 25 % or
10 % of them, against the CPU platform of OpenMM running the whole box with particle-mesh Ewald at the same number of threads.
Everything that a production run does is on the clock: integrator, constraints, thermostat, lists, regions, thermodynamic
force, monitors and a record every 100 steps. Rounds of both alternate and the fastest of each counts, since other programs on
the machine only ever add time.
"""

from __future__ import annotations

# isort: off
from _common import finish, parse_arguments, print_table

# isort: on
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import openmm
from openmm import unit

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Regions, Slab, Sphere
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.bulk import full_resolution
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.recording import RecordHook
from halocline.dynamics.rigid_mover import RigidMover
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.models.model import Model
from halocline.models.schnet import SchNet
from halocline.molecules.base import build_topology
from halocline.molecules.spce import SPCE
from halocline.molecules.water import WATER
from halocline.potentials.base import Potential, Zero
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.potentials.pair_table import PairTable
from halocline.state import State
from halocline.units import KILOJOULE_PER_MOLE

TEMPERATURE, TIMESTEP, CUTOFF = 298.0, 2.0, 9.0
VOLUME = 29.98  # Å^3 of a molecule
FRICTION, FORCE_CAP = (0.0, 0.03, 0.02), 20.0  # as in examples/05-spce-tracers
_EV = 1.0 / KILOJOULE_PER_MOLE


def lattice(shape: tuple[int, int, int], edges: np.ndarray, species=SPCE) -> State:
    """Randomly turned molecules on a lattice."""
    generator = np.random.default_rng(1)
    points = np.stack(np.meshgrid(*[(np.arange(k) + 0.5) / k for k in shape], indexing="ij"), axis=-1).reshape(-1, 3) * edges
    turns = np.linalg.qr(generator.normal(size=(len(points), 3, 3)))[0]
    positions = (points[:, None] + np.array(species.geometry) @ turns.transpose(0, 2, 1)).reshape(-1, 3)
    return State(positions, np.diag(edges), build_topology([(species, len(points))]))


def openmm_context(state: State, threads: int) -> openmm.Context:
    """Rigid SPC/E with particle-mesh Ewald, as a user of OpenMM would set it up."""
    system, nonbonded = openmm.System(), openmm.NonbondedForce()
    for first in range(0, state.topology.n_atoms, 3):
        for k, site in enumerate(SPCE.nonbonded):
            system.addParticle(float(state.topology.masses[first + k]))
            nonbonded.addParticle(site.charge, site.sigma / 10, site.epsilon * _EV)
        for i, j, length in ((0, 1, 1.0), (0, 2, 1.0), (1, 2, 2 * np.sin(np.radians(109.47 / 2)))):
            system.addConstraint(first + i, first + j, length / 10)
            nonbonded.addException(first + i, first + j, 0.0, 0.1, 0.0)
    nonbonded.setNonbondedMethod(openmm.NonbondedForce.PME)
    nonbonded.setCutoffDistance(CUTOFF / 10)
    system.addForce(nonbonded)
    system.setDefaultPeriodicBoxVectors(*(state.cell / 10))
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, TIMESTEP / 1000)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"Threads": str(threads)})
    context.setPositions(state.positions / 10)
    return context


def liquid(molecules: int, steps: int) -> State:
    """A short equilibration of a cube with OpenMM."""
    side = round(molecules ** (1 / 3))
    state = lattice((side, side, side), np.full(3, (molecules * VOLUME) ** (1 / 3)))
    context = openmm_context(state, 2)
    openmm.LocalEnergyMinimizer.minimize(context, 100.0, 100)
    context.setVelocitiesToTemperature(TEMPERATURE, 1)
    context.getIntegrator().step(steps)
    found = context.getState(getPositions=True, getVelocities=True)
    positions = np.array(found.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
    velocities = np.array(found.getVelocities(asNumpy=True).value_in_unit(unit.angstrom / unit.femtosecond))
    return State(positions, state.cell, state.topology, velocities)


def force_field() -> ClassicalMolecules:
    return ClassicalMolecules(CUTOFF, "reaction-field", 80.0, force_cap=FORCE_CAP)


def beads() -> PairTable:
    """A soft core at the contact distance of water with a shallow well: costs what any table costs."""
    well = {("spce", "spce"): lambda r: 0.026 * ((2.7 / r) ** 9 - (2.7 / r) ** 6)}
    return PairTable.from_functions(well, start=2.0, cutoff=7.0, force_cap=10.0)


def sphere(share: float, edge: float) -> Sphere:
    """AT and Δ together hold a share of the cube."""
    outer = (share * edge**3 * 3 / (4 * np.pi)) ** (1 / 3)
    return Sphere((edge / 2,) * 3, outer - CUTOFF, CUTOFF, 0.0, (edge,) * 3)


def open_water(state: State, regions: Regions, coarse: Potential, folder: Path) -> Simulation:
    """What `simulate` runs, with a thermodynamic force of the size that tracers need."""
    force = ThermodynamicForce(("spce",), regions.reach, 0.5, (regions.atomistic, min(regions.outer + 4.0, regions.reach)))
    force.warm_start(np.array([-0.0257]), regions.outer - 4.0, regions.outer + 4.0)
    thermostat = Thermostat(TIMESTEP, TEMPERATURE, FRICTION)
    hooks = [Monitor(50, hottest=np.inf), RecordHook(folder / f"{time.monotonic_ns()}.h5", 100, 1 / VOLUME, 100_000)]
    integrator = RigidMover(state, [SPCE], TIMESTEP, TEMPERATURE, seed=1, points=coarse.centres_only)
    coupling = SubtractiveCoupling(force_field(), coarse)
    return Simulation(state, coupling, regions, thermostat, force, 1, hooks=hooks, integrator=integrator)


def full_water(state: State) -> Simulation:
    """The same kernel on everything."""
    thermostat = Thermostat(TIMESTEP, TEMPERATURE, (0.001,) * 3)

    def move(state: State, timestep: float, temperature: float, seed: int) -> RigidMover:
        return RigidMover(state, [SPCE], timestep, temperature, seed)

    return full_resolution(state, force_field(), thermostat, 1, hooks=(Monitor(50),), make_mover=move)


def advance(simulation: Simulation, steps: int) -> None:
    simulation.run(simulation.steps + steps)


def race(runners: dict[str, Callable[[int], object]], steps: dict[str, int], rounds: int) -> dict[str, float]:
    """Smallest wall time of a step of each runner, s; rounds alternate."""
    best = dict.fromkeys(runners, float("inf"))
    for runner in runners.values():
        runner(20)
    for _ in range(rounds):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner(steps[name])
            best[name] = min(best[name], (time.perf_counter() - start) / steps[name])
    return best


def speedups(folder: Path, quick: bool) -> dict[str, float]:
    """Against OpenMM, one and two threads."""
    state, figures, rows = liquid(1728, 300 if quick else 2000), {}, []
    edge = float(state.edges[0])
    for threads in (1, 2):
        numba.set_num_threads(threads)
        context = openmm_context(state, threads)
        context.setVelocitiesToTemperature(TEMPERATURE, 1)
        runners: dict[str, Callable[[int], object]] = {"OpenMM, PME, whole box": context.getIntegrator().step}
        runners["full resolution"] = functools.partial(advance, full_water(state))
        for share in (0.25, 0.10):
            for name, coarse in (("tracers", Zero()), ("beads", beads())):
                run = open_water(state, sphere(share, edge), coarse, folder)
                runners[f"{share:.0%}, {name}"] = functools.partial(advance, run)
        steps = {name: (40 if "box" in name else 100) for name in runners}
        best = race(runners, steps, 3 if quick else 8)
        peer, suffix = best["OpenMM, PME, whole box"], "" if threads == 1 else "_2threads"
        rows += [(name, str(threads), f"{1e3 * value:.2f}", f"{peer / value:.1f}") for name, value in best.items()]
        figures[f"spce_speedup_25{suffix}"] = peer / best["25%, tracers"]
        figures[f"spce_speedup_10{suffix}"] = peer / best["10%, tracers"]
        figures[f"spce_speedup_25_beads{suffix}"] = peer / best["25%, beads"]
        figures[f"spce_full_speedup{suffix}"] = peer / best["full resolution"]
    numba.set_num_threads(1)
    print_table("1728 SPC/E", ("", "threads", "ms a step", "times OpenMM"), rows)
    return figures


def reservoir_costs(folder: Path, quick: bool) -> dict[str, float]:
    """Cost of one more reservoir molecule over that of one more atomistic molecule, up to 100 000 molecules."""
    width, sizes = 8, (60, 400 if quick else 1562)
    times: dict[str, list[float]] = {"tracer": [], "cg": []}
    counts = []
    for size in sizes:
        spacing = VOLUME ** (1 / 3)
        state = lattice((size, width, width), spacing * np.array([size, width, width]))
        counts.append(state.topology.n_molecules)
        length = float(state.edges[0])
        for name, coarse in (("tracer", Zero()), ("cg", beads())):
            run = open_water(state, Slab(length / 2, 6.0, CUTOFF, 0.0, length), coarse, folder)
            best = race({name: functools.partial(advance, run)}, {name: 20}, 3 if quick else 6)
            times[name].append(best[name])
    whole = race({"full": functools.partial(advance, full_water(liquid(1728, 300)))}, {"full": 50}, 3 if quick else 6)["full"] / 1728
    added = {name: (long - short) / (counts[1] - counts[0]) for name, (short, long) in times.items()}
    rows = [
        (f"{name}, {counts[0]} to {counts[1]} molecules", f"{1e6 * value:.2f}", f"{value / whole:.3f}") for name, value in added.items()
    ]
    print_table(
        "One more molecule, one thread", ("", "us a step", "of an atomistic one"), [("atomistic", f"{1e6 * whole:.2f}", "1"), *rows]
    )
    return {f"reservoir_cost_{name}": value / whole for name, value in added.items()}


def learned(quick: bool) -> dict[str, float]:
    """SchNet inside, beads outside, against the same SchNet everywhere; random weights cost what trained ones cost."""
    state = lattice((32, 7, 7), VOLUME ** (1 / 3) * np.array([32, 7, 7]), WATER)
    atoms = Model("atoms", SchNet([1, 8], 64, 2, 4.5), ["energy"])
    coarse = Model("beads", SchNet([1], 32, 2, 5.0), ["energy"], metadata={"species": ["water"]})
    length = float(state.edges[0])
    # Random forces would tear the molecules apart at a full step; the cost of a step knows neither.
    thermostat, hooks = Thermostat(0.01, 30.0, FRICTION), [Monitor(50, hottest=np.inf, stretch=np.inf)]
    regions = Slab(length / 2, 0.125 * length - 9.0, 9.0, 0.0, length)
    runners: dict[str, Callable[[int], object]] = {}
    for steps in (1, 4, 8):
        coupling = SubtractiveCoupling(LearnedAtoms(atoms), LearnedBeads(coarse))
        run = Simulation(state, coupling, regions, thermostat, None, 1, hooks=hooks, reservoir_steps=steps)
        runners[f"25%, beads every {steps} steps"] = functools.partial(advance, run)
    tracers = Simulation(state, SubtractiveCoupling(LearnedAtoms(atoms), Zero()), regions, thermostat, None, 1, hooks=hooks)
    runners["25%, tracers"] = functools.partial(advance, tracers)
    runners["full resolution"] = functools.partial(advance, full_resolution(state, LearnedAtoms(atoms), thermostat, 1))
    best = race(runners, dict.fromkeys(runners, 20), 2 if quick else 5)
    whole = best["full resolution"]
    rows = [(name, f"{1e3 * value:.1f}", f"{whole / value:.2f}") for name, value in best.items()]
    print_table(f"Learned models, {state.topology.n_molecules} waters, one thread", ("", "ms a step", "speed-up"), rows)
    return {
        "learned_speedup_25": whole / best["25%, beads every 4 steps"],
        "learned_speedup_25_every_8": whole / best["25%, beads every 8 steps"],
        "learned_speedup_25_every_step": whole / best["25%, beads every 1 steps"],
        "learned_speedup_25_tracers": whole / best["25%, tracers"],
    }


def main() -> None:
    arguments = parse_arguments(__doc__.split("\n")[0])
    numba.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        figures = speedups(Path(name), arguments.quick)
        figures |= reservoir_costs(Path(name), arguments.quick)
        figures |= learned(arguments.quick)
    finish(figures, arguments.json)


if __name__ == "__main__":
    main()
