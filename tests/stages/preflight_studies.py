"""Studies that pass, with changes that do not."""

from __future__ import annotations

import pytest

from halocline.config.load import validate
from halocline.config.study import Study
from halocline.errors import UserError
from halocline.stages.preflight import preflight

GEOMETRY: dict[str, dict[str, object]] = {
    "system": {"molecules": {"water": 400}, "length": "48 A", "density": "0.997 g/cm3"},
    "dataset": {"molecules": 48},
    "model": {"cutoff": "5 A", "layers": 2},
    "coarse_model": {"cutoff": "5 A", "layers": 2},
    "regions": {"atomistic": "6 A", "transition": "10 A"},
    "calibration": {"margin": "4 A"},
}
"""Defaults may be tuned; what is tested here may not change with them."""


def study(**sections: dict[str, object]) -> Study:
    return validate({name: {**GEOMETRY.get(name, {}), **sections.get(name, {})} for name in {*GEOMETRY, *sections}}, "test")


def refused(loaded: Study) -> UserError:
    with pytest.raises(UserError) as caught:
        preflight(loaded)
    assert caught.value.exit_code == 2
    assert caught.value.where.startswith("study file: ")
    assert caught.value.remedy
    return caught.value


CLASSICAL: dict[str, dict[str, object]] = {
    "system": {"molecules": {"spce": 1728}, "length": "90 A", "density": "0.998 g/cm3"},
    "force_field": {"name": "classical", "cutoff": "9 A"},
    "coupling": {"reservoir": "tracer"},
    "regions": {"atomistic": "12 A", "transition": "14 A", "hysteresis": "0 A"},
    "dynamics": {"timestep": "2 fs", "friction_transition": "20 /ps", "friction_reservoir": "20 /ps"},
    "calibration": {"margin": "5 A"},
}


def classical(**sections: dict[str, object]) -> Study:
    return validate({name: {**CLASSICAL.get(name, {}), **sections.get(name, {})} for name in {*CLASSICAL, *sections}}, "test")
