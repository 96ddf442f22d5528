"""Rigid molecules as mass points: how they move, fall asleep and wake."""

import numpy as np
import pytest
from rigid_systems import ARGON, CHIRAL, FLEXIBLE, KT, all_damped, set_points, split_energies, system
from scipy import stats

from halocline.errors import UserError
from halocline.molecules.spce import SPCE
from halocline.units import ACCELERATION


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
