"""Where AT is denser than its reservoir: exact answers for ideal gases in every number that a flat density used to be assumed for."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from halocline.config.load import validate
from halocline.config.study import Study
from halocline.molecules.lj import LJ
from halocline.observables.number import NumberInAT
from halocline.observables.statistics import Estimate
from halocline.stages._bulk_runs import Pressures
from halocline.stages._first_force import pressure_difference
from halocline.stages._target_density import TargetDensity
from halocline.units import thermal_energy

KT = thermal_energy(300.0)


def study(compressibility: str) -> Study:
    sections: dict[str, Any] = {
        "system": {"molecules": {"lj": 600}, "temperature": "300 K"},
        "force_field": {"name": "classical"},
        "coupling": {"reservoir": "tracer"},
        "calibration": {"compressibility": compressibility},
    }
    return validate(sections, "test")


@pytest.mark.parametrize("denser", [1.0, 1.08, 0.9])
def test_number_of_an_ideal_gas_with_two_densities_is_binomial(denser: float) -> None:
    """Independent molecules are in AT with p = <N_AT>/N whatever field holds them there: Var = N p (1 - p)."""
    volumes, density, total = np.array([2000.0, 3000.0, 7000.0]), 0.02, 240
    observable = SimpleNamespace(setting=SimpleNamespace(density=denser * density, tracers=True), volumes=volumes, total=total)
    predicted = NumberInAT.prediction(observable, Estimate(1.0, 0.0, 100.0))  # type: ignore[arg-type]
    p = denser * density * volumes[0] / total
    assert predicted.value == pytest.approx(total * p * (1 - p), rel=1e-12)


@pytest.mark.parametrize(("spread", "expected"), [(0.1, 0.1), (2.0, 0.0)])
def test_compressibility_measured_in_the_bulk_run_goes_before_the_stated_one(spread: float, expected: float) -> None:
    """An ideal gas in AT and 1/kappa_T = n kT: the stated value, of liquid water, would make the pressure difference 30 times larger."""
    density, stated = 0.0155, study("4.5e-5 /bar").calibration.compressibility
    kappa = 1 / (density * KT)
    target = TargetDensity(1.03 * density, 0.0, 0.99 * density, 0.0, density, 0.0, 0.0, LJ.mass, ())
    pressures = Pressures(density * KT, 0.0, density * KT, 0.0, 10.0, kappa, spread * kappa)
    value, error = pressure_difference(study("4.5e-5 /bar"), pressures, density, target)
    exact = KT * math.log(1.03 / 0.99)
    if spread < 1:
        assert value == pytest.approx(exact, rel=0.02)
    else:
        assert value > 10 * exact, f"nothing better is known than the stated {stated:.3g} A3/eV"
    assert error == pytest.approx(expected * math.log(1.03) * KT, abs=1e-15)
