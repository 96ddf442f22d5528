"""Which times of a study are in order, whatever its force field."""

from __future__ import annotations

from collections.abc import Mapping

from halocline.config.study import Study
from halocline.errors import UserError

LEAST = {
    "calibration.window": "timestep",
    "calibration.bulk": "timestep",
    "calibration.insertion": "timestep",
    "validation.reference": "record",
}
"""Times of every study, and the key of ``dynamics`` that each must not be shorter than."""


def check_times(study: Study, further: Mapping[str, str]) -> None:
    """Step <= record, checkpoint <= length; runs of their own not shorter than what they sample.

    Args:
        further: as :data:`LEAST`, of this kind of study.

    Raises:
        UserError: with the key, the numbers and a remedy.
    """
    dynamics = study.dynamics
    for name in ("record", "checkpoint"):
        value = getattr(dynamics, name)
        if not dynamics.timestep <= value <= dynamics.length:
            raise UserError(
                f"dynamics.{name} is {value:g} fs, not between time step {dynamics.timestep:g} fs and length {dynamics.length:g} fs",
                f"study file: dynamics.{name}",
                f"Choose dynamics.{name} between dynamics.timestep and dynamics.length.",
            )
    for dotted, shortest in {**further, **LEAST}.items():
        section, key = dotted.split(".")
        value, least = getattr(getattr(study, section), key), getattr(dynamics, shortest)
        if value < least:
            what = f"{dotted} is {value:g} fs, shorter than dynamics.{shortest} of {least:g} fs: nothing would be measured"
            raise UserError(what, f"study file: {dotted}", "Lengthen it to thousands of steps.")
    if not study.calibration.discard < 1:
        what = f"calibration.discard is {study.calibration.discard:.0%}: nothing of a window is left"
        raise UserError(what, "study file: calibration.discard", "Choose it from 0 % to below 100 %.")
