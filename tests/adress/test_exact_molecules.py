"""Molecules of several atoms: shares of forces, torques, what is never interpolated, broken molecules."""

import numpy as np
import pytest
from brute_force import HarmonicMolecules, triatomic_fluid
from exact_systems import COUPLINGS, bound, couple, largest_imbalance
from weighted_pairs import WeightedPairs

from halocline.adress.coupling.hamiltonian import HamiltonianCoupling
from halocline.adress.regions import MovingSphere, Resolution, Slab, Sphere
from halocline.dynamics.integrator import maxwell_boltzmann
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.errors import UserError
from halocline.potentials.base import Evaluation, Zero
from halocline.state import State

SLAB = Slab(8.0, 2.5, 3.0, 0.0, 16.0)
SPHERE = Sphere((8.0, 8.0, 8.0), 2.5, 3.0, 0.0, (16.0, 16.0, 16.0))


def atoms() -> WeightedPairs:
    return WeightedPairs(0.005, 2.6, 6.0, taper=True)


def beads() -> WeightedPairs:
    return WeightedPairs(0.008, 3.0, 6.0, centres=True, taper=True)


def water(seed: int = 1) -> State:
    """64 molecules of three atoms in a cube of 16 Å."""
    return triatomic_fluid((4, 4, 4), 4.0, seed)


class WeighableMolecules(HarmonicMolecules):
    """With energies of molecules that can be weighted."""

    rules = frozenset({"site"})

    def evaluate_weighted(self, positions, weights, rule) -> Evaluation:
        parts = [self.evaluate(positions, np.arange(len(weights)) == m) for m in range(len(weights))]
        own = np.array([part.energy for part in parts])
        forces = sum(w * part.forces for w, part in zip(weights, parts))
        return Evaluation(float(weights @ own), forces, None, parts[0].capped, own)


def by_molecule(forces: np.ndarray) -> np.ndarray:
    return forces.reshape(-1, 3, 3)


def torque(state: State, forces: np.ndarray) -> np.ndarray:
    arms = by_molecule(state.positions) - state.centres_of_mass[:, None]
    return np.cross(arms, by_molecule(forces)).sum(1)


@pytest.mark.parametrize("name", COUPLINGS)
def test_forces_of_beads_are_shared_by_mass_and_exert_no_torque(name):
    state = water()
    forces = bound(name, state, Zero(), beads()).evaluate(state.positions, Resolution.of(SPHERE, state.topology, state.positions)).forces
    accelerations = by_molecule(forces / state.topology.masses[:, None])
    np.testing.assert_allclose(accelerations, accelerations[:, :1].repeat(3, axis=1), atol=1e-14)
    np.testing.assert_allclose(torque(state, forces), 0.0, atol=1e-13)
    total, masses = by_molecule(forces).sum(1), state.topology.molecule_masses[:, None]
    np.testing.assert_allclose(accelerations[:, 0], total / masses, atol=1e-15)
    assert np.abs(total).max() > 1e-4


def test_the_drift_force_is_shared_by_mass():
    state = water()
    resolution = Resolution.of(SPHERE, state.topology, state.positions)
    coupling = bound("hamiltonian", state, atoms(), beads())
    result = coupling.evaluate(state.positions, resolution)
    parts = [atoms(), beads()]
    for part in parts:
        part.bind(state.topology, state.cell)
    w = resolution.weight
    rest = parts[0].evaluate_weighted(state.positions, w, "site").forces + parts[1].evaluate_weighted(state.positions, 1 - w, "site").forces
    drift = by_molecule(result.forces - rest)
    own = [part.evaluate_weighted(state.positions, np.full(64, 0.5), "site").sites for part in parts]
    expected = -(own[0] - own[1])[:, None] * resolution.weight_gradient
    np.testing.assert_allclose(drift.sum(1), expected, atol=1e-14)
    np.testing.assert_allclose(torque(state, result.forces - rest), 0.0, atol=1e-14)
    assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize("name", [name for name in COUPLINGS if name != "force-interpolation"])
def test_forces_on_atoms_are_the_gradient(name):
    state, h = water(), 1e-6
    bonds = HarmonicMolecules()
    coupling = bound(name, state, atoms() + bonds, beads() + bonds)
    start = Resolution.of(SPHERE, state.topology, state.positions)
    forces = coupling.evaluate(state.positions, start).forces.copy()

    def energy(positions: np.ndarray) -> float:
        here = Resolution.of(SPHERE, state.topology, positions, start.inside)
        frozen = Resolution(start.inside, SPHERE, here.centres, here.distance, start.levels)
        return coupling.evaluate(positions, frozen).energy

    for direction in np.random.default_rng(3).normal(size=(3, *forces.shape)):
        slope = (energy(state.positions + h * direction) - energy(state.positions - h * direction)) / (2 * h)
        assert -slope == pytest.approx(float((forces * direction).sum()), abs=1e-6 * np.linalg.norm(forces))


