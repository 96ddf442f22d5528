"""The analytic engine: closed forms where they exist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from finite_differences import water_box, water_cluster

from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.reference.analytic import CUTOFF, AnalyticEngine
from halocline.reference.induction import POLARIZABILITIES, polarizability
from halocline.state import State
from halocline.topology import FloatArray


def relaxed_molecule() -> FloatArray:
    """The minimum of the flexible model: both bonds and the angle at their rest values."""
    length, theta = WATER.bonds[0].length, WATER.angles[0].angle
    return length * np.array([[0, 0, 0], [1, 0, 0], [np.cos(theta), np.sin(theta), 0]])


def test_a_relaxed_molecule_has_no_energy_and_no_forces() -> None:
    state = State(relaxed_molecule(), np.zeros((3, 3)), build_topology([(WATER, 1)]), periodic=False)
    labels = AnalyticEngine().compute(state, ["energy", "forces"])
    assert labels["energy"] == pytest.approx(0.0, abs=1e-15)
    assert np.abs(labels["forces"]).max() < 1e-12


def test_molecules_beyond_the_cutoff_do_not_feel_each_other() -> None:
    molecule = relaxed_molecule()
    topology = build_topology([(WATER, 2)])
    for gap, interacts in ((CUTOFF - 0.5, True), (CUTOFF + 2.5, False)):
        state = State(np.concatenate([molecule, molecule + np.array([0, 0, gap])]), np.zeros((3, 3)), topology, periodic=False)
        assert (abs(AnalyticEngine().compute(state, ["energy"])["energy"]) > 1e-6) == interacts


def test_energy_and_forces_are_continuous_across_the_cutoff() -> None:
    molecule = relaxed_molecule()
    topology = build_topology([(WATER, 2)])
    values = []
    for gap in CUTOFF + np.array([-1e-6, 1e-6]):
        state = State(np.concatenate([molecule, molecule + np.array([0, 0, gap])]), np.zeros((3, 3)), topology, periodic=False)
        values.append(AnalyticEngine().compute(state, ["energy", "forces"]))
    assert values[0]["energy"] == pytest.approx(float(values[1]["energy"]), abs=1e-10)
    assert np.allclose(values[0]["forces"], values[1]["forces"], atol=1e-6)


def test_a_replicated_box_has_as_many_times_the_energy() -> None:
    """Also for boxes with edges below twice the cutoff, where an atom meets several images of another and of itself."""
    small = water_box(1, 3.3)
    shifts = 3.3 * np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = (small.positions[None] + shifts[:, None]).reshape(-1, 3)
    large = replace(small, positions=positions, cell=3 * small.cell, topology=build_topology([(WATER, 27)]))
    one, many = (AnalyticEngine().compute(state, ["energy", "stress", "forces"]) for state in (small, large))
    assert many["energy"] == pytest.approx(27 * float(one["energy"]), rel=1e-12)
    assert np.allclose(many["stress"], one["stress"], atol=1e-12)
    assert np.allclose(many["forces"], np.tile(one["forces"], (27, 1)), atol=1e-10)


def test_dipole_and_quadrupole_are_those_of_the_point_charges() -> None:
    state = water_cluster(1)
    labels = AnalyticEngine().compute(state, ["charges", "dipole", "quadrupole"])
    assert list(labels["charges"]) == [-0.82, 0.41, 0.41]
    expected = 0.41 * (state.positions[1] + state.positions[2] - 2 * state.positions[0])
    assert np.allclose(labels["dipole"], expected)
    assert np.trace(labels["quadrupole"]) == pytest.approx(0.0, abs=1e-12)


def test_polarizability_of_one_atom_is_its_own_and_of_two_distant_ones_the_sum() -> None:
    oxygen = POLARIZABILITIES["O"]
    assert np.allclose(polarizability(np.zeros((1, 3)), np.array([oxygen])), oxygen * np.eye(3))
    # Silberstein: parallel 2a/(1 - 2a/r^3), perpendicular 2a/(1 + a/r^3) for undamped pairs
    r = 5.0
    pair = polarizability(np.array([[0, 0, 0], [0, 0, r]], dtype=float), np.array([oxygen, oxygen]))
    assert pair[2, 2] == pytest.approx(2 * oxygen / (1 - 2 * oxygen / r**3))
    assert pair[0, 0] == pytest.approx(2 * oxygen / (1 + oxygen / r**3))


def test_polarizability_of_water_is_that_of_water() -> None:
    alpha = AnalyticEngine().compute(water_cluster(1), ["polarizability"])["polarizability"]
    assert np.trace(alpha) / 3 == pytest.approx(1.44, abs=0.05)
