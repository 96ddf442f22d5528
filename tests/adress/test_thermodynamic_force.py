"""Thermodynamic force: application, update, fixed point, warm start and its file."""

import numpy as np
import pytest
from scipy.integrate import quad

from halocline.adress.regions import Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce, density_gradient, update_prefactor
from halocline.errors import RunFailure, UserError
from halocline.files import read_json, write_json
from halocline.units import BOLTZMANN, KILOJOULE_PER_MOLE


def force_with(table, length=10.0, window=(0.51, 4.49)) -> ThermodynamicForce:
    force = ThermodynamicForce(("argon",), length, length / len(table), window)
    force.tables = np.array([table], dtype=float)
    return force


def test_constant_table_acts_in_the_window_alone():
    force = force_with(np.full(10, -0.3), window=(2.0, 7.0))
    np.testing.assert_allclose(force.force(np.array([2.0, 3.3, 6.99])), -0.3)
    np.testing.assert_array_equal(force.force(np.array([0.0, 1.99, 7.01, 10.0])), 0.0)


def test_linear_table_is_interpolated_exactly():
    force = force_with(np.arange(10.0))
    distance = np.linspace(0.52, 4.48, 50)
    np.testing.assert_allclose(force.force(distance), distance - 0.5, atol=1e-12)


def test_force_is_antisymmetric_about_the_centre():
    regions, force = Slab(3.0, 2.0, 2.0, 0.0, 20.0), force_with(np.random.default_rng(0).normal(size=10))
    offsets = np.linspace(0.05, 9.95, 40)
    kinds = np.zeros(40, dtype=np.int64)

    def along_x(x: np.ndarray) -> tuple[float, np.ndarray]:
        centres = np.stack([x, 0 * x, 0 * x], axis=1)
        energy, outward = force.evaluate(regions.distance(centres), kinds)
        return energy, outward * regions.direction(centres)[:, 0]

    right, left = along_x(3.0 + offsets), along_x(3.0 - offsets + 40.0)
    np.testing.assert_allclose(left[1], -right[1], atol=1e-12)
    assert left[0] == pytest.approx(right[0], abs=1e-12)


def test_compiled_sum_is_that_of_the_formula():
    generator = np.random.default_rng(5)
    force = ThermodynamicForce(("a", "b"), 30.0, 0.5, (6.3, 20.1))
    force.tables = generator.normal(size=force.tables.shape)
    distance = np.concatenate([generator.uniform(0, 30, 2000), force.centres, force.window, force.edges])
    kinds = generator.integers(0, 2, len(distance))
    energy, outward = force.evaluate(distance, kinds)
    np.testing.assert_allclose(outward, force.force(distance, kinds), atol=1e-12)
    assert energy == pytest.approx(force.energy(distance, kinds).sum(), rel=1e-12)
    # Between the bin centres the force is the line through them, and zero beyond the window.
    inside = (distance >= 6.75) & (distance <= 19.75)
    lines = np.where(kinds == 0, *(np.interp(distance, force.centres, table) for table in force.tables))
    np.testing.assert_allclose(outward[inside], lines[inside], atol=1e-12)
    assert np.all(outward[(distance < 6.3) | (distance > 20.1)] == 0.0)


def test_energy_is_minus_the_integral_of_the_force():
    force = force_with(np.random.default_rng(1).normal(size=20), window=(1.3, 8.1))
    knots = np.sort(np.concatenate([force.centres, force.window]))
    for distance in (0.7, 1.31, 4.2, 8.0, 9.5):
        exact = quad(lambda d: force.force(np.array([d]))[0], 0, distance, points=knots[knots < distance], limit=200)[0]
        assert force.energy(np.array([distance]))[0] == pytest.approx(-exact, abs=1e-10)
    assert force.inward_integral()[0] == force.energy(np.array([10.0]))[0]


def test_water_prefactor():
    density, compressibility = 0.03333, 72.50
    assert update_prefactor(density, compressibility) == pytest.approx(12.42, abs=0.01)
    assert update_prefactor(density, compressibility) / KILOJOULE_PER_MOLE / 1000 == pytest.approx(1.198, abs=2e-3)


def test_constant_density_changes_nothing():
    force = force_with(np.arange(10.0))
    before = force.tables.copy()
    force.update(np.full((1, 10), 0.7), 1.0, 1.0, smoothing=1.5)
    np.testing.assert_allclose(force.tables, before, atol=1e-14)


def test_update_vector_of_mrmd():
    # Ten bins of width 1, n0 = 1, modulation 1, F(i) = i and n(i) = i: the gradient is 1 everywhere, one-sided ends included.
    values = np.arange(10.0)
    np.testing.assert_allclose(values - density_gradient(values, 1.0, mirror=False), values - 1.0)
    force = force_with(values)
    force.update(values[None], 1.0, 1.0)
    expected = values.copy()
    expected[1:4] -= 1.0  # the window (0.51, 4.49) holds the centres of bins 1 to 3
    np.testing.assert_allclose(force.tables[0], expected)


