"""One bead per molecule conserves mass, momentum, total force and work."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halocline.mapping.centre_of_mass import map_forces, map_positions, map_velocities, spread_forces, to_beads
from halocline.molecules.base import Molecule, build_topology
from halocline.molecules.water import WATER
from halocline.state import State

HYDROXIDE = Molecule("hydroxide", "OH-", ("O", "H"), ((0.0, 0.0, 0.0), (0.97, 0.0, 0.0)), charge=-1)


def mixture(seed: int) -> State:
    topology = build_topology([(WATER, 3), (HYDROXIDE, 2)])
    rng = np.random.default_rng(seed)
    positions = rng.normal(size=(topology.n_atoms, 3))
    return State(positions, np.diag([8.0, 9.0, 10.0]), topology, velocities=rng.normal(size=positions.shape))


def test_the_bead_of_water_sits_at_the_mass_weighted_mean():
    state = State(np.array([[0.0, 0, 0], [1.0, 0, 0], [0.0, 2, 0]]), np.zeros((3, 3)), build_topology([(WATER, 1)]), periodic=False)
    oxygen, hydrogen = WATER.masses[:2]
    expected = np.array([[hydrogen, 2 * hydrogen, 0]]) / (oxygen + 2 * hydrogen)
    np.testing.assert_allclose(to_beads(state).positions, expected, rtol=1e-14)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_mapping_conserves_force_momentum_and_work(seed):
    state = mixture(seed)
    topology, rng = state.topology, np.random.default_rng(seed + 1)
    forces, bead_forces = rng.normal(size=state.positions.shape), rng.normal(size=(topology.n_molecules, 3))
    np.testing.assert_allclose(map_forces(topology, forces).sum(axis=0), forces.sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(spread_forces(topology, bead_forces).sum(axis=0), bead_forces.sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(map_forces(topology, spread_forces(topology, bead_forces)), bead_forces, atol=1e-12)
    assert state.velocities is not None
    momentum = (topology.masses[:, None] * state.velocities).sum(axis=0)
    bead_momentum = (topology.molecule_masses[:, None] * map_velocities(topology, state.velocities)).sum(axis=0)
    np.testing.assert_allclose(bead_momentum, momentum, atol=1e-12)
    displacement = rng.normal(size=state.positions.shape)
    work_on_atoms = np.sum(spread_forces(topology, bead_forces) * displacement)
    assert work_on_atoms == pytest.approx(np.sum(bead_forces * map_positions(topology, displacement)), abs=1e-12)


def test_mapped_forces_are_minus_the_gradient_of_an_energy_of_the_beads():
    state = mixture(5)
    topology = state.topology

    def energy(positions: np.ndarray) -> float:
        return float(np.sum(np.sin(map_positions(topology, positions))))

    atom_forces = spread_forces(topology, -np.cos(map_positions(topology, state.positions)))
    step = 1e-5
    for atom, axis in [(0, 0), (4, 1), (10, 2), (12, 0)]:
        shift = np.zeros_like(state.positions)
        shift[atom, axis] = step
        slope = (energy(state.positions + shift) - energy(state.positions - shift)) / (2 * step)
        assert atom_forces[atom, axis] == pytest.approx(-slope, abs=1e-9)


def test_rotation_of_a_rigid_molecule_gives_no_bead_force_and_order_of_molecules_does_not_matter():
    state = mixture(2)
    topology = state.topology
    torque_only = np.cross([0.3, -0.2, 0.7], state.positions - state.centres_of_mass[topology.molecule_of_atom]) * topology.masses[:, None]
    np.testing.assert_allclose(map_forces(topology, torque_only), 0, atol=1e-12)
    order = np.array([4, 0, 3, 1, 2])
    beads, shuffled = to_beads(state, state.positions), to_beads(state.select(order), state.positions[topology.atoms_of(order)])
    np.testing.assert_allclose(shuffled.positions, beads.positions[order], atol=1e-14)
    np.testing.assert_array_equal(shuffled.types, beads.types[order])
    assert beads.forces is not None
    assert shuffled.forces is not None
    np.testing.assert_allclose(shuffled.forces, beads.forces[order], atol=1e-14)
    assert [beads.species[kind] for kind in beads.types] == ["water"] * 3 + ["hydroxide"] * 2
    np.testing.assert_allclose(beads.masses.sum(), topology.masses.sum())
