"""What a density costs, and updates that know it: a stiff liquid in front of soft tracers, on a line and without dynamics."""

import numpy as np
import pytest
from scipy.optimize import brentq

from halocline.adress.density_profile import level_ends
from halocline.adress.density_response import DensityResponse
from halocline.adress.regions import Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce, update_prefactor

THERMAL, DENSITY, STIFFER = 0.0257, 0.0333, 16.0
TRACERS = 1.0 / (DENSITY * THERMAL)
REGIONS = Slab(45.0, 12.0, 14.0, 0.0, 90.0)
WINDOW = (REGIONS.atomistic, REGIONS.outer + 5.0)


def response() -> DensityResponse:
    return DensityResponse(TRACERS / STIFFER, None, THERMAL)


def test_one_species_has_the_published_prefactor_on_both_sides_of_the_border():
    centres = np.array([5.0, 22.9, 26.1, 40.0])
    stiffness = response().stiffness(np.array([DENSITY]), REGIONS, centres)[0, 0]
    liquid, tracers = update_prefactor(DENSITY, TRACERS / STIFFER), THERMAL / DENSITY
    np.testing.assert_allclose(stiffness, [liquid, liquid, tracers, tracers], rtol=1e-12)


def test_a_mixture_costs_its_compression_in_proportion_and_ideal_mixing_otherwise():
    density = np.array([0.01, 0.003])
    matrix = response().stiffness(density, REGIONS, np.array([5.0]))[:, :, 0]
    np.testing.assert_allclose(matrix @ (0.01 * density), 0.01 * STIFFER / (TRACERS * density.sum()), rtol=1e-12)
    exchange = np.array([1e-4, -1e-4])
    np.testing.assert_allclose(matrix @ exchange, THERMAL * exchange / density, rtol=1e-12)
    assert np.array_equal(matrix, matrix.T)


def test_species_without_molecules_cost_nothing_of_their_own():
    assert np.isfinite(response().stiffness(np.array([0.01, 0.0]), REGIONS, np.array([5.0, 40.0]))).all()


def equilibrium(force: ThermodynamicForce, step: float) -> np.ndarray:
    """kT ln(n/n0) + B(d) (n - n0) + step in S1 + energy of the force = mu everywhere, at a fixed number of molecules."""
    inside = np.clip((REGIONS.outer - force.centres) / 3.0, 0.0, 1.0)
    stiff, energy = (STIFFER - 1.0) * inside, (step * inside + force.energy(force.centres)) / THERMAL

    def profile(mu: float) -> np.ndarray:
        low, high = np.full(len(energy), 1e-6), np.full(len(energy), 20.0)
        for _ in range(60):
            middle = 0.5 * (low + high)
            above = np.log(middle) + stiff * (middle - 1.0) + energy > mu
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return middle

    return profile(brentq(lambda mu: profile(mu).mean() - 1.0, -30.0, 30.0))


def deviations(stiffness: np.ndarray | float, fraction: float, updates: int) -> list[float]:
    """Largest |n/n0 - 1| of all bins before every update, beginning without a force against a step of 2 kT."""
    force = ThermodynamicForce(("water",), REGIONS.reach, 0.5, WINDOW)
    largest = []
    for _ in range(updates + 1):
        profile = equilibrium(force, 2.0 * THERMAL)
        largest.append(float(np.abs(profile - 1.0).max()))
        force.update((profile - 1.0)[None] * DENSITY, stiffness, fraction)
    return largest


def test_updates_that_know_the_tracers_are_soft_converge_where_the_rule_of_the_liquid_alone_diverges():
    force = ThermodynamicForce(("water",), REGIONS.reach, 0.5, WINDOW)
    local = response().stiffness(np.array([DENSITY]), REGIONS, force.centres)
    known = deviations(local, 0.5, 8)
    assert known[0] > 0.15
    assert known[4] < 0.2 * known[0]
    assert known[8] < 0.006
    liquid = update_prefactor(DENSITY, TRACERS / STIFFER)
    assert min(deviations(liquid, 0.5, 8)[2:]) > 0.8
    assert deviations(liquid, 0.03, 8)[8] > 0.7 * known[0], "a fraction small enough for the tracers leaves the liquid as it is"


def test_smooth_couplings_soften_with_their_weight():
    centres = np.array([5.0, 15.0, 19.0, 24.0, 30.0])
    tracers = THERMAL / DENSITY
    for power in (1, 2):
        found = DensityResponse(TRACERS / STIFFER, None, THERMAL, power).stiffness(np.array([DENSITY]), REGIONS, centres)[0, 0]
        expected = tracers * (1.0 + (STIFFER - 1.0) * REGIONS.weight(centres) ** (power / 4))
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_where_the_target_changes_so_does_the_cost_of_tracers():
    density, centres = np.array([[0.04, 0.03]]), np.array([5.0, 40.0])
    found = response().stiffness(density, REGIONS, centres)[0, 0]
    np.testing.assert_allclose(found, [STIFFER / (0.04**2 * TRACERS), THERMAL / 0.03], rtol=1e-12)


def test_ends_without_a_force_take_a_mean_and_keep_their_molecules():
    volumes = np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0])
    profile, window = np.array([[2.0, 1.0, 4.0, 6.0, 1.0, 3.0]]), np.array([False, False, True, True, False, False])
    before, after = np.arange(6) < 2, np.arange(6) > 3
    levelled = level_ends(profile, volumes, before, window, after)
    np.testing.assert_allclose(levelled[0], [1.25, 1.25, 4.0, 6.0, 2.1, 2.1])
    assert levelled[0] @ volumes == pytest.approx(profile[0] @ volumes)
    # Around a solute the first shells of the layer stand for AT.
    solute = level_ends(profile, volumes, np.arange(6) == 2, window, after)
    np.testing.assert_allclose(solute[0], [4.0, 4.0, 4.0, 6.0, 2.1, 2.1])
