"""Half neighbour lists against all pairs, and the life of a list."""

import numpy as np
import pytest

from halocline.errors import RunFailure, UserError
from halocline.potentials.kernels.neighbours import NeighbourList, PairList, beside


def all_pairs(positions: np.ndarray, edges: np.ndarray, cutoff: float, selected: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    found = {}
    sites = np.flatnonzero(selected)
    for a, i in enumerate(sites):
        for j in sites[a + 1 :]:
            d = positions[j] - positions[i]
            d -= edges * np.round(d / edges)
            if d @ d < cutoff**2:
                found[int(i), int(j)] = d
    return found


def as_dictionary(pairs: PairList) -> dict[tuple[int, int], np.ndarray]:
    i = pairs.sites[np.repeat(np.arange(len(pairs.sites)), np.diff(pairs.start))]
    j = pairs.sites[pairs.neighbours]
    assert np.allclose(np.linalg.norm(pairs.displacements, axis=1), pairs.distances)
    return {(int(a), int(b)): d.copy() for a, b, d in zip(i, j, pairs.displacements)}


def assert_same(found: dict[tuple[int, int], np.ndarray], expected: dict[tuple[int, int], np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert np.allclose(found[key], value, atol=1e-12)


@pytest.mark.parametrize("edges", [(6.0, 6.0, 6.0), (7.5, 9.0, 30.0), (16.0, 16.5, 17.0)])
def test_list_equals_all_pairs_from_tiny_to_many_cells(edges: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(3)
    box = np.array(edges)
    positions = rng.uniform(-2, 3, size=(150, 3)) * box
    selected = rng.random(150) < 0.7
    pairs = NeighbourList(3.0, box, skin=0.5).pairs(positions, selected)
    assert_same(as_dictionary(pairs), all_pairs(positions, box, 3.0, selected))
    assert (pairs.neighbours > np.repeat(np.arange(len(pairs.sites)), np.diff(pairs.start))).all()


def test_list_with_skin_equals_fresh_list_along_a_walk_with_changing_subsets() -> None:
    rng = np.random.default_rng(4)
    box = np.array([9.0, 11.0, 14.0])
    positions = rng.uniform(size=(120, 3)) * box
    selected = rng.random(120) < 0.6
    lasting = NeighbourList(3.5, box, skin=0.8)
    for _ in range(60):
        positions += rng.normal(scale=0.04, size=positions.shape)
        flips = rng.random(120) < 0.01
        selected ^= flips
        wrapped = positions - box * rng.integers(-1, 2, size=positions.shape)
        fresh = NeighbourList(3.5, box, skin=0.8)
        old, new = lasting.pairs(wrapped, selected), fresh.pairs(wrapped, selected)
        assert_same(as_dictionary(old), all_pairs(wrapped, box, 3.5, selected))
        # The order too: sums over an old list are the same to the last bit.
        for name in ("sites", "start", "neighbours", "displacements", "distances"):
            if name in ("sites", "start", "neighbours"):
                assert (getattr(old, name) == getattr(new, name)).all()
    assert 3 < lasting.builds < 50


def test_shrinking_subset_and_wrapping_do_not_rebuild_but_new_sites_and_motion_do() -> None:
    rng = np.random.default_rng(5)
    box = np.full(3, 12.0)
    positions = rng.uniform(size=(100, 3)) * box
    selected = np.arange(100) < 60
    neighbours = NeighbourList(4.0, box, skin=1.0)
    neighbours.pairs(positions, selected)
    neighbours.pairs(positions + box, np.arange(100) < 30)
    neighbours.pairs(positions, selected)
    assert neighbours.builds == 1
    neighbours.pairs(positions, np.arange(100) < 61)
    assert neighbours.builds == 2
    moved = positions.copy()
    moved[80] += 3.0
    neighbours.pairs(moved, selected)
    assert neighbours.builds == 2, "a site outside the subset may move as it likes"
    moved[10, 0] += 0.51
    neighbours.pairs(moved, selected)
    assert neighbours.builds == 3


def test_box_below_twice_the_cutoff_is_refused() -> None:
    NeighbourList(5.0, np.array([10.0, 12.0, 12.0]))
    with pytest.raises(UserError, match=r"9\.90 A.*5\.00 A.*larger"):
        NeighbourList(5.0, np.array([9.9, 12.0, 12.0]))


def test_positions_that_are_not_numbers_are_a_failure_not_a_crash() -> None:
    positions = np.zeros((4, 3))
    positions[2, 1] = np.nan
    with pytest.raises(RunFailure, match="site 2"):
        NeighbourList(2.0, np.full(3, 8.0)).pairs(positions)


@pytest.mark.parametrize("far", [1e300, -1e300, 1e20, -2e7, np.inf])
def test_positions_outside_any_box_are_a_failure_not_a_crash(far: float) -> None:
    positions = np.random.default_rng(1).uniform(0, 8, (50, 3))
    positions[31, 2] = far
    fresh, old = NeighbourList(2.0, np.full(3, 8.0), margin=1.0), NeighbourList(2.0, np.full(3, 8.0), margin=1.0)
    old.pairs(positions[[*range(31), 30, *range(32, 50)]])
    for neighbours in (fresh, old):
        with pytest.raises(RunFailure, match=r"position of site 31 is \[.*\] A, outside any box"):
            neighbours.pairs(positions, np.arange(50) > 10)
    # Which molecules are beside a subset is asked before there is a list.
    with np.errstate(invalid="ignore"):
        wrapped = positions - np.floor(positions / 8.0) * 8.0
    assert len(beside(wrapped, np.arange(50) > 10, np.full(3, 8.0), 1.0)) == 50


def test_positions_far_out_but_in_range_have_the_pairs_of_their_images() -> None:
    positions = np.random.default_rng(2).uniform(0, 8, (60, 3))
    edges, away = np.full(3, 8.0), np.zeros((60, 3))
    away[::3] = 8.0 * 1000000
    found, expected = (NeighbourList(2.5, edges).pairs(place) for place in (positions + away, positions))
    np.testing.assert_array_equal(found.neighbours, expected.neighbours)
    np.testing.assert_allclose(found.displacements, expected.displacements, atol=1e-8)


def test_empty_subset_has_no_pairs() -> None:
    pairs = NeighbourList(2.0, np.full(3, 8.0)).pairs(np.zeros((5, 3)), np.zeros(5, dtype=bool))
    assert len(pairs.sites) == len(pairs.distances) == 0
