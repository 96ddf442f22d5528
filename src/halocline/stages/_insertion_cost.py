"""What a solution for the density at a chemical potential takes, for the estimate before any work."""

from __future__ import annotations

import math

import numpy as np

from halocline.config.study import Study
from halocline.dynamics.chemical_potential import INSERTIONS, SAMPLE
from halocline.dynamics.staged_insertion import PLACES, schedule
from halocline.dynamics.start import QUENCH_STEPS
from halocline.molecules.base import Molecule
from halocline.stages._assembly import steps_of
from halocline.stages._classical import build_seconds, species_of, step_seconds
from halocline.stages._solve_target import EQUILIBRATION, cube_of, fits_by_chance
from halocline.systems.packing import study_edges

EVALUATIONS = 5
"""Densities that a solution looks at."""
BEAD_SHARE = 0.5
"""Of a step at full resolution, that a step of beads takes."""
DISTANCE_SECONDS, INSERTED_PAIR_SECONDS = 5e-9, 1.5e-7
"""CPU seconds of a distance between centres, and of a pair of sites of a molecule that is put among others."""


def target_seconds(study: Study) -> float:
    """CPU seconds of a solution: boxes, their relaxation, runs and insertions."""
    molecule = species_of(study)[0]
    small = cube_of(study, study.system.density / molecule.mass)
    steps, step = (1 + EQUILIBRATION) * steps_of(study, study.calibration.insertion), step_seconds(small)
    samples, one = steps / (1 + EQUILIBRATION) / SAMPLE, _molecule_seconds(small)
    if fits_by_chance(molecule):
        sampling = steps * step + samples * INSERTIONS * one
    else:
        # The tagged molecule meets all others once a step, and at all couplings once a sample.
        sampling = _windows(molecule) * (steps * (step + one) + samples * one) + PLACES * one
    return EVALUATIONS * (build_seconds(small) + QUENCH_STEPS * step + sampling)


def beads_seconds(study: Study) -> float:
    """CPU seconds of a bulk run of beads with insertions of every species."""
    steps, molecules = steps_of(study, study.calibration.bulk), sum(study.system.molecules.values())
    inserted = len(study.system.molecules) * INSERTIONS * molecules * DISTANCE_SECONDS
    return steps * (BEAD_SHARE * step_seconds(study) + (1 - study.calibration.discard) / SAMPLE * inserted)


def target_words(study: Study) -> str:
    """What a solution consists of."""
    molecule, time = species_of(study)[0], study.calibration.insertion / 1e3
    if fits_by_chance(molecule):
        return f"about {EVALUATIONS} runs of {time:g} ps with {INSERTIONS} insertions every {SAMPLE} steps"
    return f"about {EVALUATIONS} times {_windows(molecule)} runs of {time:g} ps"


def _windows(molecule: Molecule) -> int:
    return len(schedule(any(site.charge for site in molecule.nonbonded)))


def _molecule_seconds(study: Study) -> float:
    """CPU seconds of the energy of one molecule with all others of a cube."""
    (count,) = study.system.molecules.values()
    (molecule,) = species_of(study)
    sites = sum(site.charge != 0.0 or site.epsilon > 0.0 for site in molecule.nonbonded)
    near = count / float(np.prod(study_edges(study.system))) * 4.0 / 3.0 * math.pi * study.force_field.cutoff**3
    return count * DISTANCE_SECONDS + near * sites**2 * INSERTED_PAIR_SECONDS
