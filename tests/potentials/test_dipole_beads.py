"""Point dipoles on beads: their energy, its gradient, and what follows from symmetry."""

import numpy as np
import pytest

from halocline.dynamics.bulk import molecular_pressure
from halocline.errors import UserError
from halocline.molecules.base import Nonbonded, build_topology
from halocline.molecules.spce import SPCE
from halocline.potentials.dipole_beads import DipoleBeads
from halocline.state import State
from halocline.units import COULOMB, DEBYE, thermal_energy

EDGE = 18.0


def waters(count: int, seed: int = 1) -> State:
    generator = np.random.default_rng(seed)
    side = round(count ** (1 / 3))
    points = np.stack(np.meshgrid(*[np.arange(side) * EDGE / side] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = []
    for point in points:
        turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
        positions.append(np.array(SPCE.geometry) @ turn.T + point + generator.normal(scale=0.3, size=3))
    return State(np.concatenate(positions), np.diag([EDGE] * 3), build_topology([(SPCE, len(points))]))


def bound(state: State, **options: float) -> DipoleBeads:
    potential = DipoleBeads(8.0, **options)
    potential.bind(state.topology, state.cell)
    return potential


def test_two_parallel_dipoles_have_the_energy_of_electrostatics_with_a_reaction_field():
    state = waters(8).select([0, 1])
    one, other = (np.array(SPCE.geometry) - np.average(SPCE.geometry, axis=0, weights=SPCE.masses) for _ in range(2))
    state = state.with_positions(np.concatenate([one, other + np.array([0.0, 0.0, 5.0])]))
    dipole = 0.4238 * 2 * np.cos(np.radians(109.47) / 2)
    assert dipole / DEBYE == pytest.approx(2.35, abs=0.01)
    field = 2 * 79 / 161 / 8.0**3
    # The dipoles lie along x, the distance along z; 5 Å is inside the unswitched range and outside the core.
    expected = COULOMB * dipole**2 * (1 / 125 - field) * (1 - np.exp(-((5.0 / 2.4) ** 6)))
    assert bound(state).evaluate(state.positions).energy == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rule", [None, "site", "product", "complement"])
def test_forces_are_the_gradient_of_the_energy(rule):
    state = waters(64)
    potential = bound(state)
    weights = np.random.default_rng(2).uniform(0, 1, 64)

    def evaluate(positions):
        return potential.evaluate(positions) if rule is None else potential.evaluate_weighted(positions, weights, rule)

    forces, direction, step = evaluate(state.positions).forces, np.random.default_rng(3).normal(size=(192, 3)), 1e-5
    numerical = -(evaluate(state.positions + step * direction).energy - evaluate(state.positions - step * direction).energy) / (2 * step)
    assert numerical == pytest.approx(float((forces * direction).sum()), rel=1e-7)
    assert np.abs(forces.sum(0)).max() < 1e-12 * np.abs(forces).sum()


def test_site_energies_add_up_and_rules_agree_where_all_weights_are_one():
    state = waters(64)
    potential, ones = bound(state), np.ones(64)
    plain = potential.evaluate(state.positions)
    assert plain.sites.sum() == pytest.approx(plain.energy, rel=1e-12)
    for rule, share in (("site", 1.0), ("product", 1.0), ("complement", 0.0)):
        assert potential.evaluate_weighted(state.positions, ones, rule).energy == pytest.approx(share * plain.energy, abs=1e-12)


def test_molecular_pressure_is_the_derivative_by_a_scaling_of_the_centres():
    state = waters(64)
    found = bound(state).evaluate(state.positions, None, True)
    centres = state.centres_of_mass
    energies = []
    for factor in (1 + 1e-6, 1 - 1e-6):
        moved = state.positions + ((factor - 1) * centres)[state.topology.molecule_of_atom]
        scaled = State(moved, state.cell * factor, state.topology)
        energies.append(bound(scaled).evaluate(scaled.positions).energy)
    ideal = 64 * thermal_energy(300.0) / state.volume
    excess = (molecular_pressure(state, found.virial, found.forces, 300.0) - ideal) * 3.0 * state.volume
    assert excess == pytest.approx(-(energies[0] - energies[1]) / 2e-6, rel=1e-6)


def test_a_subset_is_all_that_is_seen():
    state = waters(27)
    members = np.arange(27) % 2 == 0
    part = state.select(np.flatnonzero(members))
    alone, within = bound(part).evaluate(part.positions), bound(state).evaluate(state.positions, members)
    assert within.energy == pytest.approx(alone.energy, rel=1e-12)
    atoms = state.topology.atom_mask(members)
    np.testing.assert_allclose(within.forces[atoms], alone.forces, atol=1e-14)
    np.testing.assert_array_equal(within.forces[~atoms], 0.0)


def test_ions_are_refused():
    state = waters(8)
    potential = DipoleBeads(8.0, parameters={"spce": [Nonbonded(1.0, 3.0, 0.0)] * 3})
    with pytest.raises(UserError, match="charge of 3 e"):
        potential.bind(state.topology, state.cell)
