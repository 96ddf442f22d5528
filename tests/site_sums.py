"""Sums over all pairs of sites written for clarity, to test compiled kernels against; and boxes of molecules."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from halocline.molecules.base import Molecule, build_topology
from halocline.state import State
from halocline.topology import Topology

PairEnergy = Callable[[int, int, float], tuple[float, float, bool]]
"""Site of the first and of the second molecule (atom numbers), distance -> energy, repulsion -dV/dr, capped."""


def random_box(species: list[tuple[Molecule, int]], edge: float, seed: int, jitter: float = 0.4) -> State:
    """Molecules of random orientation near the points of a lattice, in random order of species, some beyond the faces."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.repeat(np.arange(len(species)), [count for _, count in species]))
    per_edge = math.ceil(len(kinds) ** (1 / 3))
    lattice = np.stack(np.meshgrid(*[np.arange(per_edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[: len(kinds)] * edge / per_edge
    blocks = []
    for kind, centre in zip(kinds, lattice):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        geometry = np.array(species[kind][0].geometry)
        blocks.append((geometry - geometry.mean(axis=0)) @ turn + centre + rng.normal(scale=jitter, size=3) + edge * rng.integers(-1, 2, 3))
    single = [build_topology([(molecule, 1)]) for molecule, _ in species]
    sizes = np.array([topology.n_atoms for topology in single])[kinds]
    topology = Topology(
        tuple(molecule.name for molecule, _ in species),
        kinds.astype(np.int64),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.concatenate([single[kind].atomic_numbers for kind in kinds]),
        np.concatenate([single[kind].masses for kind in kinds]),
    )
    return State(np.concatenate(blocks), np.eye(3) * edge, topology)


def molecule_pairs(state: State, pair_energy: PairEnergy, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, n) U_ab, (n, n, n_atoms, 3) its forces by pair, and (n, n) capped pairs of sites, upper triangle only."""
    topology, edges = state.topology, np.diag(state.cell)
    n = topology.n_molecules
    energies, forces, capped = np.zeros((n, n)), np.zeros((n, n, topology.n_atoms, 3)), np.zeros((n, n), dtype=int)
    centres = topology.centres_of_mass(state.positions)
    for a in range(n):
        for b in range(a + 1, n):
            shift = -edges * np.round((centres[b] - centres[a]) / edges)
            for i in range(topology.offsets[a], topology.offsets[a + 1]):
                for j in range(topology.offsets[b], topology.offsets[b + 1]):
                    delta = state.positions[j] + shift - state.positions[i]
                    r = float(np.linalg.norm(delta))
                    if r < cutoff:
                        energy, repulsion, is_capped = pair_energy(i, j, r)
                        energies[a, b] += energy
                        forces[a, b, j] += repulsion * delta / r
                        forces[a, b, i] -= repulsion * delta / r
                        capped[a, b] += is_capped
    return energies, forces, capped


def pair_factors(weights: np.ndarray, rule: str) -> np.ndarray:
    """(n, n) factor of each pair of molecules."""
    product = np.outer(weights, weights)
    return {"site": 0.5 * (weights[:, None] + weights), "product": product, "complement": 1 - product}[rule]


def slope_along(energy: Callable[[np.ndarray], float], positions: np.ndarray, direction: np.ndarray, h: float = 1e-5) -> float:
    """Fourth-order central difference of an energy along a direction."""
    e = [energy(positions + k * h * direction) for k in (-2, -1, 1, 2)]
    return (e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * h)
