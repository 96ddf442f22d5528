"""Classical molecular dynamics with OpenMM: makes configurations worth labelling, never labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openmm
from openmm import unit

from halocline.errors import RunFailure, UserError
from halocline.molecules.base import Molecule
from halocline.progress import Task
from halocline.state import State
from halocline.systems.packing import Composition
from halocline.topology import FloatArray
from halocline.units import KILOJOULE_PER_MOLE

LARGEST_CUTOFF = 9.0
"""Å, of Lennard-Jones and of the real-space part of particle-mesh Ewald."""
SMALLEST_EDGE = 5.0
"""Å; a box below this has no room for a cutoff that reaches the first neighbour."""
PART = 50
"""Steps between two reports of progress."""
_EV = 1.0 / KILOJOULE_PER_MOLE
"""One eV in kJ/mol, the energy unit of OpenMM, whose lengths are in nm."""


@dataclass(frozen=True)
class ClassicalRun:
    """A classical trajectory.

    Attributes:
        temperature: K.
        seed: of velocities and thermostat; equal seeds on one machine give equal trajectories.
        timestep: fs. One femtosecond suits flexible water (J. Chem. Phys. 124, 024503).
        friction: 1/fs. Strong, because only configurations are wanted, not dynamics.
        rigidity: 0 uses the bond lengths and angles of the classical model, 1 those of the molecule's geometry (near its
            gas-phase minimum); in between for a spread of intramolecular geometries.
    """

    temperature: float
    seed: int
    timestep: float = 1.0
    friction: float = 0.005
    rigidity: float = 0.0


def run_classical(
    state: State,
    species: Composition,
    run: ClassicalRun,
    equilibration: float,
    interval: float,
    frames: int,
    task: Task | None = None,
) -> Iterator[State]:
    """Minimise, equilibrate and yield ``frames`` configurations ``interval`` apart, with velocities and whole molecules.

    Flexible molecules (harmonic bonds and angles), Lennard-Jones with Lorentz-Berthelot rules and point charges;
    particle-mesh Ewald in a box, plain sums in a cluster. Langevin-middle integrator, CPU platform, one thread.

    Args:
        state: packed box or cluster; atoms in the order of ``species``.
        species: what the state consists of.
        run: temperature, seed, time step.
        equilibration: fs before the first frame.
        interval: fs between frames.
        frames: how many.
        task: advanced by the steps.

    Raises:
        UserError: a species without classical parameters, or a box too small for any cutoff.
        RunFailure: the simulation blew up.
    """
    context = _make_context(state, species, run)
    context.setPositions(state.positions / 10.0)
    openmm.LocalEnergyMinimizer.minimize(context, 50.0, 200)
    context.setVelocitiesToTemperature(run.temperature, run.seed % 2_147_483_647)
    _step(context, max(0, round((equilibration - interval) / run.timestep)), task)
    for _ in range(frames):
        _step(context, round(interval / run.timestep), task)
        yield _read(context, state)


def _step(context: openmm.Context, steps: int, task: Task | None) -> None:
    """In parts, so that progress is seen."""
    for first in range(0, steps, PART):
        part = min(PART, steps - first)
        context.getIntegrator().step(part)
        if task is not None:
            task.advance(part)


def _read(context: openmm.Context, state: State) -> State:
    data = context.getState(getPositions=True, getVelocities=True)
    positions = data.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    velocities = data.getVelocities(asNumpy=True).value_in_unit(unit.angstrom / unit.femtosecond)
    if not (np.all(np.isfinite(positions)) and np.all(np.isfinite(velocities))):
        raise RunFailure("the classical simulation blew up", "build", "Lower the density or the temperature of the dataset.")
    return replace(state, positions=np.array(positions), velocities=np.array(velocities)).make_whole().wrap()


def _make_context(state: State, species: Composition, run: ClassicalRun) -> openmm.Context:
    integrator = openmm.LangevinMiddleIntegrator(run.temperature, run.friction * 1000.0, run.timestep / 1000.0)
    integrator.setRandomNumberSeed(run.seed % 2_147_483_647)
    platform = openmm.Platform.getPlatformByName("CPU")
    properties = {"Threads": "1", "DeterministicForces": "true"}
    return openmm.Context(classical_system(state, species, run.rigidity), integrator, platform, properties)


def classical_system(state: State, species: Composition, rigidity: float = 0.0) -> openmm.System:
    """OpenMM system of the flexible classical model; see :func:`run_classical`.

    Raises:
        UserError: a species without parameters, or a box too small.
    """
    system = openmm.System()
    for mass in state.topology.masses:
        system.addParticle(float(mass))
    bonds, angles, nonbonded = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce(), openmm.NonbondedForce()
    first = 0
    for molecule, count in species:
        _check_parameters(molecule)
        for _ in range(count):
            _add_molecule(molecule, first, rigidity, bonds, angles, nonbonded)
            first += molecule.n_atoms
    if state.periodic:
        system.setDefaultPeriodicBoxVectors(*(state.cell / 10.0))
        charged = any(atom.charge != 0.0 for molecule, _ in species for atom in molecule.nonbonded)
        _set_cutoff(nonbonded, state.edges, charged)
    else:
        nonbonded.setNonbondedMethod(openmm.NonbondedForce.NoCutoff)
    for force in (bonds, angles, nonbonded):
        system.addForce(force)
    return system


def _set_cutoff(nonbonded: openmm.NonbondedForce, edges: FloatArray, charged: bool) -> None:
    """Particle-mesh Ewald is right at any real-space cutoff, so tiny boxes only shorten Lennard-Jones."""
    if edges.min() < SMALLEST_EDGE:
        box = " x ".join(f"{edge:.2f}" for edge in edges)
        raise UserError(f"the box of {box} A is too small for classical dynamics", "dataset.molecules", "Use more molecules.")
    cutoff = min(LARGEST_CUTOFF, 0.495 * float(edges.min()))
    nonbonded.setNonbondedMethod(openmm.NonbondedForce.PME if charged else openmm.NonbondedForce.CutoffPeriodic)
    nonbonded.setCutoffDistance(cutoff / 10.0)
    nonbonded.setUseSwitchingFunction(True)
    nonbonded.setSwitchingDistance(0.9 * cutoff / 10.0)
    nonbonded.setUseDispersionCorrection(False)


def _check_parameters(molecule: Molecule) -> None:
    if len(molecule.nonbonded) != molecule.n_atoms:
        what = f"species '{molecule.name}' has nonbonded parameters for {len(molecule.nonbonded)} of {molecule.n_atoms} atoms"
        raise UserError(what, f"molecules/{molecule.name}.py", "Give charge, sigma and epsilon of every atom.")


def _add_molecule(molecule: Molecule, first: int, rigidity: float, bonds: Any, angles: Any, nonbonded: Any) -> None:
    geometry = np.array(molecule.geometry)
    for bond in molecule.bonds:
        found = float(np.linalg.norm(geometry[bond.i] - geometry[bond.j]))
        length = (1 - rigidity) * bond.length + rigidity * found
        bonds.addBond(first + bond.i, first + bond.j, length / 10.0, bond.force_constant * _EV * 100.0)
    for angle in molecule.angles:
        theta = (1 - rigidity) * angle.angle + rigidity * _angle(geometry[angle.i], geometry[angle.j], geometry[angle.k])
        atoms = (first + angle.i, first + angle.j, first + angle.k)
        angles.addAngle(*atoms, theta, angle.force_constant * _EV)
    for atom in molecule.nonbonded:
        nonbonded.addParticle(atom.charge, atom.sigma / 10.0, atom.epsilon * _EV)
    for i in range(molecule.n_atoms):
        for j in range(i):
            nonbonded.addException(first + i, first + j, 0.0, 0.1, 0.0)


def _angle(end: FloatArray, vertex: FloatArray, other: FloatArray) -> float:
    a, b = end - vertex, other - vertex
    return float(np.arccos(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))))
