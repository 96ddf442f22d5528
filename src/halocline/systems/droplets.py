"""Clusters without a cell, cut from a periodic liquid."""

from __future__ import annotations

import numpy as np

from halocline.errors import UserError
from halocline.state import State
from halocline.topology import FloatArray, IntArray


def cut_cluster(state: State, n_molecules: int, rng: np.random.Generator) -> State:
    """A random molecule and the ``n_molecules - 1`` nearest ones, isolated, the random one first.

    Small ones are the clusters whose dipoles and polarizabilities are labelled, large ones are droplets with a surface.

    Args:
        state: periodic box (or cluster) of whole molecules.
        n_molecules: size, 1 or more.
        rng: chooses the molecule.

    Raises:
        UserError: the box has fewer molecules.
    """
    total = state.topology.n_molecules
    if not 1 <= n_molecules <= total:
        raise UserError(f"cannot cut {n_molecules} molecules out of {total}", "dataset", "Raise dataset.molecules.")
    centre = int(rng.integers(total))
    return state.select(nearest_molecules(state, centre, n_molecules)).isolated()


def nearest_molecules(state: State, centre: int, count: int) -> IntArray:
    """(count,) molecules by distance of their centres of mass from that of molecule ``centre``, which comes first."""
    distance = np.linalg.norm(minimum_image(state, state.centres_of_mass - state.centres_of_mass[centre]), axis=1)
    distance[centre] = -1.0
    return np.argsort(distance, kind="stable")[:count].astype(np.int64)


def minimum_image(state: State, vectors: FloatArray) -> FloatArray:
    """(n, 3) vectors, each at its shortest periodic image of an orthorhombic cell."""
    return vectors - np.round(vectors / state.edges) * state.edges if state.periodic else vectors