def test_update_leaves_everything_outside_the_window():
    force = force_with(np.zeros(20), window=(3.0, 6.0))
    force.update(np.random.default_rng(2).uniform(0.5, 1.5, (1, 20)), 1.0, 0.2, smoothing=1.0)
    assert np.all(force.tables[0, ~force.in_window()] == 0.0)
    assert np.any(force.tables[0, force.in_window()] != 0.0)


def test_a_denser_reservoir_is_pushed_outwards():
    force = force_with(np.zeros(20), window=(3.0, 6.0))
    density = np.where(force.centres > 4.5, 1.2, 1.0)[None]
    force.update(density, 1.0, 0.1, smoothing=0.5)
    # dn/dd > 0 at the border: the force must point to smaller density, that is inwards (negative), into AT.
    assert force.force(np.array([4.5]))[0] < 0
    assert force.inward_integral()[0] > 0


def fixed_point(damping: float, updates: int) -> tuple[list[float], ThermodynamicForce]:
    """Ideal gas, kT = 1.5, on a line of 20 with an external hump; returns max |n/n0 - 1| before every update."""
    thermal, target = 1.5, 0.3
    force = ThermodynamicForce(("gas",), 10.0, 0.1, (0.0, 10.0))
    deviations = []
    for _ in range(updates + 1):
        weight = np.exp(-(np.exp(-(force.centres**2) / 2) + force.energy(force.centres)) / thermal)
        density = target * weight / weight.mean()
        deviations.append(float(np.abs(density / target - 1.0).max()))
        force.update(density[None], update_prefactor(target, 1.0 / (target * thermal)), damping)
    return deviations, force


def test_fixed_point_without_dynamics():
    deviations, force = fixed_point(1.0, 30)
    assert deviations[0] == pytest.approx(0.449, abs=5e-3)
    assert deviations[1] == pytest.approx(0.126, abs=5e-3)
    assert deviations[-1] < 1e-3
    external = force.centres * np.exp(-(force.centres**2) / 2)  # minus the derivative of the hump
    np.testing.assert_allclose(force.tables[0], -external, atol=6e-3)


def test_small_damping_is_slow_and_large_damping_diverges():
    slow, _ = fixed_point(0.1, 10)
    fast, _ = fixed_point(0.8, 10)
    assert fast[-1] < 0.2 * slow[-1] < 0.2 * slow[0]
    wild, _ = fixed_point(2.6, 30)
    assert min(wild[10:]) > 0.3


def test_warm_start_has_the_integral_of_the_pressure_difference():
    force = ThermodynamicForce(("water",), 24.0, 0.5, (6.0, 20.0))
    kT = 300 * BOLTZMANN
    # Tracers at n0 push with n0 kT against a liquid near zero pressure: the integral towards AT is -kT, so the force is outward.
    force.warm_start(np.array([-kT]), 11.0, 20.0)
    assert force.inward_integral()[0] == pytest.approx(-kT, rel=1e-12)
    assert np.all(force.force(np.linspace(12.0, 19.0, 9)) > 0)
    inner = force.force(np.linspace(12.0, 19.0, 9))
    np.testing.assert_allclose(inner, inner[0])


def test_warm_start_over_no_bin_is_refused():
    force = ThermodynamicForce(("water",), 24.0, 0.5, (6.0, 16.0))
    with pytest.raises(UserError, match="no bin"):
        force.warm_start(np.array([-0.02]), 16.0, 16.0)


def test_window_beyond_half_the_box_is_refused():
    with pytest.raises(UserError, match="does not fit"):
        ThermodynamicForce(("water",), 24.0, 0.5, (6.0, 25.0))


SETTINGS = {"friction": [0.0, 0.01, 0.01], "force_cap": 50.0, "hysteresis": 1.0, "models": {"atomistic": "abc"}}


def test_table_survives_its_file(tmp_path):
    force = force_with(np.random.default_rng(3).normal(size=20), window=(1.0, 9.0))
    force.save(tmp_path / "force.json", SETTINGS)
    again = ThermodynamicForce.load(tmp_path / "force.json", SETTINGS)
    np.testing.assert_array_equal(again.tables, force.tables)
    assert again.window == force.window


@pytest.mark.parametrize("change", [{"friction": [0.0, 0.02, 0.01]}, {"hysteresis": 0.0}, {"models": {"atomistic": "abd"}}])
def test_table_of_other_settings_is_refused(tmp_path, change):
    force_with(np.zeros(20)).save(tmp_path / "force.json", SETTINGS)
    with pytest.raises(UserError, match=next(iter(change))):
        ThermodynamicForce.load(tmp_path / "force.json", {**SETTINGS, **change})


def test_foreign_file_is_refused(tmp_path):
    force_with(np.zeros(20)).save(tmp_path / "force.json", SETTINGS)
    write_json(tmp_path / "force.json", {**read_json(tmp_path / "force.json"), "format_version": 99})
    with pytest.raises(RunFailure, match="99"):
        ThermodynamicForce.load(tmp_path / "force.json")
