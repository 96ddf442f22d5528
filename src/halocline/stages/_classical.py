"""Studies with classical force fields: potentials, integrators and starting configurations from the parameters of the molecules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halocline import registry
from halocline.config.study import Study
from halocline.dynamics.rigid_mover import MoverFactory, RigidMover
from halocline.files import hash_data
from halocline.molecules.base import Molecule, build_topology
from halocline.potentials.base import Potential, Zero
from halocline.potentials.bonded import Bonded
from halocline.potentials.classical import ClassicalMolecules
from halocline.progress import Progress, Silent
from halocline.state import State
from halocline.systems.classical import ClassicalRun, run_classical
from halocline.systems.packing import composition, pack, study_edges

SHORTEST_EQUILIBRATION, LONGEST_EQUILIBRATION = 500.0, 5000.0
"""fs of the classical equilibration of the box, between which its size decides; shorter where dynamics.equilibration is."""
EQUILIBRATED_ATOMS = 4.2e6
"""Atoms times fs of that equilibration, half a minute. Runs with the force field of the study begin with an equilibration of their own, in
which the energy of water has settled after 4 ps, from a box of 0.5 ps as from one of 5 ps."""
CPU_SECONDS = 6.5e-6
"""CPU seconds of one atom for one step of one femtosecond of it, one thread."""
PAIR_SECONDS, ATOM_SECONDS, OVERHEAD = 4e-9, 3e-7, 2e-4
"""CPU seconds of a time step: for a pair of sites, for an atom, and on top; for estimates only."""
INTERVAL = 1.0
"""fs, time step of that equilibration."""
MINIMISATION = 150
"""Steps that the packing and the relaxation before it take as long as."""


def species_of(study: Study) -> list[Molecule]:
    """Species in the order of the topology."""
    return [registry.get("molecules", name, f"study file: system.molecules.{name}") for name in study.system.molecules]


def is_flexible(molecule: Molecule) -> bool:
    return molecule.n_atoms > 1 and not molecule.rigid


def is_ideal(molecule: Molecule) -> bool:
    """Whether its molecules do not feel each other."""
    return all(atom.charge == 0.0 and atom.epsilon == 0.0 for atom in molecule.nonbonded)


def classical_fine(study: Study) -> Potential:
    """Full resolution: Lennard-Jones and Coulomb between molecules, bonded terms within flexible ones.

    Raises:
        UserError: a species without parameters, or values that no force field can have.
    """
    section = study.force_field
    between = ClassicalMolecules(
        section.cutoff,
        section.electrostatics,
        section.dielectric,
        section.damping if section.electrostatics == "damped-shifted-force" else 0.0,
        study.dynamics.force_cap,
        mixing=section.mixing,
    )
    return with_terms_within(between, within_molecules(study))


def within_molecules(study: Study) -> Potential | None:
    """Bonded terms of the flexible species; None where there is none."""
    if not any(is_flexible(molecule) for molecule in species_of(study)):
        return None
    return Bonded()


def with_terms_within(between: Potential | None, within: Potential | None) -> Potential:
    """The sum of what acts between molecules and within them; either may be missing."""
    if between is None or within is None:
        return between or within or Zero()
    return between + within


def step_seconds(study: Study) -> float:
    """CPU seconds of one time step at full resolution, for estimates: pairs of sites within the cut-off, and what goes with the atoms."""
    species = composition(study.system.molecules)
    volume = float(np.prod(study_edges(study.system)))
    sites = [sum(site.charge != 0.0 or site.epsilon > 0.0 for site in molecule.nonbonded) for molecule, _ in species]
    total = sum(count * n for (_, count), n in zip(species, sites))
    pairs = 0.5 * total**2 / volume * 4.0 / 3.0 * np.pi * study.force_field.cutoff**3
    atoms = sum(molecule.n_atoms * count for molecule, count in species)
    return OVERHEAD + PAIR_SECONDS * float(pairs) + ATOM_SECONDS * atoms


def mover_factory(study: Study, points: bool = False) -> MoverFactory:
    """What moves the atoms of a study with rigid molecules or single atoms.

    Args:
        points: whether rigid molecules outside S1 move as mass points; right where the reservoir's energy depends on centres of mass
            alone.
    """
    species = species_of(study)
    bodies = any(molecule.rigid and molecule.n_atoms > 1 for molecule in species)

    def make(state: State, timestep: float, temperature: float, seed: int) -> RigidMover:
        return RigidMover(state, species, timestep, temperature, seed, points and bodies)

    return make


def box_equilibration(study: Study) -> float:
    """fs of the equilibration of the box by flexible classical dynamics."""
    atoms = sum(molecule.n_atoms * count for molecule, count in composition(study.system.molecules))
    longest = min(LONGEST_EQUILIBRATION, max(SHORTEST_EQUILIBRATION, EQUILIBRATED_ATOMS / atoms // INTERVAL * INTERVAL))
    return min(longest, max(study.dynamics.equilibration, 100.0 * INTERVAL))


def build_seconds(study: Study) -> float:
    """CPU seconds that :func:`build_box` takes, for estimates."""
    atoms = sum(molecule.n_atoms * count for molecule, count in composition(study.system.molecules))
    return CPU_SECONDS * atoms * (box_equilibration(study) / INTERVAL + MINIMISATION)


def build_box(study: Study, seed: int, progress: Progress | None = None) -> State:
    """The production box: random places for an ideal gas, else packed molecules after flexible classical dynamics.

    Args:
        study: what is in the box.
        seed: of places, velocities and noise.
        progress: one bar.

    Raises:
        UserError: the molecules do not fit into the box.
        RunFailure: the classical dynamics blew up.
    """
    species, edges = composition(study.system.molecules), study_edges(study.system)
    if all(is_ideal(molecule) and molecule.n_atoms == 1 for molecule, _ in species):
        topology = build_topology(species)
        positions = np.random.default_rng(seed).uniform(size=(topology.n_atoms, 3)) * edges
        return State(positions, np.diag(edges), topology)
    packed = pack(species, edges, seed)
    run, length = ClassicalRun(study.system.temperature, seed, timestep=INTERVAL), box_equilibration(study)
    with (progress or Silent()).task("classical dynamics of the box", round(length / INTERVAL)) as bar:
        (state,) = run_classical(packed, species, run, length, INTERVAL, 1, bar)
    return state


def parameters_hash(study: Study) -> str:
    """Of everything that the energy at full resolution depends on."""
    molecules: Sequence[Molecule] = species_of(study)
    return hash_data([study.force_field.model_dump(mode="json"), [repr(molecule) for molecule in molecules]])
