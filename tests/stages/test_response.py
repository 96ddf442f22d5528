"""Compressibilities of a calibration: which is taken, and which is refused."""

import math

import pytest

from halocline.config.load import validate
from halocline.config.study import Study
from halocline.errors import RunFailure, UserError
from halocline.stages._bulk_runs import Pressures
from halocline.stages._response import response_of
from halocline.units import BAR, thermal_energy

DENSITY, KT = 0.0333, thermal_energy(298.0)
WATER = 4.5e-5 / BAR


def study(compressibility: str, reservoir: str = "table") -> Study:
    return validate(
        {
            "study": "test",
            "system": {"molecules": {"spce": 1000}, "density": "0.998 g/cm3", "length": "60 A", "temperature": "298 K"},
            "force_field": {"name": "classical"},
            "coupling": {"name": "subtractive", "reservoir": reservoir},
            "calibration": {"compressibility": compressibility},
        },
        "test",
    )


def pressures(value: float, error: float, beads: float = math.nan, beads_error: float = math.nan) -> Pressures:
    return Pressures(0.0, 1e-4, 0.0, 1e-4, 20.0, value, error, beads, beads_error)


def test_tracers_have_the_compressibility_of_an_ideal_gas():
    found = response_of(study("4.5e-5 /bar", "tracer"), pressures(WATER, 0.1 * WATER), DENSITY)
    assert found.compressibility == pytest.approx(WATER)
    assert found.reservoir == pytest.approx(1 / (DENSITY * KT))


def test_beads_have_their_own_or_that_of_the_liquid_where_theirs_is_not_known():
    assert response_of(study("measured"), pressures(WATER, 0.1 * WATER, 2 * WATER, 0.5 * WATER), DENSITY).reservoir == 2 * WATER
    assert response_of(study("measured"), pressures(WATER, 0.1 * WATER, 2 * WATER, 3 * WATER), DENSITY).reservoir == WATER


def test_a_compressibility_that_is_not_known_is_not_used():
    with pytest.raises(RunFailure, match="too uncertain"):
        response_of(study("measured"), pressures(WATER, 1.1 * WATER), DENSITY)


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_a_stated_value_that_the_bulk_run_contradicts_is_refused(factor):
    with pytest.raises(UserError, match="but the bulk run has"):
        response_of(study("4.5e-5 /bar"), pressures(factor * WATER, 0.1 * factor * WATER), DENSITY)


def test_a_stated_value_stands_where_the_bulk_run_is_close_or_says_little():
    for measured in (pressures(2 * WATER, 0.1 * WATER), pressures(10 * WATER, 3 * WATER), pressures(math.nan, math.nan)):
        assert response_of(study("4.5e-5 /bar"), measured, DENSITY).compressibility == pytest.approx(WATER)
