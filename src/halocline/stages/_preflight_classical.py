"""What can be known to be wrong in a study with a classical force field before any work starts."""

from __future__ import annotations

import math

from halocline import registry
from halocline.adress.coupling.make import make_coupling
from halocline.adress.regions import Regions
from halocline.adress.reservoir import reservoir_of
from halocline.config.study import Study
from halocline.errors import UserError
from halocline.molecules.base import build_topology
from halocline.potentials.base import Zero
from halocline.stages._classical import classical_fine, is_flexible, species_of, within_molecules
from halocline.stages._preflight_calibration import check_calibration
from halocline.stages._preflight_reservoir import check_reservoir_kind
from halocline.stages._preflight_times import check_times
from halocline.systems.packing import composition, study_edges
from halocline.topology import FloatArray, Topology
from halocline.units import format_quantity

FLEXIBLE_STEP, RIGID_STEP = 1.0, 2.5
"""fs, longest time steps of molecules with vibrations, and of rigid ones with hydrogen."""


def preflight_classical(study: Study) -> list[str]:
    """Refuse a study that cannot work; return notes on what is allowed but deserves thought.

    Raises:
        UserError: with the key, the numbers and a remedy.
    """
    check_parameters(study)
    check_reservoir(study)
    check_lengths(study)
    edges, topology = study_edges(study.system), build_topology(composition(study.system.molecules))
    check_box(study, edges)
    check_geometry(study, edges, topology)
    check_calibration(study)
    return _notes(study)


def check_parameters(study: Study) -> None:
    """Every species has parameters; the box as a whole is neutral."""
    for molecule in species_of(study):
        where = f"study file: system.molecules.{molecule.name}"
        if len(molecule.nonbonded) != molecule.n_atoms:
            able = [entry.name for entry in registry.available("molecules").values() if entry.value.nonbonded]
            what = f"species '{molecule.name}' has classical parameters for {len(molecule.nonbonded)} of its {molecule.n_atoms} atoms"
            raise UserError(what, where, f"Give charge, sigma and epsilon of every atom in its file, or use one of: {', '.join(able)}.")
        if is_flexible(molecule) and not molecule.bonds:
            what = f"species '{molecule.name}' has {molecule.n_atoms} atoms and no bonds, and is not rigid: nothing holds it together"
            raise UserError(what, where, "Give it bonds and angles, or set rigid=True in its file.")
    charge = sum(molecule.charge * count for molecule, count in composition(study.system.molecules))
    if charge != 0:
        what = f"the box has a total charge of {charge:+d} e"
        raise UserError(what, "study file: system.molecules", "Add ions of the other sign until it is neutral.")


def check_reservoir(study: Study) -> None:
    """The coupling and the reservoir exist and fit a classical force field."""
    check_reservoir_kind(study)
    registry.get("couplings", study.coupling.name, "study file: coupling.name")
    fine = classical_fine(study)
    try:
        # Constructors of couplings that scale energies refuse potentials that have none to scale.
        make_coupling(study.coupling, fine, within_molecules(study) or Zero())
    except UserError as error:
        raise UserError(error.what, "study file: coupling.name", error.remedy) from error


def check_lengths(study: Study) -> None:
    """Times are in order: step <= record, checkpoint <= length, and runs of their own long enough."""
    check_times(study, {"coarse_table.reference": "record", "coarse_table.length": "timestep"} if reservoir_of(study).is_tabulated else {})


def check_box(study: Study, edges: FloatArray) -> None:
    """Cut-offs fit into half the box, so that the nearest image is the only one."""
    shortest = float(edges.min())
    wider = "raise system.molecules" + ("" if study.system.cube else ", or shorten system.length so that the box gets wider")
    cutoffs = [("force_field.cutoff", study.force_field.cutoff)]
    if reservoir_of(study).is_tabulated:
        cutoffs.append(("coarse_table.cutoff", study.coarse_table.cutoff))
    for dotted, cutoff in cutoffs:
        # Sites reach beyond the centres whose distances are cut off by minimum image.
        if cutoff > shortest / 2:
            raise UserError(
                f"{dotted} is {cutoff:.2f} A but must stay below {shortest / 2:.2f} A (half the shortest edge, {shortest:.2f} A)",
                f"study file: {dotted}",
                f"Lower {dotted}, or {wider}.",
            )


def check_geometry(study: Study, edges: FloatArray, topology: Topology) -> None:
    """Δ hides its outer surface from AT, and a reservoir remains."""
    section, cutoff = study.regions, study.force_field.cutoff
    kind: type[Regions] = registry.get("regions", section.shape, "study file: regions.shape")
    regions = kind.of_section(section, edges, topology)
    if section.transition < cutoff:
        raise UserError(
            f"regions.transition is {section.transition:.2f} A, thinner than the cut-off of the force field, {cutoff:.2f} A: molecules in "
            "AT would feel the change of resolution",
            "study file: regions.transition",
            f"Widen it to at least {format_quantity(cutoff, 'length')}, or lower force_field.cutoff.",
        )
    reservoir = max(reservoir_of(study).thickness(study), section.hysteresis, study.calibration.margin)
    needed, half = section.atomistic + section.transition + reservoir, regions.half_width_allowed()
    if needed > half:
        longer = "Raise system.molecules" if study.system.cube else "Raise system.length (and system.molecules with it)"
        raise UserError(
            f"the regions need {needed:.2f} A on each side of the centre (atomistic {section.atomistic:.2f} + transition "
            f"{section.transition:.2f} + reservoir {reservoir:.2f}) but half the box is {half:.2f} A",
            "study file: regions",
            f"{longer} so that half the box is at least {math.ceil(needed)} A, or narrow the regions.",
        )
    regions.check(cutoff, "study file: regions")


def _notes(study: Study) -> list[str]:
    """What is allowed and deserves thought."""
    dynamics, species, notes = study.dynamics, species_of(study), reservoir_of(study).notes(study)
    longest = FLEXIBLE_STEP if any(map(is_flexible, species)) else RIGID_STEP
    if any(molecule.n_atoms > 1 for molecule in species) and dynamics.timestep > longest:
        notes.append(f"dynamics.timestep is {dynamics.timestep:g} fs; molecules like these are safe up to {longest:g} fs")
    return notes
