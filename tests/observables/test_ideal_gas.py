"""Observables of an ideal gas, where every answer is known."""

import math

import numpy as np
import pytest
from observed import COUNT, observe, within
from synthetic_records import EDGES, SLAB

from halocline.config.study import Validation
from halocline.dynamics.record import Snapshot
from halocline.molecules.water import WATER
from halocline.observables.base import Setting
from halocline.observables.density import Density
from halocline.observables.ledger import Ledger
from halocline.observables.number import (
    NumberInAT,
    closed_box_factor,
    finite_reservoir_variance,
    reservoir_stiffness,
)
from halocline.observables.orientation import Orientation
from halocline.observables.rdf import RadialDistribution
from halocline.observables.statistics import Estimate
from halocline.observables.temperature import Temperature
from halocline.observables.tetrahedral import TetrahedralOrder, tetrahedral_order
from halocline.units import AMU_PER_CUBIC_ANGSTROM


def test_density_of_an_ideal_gas_is_uniform(gas):
    density = observe(Density, gas)
    target = COUNT * WATER.mass / np.prod(EDGES) / AMU_PER_CUBIC_ANGSTROM
    assert density.setting.mass_density == pytest.approx(target)
    assert within(density.atomistic(), target)
    assert within(density.transition(), target)
    assert all(within(block, target) for block in density.blocks())
    widths = np.diff(density.edges)
    assert (density.series("profile") @ widths).mean() == pytest.approx(target * SLAB.length, rel=1e-9)


def test_density_agrees_with_a_plain_histogram(gas):
    density = observe(Density, gas)
    snapshot = gas[7]
    x = (snapshot.centres[:, 0] - 24.0 + 24.0) % 48.0 - 24.0
    counts = np.histogram(x, density.edges)[0]
    expected = counts * WATER.mass / (0.5 * 256.0) / AMU_PER_CUBIC_ANGSTROM
    np.testing.assert_allclose(density.series("profile")[7], expected, atol=1e-9)


def test_number_of_an_ideal_gas_is_binomial(gas):
    numbers = observe(NumberInAT, gas)
    p = 2 * SLAB.atomistic / SLAB.length
    assert within(numbers.mean(), COUNT * p)
    assert within(numbers.variance(), COUNT * p * (1 - p))
    assert 0.4 < numbers.variance().error / (COUNT * p * (1 - p) * math.sqrt(2 / 300)) < 2.0


def test_compressibility_factor_of_an_ideal_gas_is_one(closed):
    numbers = observe(NumberInAT, closed)
    factor = numbers.compressibility_factor()
    assert within(factor, 1.0)
    assert factor.error < 0.08


@pytest.mark.parametrize("tracers", [True, False])
def test_ideal_gas_fluctuates_as_predicted_for_its_reservoir(gas, closed, tracers):
    numbers, reference = observe(NumberInAT, gas, tracers=tracers), observe(NumberInAT, closed)
    predicted = numbers.prediction(reference.compressibility_factor())
    p = 2 * SLAB.atomistic / SLAB.length
    assert within(predicted, COUNT * p * (1 - p))
    exact = numbers.prediction(Estimate(1.0))
    assert exact.is_exact == tracers
    assert exact.value == pytest.approx(COUNT * p * (1 - p), rel=1e-9 if tracers else 0.1)
    assert numbers.compare(reference)[1].reference.value == pytest.approx(predicted.value)


def test_finite_reservoir_formula_in_its_limits():
    assert finite_reservoir_variance(0.06, 100.0, 160.0, 0.0) == pytest.approx(6.0)
    closed_box = finite_reservoir_variance(0.06, 100.0, 160.0, 1 / (0.06 * 140.0))
    assert closed_box == pytest.approx(0.06 * 100 * (1 - 100 / 400))
    assert closed_box_factor(closed_box, 100.0, 400.0) == pytest.approx(0.06)
    tracers = finite_reservoir_variance(0.06, 100.0, 160.0, 1 / 140.0)
    assert closed_box < tracers < 6.0
    spread = 1 / (1 / (0.3 * 140.0) + 1 / (0.06 * 260.0))
    assert reservoir_stiffness(spread, 0.06, 260.0, 140.0) == pytest.approx(1 / (0.3 * 140.0))
    assert reservoir_stiffness(1e6, 0.06, 260.0, 140.0) == pytest.approx(1 / 140.0)


