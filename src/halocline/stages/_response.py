"""Compressibilities that scale the updates of a calibration: stated, or from its bulk runs."""

from __future__ import annotations

from halocline.adress.density_response import DensityResponse
from halocline.config.study import Study
from halocline.errors import RunFailure, UserError
from halocline.stages._bulk_runs import LARGEST_UNCERTAINTY, Pressures
from halocline.units import BAR, thermal_energy

FACTOR = 3.0
"""A stated compressibility that the bulk run contradicts by more than this would make the updates diverge, or do nothing."""
SIGNIFICANT = 4.0
"""Standard errors by which it must do so."""


def response_of(study: Study, pressures: Pressures, density: float) -> DensityResponse:
    """What a change of the density costs in AT and in the reservoir.

    Args:
        density: of the box, molecules/Å^3.

    Raises:
        UserError: the bulk run contradicts the stated compressibility.
        RunFailure: the bulk run was too short to measure it.
    """
    liquid = _of_liquid(study, pressures)
    thermal = thermal_energy(study.system.temperature)
    if study.coupling.reservoir == "tracer":
        return DensityResponse(liquid, 1.0 / (density * thermal), thermal)
    measured, error = pressures.reservoir_compressibility, pressures.reservoir_compressibility_error
    # Where the run was too short, the beads are taken for as stiff as the liquid whose structure they have.
    return DensityResponse(liquid, measured if error < LARGEST_UNCERTAINTY * measured else liquid, thermal)


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
    if measured - SIGNIFICANT * error > FACTOR * stated or measured + SIGNIFICANT * error < stated / FACTOR:
        raise UserError(
            f"calibration.compressibility is {stated * BAR:.3g} /bar, but the bulk run has {measured * BAR:.3g} ± {error * BAR:.2g} /bar",
            "study file: calibration.compressibility",
            "Set it to 'measured', or correct system.density or the force field if the stated value is that of the real liquid.",
        )
    return stated
