"""What can be known to be wrong with a calibration before any work starts."""

from __future__ import annotations

from halocline.config.study import Study
from halocline.errors import UserError
from halocline.stages._classical import is_flexible, is_ideal, species_of
from halocline.stages._first_force import check_start


def check_calibration(study: Study) -> None:
    """The first force exists and fits; a chemical potential can be solved for.

    Raises:
        UserError: with the key and a remedy.
    """
    check_start(study)
    if study.calibration.chemical_potential is not None:
        check_chemical_potential(study)


def check_chemical_potential(study: Study) -> None:
    """mu_ex can be measured and decides the density."""
    where, section = "study file: calibration.chemical_potential", study.calibration
    if not study.is_classical:
        what = "mu_ex is measured with the classical parameters of the molecules, and this study trains its model"
        raise UserError(what, where, "Use force_field.name: classical, or give system.density.")
    species = species_of(study)
    if len(species) > 1:
        what = f"there are {len(species)} species, and one chemical potential"
        raise UserError(what, where, "Study one species, or give system.density.")
    if is_ideal(species[0]):
        what = f"'{species[0].name}' is an ideal gas: mu_ex is zero at every density, so it decides none"
        raise UserError(what, where, "Give system.density instead.")
    if is_flexible(species[0]):
        raise UserError(
            f"'{species[0].name}' is flexible", where, "mu_ex is measured for single atoms and rigid molecules: use one of those."
        )
    if study.regions.follow is not None:
        what = f"the regions follow '{study.regions.follow}', around which the density is not uniform"
        raise UserError(what, where, "Use regions that stay in place, or give system.density.")
    if section.margin < section.bin:
        what = f"calibration.margin is {section.margin:g} A: the density cannot fall to that of the reservoir within it"
        raise UserError(what, "study file: calibration.margin", "Choose a few A, at least calibration.bin.")
