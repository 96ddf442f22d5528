"""Neighbour lists against brute force."""

import numpy as np
import pytest
import torch

from halocline.errors import UserError
from halocline.models.graphs import build_bead_graph, build_graph, join_graphs
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State


def waters(n: int, edge: float, seed: int = 0, spread: float = 0.0) -> State:
    """``n`` randomly rotated waters on a cubic grid, jittered."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(n ** (1 / 3) - 1e-9))
    cells = np.array(list(np.ndindex(side, side, side)))[:n]
    positions = []
    for cell in cells:
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        centre = (cell + 0.5) * edge / side + rng.normal(0.0, spread, 3)
        positions.append(np.array(WATER.geometry) @ rotation.T + rng.normal(0.0, 0.03, (3, 3)) + centre)
    return State(np.concatenate(positions), np.eye(3) * edge, build_topology([(WATER, n)]))


def brute_force(state: State, cutoff: float) -> list[float]:
    """Sorted distances of all directed pairs within the cut-off, images included."""
    reach = range(-2, 3) if state.periodic else range(1)
    images = np.array([[a, b, c] for a in reach for b in reach for c in reach]) @ state.cell
    distances = []
    for i, position in enumerate(state.positions):
        vectors = state.positions[None] + images[:, None] - position
        r = np.linalg.norm(vectors, axis=2)
        zero = np.flatnonzero((images == 0).all(axis=1))[0]
        r[zero, i] = np.inf
        distances.extend(r[r < cutoff])
    return sorted(distances)


@pytest.mark.parametrize("periodic", [True, False])
def test_pairs_are_those_of_brute_force_even_in_a_box_shorter_than_twice_the_cutoff(periodic: bool) -> None:
    state = waters(8, 6.2, spread=0.3)
    state = state if periodic else state.isolated()
    graph = build_graph(state, 4.5, torch.float64)
    expected = brute_force(state, 4.5)
    assert len(expected) > 100
    np.testing.assert_allclose(sorted(graph.displacements().norm(dim=1).tolist()), expected, atol=1e-10)


def test_second_half_of_the_pairs_is_the_first_reversed() -> None:
    graph = build_graph([waters(8, 6.2), waters(2, 9.0, 1).isolated()], 4.0, torch.float64)
    half = graph.pairs.shape[1] // 2
    assert torch.equal(graph.pairs[:, :half].flip(0), graph.pairs[:, half:])
    torch.testing.assert_close(graph.displacements()[:half], -graph.displacements()[half:], rtol=0.0, atol=1e-14)


def test_boxes_and_droplets_share_a_graph_without_pairs_between_them() -> None:
    box, droplet = waters(8, 6.2), waters(3, 9.0, 1).isolated()
    graph = build_graph([box, droplet], 4.0)
    assert torch.equal(graph.frame[graph.pairs[0]], graph.frame[graph.pairs[1]])
    assert (graph.n_frames, graph.n_molecules, len(graph.types)) == (2, 11, 33)
    assert graph.molecule.max() == 10
    joined = join_graphs([build_graph(box, 4.0), build_graph(droplet, 4.0)])
    assert sorted(joined.displacements().norm(dim=1).tolist()) == pytest.approx(sorted(graph.displacements().norm(dim=1).tolist()))
    assert torch.equal(joined.molecule, graph.molecule)


def test_beads_sit_at_centres_of_mass() -> None:
    state = waters(8, 9.0)
    graph = build_bead_graph(state, 5.0, torch.float64, ["salt", "water"])
    np.testing.assert_allclose(graph.positions.numpy(), state.centres_of_mass)
    assert set(graph.types.tolist()) == {2}


def test_unknown_species_and_empty_input_are_refused() -> None:
    with pytest.raises(UserError, match="no bead of species water"):
        build_bead_graph(waters(1, 9.0), 5.0, species=["methanol"])
    with pytest.raises(UserError, match="no configuration"):
        build_graph([], 5.0)
    state = waters(1, 9.0)
    with pytest.raises(UserError, match="NaN"):
        build_graph(state.with_positions(state.positions * np.nan), 5.0)
