"""Observables in regions of every shape, where an ideal gas gives exact answers."""

import math
from dataclasses import replace

import contracts
import numpy as np
import pytest
from synthetic_records import ideal_gas_record

from halocline import registry
from halocline.adress.regions import MovingSphere, Slab, Sphere, Spheres
from halocline.config.study import Validation
from halocline.observables.base import Setting
from halocline.observables.charge_density import ChargeDensity
from halocline.observables.density import Density
from halocline.observables.geometry import segment_fraction, sphere_fraction, surface_area
from halocline.observables.number import NumberInAT, binomial_p_value
from halocline.observables.orientation import Orientation
from halocline.observables.rdf import RadialDistribution
from halocline.observables.statistics import Estimate
from halocline.units import AMU_PER_CUBIC_ANGSTROM

BOX, COUNT, FRAMES = np.array([26.0, 24.0, 24.0]), 120, 200
EDGES = (26.0, 24.0, 24.0)
SHAPES = {
    "slab": Slab(13.0, 5.0, 6.0, 0.5, 26.0),
    "sphere": Sphere((3.0, 12.0, 12.0), 5.0, 6.0, 0.5, EDGES),
    "moving": MovingSphere((0.0, 0.0, 0.0), 5.0, 6.0, 0.5, EDGES, 7),
    "union": Spheres((0.0,) * 6, 4.0, 4.0, 0.5, EDGES, (3, 50)),
}


@pytest.fixture(scope="module", params=list(SHAPES))
def pair(request, tmp_path_factory):
    folder, regions = tmp_path_factory.mktemp("gas"), SHAPES[request.param]
    frames = FRAMES if request.param != "union" else 40
    with (
        ideal_gas_record(folder / "a.h5", COUNT, frames, "open", 1, regions, BOX) as opened,
        ideal_gas_record(folder / "b.h5", COUNT, frames, "full", 2, regions, BOX) as closed,
    ):
        yield opened, closed


def observe(kind, record, rows=None, **options):
    observable = kind(Setting.of(record, Validation(), **options))
    for row in range(rows or len(record)):
        observable.update(record[row])
    observable.read(record)
    return observable


def within(estimate, expected, sigmas=4.0):
    return abs(estimate.value - expected) < sigmas * estimate.error


def ideal_number(observable, followed):
    """Mean and variance of the others in AT, and the followed molecules that are always there."""
    p = observable.fraction
    return followed + (COUNT - followed) * p, (COUNT - followed) * p * (1 - p)


def followed(record):
    regions = record.regions
    return 1 if isinstance(regions, MovingSphere) else len(regions.molecules) if isinstance(regions, Spheres) else 0


def test_regions_of_a_snapshot_are_where_its_molecules_are(pair):
    snapshot = pair[0][5]
    regions = snapshot.regions
    if isinstance(regions, MovingSphere):
        assert regions.centre == pytest.approx(snapshot.centres[7])
    if isinstance(regions, Spheres):
        assert np.array(regions.centres).reshape(-1, 3) == pytest.approx(snapshot.centres[[3, 50]])
    assert np.array_equal(snapshot.level == 0, snapshot.distance < regions.atomistic)


def test_number_in_at_of_an_ideal_gas_is_binomial_in_every_shape(pair):
    numbers = observe(NumberInAT, pair[0])
    mean, variance = ideal_number(numbers, followed(pair[0]))
    assert within(numbers.mean(), mean)
    if not isinstance(pair[0].regions, Spheres):  # the volume of a union that moves fluctuates as well
        assert within(numbers.variance(), variance)
        counts = numbers.series("counts")[:, 0] - followed(pair[0])
        assert binomial_p_value(counts, COUNT - followed(pair[0]), numbers.fraction) > 1e-3


