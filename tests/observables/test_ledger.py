"""The ledger: no drift of stationary energies, and the heat of crossings whatever the zeros of the energies."""

import numpy as np
import pytest
from observed import COUNT, observe, within
from synthetic_records import EDGES, SLAB, water_topology

from halocline.consistency.check import Check
from halocline.observables.base import Setting
from halocline.observables.ledger import Ledger
from halocline.units import BOLTZMANN


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