def test_temperatures_of_independent_samples(gas):
    temperature = observe(Temperature, gas)
    assert all(within(region, 300.0) for region in temperature.regions())
    degrees = temperature.series("degrees").mean(axis=0)
    expected = 300.0 * np.sqrt(2.0 / (3.0 * degrees)) / math.sqrt(300)
    errors = [region.error for region in temperature.regions()]
    np.testing.assert_allclose(errors, expected, rtol=0.35)


def test_tetrahedral_order_of_a_tetrahedron_is_one_and_of_a_gas_is_zero():
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 1.6
    points = np.concatenate([[[10.0, 10, 10]], 10.0 + corners])
    chosen = np.array([True, False, False, False, False])
    assert tetrahedral_order(points, np.diag([20.0] * 3), chosen, 4.0) == pytest.approx([1.0])
    generator = np.random.default_rng(2)
    random = generator.uniform(0, 30.0, size=(4000, 3))
    order = tetrahedral_order(random, np.diag([30.0] * 3), np.ones(4000, dtype=bool), 6.0)
    assert order.mean() == pytest.approx(0.0, abs=0.02)


def test_orientation_of_an_ideal_gas_vanishes_and_an_outward_skin_is_seen(gas):
    orientation = observe(Orientation, gas)
    assert within(orientation.mean(), 0.0)
    assert orientation.mean().error == pytest.approx(math.sqrt(1 / 3 / (COUNT * 0.25 * 300)), rel=0.3)
    outward = Orientation(Setting.of(gas, Validation()))
    hydrogen_first = np.array([[0.0, 0, 0], [0.59, 0.76, 0], [0.59, -0.76, 0]])
    for sign in (1, -1):
        positions = np.array([24.0 + sign * 3.0, 8.0, 8.0]) + hydrogen_first * [sign, 1, 1]
        everything = np.tile(positions, (COUNT, 1))
        inside = np.ones(COUNT, dtype=bool)
        outward.update(Snapshot(0.0, everything, np.zeros(COUNT, np.int8), inside, gas.cell, gas.topology, SLAB))
    assert outward.mean().value == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [Density, NumberInAT, RadialDistribution, Temperature, Ledger, TetrahedralOrder, Orientation])
def test_merged_parts_and_saved_files_equal_the_whole(kind, gas, tmp_path):
    setting = Setting.of(gas, Validation())
    whole, first, second = kind(setting), kind(setting), kind(setting)
    for row in range(60):
        whole.update(gas[row])
        (first if row < 25 else second).update(gas[row])
    whole.read(gas)
    second.read(gas)
    first.merge(second)
    assert repr(first.result()) == repr(whole.result())
    whole.save(tmp_path / "part.npz")
    loaded = kind(setting)
    loaded.load(tmp_path / "part.npz")
    assert repr(loaded.result()) == repr(whole.result())


@pytest.mark.parametrize("kind", [Density, NumberInAT, RadialDistribution, TetrahedralOrder, Orientation])
def test_molecules_broken_over_the_boundary_and_permuted_change_nothing(kind, gas):
    setting = Setting.of(gas, Validation())
    straight, moved = kind(setting), kind(setting)
    generator = np.random.default_rng(5)
    for row in range(10):
        snapshot = gas[row]
        straight.update(snapshot)
        images = np.repeat(generator.integers(-1, 2, size=(COUNT, 3)) * EDGES, 3, axis=0)
        order = generator.permutation(COUNT)
        atoms = (3 * order[:, None] + np.arange(3)).ravel()
        moved.update(
            Snapshot(
                snapshot.time,
                (snapshot.positions + images)[atoms],
                snapshot.level[order],
                snapshot.inside[order],
                snapshot.cell,
                snapshot.topology,
                snapshot.regions,
            )
        )
    for mine, theirs in zip(straight.result(), moved.result()):
        assert theirs.value == pytest.approx(mine.value, rel=1e-9, nan_ok=True)
