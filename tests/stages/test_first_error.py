"""How well the balance of momentum knows the integral of the thermodynamic force before the first window."""

import math

import pytest

from halocline.config.load import validate
from halocline.config.study import Study
from halocline.stages._bulk_runs import Pressures
from halocline.stages._first_force import BALANCE, RIPPLE, first_error
from halocline.units import thermal_energy

DENSITY, KT = 0.0333, thermal_energy(298.0)
PRESSURES = Pressures(3e-4, 3e-5, DENSITY * KT, 0.0, 20.0)


def study(molecules: dict[str, int], coupling: dict[str, str], start: str = "pressure", regions: dict[str, str] | None = None) -> Study:
    return validate(
        {
            "study": "test",
            "system": {"molecules": molecules, "density": "0.998 g/cm3", "length": "60 A", "temperature": "298 K"},
            "force_field": {"name": "classical"},
            "coupling": {"name": "subtractive", "reservoir": "tracer", **coupling},
            "calibration": {"start": start},
            "regions": regions or {},
        },
        "test",
    )


WATER = {"spce": 1000}


def test_errors_of_pressures_of_the_balance_and_of_the_ripple_add_in_squares():
    value = (PRESSURES.atomistic - PRESSURES.reservoir) / DENSITY
    expected = math.sqrt((3e-5 / DENSITY) ** 2 + (BALANCE * value) ** 2 + (RIPPLE * KT) ** 2)
    assert first_error(study(WATER, {}), PRESSURES, DENSITY) == pytest.approx(expected)


def test_a_ripple_is_allowed_for_where_the_pressures_are_equal():
    equal = Pressures(DENSITY * KT, 0.0, DENSITY * KT, 0.0, 20.0)
    assert first_error(study(WATER, {}), equal, DENSITY) == pytest.approx(RIPPLE * KT)


@pytest.mark.parametrize(
    "loaded",
    [
        study({"lj": 300, "lj_small": 200}, {}),
        study(WATER, {}, start="zero"),
        study(WATER, {"name": "hamiltonian", "compensation": "none"}),
    ],
    ids=["mixture", "no start", "drift forces"],
)
def test_nothing_is_known_of_mixtures_guesses_and_drift_forces(loaded):
    assert first_error(loaded, PRESSURES, DENSITY) == math.inf


def test_a_solute_that_the_regions_follow_does_not_make_a_mixture():
    loaded = study({"methane_ua": 1, **WATER}, {}, regions={"shape": "moving-sphere", "follow": "methane_ua"})
    assert math.isfinite(first_error(loaded, PRESSURES, DENSITY))
