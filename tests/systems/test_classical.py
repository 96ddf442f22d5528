"""Classical dynamics: the model is the one of the molecule, configurations are whole, temperatures and seeds hold."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import openmm
import pytest
from openmm import unit

from halocline.errors import UserError
from halocline.molecules.base import Molecule, build_topology
from halocline.molecules.water import WATER
from halocline.reference.analytic import bonded_terms
from halocline.state import State
from halocline.systems.classical import ClassicalRun, _make_context, _read, classical_system, run_classical
from halocline.systems.packing import cube_edges, pack
from halocline.topology import FloatArray
from halocline.units import ACCELERATION, AMU_PER_CUBIC_ANGSTROM, BOLTZMANN, COULOMB, KILOJOULE_PER_MOLE

SPECIES = [(WATER, 32)]


@pytest.fixture(scope="module")
def packed() -> State:
    return pack(SPECIES, cube_edges(SPECIES, 0.997 * AMU_PER_CUBIC_ANGSTROM), seed=1)


@pytest.fixture(scope="module")
def trajectory(packed: State) -> list[State]:
    return list(run_classical(packed, SPECIES, ClassicalRun(300.0, 1), 1500.0, 50.0, 40))


def energy(state: State, species: list[tuple[Molecule, int]], rigidity: float = 0.0) -> float:
    """eV."""
    context = openmm.Context(
        classical_system(state, species, rigidity), openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(state.positions / 10.0)
    return context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KILOJOULE_PER_MOLE


def pair_energy(positions: FloatArray) -> float:
    """Plain sums over the atoms of two molecules."""
    total = 0.0
    for i in range(3):
        for j in range(3, 6):
            one, other = WATER.nonbonded[i], WATER.nonbonded[j - 3]
            r = float(np.linalg.norm(positions[i] - positions[j]))
            total += COULOMB * one.charge * other.charge / r
            x = (0.5 * (one.sigma + other.sigma) / r) ** 6
            total += 4.0 * (one.epsilon * other.epsilon) ** 0.5 * (x * x - x)
    return total


def test_two_molecules_have_the_energy_of_the_written_model() -> None:
    rng = np.random.default_rng(0)
    geometry = np.array(WATER.geometry)
    positions = np.concatenate([geometry, geometry + np.array([0.3, 0.4, 3.0])]) + rng.normal(scale=0.03, size=(6, 3))
    state = State(positions, np.zeros((3, 3)), build_topology([(WATER, 2)]), periodic=False)
    expected = bonded_terms(state)[0] + pair_energy(positions)
    assert energy(state, [(WATER, 2)]) == pytest.approx(expected, rel=1e-5)


def test_at_full_rigidity_the_free_molecule_has_no_strain() -> None:
    state = State(np.array(WATER.geometry), np.zeros((3, 3)), build_topology([(WATER, 1)]), periodic=False)
    assert energy(state, [(WATER, 1)], rigidity=1.0) == pytest.approx(0.0, abs=1e-9)
    assert energy(state, [(WATER, 1)], rigidity=0.0) > 0.01


def test_configurations_are_whole_and_inside(trajectory: list[State]) -> None:
    assert len(trajectory) == 40
    for state in trajectory:
        molecules = state.positions.reshape(-1, 3, 3)
        for hydrogen in (1, 2):
            bonds = np.linalg.norm(molecules[:, hydrogen] - molecules[:, 0], axis=1)
            assert bonds.min() > 0.8
            assert bonds.max() < 1.3
        assert np.all((state.centres_of_mass >= 0) & (state.centres_of_mass < state.edges))


def test_the_thermostat_holds_its_temperature(trajectory: list[State]) -> None:
    kinetic = []
    for state in trajectory:
        assert state.velocities is not None
        kinetic.append((state.topology.masses[:, None] * state.velocities**2).sum() / (ACCELERATION * BOLTZMANN * 3 * 96))
    # 288 degrees of freedom scatter by 8 % in one frame; about ten of these 40 frames are independent
    assert np.mean(kinetic) == pytest.approx(300.0, abs=4 * 25.0 / 10**0.5)


def test_frames_are_an_interval_apart(trajectory: list[State]) -> None:
    moves = [np.abs(b.positions - a.positions).max() for a, b in itertools.pairwise(trajectory)]
    assert min(moves) > 0.1


def test_equal_seeds_repeat_a_trajectory(packed: State) -> None:
    run = ClassicalRun(300.0, 3)
    one, same = (next(run_classical(packed, SPECIES, run, 50.0, 25.0, 1)).positions for _ in range(2))
    other = next(run_classical(packed, SPECIES, replace(run, seed=4), 50.0, 25.0, 1)).positions
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 0.01


def test_a_box_without_room_for_a_cutoff_is_refused() -> None:
    state = State(np.array(WATER.geometry), 4.0 * np.eye(3), build_topology([(WATER, 1)]))
    with pytest.raises(UserError, match=r"4.00 x 4.00 x 4.00 A is too small.*more molecules"):
        classical_system(state, [(WATER, 1)])


def test_a_species_without_classical_parameters_is_refused() -> None:
    bare = replace(WATER, nonbonded=())
    with pytest.raises(UserError, match="parameters for 0 of 3 atoms"):
        classical_system(State(np.array(WATER.geometry), 9.0 * np.eye(3), build_topology([(bare, 1)])), [(bare, 1)])


def test_every_step_is_reported_and_reports_change_nothing(packed: State) -> None:
    class Counter:
        steps = 0.0

        def advance(self, steps: float = 1.0) -> None:
            self.steps += steps

        def note(self, text: str) -> None:
            pass

    counter, run = Counter(), ClassicalRun(300.0, 3)
    (watched,) = run_classical(packed, SPECIES, run, 120.0, 20.0, 1, counter)
    context = _make_context(packed, SPECIES, run)
    context.setPositions(packed.positions / 10.0)
    openmm.LocalEnergyMinimizer.minimize(context, 50.0, 200)
    context.setVelocitiesToTemperature(300.0, 3)
    context.getIntegrator().step(120)
    assert counter.steps == 120
    assert np.array_equal(watched.positions, _read(context, packed).positions)
