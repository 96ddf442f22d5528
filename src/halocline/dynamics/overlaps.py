"""Molecules that lie on top of each other: a start from which no run recovers."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from halocline.errors import UserError
from halocline.state import State
from halocline.topology import FloatArray, IntArray

CLOSEST = 0.5
"""Atoms of different molecules nearer than this overlap, Å; a hydrogen bond is 1.5 Å and more."""


def find_overlaps(state: State, closest: float = CLOSEST) -> tuple[IntArray, FloatArray]:
    """Pairs of atoms of different molecules nearer than ``closest``, nearest first.

    Args:
        state: orthorhombic where it is periodic.
        closest: Å.

    Returns:
        (n_pairs, 2) atoms and (n_pairs,) distances in Å.
    """
    edges = state.edges if state.periodic else None
    positions = state.positions if edges is None else state.positions - edges * np.floor(state.positions / edges)
    # A coordinate a rounding error below zero wraps to the edge itself, which the tree refuses.
    tree = cKDTree(positions if edges is None else np.where(positions >= edges, 0.0, positions), boxsize=edges)
    pairs = tree.query_pairs(closest, output_type="ndarray").astype(np.int64).reshape(-1, 2)
    molecules = state.topology.molecule_of_atom
    pairs = pairs[molecules[pairs[:, 0]] != molecules[pairs[:, 1]]]
    offset = positions[pairs[:, 1]] - positions[pairs[:, 0]]
    if edges is not None:
        offset -= edges * np.round(offset / edges)
    distance = np.linalg.norm(offset, axis=1)
    order = np.argsort(distance)
    return pairs[order], distance[order]


def refuse_overlaps(state: State, closest: float = CLOSEST, where: str = "start of the calibration") -> None:
    """Raise a UserError that names the nearest pair of overlapping molecules."""
    pairs, distance = find_overlaps(state, closest)
    if len(pairs):
        one, other = (int(state.topology.molecule_of_atom[atom]) for atom in pairs[0])
        raise UserError(
            f"{len(pairs)} pairs of atoms of different molecules are nearer than {closest:g} A, the nearest {distance[0]:.3f} A "
            f"(molecules {one} and {other})",
            where,
            "Build the box again (halocline build), or relax this configuration before the calibration.",
        )
