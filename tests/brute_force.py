"""Potentials written for clarity, and small systems, to test against."""

from __future__ import annotations

import numpy as np

from halocline.potentials.base import Evaluation, Potential
from halocline.state import State
from halocline.topology import Topology

ARGON = {"epsilon": 0.0103, "sigma": 3.4}


class PairLennardJones(Potential):
    """All pairs of atoms of different molecules, truncated and shifted; capped pairs have a linear energy."""

    def __init__(self, epsilon: float, sigma: float, cutoff: float, cap: float = np.inf) -> None:
        self.epsilon, self.sigma, self.cutoff, self.cap = epsilon, sigma, cutoff, cap
        self.interaction_range = cutoff
        self.calls: list[int] = []
        radii = np.linspace(0.3 * sigma, sigma, 20000)
        self.core = float(radii[self._slope(radii) < -cap].max(initial=0.0))

    def _value(self, r):
        x = (self.sigma / r) ** 6
        y = (self.sigma / self.cutoff) ** 6
        return 4 * self.epsilon * (x * x - x - y * y + y)

    def _slope(self, r):
        x = (self.sigma / r) ** 6
        return -24 * self.epsilon * (2 * x * x - x) / r

    def bind(self, topology, cell) -> None:
        self.topology, self.edges = topology, np.diag(cell)

    def evaluate(self, positions, subset=None, virial=False) -> Evaluation:
        topology = self.topology
        mask = np.ones(topology.n_molecules, dtype=bool) if subset is None else subset
        self.calls.append(int(mask.sum()))
        atoms = np.flatnonzero(topology.atom_mask(mask))
        first, second = np.triu_indices(len(atoms), 1)
        i, j = atoms[first], atoms[second]
        delta = positions[j] - positions[i]
        delta -= self.edges * np.round(delta / self.edges)
        r = np.linalg.norm(delta, axis=1)
        near = (r < self.cutoff) & (topology.molecule_of_atom[i] != topology.molecule_of_atom[j])
        i, j, delta, r = i[near], j[near], delta[near], r[near]
        soft = r < self.core
        radius = np.maximum(r, self.core) if self.core else r
        slope = self._slope(radius)
        energy = float((self._value(radius) + slope * (r - radius)).sum())
        pull = (slope / r)[:, None] * delta
        forces = np.zeros_like(positions)
        np.add.at(forces, i, pull)
        np.add.at(forces, j, -pull)
        capped = np.bincount(topology.molecule_of_atom[np.concatenate([i[soft], j[soft]])], minlength=topology.n_molecules)
        return Evaluation(energy, forces, -delta.T @ pull if virial else None, capped)


class HarmonicWell(Potential):
    """k/2 |r - r0|^2 for every atom: a sum over molecules."""

    additive_over_molecules = True

    def __init__(self, stiffness: float, centres: np.ndarray) -> None:
        self.stiffness, self.centres = stiffness, centres
        self.calls: list[int] = []

    def bind(self, topology, cell) -> None:
        self.topology = topology

    def evaluate(self, positions, subset=None, virial=False) -> Evaluation:
        mask = np.ones(len(positions), dtype=bool) if subset is None else self.topology.atom_mask(subset)
        self.calls.append(int(mask.sum()))
        delta = (positions - self.centres) * mask[:, None]
        capped = np.zeros(self.topology.n_molecules, dtype=np.int64)
        return Evaluation(0.5 * self.stiffness * float((delta**2).sum()), -self.stiffness * delta, None, capped)


def monatomic(n_molecules: int, mass: float = 39.948) -> Topology:
    """One atom per molecule."""
    ones = np.ones(n_molecules, dtype=np.int64)
    return Topology(("argon",), 0 * ones, np.arange(n_molecules + 1), 18 * ones, np.full(n_molecules, mass))


def lattice_fluid(shape: tuple[int, int, int], spacing: float, seed: int = 0, jitter: float = 0.1) -> State:
    """Argon atoms near the points of a cubic lattice."""
    points = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, 3) + 0.5
    noise = np.random.default_rng(seed).normal(scale=jitter, size=points.shape)
    return State(points * spacing + noise, np.diag(np.array(shape) * spacing), monatomic(len(points)))


def triatomic_fluid(shape: tuple[int, int, int], spacing: float, seed: int = 0) -> State:
    """Bent three-atom molecules of unequal masses near the points of a cubic lattice."""
    sites = lattice_fluid(shape, spacing, seed)
    geometry = np.array([[0.0, 0.0, 0.0], [0.9572, 0.0, 0.0], [-0.24, 0.9266, 0.0]])
    positions = (sites.positions[:, None] + geometry).reshape(-1, 3)
    n_molecules = len(sites.positions)
    numbers, masses = np.tile([8, 1, 1], n_molecules), np.tile([15.999, 1.008, 1.008], n_molecules)
    topology = Topology(("water",), np.zeros(n_molecules, dtype=np.int64), 3 * np.arange(n_molecules + 1), numbers, masses)
    return State(positions, sites.cell, topology)


class HarmonicMolecules(Potential):
    """k/2 (r - r0)^2 between all atoms of a three-atom molecule: a sum over molecules."""

    additive_over_molecules = True

    def __init__(self, stiffness: float = 20.0) -> None:
        self.stiffness = stiffness

    def bind(self, topology, cell) -> None:
        self.topology = topology

    def evaluate(self, positions, subset=None, virial=False) -> Evaluation:
        n_molecules = self.topology.n_molecules
        chosen = np.ones(n_molecules, dtype=bool) if subset is None else subset
        molecules = positions.reshape(-1, 3, 3)
        energy, forces, tensor = 0.0, np.zeros_like(molecules), np.zeros((3, 3))
        for i, j, length in ((0, 1, 0.9572), (0, 2, 0.9572), (1, 2, 1.5139)):
            delta = molecules[:, j] - molecules[:, i]
            r = np.linalg.norm(delta, axis=1)
            energy += 0.5 * self.stiffness * float(((r - length) ** 2)[chosen].sum())
            pull = np.where(chosen, self.stiffness * (r - length) / r, 0.0)[:, None] * delta
            forces[:, i] += pull
            forces[:, j] -= pull
            tensor -= delta.T @ pull
        return Evaluation(energy, forces.reshape(-1, 3), tensor if virial else None, np.zeros(n_molecules, dtype=np.int64))
