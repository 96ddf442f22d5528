"""The rigid integrator: energy in a cluster, equipartition, books, and trajectories that repeat themselves."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from rigid_systems import ARGON, CHIRAL, FLEXIBLE, KT, WATER, all_damped, set_points, split_energies, system

from halocline.dynamics.rigid import RigidIntegrator
from halocline.dynamics.rigid_bodies import reference_lengths
from halocline.errors import RunFailure, UserError
from halocline.molecules.spce import SPCE
from halocline.topology import Topology


def springs(x: np.ndarray, topology: Topology) -> tuple[float, np.ndarray]:
    """Energy and forces: every site to the origin, and a soft repulsion between sites of different molecules."""
    difference = x[:, None] - x[None]
    square = (difference**2).sum(-1)
    apart = topology.molecule_of_atom[:, None] != topology.molecule_of_atom
    repulsion = np.where(apart, 0.5 * np.exp(-square / 2.0), 0.0)
    return 0.01 * float((x**2).sum()) + 0.5 * float(repulsion.sum()), -0.02 * x + (repulsion[:, :, None] * difference).sum(1)


@pytest.mark.parametrize("parts", [((SPCE, 4),), ((CHIRAL, 2), (SPCE, 1), (FLEXIBLE, 1), (ARGON, 1))])
def test_without_friction_the_energy_error_of_a_cluster_scales_as_the_step_squared(parts):
    def spread(timestep: float) -> float:
        move = system(*parts, seed=5, timestep=timestep, edge=3.0)
        energies = []
        _, forces = springs(move.coordinates, move.topology)
        for _ in range(int(200 / timestep)):
            move.kick(forces)
            move.drift()
            assert not move.thermostat().any()
            move.drift()
            energy, forces = springs(move.coordinates, move.topology)
            move.kick(forces)
            energies.append(energy + float(move.kinetic_energies().sum()))
        return float(np.std(energies))

    assert spread(1.0) / spread(0.5) == pytest.approx(4.0, rel=0.25)


def test_lengths_stay_over_many_steps():
    move = all_damped(system((SPCE, 20), (CHIRAL, 10)), 0.02)
    for _ in range(500):
        move.kick(-0.05 * move.coordinates)
        move.drift()
        move.thermostat()
        move.drift()
        move.kick(-0.05 * move.coordinates)
    for molecule, first in ((SPCE, 0), (SPCE, 57), (CHIRAL, 60), (CHIRAL, 96)):
        x = move.coordinates[first : first + molecule.n_atoms]
        found, wanted = ([d for _, _, d in reference_lengths(points)] for points in (x, molecule.geometry))
        np.testing.assert_allclose(found, wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("stiffness", [0.0, 0.05])
def test_translation_and_rotation_have_the_temperature_of_the_thermostat(stiffness):
    # Strong friction makes every tenth step nearly independent; 2 fs is the longest step used for rigid water.
    move = all_damped(system((SPCE, 400), (CHIRAL, 200), edge=1.0), 0.1)
    samples = []
    for step in range(300):
        move.kick(-stiffness * move.coordinates)
        move.drift()
        move.thermostat()
        if step % 10 == 0 and step >= 50:
            translation, rotation = split_energies(move)
            samples.append([part[kind].mean() for part in (translation, rotation) for kind in (slice(0, 400), slice(400, 600))])
        move.drift()
        move.kick(-stiffness * move.coordinates)
    means = np.mean(samples, axis=0)
    # Three quadratic degrees of freedom each: variance 3/2 (kT)^2. Correlation exp(-2) of energies after ten steps: factor 1.15.
    errors = 1.15 * KT * np.sqrt(1.5 / (len(samples) * np.array([400, 200, 400, 200])))
    np.testing.assert_array_less(np.abs(means - 1.5 * KT), 3.0 * errors)


def test_thermostat_reports_its_work_by_molecule_and_by_level():
    move = all_damped(system((SPCE, 30), (CHIRAL, 10), (FLEXIBLE, 10), (ARGON, 10)), 0.05)
    levels = np.random.default_rng(0).integers(0, 3, 60).astype(np.int8)
    move.set_level_friction([0.0, 0.02, 0.1], levels)
    set_points(move, np.arange(60) < 5)
    before, _ = move.kinetic_by_level(levels)
    work = move.thermostat(levels)
    after, _ = move.kinetic_by_level(levels)
    np.testing.assert_allclose(after - before, work, atol=1e-14)
    assert work[0] == 0.0
    assert (work[1:] != 0.0).all()
    total = float(move.kinetic_energies().sum())
    assert float(move.thermostat().sum()) == pytest.approx(float(move.kinetic_energies().sum()) - total, abs=1e-13)


def test_degrees_of_freedom_count_constraints_and_points():
    move = system((SPCE, 3), (FLEXIBLE, 1), (ARGON, 1))
    assert move.degrees.tolist() == [2.0] * 9 + [3.0] * 3
    move.sleep([1])
    assert move.degrees[3:6].sum() == pytest.approx(3.0)
    _, degrees = move.kinetic_by_level(np.array([0, 0, 1, 2, 2], dtype=np.int8))
    assert degrees.tolist() == [9.0, 6.0, 9.0]


def test_friction_must_not_differ_within_a_molecule():
    move = system((SPCE, 2))
    with pytest.raises(UserError, match="within molecule 1"):
        move.set_friction(np.array([0.1, 0.1, 0.1, 0.1, 0.0, 0.1]))


def test_molecules_start_in_their_shape_or_are_refused():
    move = system((SPCE, 2))
    stretched = move.coordinates.copy()
    stretched[1] += 0.1
    fixed = RigidIntegrator(stretched, move.velocities, move.topology, [True], [reference_lengths(WATER)], 2.0, 300.0, 1)
    assert [d for _, _, d in reference_lengths(fixed.coordinates[:3])] == pytest.approx(
        [d for _, _, d in reference_lengths(WATER)], abs=1e-12
    )
    np.testing.assert_array_equal(fixed.coordinates[3:], move.coordinates[3:])
    stretched[1] += 20.0
    with pytest.raises(UserError, match="off its rigid shape"):
        RigidIntegrator(stretched, move.velocities, move.topology, [True], [reference_lengths(WATER)], 2.0, 300.0, 1)


@pytest.mark.parametrize("molecule", [SPCE, CHIRAL, ARGON])
def test_forces_that_are_not_finite_stop_the_run(molecule):
    move = system((molecule, 2))
    forces = np.zeros_like(move.coordinates)
    forces[1, 2] = np.nan
    move.kick(forces)
    with pytest.raises(RunFailure, match="1 molecules have no position"):
        move.drift()


def test_start_velocities_fit_the_constraints_and_have_no_momentum():
    move = system((SPCE, 3000), (FLEXIBLE, 500))
    assert np.abs(move.topology.masses @ move.velocities).max() < 1e-10
    energies, degrees = move.kinetic_by_level(np.repeat([0, 1], [3000, 500]).astype(np.int8))
    np.testing.assert_allclose(2 * energies[:2] / (KT * degrees[:2]), 1.0, atol=3 * np.sqrt(2 / 3000))


def trajectory(move: RigidIntegrator, steps: int) -> None:
    for _ in range(steps):
        move.kick(-0.02 * move.coordinates)
        move.drift()
        move.thermostat()
        move.drift()
        move.kick(-0.02 * move.coordinates)
        asleep = (np.arange(move.topology.n_molecules) + int(move.generator_state()[1])) % 3 == 0
        set_points(move, asleep)


def test_same_seed_same_trajectory_and_a_restart_continues_it():
    whole, again, half, other = (all_damped(system((SPCE, 70), (CHIRAL, 20)), 0.02) for _ in range(4))
    trajectory(whole, 20)
    trajectory(again, 20)
    np.testing.assert_array_equal(whole.coordinates, again.coordinates)
    trajectory(half, 10)
    trajectory(other, 3)
    other.restore(half.state())
    trajectory(other, 10)
    np.testing.assert_array_equal(whole.coordinates, other.coordinates)
    np.testing.assert_array_equal(whole.velocity_array, other.velocity_array)
    np.testing.assert_array_equal(whole.points, other.points)
    np.testing.assert_array_equal(whole.wakings, other.wakings)
    assert whole.wakings.min() > 3


def threaded_digest(threads: int) -> str:
    """Digest of a short trajectory of many molecules."""
    import numba

    numba.set_num_threads(threads)
    move = all_damped(system((SPCE, 4000), (CHIRAL, 200)), 0.02)
    trajectory(move, 3)
    return hashlib.sha256(move.coordinates.tobytes() + move.velocity_array.tobytes()).hexdigest()


@pytest.mark.slow  # compiles everything once more, for several threads
def test_threads_change_no_bit():
    code = "import test_rigid as t; print(t.threaded_digest(1) == t.threaded_digest(2))"
    folders = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2", "PYTHONPATH": folders}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
