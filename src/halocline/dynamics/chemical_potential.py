"""Excess chemical potential of a species in a liquid of classical molecules, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from halocline import registry
from halocline.dynamics.insertion import WidomEstimate, WidomInsertion
from halocline.dynamics.nvt import Moves, make_mover, rigid_lengths, run
from halocline.dynamics.rigid_bodies import Lengths
from halocline.dynamics.staged_insertion import StagedEstimate, StagedInsertion, schedule, staged_insertion, with_ghost
from halocline.errors import UserError
from halocline.execute.base import Executor
from halocline.molecules.base import Molecule
from halocline.potentials.base import Potential
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.insertion import MoleculeInsertion
from halocline.progress import Progress, Silent
from halocline.state import State

FRICTION = 0.005
"""1/fs, of canonical runs whose dynamics does not matter."""
INSERTIONS, SAMPLE = 1000, 20
"""Insertions into each sampled configuration; steps between samples."""


def insertion_free_energy(
    state: State,
    species: str | Molecule,
    potential: ClassicalMolecules,
    temperature: float,
    timestep: float,
    steps: int,
    equilibration: int,
    method: Literal["growth", "widom"] = "growth",
    insertions: int = INSERTIONS,
    sample: int = SAMPLE,
    folder: Path | None = None,
    workers: Executor | int = 0,
    molecules: Sequence[Molecule] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> WidomEstimate | StagedEstimate:
    """mu_ex of one molecule of a species among the molecules of a state, at their temperature.

    Of a pure liquid of N molecules it is mu_ex at the density (N + 1/2)/V, by either method: the step from N to N + 1 at fixed V.

    Args:
        state: relaxed configuration of rigid molecules or single atoms.
        species: what is inserted; it need not be in the state.
        potential: without force cap, for "growth".
        temperature: K. timestep: fs.
        steps: of the run, or of each window. equilibration: before that.
        method: "growth" in stages for dense liquids of molecules, "widom" where a molecule fits by chance.
        insertions: of Widom's method, into each sampled configuration.
        sample: steps between samples.
        folder, workers: of "growth", see :func:`halocline.dynamics.staged_insertion.staged_insertion`.
        molecules: species that are not found by name.
        seed: of velocities, noise and places.

    Returns:
        Value and error in eV, with what makes them doubtful in ``warning``.

    Raises:
        UserError: unknown method or species, flexible molecules, or a cell that is too small.
        RunFailure: a run blew up.
    """
    known, inserted = _species(species, molecules)
    rigid = _rigid(state, known, inserted)
    if method == "growth":
        whole = with_ghost(state, inserted, potential, seed)
        charged = any(site.charge != 0 for site in potential.sites_of(inserted.name))
        settings = StagedInsertion(
            whole, potential, state.topology.n_molecules, schedule(charged), temperature, timestep, FRICTION, steps, equilibration,
            sample=sample, rigid=rigid, seed=seed,
        )  # fmt: skip
        return staged_insertion(settings, folder, workers, progress)
    if method != "widom":
        raise UserError(f"there is no method '{method}'", "chemical potential", "Use 'growth' or 'widom'.")
    sampler = WidomInsertion(MoleculeInsertion(potential, inserted), insertions, temperature, seed)
    for part in (sampler, potential):
        part.bind(state.topology, state.cell)
    mover = make_mover(state, timestep, temperature, FRICTION, seed, rigid)
    return _insert_along(mover, potential, sampler, equilibration, steps, sample, progress or Silent())


def _insert_along(
    mover: Moves, potential: Potential, sampler: WidomInsertion, equilibration: int, steps: int, sample: int, progress: Progress
) -> WidomEstimate:
    """A canonical run, with insertions into every configuration that is a sample; potential and sampler are bound."""
    with progress.task("insertion", equilibration + steps) as bar:
        run(mover, potential, equilibration, task=bar)
        run(mover, potential, steps, sample, sampler.add, bar)
    return sampler.result()


def _species(species: str | Molecule, molecules: Sequence[Molecule]) -> tuple[dict[str, Molecule], Molecule]:
    """Molecules that are given rather than found by name, and the inserted one."""
    known = {molecule.name: molecule for molecule in molecules}
    inserted = species if isinstance(species, Molecule) else known.get(species) or registry.get("molecules", species, "chemical potential")
    known.setdefault(inserted.name, inserted)
    return known, inserted


def _rigid(state: State, known: dict[str, Molecule], inserted: Molecule) -> dict[str, Lengths]:
    """Distances within all molecules of several atoms, which must be rigid."""
    rigid: dict[str, Lengths] = {}
    for name in dict.fromkeys((*state.topology.species, inserted.name)):
        molecule = known.get(name) or registry.get("molecules", name, "chemical potential")
        if molecule.n_atoms == 1:
            continue
        if not molecule.rigid:
            remedy = "Use a rigid species, or StagedInsertion with an energy within molecules."
            raise UserError(f"'{name}' is flexible", "chemical potential", remedy)
        rigid[name] = rigid_lengths(molecule)
    return rigid
