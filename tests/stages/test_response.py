"""Compressibilities of a calibration: which is taken, and which is refused."""

import math

import numpy as np
import pytest

from halocline.adress.regions import Slab
from halocline.config.load import validate
from halocline.config.study import Study
from halocline.errors import RunFailure, UserError
from halocline.stages._bulk_runs import Pressures
from halocline.stages._response import response_of
from halocline.units import BAR, thermal_energy

DENSITY, KT = 0.0333, thermal_energy(298.0)
WATER = 4.5e-5 / BAR
REGIONS = Slab(30.0, 8.0, 10.0, 0.0, 60.0)


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


@pytest.mark.parametrize(("name", "power"), [("subtractive", 0), ("hamiltonian", 1), ("force-interpolation", 2)])
def test_smooth_couplings_say_how_their_liquid_softens(name, power):
    loaded = study("4.5e-5 /bar")
    loaded = loaded.model_copy(update={"coupling": loaded.coupling.model_copy(update={"name": name})})
    assert response_of(loaded, pressures(WATER, 0.1 * WATER)).weight_power == power


def pressures(value: float, error: float, beads: float = math.nan, beads_error: float = math.nan, samples: float = 90.0) -> Pressures:
    return Pressures(0.0, 1e-4, 0.0, 1e-4, samples, value, error, beads, beads_error)


def test_tracers_have_the_compressibility_of_an_ideal_gas():
    found = response_of(study("4.5e-5 /bar", "tracer"), pressures(WATER, 0.1 * WATER))
    assert found.compressibility == pytest.approx(WATER)
    assert found.reservoir is None
    assert found.stiffness(np.array([DENSITY]), REGIONS, np.array([29.0]))[0, 0, 0] == pytest.approx(KT / DENSITY)


def test_beads_have_their_own_or_that_of_the_liquid_where_theirs_is_not_known():
    assert response_of(study("measured"), pressures(WATER, 0.1 * WATER, 2 * WATER, 0.5 * WATER)).reservoir == 2 * WATER
    said: list[str] = []
    assert response_of(study("measured"), pressures(WATER, 0.1 * WATER, 2 * WATER, 3 * WATER), said.append).reservoir == WATER
    assert "of the liquid is taken" in said[0]


def test_a_compressibility_that_is_not_known_is_not_used():
    with pytest.raises(RunFailure, match="too uncertain"):
        response_of(study("measured"), pressures(WATER, 0.4 * WATER))


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_a_stated_value_that_the_bulk_run_contradicts_is_refused(factor):
    with pytest.raises(UserError, match="but the bulk run has"):
        response_of(study("4.5e-5 /bar"), pressures(factor * WATER, 0.1 * factor * WATER))


def test_a_stated_value_stands_where_the_bulk_run_is_close_or_says_little():
    short = pressures(10 * WATER, 0.1 * WATER, samples=20.0)
    for measured in (pressures(2 * WATER, 0.1 * WATER), pressures(10 * WATER, 3 * WATER), pressures(math.nan, math.nan), short):
        assert response_of(study("4.5e-5 /bar"), measured).compressibility == pytest.approx(WATER)
