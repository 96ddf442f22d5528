"""Observables of an ideal gas, where every answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_records import EDGES, SLAB, ideal_gas_positions, ideal_gas_record, water_topology

from halocline.config.study import Validation
from halocline.consistency.check import Check
from halocline.dynamics.record import Snapshot
from halocline.molecules.base import build_topology
from halocline.molecules.ideal import IDEAL
from halocline.molecules.lj import LJ
from halocline.molecules.lj_small import LJ_SMALL
from halocline.molecules.methane_ua import METHANE_UA
from halocline.molecules.water import WATER
from halocline.observables.base import Setting
from halocline.observables.density import Density
from halocline.observables.geometry import slab_fraction
from halocline.observables.ledger import Ledger
from halocline.observables.number import (
    NumberInAT,
    closed_box_factor,
    finite_reservoir_variance,
    reservoir_stiffness,
)
from halocline.observables.orientation import Orientation
from halocline.observables.rdf import RadialDistribution
from halocline.observables.site_pairs import site_pairs
from halocline.observables.statistics import Estimate
from halocline.observables.temperature import Temperature
from halocline.observables.tetrahedral import TetrahedralOrder, tetrahedral_order
from halocline.units import AMU_PER_CUBIC_ANGSTROM, BOLTZMANN

COUNT = 100


@pytest.fixture(scope="module")
def gas(tmp_path_factory):
    with ideal_gas_record(tmp_path_factory.mktemp("gas") / "record.h5", COUNT, 300) as record:
        yield record


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    with ideal_gas_record(tmp_path_factory.mktemp("closed") / "reference.h5", COUNT, 300, "full", seed=2) as record:
        yield record


def observe(kind, record, **options):
    observable = kind(Setting.of(record, Validation(), **options))
    for snapshot in record:
        observable.update(snapshot)
    observable.read(record)
    return observable


def within(estimate, expected, sigmas=4.0):
    return abs(estimate.value - expected) < sigmas * estimate.error


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


def test_radial_distributions_of_an_ideal_gas_are_one_in_both_normalisations(gas):
    rdf = observe(RadialDistribution, gas)
    assert [pair.name for pair in rdf.pairs] == ["g_OO", "g_OH", "g_HH"]
    far = rdf.radius > 1.0
    for index in range(3):
        error = rdf.errors(index)[far]
        deviations = (rdf.g(index)[far] - 1.0) / error
        assert 0.7 < deviations.std() < 1.4
        weights = rdf.shells[far] / rdf.shells[far].sum()
        assert rdf.g(index)[far] @ weights == pytest.approx(1.0, abs=0.03)
        assert rdf.g_core(index)[far] @ weights == pytest.approx(1.0, abs=0.03)


def test_slab_fraction_counts_pairs_in_a_slab_exactly():
    generator = np.random.default_rng(1)
    width, offset = 12.0, 0.5
    first = generator.uniform(-width / 2, width / 2, size=400_000)
    for r in (3.0, 8.0, 15.0):
        x = first + r * generator.uniform(-1, 1, size=len(first)) + math.sqrt(offset) * generator.choice([-1, 1], len(first))
        assert np.mean(np.abs(x) < width / 2) == pytest.approx(slab_fraction(np.array(r), width, offset), abs=0.004)


def test_share_of_pairs_between_molecules_is_exact():
    pairs = site_pairs(water_topology(10))
    assert [pair.share for pair in pairs] == pytest.approx([0.9, 0.9, 0.9])


def test_an_ideal_gas_has_no_peak_to_judge_and_says_so(gas, closed):
    mine, reference = (observe(RadialDistribution, record, interacts=False) for record in (gas, closed))
    assert mine.result() == []
    claims = {claim.name: claim for claim in mine.compare(reference)}
    assert "there is no peak" in claims["first peak of g_OO, height"].unjudged
    assert claims["integrated difference of g_OO"].unjudged == ""


@pytest.mark.parametrize(
    ("composition", "names"),
    [
        ([(LJ, 5)], ["g(lj, lj)"]),
        ([(LJ, 5), (LJ_SMALL, 4)], ["g(lj, lj)", "g(lj, lj_small)", "g(lj_small, lj_small)"]),
        ([(IDEAL, 5)], ["g(ideal, ideal)"]),
        ([(WATER, 5)], ["g_OO", "g_OH", "g_HH"]),
        ([(METHANE_UA, 1), (WATER, 5)], ["g(water O, water O)", "g(water O, methane_ua)", "g(water O, water H)",
                                         "g(methane_ua, water H)", "g(water H, water H)"]),
    ],
)  # fmt: skip
def test_sites_are_named_as_the_study_names_them_and_pairs_that_do_not_exist_are_left_out(composition, names):
    assert [pair.name for pair in site_pairs(build_topology(composition))] == names


def test_two_species_of_one_element_have_functions_of_their_own():
    """Pairs of species that share an element are told apart: one species clusters, the other does not."""
    twin = replace(LJ, name="twin")
    topology = build_topology([(LJ, 30), (twin, 30)])
    rdf = RadialDistribution(Setting(np.diag(EDGES), topology, SLAB, 300.0, 60 / float(np.prod(EDGES)), "full", 40))
    generator = np.random.default_rng(8)
    for _ in range(40):
        positions = generator.uniform(size=(60, 3)) * EDGES
        directions = generator.normal(size=(15, 3))
        positions[15:30] = positions[:15] + 3.0 * directions / np.linalg.norm(directions, axis=1)[:, None]
        rdf.update(Snapshot(0.0, positions, np.zeros(60, np.int8), np.ones(60, dtype=bool), np.diag(EDGES), topology, SLAB))
    near = np.abs(rdf.radius - 3.0) < 0.1
    heights = {pair.name: rdf.g(index)[near].mean() for index, pair in enumerate(rdf.pairs)}
    assert heights["g(lj, lj)"] > 10
    assert heights["g(lj, twin)"] < 3
    assert heights["g(twin, twin)"] < 3
    assert len({pair.key for pair in rdf.pairs}) == 3


def test_peak_of_noise_is_not_found_and_difference_of_equals_vanishes(gas, closed):
    rdf, reference = observe(RadialDistribution, gas), observe(RadialDistribution, closed)
    gap = rdf.integrated_difference(reference, 0)
    assert gap.value < 2 * gap.error
    assert all(not rdf.peak(index)[1].is_usable for index in range(3))


def test_known_peak_is_found_with_position_and_height():
    topology, generator = water_topology(60), np.random.default_rng(3)
    rdf = RadialDistribution(Setting(np.diag(EDGES), topology, SLAB, 300.0, 60 / float(np.prod(EDGES)), "full", 40))
    for _ in range(40):
        positions = ideal_gas_positions(30, generator)
        shifts = generator.normal(size=(30, 3))
        shifts *= (3.0 + 0.15 * generator.normal(size=30))[:, None] / np.linalg.norm(shifts, axis=1)[:, None]
        partners = positions + np.repeat(shifts, 3, axis=0)
        everything = np.concatenate([positions, partners])
        inside = np.ones(60, dtype=bool)
        rdf.update(Snapshot(0.0, everything, np.zeros(60, np.int8), inside, np.diag(EDGES), topology, SLAB))
    position, height = rdf.peak(0)
    r = np.linspace(2.5, 3.5, 4001)
    pairs = np.exp(-0.5 * ((r - 3.0) / 0.15) ** 2) / (0.15 * math.sqrt(2 * math.pi))
    exact = 60 / (60 * 60 / np.prod(EDGES) * 59 / 60 * 4 * math.pi * r**2) * pairs + 58 / 59
    assert position.value == pytest.approx(r[exact.argmax()], abs=0.03)
    assert height.value == pytest.approx(exact.max(), rel=0.05)
    assert height.error / height.value < 0.05


def test_heights_of_the_same_maximum_are_compared():
    """A weak maximum before the main one stands out in one run alone: the main one is judged in both."""
    setting = Setting(np.diag(EDGES), water_topology(COUNT), SLAB, 300.0, COUNT / float(np.prod(EDGES)), "full", 40)
    runs = []
    for shoulder in (0.0, 0.6):
        rdf, generator = RadialDistribution(setting), np.random.default_rng(6)
        shape = 1.0 + 1.5 * np.exp(-(((rdf.radius - 3.4) / 0.3) ** 2)) + shoulder * np.exp(-(((rdf.radius - 2.0) / 0.15) ** 2))
        atoms = np.array([COUNT, 2 * COUNT])
        uniform = 0.99 * COUNT**2 / setting.volume * rdf.shells
        for _ in range(40):
            counts = np.tile(uniform * shape * (1 + 0.02 * generator.normal(size=rdf.bins)), (3, 1))
            zeros = np.zeros_like(counts)
            rdf.store(counts=counts, core_counts=zeros, atoms=atoms, core_atoms=atoms, offsets=np.zeros(2))
        runs.append(rdf)
    open_run, reference = runs[1], runs[0]
    assert open_run.peak(0)[0].value == pytest.approx(2.0, abs=0.05)
    height = open_run.compare(reference)[0]
    assert height.reference.value == pytest.approx(2.5, rel=0.03)
    assert height.value.value == pytest.approx(2.5, rel=0.03)


def test_temperatures_of_independent_samples(gas):
    temperature = observe(Temperature, gas)
    assert all(within(region, 300.0) for region in temperature.regions())
    degrees = temperature.series("degrees").mean(axis=0)
    expected = 300.0 * np.sqrt(2.0 / (3.0 * degrees)) / math.sqrt(300)
    errors = [region.error for region in temperature.regions()]
    np.testing.assert_allclose(errors, expected, rtol=0.35)


def test_ledger_of_stationary_energies_does_not_drift(gas):
    ledger = observe(Ledger, gas)
    assert within(ledger.drift(), 0.0)
    counted = ledger.compare(ledger)[1]
    assert counted.value.is_exact
    assert counted.value.value == 0.0


def ledger_of(crossings, zero, drift, members=94, rows=200):
    """A ledger of given crossings (+1 in, -1 out) a row: each gives 0.3 eV of heat, and ``zero`` of either sign; drift in eV a row."""
    ledger = Ledger(Setting(np.diag(EDGES), water_topology(COUNT), SLAB, 300.0, COUNT / float(np.prod(EDGES))))
    generator, heat, flips = np.random.default_rng(4), 0.0, 0
    for row in range(rows):
        change = crossings[row % len(crossings)]
        heat, flips, members = heat + zero * change + 0.3 * abs(change), flips + abs(change), members + change
        noise = 1e-4 * generator.normal()
        # The potential follows the jumps and the thermostat takes their heat away: kinetic + potential stays at the zeros.
        books = np.array([50.0 * (row + 1), 10.0, zero * members + drift * row + noise, heat, -0.3 * flips, flips])
        ledger.store(books=books, capped=np.zeros(3), members=np.array([members]))
    return ledger


def test_species_of_a_mixture_have_zeros_of_their_own():
    ledger, generator = ledger_of([0], 0.0, 0.0, rows=0), np.random.default_rng(9)
    members, heat, flips, zeros = np.array([60, 30, 1]), 0.0, 0, np.array([-107.8, 55.0, 0.0])
    for row in range(300):
        change = np.array([*generator.integers(-1, 2, size=2), 0])  # a solute that never crosses
        crossings = int(np.abs(change).sum())
        heat, flips, members = heat + zeros @ change + 0.3 * crossings, flips + crossings, members + change
        books = np.array([50.0 * (row + 1), 10.0, 0.0, heat, 0.0, flips])
        ledger.store(books=books, capped=np.zeros(3), members=members)
    assert ledger.heat()[-1] - ledger.heat()[0] == pytest.approx(0.3 * (flips - ledger.series("books")[0, 5]), rel=1e-6)


@pytest.mark.parametrize("zero", [0.0, -107.8])
def test_heat_of_crossings_is_free_of_the_zeros_of_the_energies(zero):
    power = ledger_of([1, 0, -1, 1, -1, 0], zero, 0.0).power()
    assert power.value == pytest.approx(0.3 * (4 / 6) / 0.05 / (3 * COUNT), rel=0.02)  # 0.3 eV, four times in six rows of 0.05 ps
    one_way = ledger_of([1, 0], zero, 0.0)
    assert not one_way.power().is_usable
    assert one_way.figures(one_way)[0].series[0].label == "thermostat"


def test_drift_of_the_ledger_is_found_whatever_the_zero_of_the_energies():
    drift = 20e-3 * BOLTZMANN * 300.0 * (3 * COUNT) * 0.05  # eV a row of 0.05 ps: twenty times the tolerance per atom and ps
    for zero in (0.0, -107.8):
        found = [Check.of(ledger_of([1, 0], zero, value).compare(None)[0]).verdict().verdict for value in (drift, 0.0)]
        assert found == ["inconsistent", "consistent"]


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


def test_bulk_radial_distribution_agrees_with_mdanalysis(closed):
    distances = pytest.importorskip("MDAnalysis.lib.distances")
    rdf = observe(RadialDistribution, closed)
    box = np.array([*EDGES, 90.0, 90.0, 90.0], dtype=np.float32)
    counts = np.zeros((2, rdf.bins))
    for snapshot in closed:
        oxygen, hydrogen = snapshot.positions[0::3], np.delete(snapshot.positions, np.s_[0::3], axis=0)
        pairs = distances.self_capped_distance(oxygen, float(rdf.edges[-1]), box=box, return_distances=True)[1]
        counts[0] += 2 * np.histogram(pairs, rdf.edges)[0]
        index, pairs = distances.capped_distance(oxygen, hydrogen, float(rdf.edges[-1]), box=box, return_distances=True)
        counts[1] += np.histogram(pairs[index[:, 0] != index[:, 1] // 2], rdf.edges)[0]
    counts /= len(closed)
    volume = np.prod(EDGES)
    expected = [counts[0] / (COUNT * (COUNT - 1) / volume * rdf.shells), counts[1] / (2 * COUNT * (COUNT - 1) / volume * rdf.shells)]
    for index in range(2):
        # Positions in single precision move a few pairs over the edge of a bin.
        np.testing.assert_allclose(rdf.g(index), expected[index], atol=3.0 / counts[0].max())
        assert (rdf.g(index) * rdf.shells).sum() == pytest.approx((expected[index] * rdf.shells).sum(), rel=1e-4)
