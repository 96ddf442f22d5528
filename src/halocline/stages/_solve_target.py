"""Which density has the excess chemical potential of ``calibration.chemical_potential``: insertions into cubes of the bulk liquid."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np

from halocline.adress.chemical_potential import DensityOutsideBracket, Term, density_at_excess
from halocline.adress.regions import Regions
from halocline.adress.target_profile import target_profile
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.dynamics.chemical_potential import insertion_free_energy
from halocline.dynamics.insertion import WidomEstimate
from halocline.dynamics.start import quench
from halocline.errors import RunFailure, UserError
from halocline.execute.base import make_executor
from halocline.files import read_json, write_json
from halocline.molecules.base import Molecule
from halocline.potentials.classical import ClassicalMolecules
from halocline.progress import Progress
from halocline.stages._assembly import steps_of
from halocline.stages._classical import build_box, classical_fine, mover_factory, species_of
from halocline.stages._target_density import FILE, Excess, TargetDensity
from halocline.state import State

WHERE = "study file: calibration.chemical_potential"
BRACKET = 0.1
"""Of system.density, within which the density is looked for."""
LARGEST_RESERVOIR_CHANGE = 0.1
"""Of the density of the box, that the reservoir may be off by."""
SHARE = 0.25
"""Of calibration.tolerance, to which the density is looked for."""
FEWEST = 125
"""Molecules in a cube."""
EQUILIBRATION = 0.2
"""First share of a run, dropped: on top of calibration.insertion."""
SEED = 60


def fits_by_chance(molecule: Molecule) -> bool:
    """Whether Widom's insertion does: single atoms without charges. Others are grown in stages."""
    return molecule.n_atoms == 1 and not any(site.charge for site in molecule.nonbonded)


def solve_target(
    study: Study, start: State, regions: Regions, force: ThermodynamicForce, folder: Path, progress: Progress
) -> TargetDensity:
    """The target density of AT; done once, every evaluation kept.

    Args:
        start: the box. regions, force: of the calibration; they say how much of the box shall have the density.
        folder: for ``target.json`` and the evaluations.

    Raises:
        UserError: mu_ex does not pass the target within 10 % of system.density, or the reservoir cannot make up for the difference.
        RunFailure: an evaluation failed or is in doubt, or the density is less certain than calibration.tolerance.
    """
    if (folder / FILE).exists():
        return TargetDensity.load(folder / FILE)
    wanted, molecule = study.calibration.chemical_potential, species_of(study)[0]
    assert wanted is not None
    box = start.topology.n_molecules / start.volume
    found: list[Excess] = []

    def excess(density: float) -> Term:
        found.append(_kept_excess(study, density, len(found), folder, progress))
        if found[-1].warning:
            what = f"mu_ex is in doubt: {found[-1].warning}"
            raise RunFailure(what, f"mu_ex at {density:.5g} molecules/A3", "Lengthen calibration.insertion.")
        return Term(found[-1].value, found[-1].error)

    bracket = ((1 - BRACKET) * box, (1 + BRACKET) * box)
    try:
        solution = density_at_excess(wanted, excess, bracket, SHARE * study.calibration.tolerance)
    except DensityOutsideBracket as error:  # what an evaluation itself refuses has its own remedy
        remedy = f"Choose system.density within {BRACKET:.0%} of the density that has this mu_ex, or lengthen calibration.insertion."
        raise UserError(error.what, WHERE, remedy) from error
    if not solution.error <= study.calibration.tolerance * solution.density:
        raise RunFailure(
            f"the density at the target mu_ex is known to {solution.error / solution.density:.1%}, and calibration.tolerance is "
            f"{study.calibration.tolerance:.1%}",
            "density at a chemical potential",
            "Lengthen calibration.insertion.",
        )
    reservoir, left = reservoir_density(solution.density, start, regions, force)
    target = TargetDensity(
        solution.density, solution.error, reservoir, left * solution.error, box, wanted, solution.slope, molecule.mass, tuple(found)
    )
    target.save(folder / FILE)
    progress.log(f"density at the target mu_ex: {target.numbers()[1]}, {target.density / box - 1:+.1%} of the box")
    return target