@pytest.mark.parametrize("name", COUPLINGS)
def test_bonds_are_never_interpolated(name):
    state, bonds = water(), HarmonicMolecules()
    resolution = Resolution.of(SPHERE, state.topology, state.positions)
    assert ((resolution.weight > 0) & (resolution.weight < 1)).any()
    with_bonds = bound(name, state, atoms() + bonds, beads() + bonds).evaluate(state.positions, resolution)
    without = bound(name, state, atoms(), beads()).evaluate(state.positions, resolution)
    bonds.bind(state.topology, state.cell)
    alone = bonds.evaluate(state.positions)
    np.testing.assert_allclose(with_bonds.forces - without.forces, alone.forces, atol=1e-13)
    assert with_bonds.energy - without.energy == pytest.approx(alone.energy, abs=1e-11)


@pytest.mark.parametrize("name", COUPLINGS)
def test_unlike_bonds_change_with_membership_and_the_jump_is_booked(name):
    state = water()
    velocities = maxwell_boltzmann(state.topology.masses, 250.0, np.random.default_rng(1))
    state = State(state.positions, state.cell, state.topology, velocities)
    sphere = MovingSphere((8.0, 8.0, 8.0), 2.5, 3.0, 0.1, (16.0, 16.0, 16.0), molecule=21)
    errors = []
    for timestep in (0.5, 0.25):
        coupling = couple(name, atoms() + HarmonicMolecules(20.0), beads() + HarmonicMolecules(12.0))
        run = Simulation(state, coupling, sphere, Thermostat(timestep, 250.0, (0.0, 0.0, 0.0)))
        errors.append(largest_imbalance(run, 80.0))
    assert run.ledger.flips > 0
    assert abs(run.ledger.total_heat) > 2 * errors[1]
    assert errors[1] < 0.3 * errors[0]


def test_bonds_of_one_side_alone_go_with_the_weights_of_hamiltonian_adress():
    # As for a network, whose site energies contain what happens within molecules, over beads with bonds.
    state, bonds = water(), WeighableMolecules()
    resolution = Resolution.of(SPHERE, state.topology, state.positions)
    result = bound("hamiltonian", state, atoms(), beads() + bonds).evaluate(state.positions, resolution)
    without = bound("hamiltonian", state, atoms(), beads()).evaluate(state.positions, resolution)
    bonds.bind(state.topology, state.cell)
    own = bonds.evaluate_weighted(state.positions, np.ones(64), "site").sites
    assert result.energy - without.energy == pytest.approx(float(((1 - resolution.weight) * own).sum()), abs=1e-11)
    np.testing.assert_allclose(result.sites - without.sites, np.where(resolution.weight < 1, -own, 0.0), atol=1e-12)


@pytest.mark.parametrize("name", COUPLINGS)
def test_a_molecule_broken_by_the_boundary_is_resolved_like_a_whole_one(name):
    state = water()
    slab = Slab(0.5, 2.5, 3.0, 0.0, 16.0)
    broken = state.with_positions(np.mod(state.positions - [14.3, 1.9, 0.0], 16.0))
    whole = broken.make_whole()
    assert not np.allclose(whole.positions, broken.positions)
    unwrapped = state.with_positions(state.positions - [14.3, 1.9, 0.0])
    one, other = (Resolution.of(slab, state.topology, item.positions) for item in (whole, unwrapped))
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-12)
    np.testing.assert_array_equal(one.levels, other.levels)
    results = [
        bound(name, state, atoms(), beads()).evaluate(item.positions, resolution) for item, resolution in ((whole, one), (unwrapped, other))
    ]
    np.testing.assert_allclose(results[0].forces, results[1].forces, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "rule"), [("abrupt", "product"), ("force-interpolation", "product"), ("hamiltonian", "site"), ("site-energy", "site")]
)
def test_potentials_without_such_energies_are_refused_in_three_parts(name, rule):
    class Network(HarmonicMolecules):
        additive_over_molecules = False

    with pytest.raises(UserError, match=f"rule '{rule}', which Network does not support") as caught:
        couple(name, Network(), beads())
    assert caught.value.where == "study file: coupling.name"
    assert "subtractive" in caught.value.remedy
    with pytest.raises(UserError, match="rule"):
        couple(name, atoms(), Network())


def test_bonds_that_cannot_be_weighted_are_refused_where_they_must_be():
    with pytest.raises(UserError, match="rule 'site', which HarmonicMolecules"):
        HamiltonianCoupling(atoms(), beads() + HarmonicMolecules())
