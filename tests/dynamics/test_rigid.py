"""The rigid integrator: energy in a cluster, equipartition, books, points that sleep and wake, and repeatable noise."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from halocline.dynamics.noise import DENSITY, WIDTH, fill_normal, hash_counter
from halocline.dynamics.rigid import RigidIntegrator
from halocline.dynamics.rigid_bodies import reference_lengths, rigid_velocities
from halocline.errors import RunFailure, UserError
from halocline.molecules.base import Molecule, build_topology
from halocline.molecules.spce import SPCE
from halocline.topology import Topology
from halocline.units import ACCELERATION, BOLTZMANN

TEMPERATURE = 300.0
KT = BOLTZMANN * TEMPERATURE
WATER = np.array(SPCE.geometry)
CHIRAL = Molecule(
    "chiral", "test", ("C", "H", "O", "N"), ((0.0, 0.0, 0.0), (1.1, 0.1, 0.0), (-0.4, 1.3, 0.2), (-0.3, -0.5, 1.2)), rigid=True
)
FLEXIBLE = Molecule("pair", "test", ("N", "N"), ((0.0, 0.0, 0.0), (1.1, 0.0, 0.0)))
ARGON = Molecule("argon", "test", ("Ar",), ((0.0, 0.0, 0.0),))


def system(*parts: tuple[Molecule, int], seed: int = 1, timestep: float = 2.0, edge: float = 30.0) -> RigidIntegrator:
    """Molecules at random places and orientations, with velocities of 300 K."""
    generator = np.random.default_rng(seed)
    topology = build_topology(parts)
    positions = []
    for molecule, count in parts:
        quaternions = generator.normal(size=(count, 4))
        w, u = np.split(quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True), [1], axis=1)
        r = np.broadcast_to(np.array(molecule.geometry), (count, molecule.n_atoms, 3))
        u, w = u[:, None], w[:, None]
        r = r + 2.0 * np.cross(u, w * r + np.cross(u, r))
        positions.append((r + generator.uniform(0, edge, (count, 1, 3))).reshape(-1, 3))
    x, rigid = np.concatenate(positions), [molecule.rigid for molecule, _ in parts]
    v = rigid_velocities(topology, x, rigid, TEMPERATURE, generator)
    lengths = [reference_lengths(molecule.geometry) for molecule, _ in parts]
    return RigidIntegrator(x, v, topology, rigid, lengths, timestep, TEMPERATURE, seed)


def split_energies(move: RigidIntegrator) -> tuple[np.ndarray, np.ndarray]:
    """(n_molecules,) kinetic energies of the centres of mass and about them, eV."""
    topology = move.topology
    centre = topology.centres_of_mass(move.velocities)
    total = np.add.reduceat(0.5 / ACCELERATION * topology.masses * (move.velocities**2).sum(1), topology.offsets[:-1])
    translation = 0.5 / ACCELERATION * topology.molecule_masses * (centre**2).sum(1)
    return translation, total - translation


def set_points(move: RigidIntegrator, mask: np.ndarray) -> float:
    """Let exactly the molecules of the mask be points; returns the change of kinetic energy, eV."""
    asleep = move.sleep(np.flatnonzero(mask & ~move.points))
    return float(asleep.sum() + move.wake(np.flatnonzero(~mask & move.points)).sum())


def all_damped(move: RigidIntegrator, friction: float) -> RigidIntegrator:
    move.set_friction(np.full(move.topology.n_atoms, friction))
    return move


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


def test_points_feel_the_sum_of_forces_and_keep_their_shape():
    move = system((SPCE, 5))
    move.sleep(np.arange(5))
    forces = np.random.default_rng(0).normal(size=(15, 3)) * 0.1
    before, shape = move.velocities[::3].copy(), move.coordinates.reshape(5, 3, 3) - move.coordinates[::3][:, None]
    move.kick(forces)
    gain = 0.5 * move.timestep * ACCELERATION * forces.reshape(5, 3, 3).sum(1) / SPCE.mass
    np.testing.assert_allclose(move.velocities, np.repeat(before + gain, 3, axis=0), atol=1e-16)
    move.drift()
    np.testing.assert_allclose(move.coordinates.reshape(5, 3, 3) - move.coordinates[::3][:, None], shape, atol=1e-13)


def test_tracers_have_the_maxwell_distribution():
    move = all_damped(system((SPCE, 2000)), 0.5)
    move.sleep(np.arange(2000))
    for _ in range(20):
        move.drift()
        move.thermostat()
        move.drift()
    components = move.velocities[::3].ravel() / np.sqrt(KT * ACCELERATION / SPCE.mass)
    assert stats.kstest(components, "norm").pvalue > 1e-3
    assert move.kinetic_by_level(np.zeros(2000, dtype=np.int8))[0][0] == pytest.approx(3000 * KT, rel=3 / np.sqrt(3000))


def test_waking_gives_a_thermal_rotation_and_a_uniform_orientation_and_keeps_the_centre():
    n = 4000
    move = system((SPCE, n // 2), (CHIRAL, n // 2))
    centres, speeds = (move.topology.centres_of_mass(a) for a in (move.positions, move.velocities))
    energy = move.kinetic_energies().sum()
    change = move.sleep(np.arange(n))
    assert change.max() <= 0.0
    assert change.sum() == pytest.approx(move.kinetic_energies().sum() - energy, abs=1e-10)
    change = move.wake(np.arange(n))
    np.testing.assert_allclose(move.topology.centres_of_mass(move.positions), centres, atol=1e-12)
    np.testing.assert_allclose(move.topology.centres_of_mass(move.velocities), speeds, atol=1e-15)
    _, rotation = split_energies(move)
    np.testing.assert_allclose(change, rotation, atol=1e-13)
    for kind in (slice(0, n // 2), slice(n // 2, n)):
        # 2 E/kT of three quadratic degrees of freedom follows chi^2 with three degrees.
        assert stats.kstest(2.0 * rotation[kind] / KT, stats.chi2(3).cdf).pvalue > 1e-3
        assert rotation[kind].mean() == pytest.approx(1.5 * KT, abs=3 * KT * np.sqrt(1.5 / (n // 2)))
    x = move.positions[: 3 * n // 2].reshape(-1, 3, 3)
    axis, normal = x[:, 1] + x[:, 2] - 2 * x[:, 0], np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    for vector in (axis, normal, x[:, 1] - x[:, 2]):
        for cosine in (vector / np.linalg.norm(vector, axis=1, keepdims=True)).T:
            assert stats.kstest(cosine, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    # The velocities fit the constraints: a projection changes nothing.
    bonds = (x[:, 1] - x[:, 0]) * (move.velocities[1 : 3 * n // 2 : 3] - move.velocities[0 : 3 * n // 2 : 3])
    assert np.abs(bonds.sum(1)).max() < 1e-14


def test_changes_of_identity_are_booked_and_wrong_ones_refused():
    move = system((SPCE, 6), (FLEXIBLE, 1), (ARGON, 1))
    energy = float(move.kinetic_energies().sum())
    mask = np.array([True, True, False, False, False, False, False, True])
    change = set_points(move, mask)
    change += set_points(move, np.roll(mask, 1) & np.array([True] * 6 + [False, True]))
    assert change == pytest.approx(float(move.kinetic_energies().sum()) - energy, abs=1e-14)
    assert move.points.tolist() == [True, True, True, False, False, False, False, False]
    with pytest.raises(UserError, match="pair is flexible"):
        move.sleep([6])
    with pytest.raises(UserError, match="is no point"):
        move.wake([4])
    with pytest.raises(UserError, match="already a point"):
        move.sleep([1])


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


def test_hash_is_splitmix64_without_a_second_key():
    # Published outputs of SplitMix64 seeded with 1234567 (rosettacode.org, "Pseudo-random numbers/Splitmix64").
    seed, zero = np.uint64(1234567), np.uint64(0)
    found = [int(hash_counter(np.uint64(n), seed, zero)) for n in (1, 2, 3, 4, 5)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def test_layers_of_the_ziggurat_have_equal_areas():
    areas = WIDTH[1:256] * np.diff(DENSITY)[1:]
    np.testing.assert_allclose(areas, WIDTH[0] * DENSITY[1], rtol=1e-11)


def test_noise_is_normal_and_uncorrelated():
    n, seed = 1_000_000, np.uint64(3)
    steps = [np.empty(n) for _ in range(2)]
    for step, out in enumerate(steps):
        fill_normal(out, 0, seed, np.uint64(0), np.uint64(step))
    other = np.empty(n)
    fill_normal(other, 0, seed, np.uint64(1), np.uint64(0))
    x = steps[0]
    moments = np.array([x.mean(), (x**2).mean() - 1.0, (x**3).mean(), (x**4).mean() - 3.0]) * np.sqrt(n / np.array([1.0, 2.0, 15.0, 96.0]))
    np.testing.assert_array_less(np.abs(moments), 4.0)
    assert stats.kstest(x, "norm").pvalue > 1e-3
    # 2 in a thousand lie beyond three standard deviations, 2.6 in ten thousand in the tail of the ziggurat.
    for limit in (3.0, WIDTH[1]):
        expected = 2.0 * stats.norm.sf(limit) * n
        assert abs((np.abs(x) > limit).sum() - expected) < 4.0 * np.sqrt(expected)
    neighbours = [x[:-1] * x[1:], x[:-4] * x[4:], x * steps[1], x[:-1] * steps[1][1:], x * other, (x[:-1] ** 2 - 1) * (x[1:] ** 2 - 1) / 2]
    for product in neighbours:
        assert abs(product.mean()) < 4.0 / np.sqrt(n)