def reservoir_density(wanted: float, start: State, regions: Regions, force: ThermodynamicForce) -> tuple[float, float]:
    """What is left to the reservoir of a closed box, molecules/Å^3, and how much less it is for one more of ``wanted``.

    Raises:
        UserError: it would be off the density of the box by more than a tenth.
    """
    box, volumes = start.topology.n_molecules / start.volume, regions.shell_volumes(force.edges, start.cell)
    arguments = (box, regions, force.centres, force.window[1], volumes, start.volume)
    try:
        # Exact: the density of the reservoir is linear in the wanted one.
        reservoir, none_wanted = (float(target_profile(density, *arguments)[-1]) for density in (wanted, 0.0))
    except UserError as error:
        raise UserError(error.what, WHERE, error.remedy) from error
    off, share = reservoir / box - 1, float(regions.volumes(start.cell)[:2].sum()) / start.volume
    if abs(off) > LARGEST_RESERVOIR_CHANGE:
        raise UserError(
            f"the target mu_ex needs a density {wanted / box - 1:+.1%} of the box in AT and the transition layer ({share:.0%} of the "
            f"volume); the reservoir would be off by {off:+.1%}, more than {LARGEST_RESERVOIR_CHANGE:.0%}",
            WHERE,
            f"Change system.density by {wanted / box - 1:+.1%}, or enlarge the reservoir (system.length, system.molecules).",
        )
    return reservoir, (none_wanted - reservoir) / wanted


def _kept_excess(study: Study, density: float, number: int, folder: Path, progress: Progress) -> Excess:
    """mu_ex at a density, measured once."""
    path = folder / f"excess-{number}.json"
    if path.exists():
        kept = Excess(**read_json(path))
        if math.isclose(kept.density, density, rel_tol=1e-9):
            return kept
    found = excess_at(study, density, study.system.seed + SEED + number, folder / f"excess-{number}", progress)
    write_json(path, asdict(found))
    progress.log(f"mu_ex at {density:.5g} molecules/A3: {found.value:.5f} ± {found.error:.5f} eV")
    return found


def excess_at(study: Study, density: float, seed: int, folder: Path, progress: Progress) -> Excess:
    """mu_ex of the species of a study at a density in molecules/Å^3, by Widom's insertion or by growth in stages.

    Args:
        folder: for the stages of growth, which are not run twice.

    Raises:
        RunFailure: a run blew up, or is too short for an error.
    """
    molecule, widom = species_of(study)[0], fits_by_chance(species_of(study)[0])
    small, dynamics = cube_of(study, density), study.dynamics
    potential = classical_fine(study.model_copy(update={"dynamics": dynamics.model_copy(update={"force_cap": math.inf})}))
    assert isinstance(potential, ClassicalMolecules)
    arguments = (potential, dynamics.timestep, study.system.temperature, seed)
    start = quench(build_box(small, seed, progress), *arguments, progress=progress, make_mover=mover_factory(study))
    steps = steps_of(study, study.calibration.insertion)
    estimate = insertion_free_energy(
        start, molecule, potential, study.system.temperature, dynamics.timestep, steps, int(EQUILIBRATION * steps),
        "widom" if widom else "growth", folder=folder, workers=make_executor(study.execute), seed=seed, progress=progress,
    )  # fmt: skip
    if not (math.isfinite(estimate.value) and math.isfinite(estimate.error)):
        raise RunFailure(
            f"mu_ex has no error: {estimate.warning}", f"mu_ex at {density:.5g} molecules/A3", "Lengthen calibration.insertion."
        )
    effective = estimate.n_effective if isinstance(estimate, WidomEstimate) else float(estimate.chain.n_samples.min())
    return Excess(density, estimate.value, estimate.error, effective, estimate.warning)


def cube_of(study: Study, density: float) -> Study:
    """The study with a cube of bulk liquid that is just wide enough for the cut-off, with (N + 1/2)/V at this density.

    mu_ex by either method is F_ex(N + 1) - F_ex(N) at fixed V, a slope between N and N + 1: in a liquid it belongs to half a molecule
    more than the cube holds. What fluctuations change about that is in docs/theory/chemical-potential.md.
    """
    molecule = species_of(study)[0]
    geometry = np.array(molecule.geometry) - molecule.masses @ np.array(molecule.geometry) / molecule.mass
    edge = 2 * study.force_field.cutoff + 4 * float(np.linalg.norm(geometry, axis=1).max()) + 2.0
    count = max(FEWEST, math.ceil(density * edge**3))
    present = density * count / (count + 0.5)
    changes = {"molecules": {molecule.name: count}, "density": present * molecule.mass, "cube": True}
    return study.model_copy(update={"system": study.system.model_copy(update=changes)})
