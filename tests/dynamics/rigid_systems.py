"""Rigid molecules at random places, and what their energies are."""

import numpy as np

from halocline.dynamics.rigid import RigidIntegrator
from halocline.dynamics.rigid_bodies import reference_lengths, rigid_velocities
from halocline.molecules.base import Molecule, build_topology
from halocline.molecules.spce import SPCE
from halocline.units import ACCELERATION, BOLTZMANN

TEMPERATURE = 300.0
KT = BOLTZMANN * TEMPERATURE
WATER = np.array(SPCE.geometry)
CHIRAL = Molecule(
    "chiral", "test", ("C", "H", "O", "N"), ((0.0, 0.0, 0.0), (1.1, 0.1, 0.0), (-0.4, 1.3, 0.2), (-0.3, -0.5, 1.2)), rigid=True
)
FLEXIBLE = Molecule("pair", "test", ("N", "N"), ((0.0, 0.0, 0.0), (1.1, 0.0, 0.0)))
ARGON = Molecule("argon", "test", ("Ar",), ((0.0, 0.0, 0.0),))


def system(*parts: tuple[Molecule, int], seed: int = 1, timestep: float = 2.0, edge: float = 30.0) -> RigidIntegrator:
    """Molecules at random places and orientations, with velocities of 300 K."""
    generator = np.random.default_rng(seed)
    topology = build_topology(parts)
    positions = []
    for molecule, count in parts:
        quaternions = generator.normal(size=(count, 4))
        w, u = np.split(quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True), [1], axis=1)
        r = np.broadcast_to(np.array(molecule.geometry), (count, molecule.n_atoms, 3))
        u, w = u[:, None], w[:, None]
        r = r + 2.0 * np.cross(u, w * r + np.cross(u, r))
        positions.append((r + generator.uniform(0, edge, (count, 1, 3))).reshape(-1, 3))
    x, rigid = np.concatenate(positions), [molecule.rigid for molecule, _ in parts]
    v = rigid_velocities(topology, x, rigid, TEMPERATURE, generator)
    lengths = [reference_lengths(molecule.geometry) for molecule, _ in parts]
    return RigidIntegrator(x, v, topology, rigid, lengths, timestep, TEMPERATURE, seed)


def split_energies(move: RigidIntegrator) -> tuple[np.ndarray, np.ndarray]:
    """(n_molecules,) kinetic energies of the centres of mass and about them, eV."""
    topology = move.topology
    centre = topology.centres_of_mass(move.velocities)
    total = np.add.reduceat(0.5 / ACCELERATION * topology.masses * (move.velocities**2).sum(1), topology.offsets[:-1])
    translation = 0.5 / ACCELERATION * topology.molecule_masses * (centre**2).sum(1)
    return translation, total - translation


def set_points(move: RigidIntegrator, mask: np.ndarray) -> float:
    """Let exactly the molecules of the mask be points; returns the change of kinetic energy, eV."""
    asleep = move.sleep(np.flatnonzero(mask & ~move.points))
    return float(asleep.sum() + move.wake(np.flatnonzero(~mask & move.points)).sum())


def all_damped(move: RigidIntegrator, friction: float) -> RigidIntegrator:
    move.set_friction(np.full(move.topology.n_atoms, friction))
    return move
