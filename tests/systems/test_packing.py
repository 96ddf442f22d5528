"""Packed boxes: density, whole molecules, distances, reproducibility."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from halocline.config.study import System
from halocline.errors import UserError
from halocline.molecules.water import WATER
from halocline.systems.packing import box_mass, composition, cube_edges, pack, study_edges
from halocline.units import AMU_PER_CUBIC_ANGSTROM

SPECIES = [(WATER, 32)]


def test_the_box_of_a_study_has_its_length_and_its_density() -> None:
    system = System()
    edges = study_edges(system)
    assert edges[0] == 48.0
    assert edges[1] == edges[2]
    density = box_mass(composition(system.molecules)) / np.prod(edges) / AMU_PER_CUBIC_ANGSTROM
    assert density == pytest.approx(0.997, rel=1e-9)
    assert 400 / np.prod(edges) == pytest.approx(0.03333, rel=1e-3)  # liquid water, molecules per Å^3


def test_packed_molecules_are_whole_rigid_and_apart_also_across_the_faces() -> None:
    state = pack(SPECIES, cube_edges(SPECIES, 0.997 * AMU_PER_CUBIC_ANGSTROM), seed=1)
    assert np.allclose(np.diff(state.topology.offsets), 3)
    molecules = state.positions.reshape(-1, 3, 3)
    assert np.allclose(np.linalg.norm(molecules[:, 1] - molecules[:, 0], axis=1), 0.9572, atol=1e-4)
    assert np.allclose(np.linalg.norm(molecules[:, 2] - molecules[:, 0], axis=1), 0.9572, atol=1e-4)
    centres = state.centres_of_mass
    assert np.all(centres >= 0)
    assert np.all(centres < state.edges)
    pairs = cKDTree(np.mod(state.positions, state.edges), boxsize=state.edges).query_pairs(1.95, output_type="ndarray")
    assert np.all(pairs[:, 0] // 3 == pairs[:, 1] // 3)


def test_equal_seeds_give_equal_boxes_and_others_do_not() -> None:
    edges = np.array([12.0, 9.0, 9.0])
    one, same, other = (pack(SPECIES, edges, seed).positions for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 1.0


def test_molecules_that_do_not_fit_are_an_error_with_the_density() -> None:
    with pytest.raises(UserError, match=r"32 molecules do not fit into 5.00 x 5.00 x 5.00 A \(7\.\d+ g/cm3\).*Lower system.density"):
        pack(SPECIES, np.full(3, 5.0), seed=1)