def test_closed_box_is_searched_everywhere_unless_the_regions_follow_a_molecule(pair):
    numbers = observe(NumberInAT, pair[1], 40)
    places = numbers.series("counts").shape[1]
    assert places == {Slab: 8, Sphere: 216, MovingSphere: 1, Spheres: 1}[type(pair[1].regions)]
    if places > 1:
        assert within(numbers.compressibility_factor(), 1.0)
        assert numbers.compressibility_factor().error < 0.2


def test_density_of_the_others_is_uniform_in_every_shape(pair):
    density = observe(Density, pair[0])
    mass = density.setting.topology.molecule_masses[0] / AMU_PER_CUBIC_ANGSTROM
    others = (COUNT - followed(pair[0])) / density.setting.volume * mass
    assert within(density.transition(), others)
    core = np.mean([item.regions.volumes(item.cell)[0] for item in (pair[0][row] for row in range(0, len(pair[0]), 10))])
    extra = followed(pair[0]) * mass / core
    assert density.atomistic().value == pytest.approx(others + extra, abs=4 * density.atomistic().error + 0.05 * extra)
    claims = density.compare(observe(Density, pair[1]))
    assert claims[0].source == ("full-resolution run" if followed(pair[0]) else "target")


def test_orientations_and_charges_of_an_ideal_gas_vanish_in_every_shape(pair):
    assert within(observe(Orientation, pair[0]).mean(), 0.0)
    charge = observe(ChargeDensity, pair[0])
    edges = charge.blocks.edges
    blocks = charge.block_charges()
    # A followed molecule brings its own charges to the centre.
    assert all(within(block, 0.0) for block, start in zip(blocks, edges) if start > 2.0 or not followed(pair[0]))
    assert charge.series("net") == pytest.approx(0.0, abs=1e-9)


def test_charge_profiles_end_where_molecules_may_sleep_and_do_not_see_how_those_lie(pair):
    observables = [ChargeDensity(Setting.of(pair[0], Validation())) for _ in range(2)]
    changed = 0
    for snapshot in (pair[0][row] for row in range(20)):
        stale = snapshot.positions.reshape(COUNT, 3, 3).copy()
        asleep = np.flatnonzero(~snapshot.members)
        # All of them lie alike, as mass points do that left in the same orientation.
        stale[asleep] = snapshot.centres[asleep, None] + (stale[0] - snapshot.centres[0])
        other = replace(snapshot, positions=stale.reshape(-1, 3))
        changed += len(asleep)
        observables[0].update(snapshot)
        observables[1].update(other)
    assert changed > 20
    for name in ("profile", "dipole", "blocks", "net"):
        np.testing.assert_allclose(observables[1].series(name), observables[0].series(name), atol=1e-12)


def test_charge_profile_counts_all_charges_up_to_its_last_bin(pair):
    charge = observe(ChargeDensity, pair[0])
    outer, extent = pair[0].regions.outer, 0.98
    assert outer - extent < charge.shells.edges[-1] < outer
    assert charge.outward.edges[-1] == pytest.approx(outer)
    last = charge.series("profile")[:, [0, -1] if charge.shells.edges[0] < 0 else [-1]]
    assert (np.abs(last.mean(axis=0)) < 4 * last.std(axis=0) / math.sqrt(len(last))).all()


def test_radial_distribution_of_an_ideal_gas_is_one_in_both_normalisations(pair):
    rdf = observe(RadialDistribution, pair[0])
    far = rdf.radius > 1.0
    weights = rdf.shells[far] / rdf.shells[far].sum()
    # With few molecules in a sphere only the average over the range is known well. A followed molecule is always near those in
    # AT: its pairs come on top, in the reference as well.
    assert followed(pair[0]) or rdf.g(0)[far] @ weights == pytest.approx(1.0, abs=0.06)
    both = rdf.g_core(0)[far]
    assert np.isnan(both).all() if followed(pair[0]) else both @ weights == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("name", sorted(registry.available("observables")))
