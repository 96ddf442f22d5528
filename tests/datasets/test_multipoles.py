"""Multipoles of point charges keep their meaning when the origin moves, and Wannier centres are charges like others."""

import numpy as np
import pytest

from halocline.datasets.multipoles import move_origin, traceless, wannier_dipoles
from halocline.errors import RunFailure
from halocline.molecules.base import Molecule, build_topology
from halocline.molecules.chloride import CHLORIDE
from halocline.molecules.water import WATER
from halocline.state import State


def multipoles(charges: np.ndarray, positions: np.ndarray, origin: np.ndarray) -> dict[str, np.ndarray]:
    """By the definition of the labels, component by component."""
    quadrupole = np.zeros((3, 3))
    for q, r in zip(charges, positions - origin):
        for a in range(3):
            for b in range(3):
                quadrupole[a, b] += 0.5 * q * (3 * r[a] * r[b] - (r @ r) * (a == b))
    return {"dipole": charges @ (positions - origin), "quadrupole": quadrupole}


@pytest.mark.parametrize("charge", [0.0, 1.0, -2.0])
def test_moving_the_origin_gives_the_multipoles_of_point_charges_about_the_new_one(charge):
    rng = np.random.default_rng(3)
    charges, positions = rng.normal(size=6), 2 * rng.normal(size=(6, 3))
    charges += (charge - charges.sum()) / 6
    first, second = rng.normal(size=(2, 3))
    moved = move_origin(multipoles(charges, positions, first), charge, second - first)
    expected = multipoles(charges, positions, second)
    np.testing.assert_allclose(moved["dipole"], expected["dipole"], atol=1e-12)
    np.testing.assert_allclose(moved["quadrupole"], expected["quadrupole"], atol=1e-12)
    back = move_origin(moved, charge, first - second)
    np.testing.assert_allclose(back["quadrupole"], multipoles(charges, positions, first)["quadrupole"], atol=1e-12)


def test_the_dipole_of_a_neutral_molecule_has_no_origin_but_its_quadrupole_does():
    charges, positions = np.array([1.0, -1.0]), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    moved = move_origin(multipoles(charges, positions, np.zeros(3)), 0.0, np.array([0.0, 0.0, 0.5]))
    np.testing.assert_allclose(moved["dipole"], [0, 0, 1.0])
    np.testing.assert_allclose(moved["quadrupole"], np.zeros((3, 3)), atol=1e-12)  # symmetric about the middle


def test_a_quadrupole_without_its_dipole_cannot_be_moved_and_other_labels_pass():
    with pytest.raises(RunFailure, match="without a dipole"):
        move_origin({"quadrupole": np.zeros((3, 3))}, 0.0, np.ones(3))
    labels = {"energy": np.array(1.0)}
    assert move_origin(labels, 1.0, np.ones(3)) == labels


def test_traceless_moment_of_a_charge_on_an_axis_is_that_of_the_textbook():
    np.testing.assert_allclose(traceless(np.diag([0.0, 0.0, 4.0])), np.diag([-2.0, -2.0, 4.0]))


def box_of(molecules: list[tuple[Molecule, int]], seed: int) -> State:
    rng = np.random.default_rng(seed)
    parts = [
        10 * rng.normal(size=3) + np.array(molecule.geometry) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
        for molecule, count in molecules
        for _ in range(count)
    ]
    return State(np.concatenate(parts), np.eye(3) * 40, build_topology(molecules))


def test_wannier_dipoles_are_those_of_cores_and_electron_pairs():
    state = box_of([(CHLORIDE, 2), (WATER, 3)], 0)
    rng = np.random.default_rng(1)
    topology, positions = state.topology, state.positions
    displacements, expected = np.zeros((topology.n_atoms, 3)), []
    cores = {1: 1.0, 8: 6.0, 17: 7.0}
    for molecule in range(topology.n_molecules):
        atoms = np.arange(topology.offsets[molecule], topology.offsets[molecule + 1])
        bearer = atoms[topology.atomic_numbers[atoms] != 1][0]
        centres = positions[bearer] + 0.4 * rng.normal(size=(4, 3))
        displacements[bearer] = centres.mean(axis=0) - positions[bearer]
        origin = topology.masses[atoms] @ positions[atoms] / topology.masses[atoms].sum()
        charges = np.concatenate([[cores[int(number)] for number in topology.atomic_numbers[atoms]], [-2.0] * 4])
        expected.append(charges @ (np.concatenate([positions[atoms], centres]) - origin))
    found = wannier_dipoles(displacements, state, {"chloride": -1, "water": 0}, "here")
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_wannier_centres_at_no_atom_or_of_an_unknown_element_are_refused():
    state = box_of([(WATER, 1)], 0)
    with pytest.raises(RunFailure, match="at 0 to 0 atoms"):
        wannier_dipoles(np.zeros((3, 3)), state, {"water": 0}, "here")
    sodium = State(np.zeros((1, 3)), np.eye(3) * 9, build_topology([(Molecule("na", "x", ("Na",), ((0.0, 0.0, 0.0),), 1), 1)]))
    with pytest.raises(RunFailure, match=r"atomic numbers \[11\]"):
        wannier_dipoles(np.ones((1, 3)), sodium, {"na": 1}, "here")
