"""Compressibilities that scale the updates of a calibration: stated, or from its bulk runs."""

from __future__ import annotations

import math
from collections.abc import Callable

from halocline import registry
from halocline.adress.coupling.base import Coupling
from halocline.adress.density_response import DensityResponse
from halocline.adress.reservoir import reservoir_of
from halocline.config.study import Study
from halocline.errors import RunFailure, UserError
from halocline.stages._bulk_runs import Pressures
from halocline.units import BAR, thermal_energy

LARGEST_UNCERTAINTY = 0.35
"""Relative error of a compressibility beyond which updates scaled by it may overshoot."""
FACTOR = 3.0
"""A stated compressibility that the bulk run contradicts by more than this would make the updates diverge, or do nothing."""
SIGNIFICANT, ENOUGH = 4.0, 50
"""Standard errors by which it must do so, and independent samples of the bulk run: error bars from fewer are no evidence."""


def response_of(study: Study, pressures: Pressures, log: Callable[[str], None] = lambda words: None) -> DensityResponse:
    """What a change of the density costs in AT and in the reservoir.

    Args:
        log: told where the compressibility of the reservoir is not known and that of the liquid is taken.

    Raises:
        UserError: the bulk run contradicts the stated compressibility.
        RunFailure: the bulk run was too short to measure it.
    """
    liquid, reservoir = _of_liquid(study, pressures), None
    if not reservoir_of(study).is_ideal:
        reservoir, error = pressures.reservoir_compressibility, pressures.reservoir_compressibility_error
        if not error < LARGEST_UNCERTAINTY * reservoir:
            found = f"{reservoir * BAR:.3g} ± {error * BAR:.2g} /bar" if math.isfinite(error) else "not known"
            log(f"compressibility of the reservoir: {found} after calibration.bulk; that of the liquid is taken, whose structure it has")
            reservoir = liquid
    coupling: type[Coupling] = registry.get("couplings", study.coupling.name, "study file: coupling.name")
    return DensityResponse(liquid, reservoir, thermal_energy(study.system.temperature), coupling.weight_power)


def _of_liquid(study: Study, pressures: Pressures) -> float:
    stated, measured, error = study.calibration.compressibility, pressures.compressibility, pressures.compressibility_error
    if stated == "measured":
        if error < LARGEST_UNCERTAINTY * measured:
            return measured
        raise RunFailure(
            f"the compressibility is {measured:.3g} ± {error:.2g} A3/eV, too uncertain to scale updates",
            "bulk run of the calibration",
            "Lengthen calibration.bulk, or state calibration.compressibility.",
        )
    above, below = measured - SIGNIFICANT * error > FACTOR * stated, measured + SIGNIFICANT * error < stated / FACTOR
    if pressures.n_effective >= ENOUGH and (above or below):
        raise UserError(
            f"calibration.compressibility is {stated * BAR:.3g} /bar, but the bulk run has {measured * BAR:.3g} ± {error * BAR:.2g} /bar",
            "study file: calibration.compressibility",
            "Set it to 'measured', or correct system.density or the force field if the stated value is that of the real liquid.",
        )
    return stated
