"""Profiles in shells of any volume: smoothing keeps molecules, gradients know the ends, the force of a sphere finds its fixed point."""

import numpy as np
import pytest

from halocline.adress.density_profile import density_gradient, smooth_density
from halocline.adress.density_response import DensityResponse
from halocline.adress.regions import Slab, Sphere
from halocline.adress.thermodynamic_force import ThermodynamicForce, update_prefactor

CELL = np.diag([40.0, 40.0, 40.0])
SPHERE = Sphere((20.0, 20.0, 20.0), 6.0, 5.0, 0.0, (40.0, 40.0, 40.0))


def sphere_force(species=("gas",), width=0.1, window=(0.0, 20.0)) -> tuple[ThermodynamicForce, np.ndarray]:
    force = ThermodynamicForce(species, SPHERE.reach, width, window)
    return force, SPHERE.shell_volumes(force.edges, CELL)


def test_smoothing_in_a_sphere_keeps_molecules_and_constant_profiles():
    force, volumes = sphere_force(width=0.5)
    profile = np.random.default_rng(0).uniform(0.5, 1.5, (2, len(volumes)))
    smooth = smooth_density(profile, volumes, force.width, 1.3)
    np.testing.assert_allclose(smooth @ volumes, profile @ volumes, rtol=1e-12)
    np.testing.assert_allclose(smooth_density(np.full(len(volumes), 0.7), volumes, force.width, 1.3), 0.7, rtol=1e-12)
    assert np.ptp(smooth) < 0.5 * np.ptp(profile)


