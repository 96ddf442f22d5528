"""Radial distribution of centres of mass, by pairs of species."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import cKDTree

from halocline.topology import FloatArray, IntArray, Topology

BLOCKS = 10
"""Parts of a run whose spread gives the error."""


def species_pairs(topology: Topology) -> list[tuple[str, str]]:
    """All pairs of species, in the order of :func:`count_pairs`."""
    return list(itertools.combinations_with_replacement(topology.species, 2))


def count_pairs(centres: FloatArray, species: IntArray, n_species: int, edges: FloatArray, bins: FloatArray) -> FloatArray:
    """(n_pairs, n_bins) ordered pairs of different molecules by distance.

    Args:
        centres: (n_molecules, 3), Å, wrapped or not.
        species: (n_molecules,) species of each.
        edges: (3,) edges of the periodic box, Å.
        bins: (n_bins + 1,) Å, ascending, below half the shortest edge.
    """
    wrapped = np.mod(centres, edges)
    wrapped[wrapped >= edges] = 0.0  # rounding may leave a point on the upper face
    trees = [cKDTree(wrapped[species == kind], boxsize=edges) for kind in range(n_species)]
    rows = []
    for a, b in itertools.combinations_with_replacement(range(n_species), 2):
        below = trees[a].count_neighbors(trees[b], bins)
        rows.append(np.diff(below) if bins[0] > 0 or a != b else np.diff(below - len(trees[a].data)))
    return np.array(rows, dtype=np.float64)


def radial_distributions(counts: FloatArray, topology: Topology, volume: float, bins: FloatArray) -> tuple[FloatArray, FloatArray]:
    """g(r) and its standard error, (n_pairs, n_bins) each, from blocks of the run.

    Args:
        counts: (n_samples, n_pairs, n_bins) of :func:`count_pairs`.
        volume: Å^3.
        bins: (n_bins + 1,) Å.

    An ideal gas in a closed box has g = 1: a molecule has n - 1 others of its own species.
    """
    numbers = np.bincount(topology.molecule_species, minlength=len(topology.species)).astype(np.float64)
    shells = 4.0 / 3.0 * np.pi * np.diff(bins**3) / volume
    pairs = itertools.combinations_with_replacement(range(len(numbers)), 2)
    expected = np.array([numbers[a] * (numbers[b] - (a == b)) for a, b in pairs])[:, None] * shells
    with np.errstate(invalid="ignore", divide="ignore"):
        samples = np.where(expected > 0.0, counts / expected, 1.0)
    blocks = np.array([block.mean(axis=0) for block in np.array_split(samples, min(BLOCKS, len(samples)))])
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.full(blocks.shape[1:], np.nan)
    return samples.mean(axis=0), error