def test_contract_of_observables_holds_in_every_shape(name, pair, tmp_path, monkeypatch):
    kind = registry.available("observables")[name].value
    record = pair[0]
    monkeypatch.setattr(type(record), "__len__", lambda self: 24)
    monkeypatch.setattr(record, "_frames", 24)
    contracts.check_observable(kind, record, tmp_path)
    opened, closed = observe(kind, record, 24), observe(kind, pair[1], 24)
    assert all(claim for claim in opened.compare(closed))
    for figure in opened.figures(closed):
        assert figure.series


def test_sphere_fraction_counts_pairs_in_a_sphere_exactly():
    generator, radius, offset = np.random.default_rng(1), 6.0, 0.3
    first = generator.normal(size=(600_000, 3))
    first *= (radius * generator.uniform(size=len(first)) ** (1 / 3) / np.linalg.norm(first, axis=1))[:, None]
    for r in (2.0, 6.0, 10.0):
        way = generator.normal(size=first.shape)
        way *= r / np.linalg.norm(way, axis=1)[:, None]
        second = first + way + math.sqrt(offset) * generator.normal(size=first.shape)
        inside = np.mean(np.linalg.norm(second, axis=1) < radius)
        assert inside == pytest.approx(float(sphere_fraction(np.array(r), radius, offset)), abs=0.004)
    assert sphere_fraction(np.array([12.0, 13.0]), radius) == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("name", ["slab", "sphere"])
def test_share_of_a_line_in_at_is_that_of_its_points(name):
    regions, generator = SHAPES[name], np.random.default_rng(2)
    start, vector = generator.uniform(-30, 60, (200, 3)), 4.0 * generator.normal(size=(200, 3))
    points = start[:, None] + (np.arange(2000)[None, :, None] + 0.5) / 2000 * vector[:, None]
    sampled = (regions.distance(points.reshape(-1, 3)) < regions.atomistic).reshape(200, 2000).mean(axis=1)
    np.testing.assert_allclose(segment_fraction(regions, start, vector), sampled, atol=2e-3)


def test_area_of_a_border_is_exact():
    cell = np.diag(BOX)
    assert surface_area(SHAPES["slab"], cell, 5.0) == pytest.approx(2 * 24.0**2)
    assert surface_area(SHAPES["sphere"], cell, 5.0) == pytest.approx(4 * math.pi * 25.0)
    apart = Spheres((6.0, 6.0, 6.0, 19.0, 18.0, 18.0), 4.0, 4.0, 0.5, EDGES)
    assert surface_area(apart, cell, 4.0) == pytest.approx(8 * math.pi * 16.0, rel=0.05)


def test_binomial_p_values_are_uniform_and_see_a_narrower_distribution():
    generator = np.random.default_rng(3)
    values = np.array([binomial_p_value(generator.binomial(100, 0.25, 400), 100, 0.25) for _ in range(200)])
    assert abs(values.mean() - 0.5) < 4 / math.sqrt(12 * 200)
    assert abs((values < 0.1).mean() - 0.1) < 4 * math.sqrt(0.09 / 200)
    narrow = np.round(25 + 0.7 * (generator.binomial(100, 0.25, 400) - 25))
    assert binomial_p_value(narrow, 100, 0.25) < 1e-6


def test_known_compressibility_of_the_reservoir_replaces_its_own_fluctuations(tmp_path):
    with ideal_gas_record(tmp_path / "gas.h5", COUNT, 200, "open", 1, SHAPES["sphere"], BOX) as record:
        known = observe(NumberInAT, record, reservoir_factor=Estimate(1.0))
        own = observe(NumberInAT, record)
    assert known.route == "compressibility of the reservoir"
    assert own.route == "reservoir's own fluctuations"
    prediction = known.prediction(Estimate(1.0))
    assert prediction.is_exact
    p = known.fraction
    assert prediction.value == pytest.approx(COUNT * p * (1 - p), rel=1e-9)
