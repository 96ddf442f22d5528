"""Flux through the border of AT and survival in it, against exact results."""

import math

import numpy as np
import pytest
from synthetic_records import EDGES, SLAB, water_topology, write_record

from halocline.adress.regions import Sphere
from halocline.config.study import Validation
from halocline.dynamics.record import Record
from halocline.molecules.water import WATER
from halocline.observables.base import Setting
from halocline.observables.flux import Flux
from halocline.units import ACCELERATION, BOLTZMANN

BODY = np.array(WATER.geometry) - (WATER.masses[:, None] * np.array(WATER.geometry)).sum(0) / WATER.mass
COLD = math.sqrt(BOLTZMANN * 300.0 * ACCELERATION / WATER.mass)


def observe(record):
    flux = Flux(Setting.of(record, Validation()))
    for snapshot in record:
        flux.update(snapshot)
    return flux


def record_of(path, centres, regions=SLAB, edges=EDGES, interval=50.0):
    frames = [(row[:, None] + BODY).reshape(-1, 3) for row in centres]
    return Record.open(write_record(path, frames, water_topology(len(centres[0])), regions=regions, edges=edges, interval=interval))


@pytest.mark.parametrize("shape", ["slab", "sphere"])
def test_flux_of_free_flight_is_that_of_kinetic_theory(shape, tmp_path):
    generator, count, rows = np.random.default_rng(1), 500, 240
    regions = SLAB if shape == "slab" else Sphere((8.0, 8.0, 8.0), 6.0, 1.0, 0.5, (16.0, 16.0, 16.0))
    edges = EDGES if shape == "slab" else np.array([16.0, 16.0, 16.0])
    start, velocity = generator.uniform(size=(count, 3)) * edges, COLD * generator.normal(size=(count, 3))
    interval = 50.0 if shape == "slab" else 10.0
    with record_of(tmp_path / "gas.h5", [start + velocity * interval * row for row in range(rows)], regions, edges, interval) as record:
        flux = observe(record)
    exact = count / np.prod(edges) * math.sqrt(BOLTZMANN * 300.0 * ACCELERATION / (2 * math.pi * WATER.mass))
    assert flux.ideal() == pytest.approx(exact)
    crossings = flux.crossings()
    for counts in (crossings.entered, crossings.left):
        estimate = flux.flux(counts.sum(axis=1))
        # Crossings are counts: their relative error is known, and few are missed within an interval.
        assert estimate.value == pytest.approx(exact, rel=4 / math.sqrt(counts.sum()) + 0.02)
        assert estimate.error == pytest.approx(exact / math.sqrt(counts.sum()), rel=0.5)
    names = [number.name for number in flux.result()]
    assert ("flux through the left border less that through the right" in names) == (shape == "slab")
    share = 2 * SLAB.atomistic / SLAB.length if shape == "slab" else 4 / 3 * math.pi * 216 / 16**3
    area = 512.0 if shape == "slab" else 4 * math.pi * 36
    stay = count * share / (exact * area)
    assert flux.visit().value == pytest.approx(stay, rel=4 / math.sqrt(crossings.left.sum()))


@pytest.fixture(scope="module")
def hopping(tmp_path_factory):
    """Molecules that hop between AT and the reservoir with fixed probabilities a row."""
    generator, inside, rows = np.random.default_rng(2), np.ones(400, dtype=bool), []
    inside[200:] = False
    for _ in range(160):
        rows.append(np.where(inside[:, None], [24.0, 8.0, 8.0], [2.0, 8.0, 8.0]))
        moves = generator.uniform(size=400) < np.where(inside, 0.1, 0.1)
        inside = inside ^ moves
    with record_of(tmp_path_factory.mktemp("hop") / "record.h5", rows) as record:
        yield record


def test_survival_functions_are_those_of_the_markov_chain(hopping):
    times, never_left, present = observe(hopping).survival()
    rows = times / 50.0
    start = never_left[:, 0].sum()
    for alive, exact in ((never_left, 0.9**rows), (present, 0.5 + 0.5 * 0.8**rows)):
        share = alive.sum(axis=0) / start
        # Origins overlap: about as many are independent as chains forget, some five rows.
        assert np.abs(share - exact)[:30] == pytest.approx(0.0, abs=4 * math.sqrt(0.25 / (200 * 12)))


def test_survival_time_and_length_of_a_visit(hopping):
    flux = observe(hopping)
    times, never_left, present = flux.survival()
    decay = flux.decay(never_left, times)
    assert abs(decay.value - 50.0 / -math.log(0.9)) < 4 * decay.error + 5.0
    assert abs(flux.visit().value - 50.0 / 0.1) < 4 * flux.visit().error
    # A function that tends to one half never falls to 1/e: there is no such time, and no number.
    assert flux.decay(present, times) is None
    assert sum("survival" in number.name for number in flux.result()) == 1


def test_crossing_at_the_seam_of_two_parts_is_counted(hopping):
    whole, first, second = (Flux(Setting.of(hopping, Validation())) for _ in range(3))
    for row in range(40):
        whole.update(hopping[row])
        (first if row < 17 else second).update(hopping[row])
    first.merge(second)
    assert np.array_equal(first.crossings().left, whole.crossings().left)


def test_unbalanced_flux_is_found(tmp_path):
    """AT empties steadily: what leaves does not come back."""
    generator = np.random.default_rng(4)
    leave = generator.integers(1, 60, size=300)
    rows = [np.where((row < leave)[:, None], [24.0, 8.0, 8.0], [2.0, 8.0, 8.0]) for row in range(60)]
    with record_of(tmp_path / "leak.h5", rows) as record:
        flux = observe(record)
    balance = flux.compare(flux)[0]
    assert balance.value.value == pytest.approx(-flux.flux(flux.crossings().left.sum(axis=1)).value * 1e5)


@pytest.mark.parametrize(
    ("frictions", "judged"), [(None, True), ((0.01, 0.01, 0.01), True), ((0.0, 0.01, 0.001), False), ((0.0, 0.0, 1e-3), False)]
)
def test_flux_is_judged_against_the_reference_only_at_the_same_friction(hopping, frictions, judged):
    flux = Flux(Setting.of(hopping, Validation(), frictions=frictions))
    for row in range(60):
        flux.update(hopping[row])
    claims = {claim.name: claim for claim in flux.compare(flux)}
    assert (claims["flux into AT"].unjudged == "") == judged
    assert claims["flux into AT less flux out"].unjudged == "", "a stationary state is one at any friction"
    if not judged:
        assert f"{1e3 * frictions[1]:g} /ps" in claims["flux into AT"].unjudged
        assert "friction_reference" in claims["flux into AT"].unjudged
