"""Pairs in an ideal gas and peaks of known height."""

import math

import numpy as np
import pytest
from observed import COUNT, observe
from synthetic_records import EDGES, SLAB, ideal_gas_positions, water_topology

from halocline.dynamics.record import Snapshot
from halocline.observables.base import Setting
from halocline.observables.geometry import slab_fraction
from halocline.observables.rdf import RadialDistribution, element_pairs


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
    pairs = element_pairs(water_topology(10))
    assert [pair.share for pair in pairs] == pytest.approx([0.9, 0.9, 0.9])


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