def test_smoothing_of_a_slab_is_the_gaussian_of_that_width():
    width, sigma = 0.1, 1.0
    centres = (np.arange(400) + 0.5) * width
    spike = np.zeros(400)
    spike[200] = 1.0 / width
    smooth = smooth_density(spike, np.ones(400), width, sigma)
    gauss = np.exp(-((centres - centres[200]) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi) / sigma
    np.testing.assert_allclose(smooth, gauss, atol=2e-3)
    assert (smooth * (centres - centres[200]) ** 2).sum() * width == pytest.approx(sigma**2, rel=1e-9)


def test_smoothing_of_a_sphere_is_the_gaussian_of_three_dimensions():
    # A Gaussian of variance s^2 about the centre becomes one of variance s^2 + sigma^2, in three dimensions.
    force, volumes = sphere_force(width=0.1)
    s, sigma = 2.0, 1.5
    before = np.exp(-(force.centres**2) / (2 * s**2)) / s**3
    after = np.exp(-(force.centres**2) / (2 * (s**2 + sigma**2))) / (s**2 + sigma**2) ** 1.5
    np.testing.assert_allclose(smooth_density(before, volumes, force.width, sigma), after, atol=2e-3 * after.max())


def test_noise_of_a_tiny_inner_shell_does_not_reach_its_neighbours():
    force, volumes = sphere_force(width=0.5)
    profile = np.ones(len(volumes))
    profile[0] = 5.0  # four molecules too many in a shell that holds 1/7 of the next one
    smooth = smooth_density(profile, volumes, force.width, 1.0)
    assert smooth[0] < 1.5
    assert np.abs(smooth[6:] - 1.0).max() < 0.02


def test_shells_without_volume_neither_give_nor_take():
    volumes = np.array([0.0, 1.0, 2.0, 3.0])
    smooth = smooth_density(np.array([9.0, 1.0, 1.0, 1.0]), volumes, 1.0, 2.0)
    np.testing.assert_allclose(smooth, [9.0, 1.0, 1.0, 1.0])


def test_gradient_is_even_at_a_centre_and_one_sided_at_the_end_of_a_sphere():
    centres = (np.arange(50) + 0.5) * 0.2
    even = density_gradient(centres**2, 0.2, (True, False))
    # n(r) = r^2 continues as n(-r) = n(r): the first centre sees itself beyond zero, and the middle of the two differences is exact.
    np.testing.assert_allclose(even[1:-1], 2 * centres[1:-1], rtol=1e-12)
    assert even[0] == pytest.approx((centres[1] ** 2 - centres[0] ** 2) / 0.4)
    linear = density_gradient(3 * centres, 0.2, (True, False))
    assert linear[-1] == pytest.approx(3.0)
    assert density_gradient(3 * centres, 0.2, True)[-1] == pytest.approx(1.5)


def test_mirrored_ends_follow_the_geometry():
    assert Slab(10.0, 3.0, 3.0, 0.0, 20.0).mirrored == (True, True)
    assert SPHERE.mirrored == (True, False)


def test_update_of_a_sphere_leaves_constant_density_and_the_outside_alone():
    force, volumes = sphere_force(width=0.5, window=(6.0, 14.0))
    force.update(np.full((1, len(volumes)), 0.03), update_prefactor(0.03, 72.5), 1.0, 1.0, volumes, SPHERE.mirrored)
    np.testing.assert_allclose(force.tables, 0.0, atol=1e-13)
    noise = np.random.default_rng(1).uniform(0.02, 0.04, (1, len(volumes)))
    force.update(noise, update_prefactor(0.03, 72.5), 1.0, 1.0, volumes, SPHERE.mirrored)
    assert np.all(force.tables[0, ~force.in_window()] == 0.0)
    assert np.abs(force.tables).max() > 0.0


def test_force_of_a_sphere_is_radial_and_points_outwards_where_positive():
    force, _ = sphere_force(width=0.5, window=(6.0, 14.0))
    force.tables = np.where(force.in_window(), 0.2, 0.0)[None]
    points = 20.0 + 10.0 * np.random.default_rng(2).normal(size=(50, 3)) / np.sqrt(3)
    outward = force.evaluate(SPHERE.distance(points), np.zeros(50, dtype=np.int64))[1]
    vectors = outward[:, None] * SPHERE.direction(points)
    offset = points - 20.0
    offset -= 40.0 * np.round(offset / 40.0)
    np.testing.assert_allclose(np.cross(vectors, offset), 0.0, atol=1e-12)
    assert np.all((vectors * offset).sum(1) >= 0.0)


def radial_fixed_point(damping: float, updates: int) -> tuple[list[float], ThermodynamicForce]:
    """Ideal gas, kT = 1.5, in a sphere of radius 20 with a hump at 9; max |n/n0 - 1| before every update."""
    thermal, target = 1.5, 0.3
    force, volumes = sphere_force(width=0.1)
    deviations = []
    for _ in range(updates + 1):
        weight = np.exp(-(np.exp(-((force.centres - 9.0) ** 2) / 2) + force.energy(force.centres)) / thermal)
        density = target * weight * volumes.sum() / (weight * volumes).sum()
        deviations.append(float(np.abs(density / target - 1.0).max()))
        force.update(density[None], update_prefactor(target, 1.0 / (target * thermal)), damping, 0.0, volumes, SPHERE.mirrored)
    return deviations, force


def test_fixed_point_in_a_sphere_is_minus_the_external_force():
    deviations, force = radial_fixed_point(1.0, 30)
    assert deviations[0] > 0.4
    assert deviations[1] < 0.35 * deviations[0]
    assert deviations[-1] < 1e-3
    external = (force.centres - 9.0) * np.exp(-((force.centres - 9.0) ** 2) / 2)
    np.testing.assert_allclose(force.tables[0], -external, atol=6e-3)


def test_scan_of_the_fraction_in_a_sphere():
    slow, fast, wild = (radial_fixed_point(c, 20)[0] for c in (0.1, 0.8, 2.6))
    assert fast[-1] < 0.2 * slow[-1] < 0.2 * slow[0]
    assert min(wild[10:]) > 0.3


def test_integral_in_a_sphere_carries_the_pressure_difference():
    # Flat density n0 of an ideal gas: without the external hump the force must carry its energy step, n0 dV = dP, along the radius.
    thermal, target, step = 1.5, 0.3, 0.6
    force, volumes = sphere_force(width=0.1)
    external = step / (1.0 + np.exp(-(force.centres - 10.0) / 0.5))
    for _ in range(60):
        weight = np.exp(-(external + force.energy(force.centres)) / thermal)
        density = target * weight * volumes.sum() / (weight * volumes).sum()
        force.update(density[None], update_prefactor(target, 1.0 / (target * thermal)), 0.8, 0.0, volumes, SPHERE.mirrored)
    assert force.inward_integral()[0] == pytest.approx(-step, rel=0.01)
    assert np.abs(density / target - 1).max() < 0.01


def test_each_species_follows_its_own_density():
    force, volumes = sphere_force(("heavy", "light"), 0.2)
    thermal, targets = 1.5, np.array([0.2, 0.01])
    # An ideal gas of density n has kappa_T = 1/(n kT), and no species knows of the other.
    kappa = 1.0 / (targets.sum() * thermal)
    stiffness = DensityResponse(kappa, kappa, thermal).stiffness(targets, SPHERE, force.centres)
    humps = np.stack([np.exp(-((force.centres - 9.0) ** 2) / 2), -0.5 * np.exp(-((force.centres - 11.0) ** 2) / 2)])
    for _ in range(60):
        energies = np.array([force.energy(force.centres, kind) for kind in range(2)])
        weight = np.exp(-(humps + energies) / thermal)
        density = targets[:, None] * weight * volumes.sum() / (weight @ volumes)[:, None]
        force.update(density - targets[:, None], stiffness, 0.8, 0.0, volumes, SPHERE.mirrored)
    np.testing.assert_allclose(density, np.broadcast_to(targets[:, None], density.shape), rtol=5e-3)
