"""Central differences of an engine's energy, and configurations to take them at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State

Energy = Callable[[State], float]


def water_box(per_edge: int, edge: float, seed: int = 0) -> State:
    """Randomly oriented, slightly distorted water molecules on a cubic grid."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(per_edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * edge / per_edge
    geometry = np.array(WATER.geometry)
    positions = [Rotation.random(rng=rng).apply(geometry) + place + rng.normal(scale=0.03, size=(3, 3)) for place in grid]
    return State(np.concatenate(positions), np.eye(3) * edge, build_topology([(WATER, per_edge**3)]))


def water_cluster(count: int, seed: int = 0) -> State:
    """The first molecules of such a box, isolated."""
    return water_box(2, 6.2, seed).select(range(count)).isolated()


def force(energy: Energy, state: State, atom: int, axis: int, step: float = 1e-3) -> float:
    """-dE/dx of one coordinate."""
    shift = np.zeros_like(state.positions)
    shift[atom, axis] = step
    return -(energy(state.with_positions(state.positions + shift)) - energy(state.with_positions(state.positions - shift))) / (2 * step)


def stress(energy: Energy, state: State, row: int, column: int, step: float = 1e-4) -> float:
    """(1/V) dE/d(strain), for any strain that leaves the cell orthorhombic."""

    def strained(sign: float) -> float:
        strain = np.eye(3)
        strain[row, column] += sign * step
        return energy(replace(state, positions=state.positions @ strain, cell=state.cell @ strain))

    return (strained(1.0) - strained(-1.0)) / (2 * step) / state.volume
