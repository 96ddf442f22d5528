"""Clusters cut from a periodic box."""

from __future__ import annotations

import numpy as np
import pytest

from halocline.errors import UserError
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State
from halocline.systems.droplets import cut_cluster, nearest_molecules

EDGE = 10.0


def line_of_molecules(places: list[float]) -> State:
    """Molecules along x at given places."""
    geometry = np.array(WATER.geometry)
    positions = np.concatenate([geometry + np.array([x, 5.0, 5.0]) for x in places])
    return State(positions, EDGE * np.eye(3), build_topology([(WATER, len(places))]))


def test_neighbours_are_counted_across_the_periodic_face() -> None:
    state = line_of_molecules([0.5, 3.5, 9.0, 6.0])
    assert list(nearest_molecules(state, 0, 3)) == [0, 2, 1]


def test_a_cluster_is_isolated_compact_and_keeps_its_molecules() -> None:
    state = line_of_molecules([0.5, 3.5, 9.0, 6.0])
    for seed in range(8):
        cluster = cut_cluster(state, 2, np.random.default_rng(seed))
        assert not cluster.periodic
        assert np.all(cluster.cell == 0)
        one, other = cluster.positions.reshape(2, 3, 3)
        assert np.allclose(one - one[0], np.array(WATER.geometry))
        assert np.linalg.norm(other[0] - one[0]) == pytest.approx(1.5, abs=1e-9) or np.linalg.norm(other[0] - one[0]) <= 3.0 + 1e-9
        assert np.allclose(other - other[0], one - one[0])


def test_no_two_molecules_of_a_cluster_are_nearer_than_in_the_box() -> None:
    rng = np.random.default_rng(0)
    state = line_of_molecules(list(rng.uniform(0, EDGE, 20)))
    state = state.with_positions(state.positions + np.repeat(rng.uniform(0, EDGE, (20, 3)), 3, axis=0))

    def nearest(positions: np.ndarray, edge: float) -> float:
        d = positions[:, None] - positions[None]
        d = d - edge * np.round(d / edge)
        return float((np.linalg.norm(d, axis=-1) + 100 * np.eye(len(d))).min())

    cluster = cut_cluster(state, 15, rng)
    assert nearest(cluster.centres_of_mass, 1e9) >= nearest(state.centres_of_mass, EDGE) - 1e-9


def test_every_molecule_can_be_the_centre() -> None:
    state = line_of_molecules([0.5, 3.5, 9.0, 6.0])
    rng = np.random.default_rng(0)
    places = {round(float(cut_cluster(state, 1, rng).positions[0, 0]), 3) for _ in range(100)}
    assert places == {0.5, 3.5, 9.0, 6.0}


@pytest.mark.parametrize("size", [0, 5])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"cannot cut {size} molecules out of 4"):
        cut_cluster(line_of_molecules([0.5, 3.5, 9.0, 6.0]), size, np.random.default_rng(0))
