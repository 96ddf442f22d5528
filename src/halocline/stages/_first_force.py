"""The tables that a calibration begins with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from halocline import registry
from halocline.adress.coupling.base import Coupling
from halocline.adress.force_start import start_from_file
from halocline.adress.regions import Regions
from halocline.adress.reservoir import reservoir_of
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.errors import RunFailure, UserError
from halocline.stages._assembly import density_of, regions_of
from halocline.stages._bulk_runs import LARGEST_UNCERTAINTY, Pressures
from halocline.stages._compensation import is_compensated
from halocline.stages._target_density import TargetDensity, has_target
from halocline.state import State
from halocline.units import thermal_energy

KEYWORDS = ("pressure", "zero")
BALANCE, RIPPLE = 0.1, 0.05
"""Errors of the integral that follows from the balance of momentum beside those of the pressures: a part of it, and kT."""


def followed_species(study: Study) -> tuple[int, ...]:
    """Indices of the species that the regions move with."""
    return tuple(index for index, name in enumerate(study.system.molecules) if name == study.regions.follow)


def empty_force(study: Study, regions: Regions) -> ThermodynamicForce:
    """Tables of zeros with the bins and the window of a study."""
    window = (regions.atomistic, regions.outer + study.calibration.margin)
    return ThermodynamicForce(tuple(study.system.molecules), regions.reach, study.calibration.bin, window)


def first_force(
    study: Study, regions: Regions, start: State, pressures: Pressures, target: TargetDensity | None = None
) -> tuple[ThermodynamicForce, dict[str, Any]]:
    """The first tables by ``calibration.start``, and where they come from.

    Raises:
        UserError: there is no such file, or its table does not fit.
    """
    if study.calibration.start == "pressure":
        return warm_start(study, regions, start, pressures, target), {"start": "pressure"}
    if study.calibration.start == "zero":
        return empty_force(study, regions), {"start": "zero"}
    return start_from_file(Path(study.calibration.start), empty_force(study, regions), regions)


def first_error(study: Study, pressures: Pressures, density: float, target: TargetDensity | None = None) -> float:
    """Error of the integral of the first tables, eV; infinite where they are a guess or balance more than pressures.

    Infinite in a mixture as well: the balance of momentum knows the sum over the species alone. It holds for a flat density; what is left
    of the ripple at the border moves the integral, by 0.01 kT in a Lennard-Jones fluid and by 0.05 to 0.2 kT in water in tracers.
    """
    one_species = len(study.system.molecules) - len(followed_species(study)) == 1
    if study.calibration.start != "pressure" or not is_pressure_balance(study) or not one_species:
        return math.inf
    value, error = pressure_difference(study, pressures, density, target)
    return math.hypot(error, BALANCE * value, RIPPLE * thermal_energy(study.system.temperature))


def check_start(study: Study) -> None:
    """Refuse a start that does not exist, is no table, or does not fit the species and regions of the study, before any run.

    Raises:
        UserError: what the calibration would refuse.
    """
    start, where = study.calibration.start, "study file: calibration.start"
    if start in KEYWORDS:
        return
    remedy = "Give 'pressure', 'zero' or the path of a thermodynamic_force.json, from the folder where halocline runs."
    if not Path(start).is_file():
        raise UserError(f"calibration.start is '{start}', and there is no such file", where, remedy)
    regions = regions_of(study)
    try:
        start_from_file(Path(start), empty_force(study, regions), regions)
    except UserError as error:
        raise UserError(f"calibration.start is '{start}': {error.what}", where, error.remedy) from error
    except (RunFailure, AttributeError, LookupError, TypeError, ValueError) as error:
        words = error.what if isinstance(error, RunFailure) else "it does not hold what such a table holds"
        raise UserError(f"calibration.start is '{start}', which is no table of a thermodynamic force: {words}", where, remedy) from error


def warm_start(
    study: Study, regions: Regions, start: State, pressures: Pressures, target: TargetDensity | None = None
) -> ThermodynamicForce:
    """Tables whose integral balances the momentum flux of the two bulk liquids."""
    force = empty_force(study, regions)
    integral = pressure_difference(study, pressures, density_of(start), target)[0]
    integrals = np.full(len(force.species), integral)
    integrals[list(followed_species(study))] = 0.0
    coupling: type[Coupling] = registry.get("couplings", study.coupling.name, "study file: coupling.name")
    force.start_about(regions, integrals, coupling.weight_power)
    return force


def pressure_difference(study: Study, pressures: Pressures, density: float, target: TargetDensity | None = None) -> tuple[float, float]:
    """(P_AT - P_reservoir)/n and its error, eV.

    Where AT shall have another density than the box, both pressures are taken there, P(n') = P(n) + ln(n'/n)/kappa_T; kappa_T is
    that of the bulk runs (the stated one of AT where the run was too short to measure it), or 1/(n kT) for tracers. n is then the mean
    of both densities.

    Args:
        density: of the box, molecules/Å^3.

    Raises:
        RunFailure: see :func:`require_compressibilities`.
    """
    error = math.hypot(pressures.atomistic_error, pressures.reservoir_error) / density
    difference = pressures.atomistic - pressures.reservoir
    if target is None:
        return difference / density, error
    require_compressibilities(study, pressures)
    kappa, kappa_error = pressures.compressibility, pressures.compressibility_error
    stated = study.calibration.compressibility
    if stated != "measured" and not kappa_error < LARGEST_UNCERTAINTY * kappa:
        kappa, kappa_error = stated, 0.0
    denser = math.log(target.density / density) / kappa
    difference += denser
    error = math.hypot(error, denser * kappa_error / kappa / density)
    if reservoir_of(study).is_ideal:
        difference -= (target.reservoir - density) * thermal_energy(study.system.temperature)
    else:
        kappa, kappa_error = pressures.reservoir_compressibility, pressures.reservoir_compressibility_error
        denser = math.log(target.reservoir / density) / kappa
        difference -= denser
        error = math.hypot(error, denser * kappa_error / kappa / density)
    return 2 * difference / (target.density + target.reservoir), error


def is_pressure_balance(study: Study) -> bool:
    """Whether the integral of the force is a pressure difference per molecule.

    Not so for a coupling with drift forces without compensation, or with one of another density than that of AT: the thermodynamic force
    must balance what is left of the drift force as well. Without compensation the integral is the whole difference of mu_ex.
    """
    coupling: type[Coupling] = registry.get("couplings", study.coupling.name, "study file: coupling.name")
    return coupling.conserves_momentum or (is_compensated(study) and not has_target(study))


def require_compressibilities(study: Study, pressures: Pressures) -> None:
    """Refuse bulk runs that do not say how the pressures change where AT has another density than the box.

    Raises:
        RunFailure: a compressibility is not known: of a reservoir that interacts, which nobody states, or of AT where
            ``calibration.compressibility`` is to be measured.
    """
    known = []
    if study.calibration.compressibility == "measured":
        known.append(("liquid", pressures.compressibility, pressures.compressibility_error))
    if not reservoir_of(study).is_ideal:
        known.append(("reservoir", pressures.reservoir_compressibility, pressures.reservoir_compressibility_error))
    for name, kappa, error in known:
        if not (kappa > 0 and error < LARGEST_UNCERTAINTY * kappa):
            raise RunFailure(
                f"the compressibility of the {name} is {kappa:.3g} ± {error:.2g} A3/eV, too uncertain for its pressure at another density",
                "bulk run of the calibration",
                "Lengthen calibration.bulk.",
            )
