"""Excess chemical potentials of molecules that do not fit by chance: grown in stages, cores first, then charges.

Each window is a canonical run of N molecules and one tagged molecule at one coupling; the free energy from the ghost to the
ordinary molecule is mu_ex at the density (N + 1/2)/V, like that of Widom's insertion into N molecules.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from halocline.dynamics.free_energy import FreeEnergyChain, free_energy_chain, sum_with_error
from halocline.dynamics.nvt import make_mover, run
from halocline.dynamics.rigid_bodies import Lengths
from halocline.errors import RunFailure, UserError
from halocline.execute.base import Executor, run_tasks
from halocline.files import hash_data, read_arrays, write_arrays
from halocline.molecules.base import Molecule
from halocline.potentials.base import Potential
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.coupled_molecule import SOFTNESS, CoupledMolecule, CouplingStrength, PartlyCoupled
from halocline.potentials.insertion import MoleculeInsertion
from halocline.progress import Progress
from halocline.results import Number
from halocline.state import State
from halocline.topology import FloatArray, Topology
from halocline.units import thermal_energy

CORES = (0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
"""Dense where the cavity opens: there a molecule still sits within the other one at times."""
CHARGES = (0.2, 0.4, 0.6, 0.8, 1.0)
PLACES = 20_000
"""Tried for the tagged molecule; the one of lowest energy is where every window starts."""


def schedule(charged: bool, cores: tuple[float, ...] = CORES, charges: tuple[float, ...] = CHARGES) -> FloatArray:
    """(n, 2) couplings of Lennard-Jones and charges: cores first; no second leg for species without charges."""
    rows = [(core, 0.0) for core in cores]
    return np.array(rows + [(1.0, charge) for charge in charges] if charged else rows)


@dataclass(frozen=True)
class StagedInsertion:
    """What to sample.

    Attributes:
        state: all molecules and the tagged one, which does not overlap with others, see :func:`with_ghost`.
        classical: potential of the whole system, without force cap.
        tagged: number of the tagged molecule.
        couplings: (n_windows, 2), from (0, 0) to (1, 1), see :func:`schedule`.
        temperature: K. timestep: fs. friction: 1/fs.
        steps: sampled in each window. equilibration: before that.
        sample: steps between samples.
        rigid: distances of rigid species, see :func:`halocline.dynamics.nvt.rigid_lengths`.
        within: energy within flexible molecules.
        seed: of velocities and noise.
    """

    state: State
    classical: ClassicalMolecules
    tagged: int
    couplings: FloatArray
    temperature: float
    timestep: float
    friction: float
    steps: int
    equilibration: int
    sample: int = 20
    rigid: Mapping[str, Lengths] = field(default_factory=dict)
    within: Potential | None = None
    seed: int = 0
    alpha: float = SOFTNESS

    def __post_init__(self) -> None:
        if self.couplings.ndim != 2 or self.couplings.shape[1] != 2 or len(self.couplings) < 2 or self.couplings[0].any():
            raise UserError("the couplings do not begin with (0, 0)", "staged insertion", "Use schedule(charged).")
        if self.steps < 2 * self.sample:
            raise UserError(f"{self.steps} steps hold less than two samples", "staged insertion", "Sample more often or longer.")

    def digest(self) -> str:
        """Changes when the samples would."""
        numbers = [self.tagged, self.temperature, self.timestep, self.friction, self.steps, self.equilibration]
        topology = self.state.topology
        return hash_data(
            {
                "numbers": [*numbers, self.sample, self.seed, self.alpha],
                "arrays": [self.state.positions, self.state.cell, self.couplings, topology.molecule_species, topology.masses],
                "potential": {
                    "coulomb": repr(self.classical.coulomb), "mixing": self.classical.mixing, "precision": self.classical.precision,
                    "sites": {name: repr(self.classical.sites_of(name)) for name in topology.species},
                },
                "rigid": {name: repr(lengths) for name, lengths in self.rigid.items()},
                "within": repr(type(self.within)),
            }
        )  # fmt: skip


@dataclass(frozen=True)
class StagedEstimate:
    """Excess chemical potential by growth.

    Attributes:
        value, error: eV, by MBAR over all windows.
        cores, cores_error: part of the Lennard-Jones leg. charges, charges_error: part of the charges.
        by_neighbours, by_neighbours_error: the sum of BAR over neighbouring windows, as a second opinion.
        chain: free energies of the windows over kT, with overlaps.
        warning: what makes the estimate doubtful, or nothing.
    """

    value: float
    error: float
    cores: float
    cores_error: float
    charges: float
    charges_error: float
    by_neighbours: float
    by_neighbours_error: float
    chain: FreeEnergyChain
    warning: str

    @property
    def number(self) -> Number:
        return Number("mu_ex by staged insertion", self.value, "eV", self.error, float(self.chain.n_samples.sum()))


def sample_window(settings: StagedInsertion, folder: Path | None, window: int) -> FloatArray:
    """(n_samples, n_windows) energies of the tagged molecule in eV, in all windows, from a run in one of them.

    Args:
        folder: where the samples are kept; read back if they are there already and belong to these settings.
    """
    path = None if folder is None else folder / f"window-{window:02d}.npz"
    digest = settings.digest()
    if path is not None and path.exists():
        kept = read_arrays(path)
        if str(kept["digest"]) == digest:
            return kept["energies"]
    strength = CouplingStrength(*settings.couplings[window])
    coupled = CoupledMolecule(settings.classical, settings.tagged, strength, settings.alpha)
    potential = PartlyCoupled(copy.copy(settings.classical), coupled, copy.copy(settings.within))
    potential.bind(settings.state.topology, settings.state.cell)
    seed = settings.seed + 1000 * window
    arguments = (settings.timestep, settings.temperature, settings.friction, seed, settings.rigid)
    mover = make_mover(settings.state, *arguments)
    run(mover, potential, settings.equilibration)
    energies: list[FloatArray] = []
    run(
        mover, potential, settings.steps, settings.sample,
        lambda positions: energies.append(coupled.energies(positions, settings.couplings)),
    )  # fmt: skip
    result = np.array(energies)
    if path is not None:
        write_arrays(path, energies=result, digest=np.array(digest))
    return result


def staged_estimate(energies: list[FloatArray], couplings: FloatArray, temperature: float) -> StagedEstimate:
    """Excess chemical potential from the samples of all windows.

    Args:
        energies: (n_samples, n_windows) of each window, eV.
        couplings: (n_windows, 2).
        temperature: K.
    """
    kT = thermal_energy(temperature)
    chain = free_energy_chain([block / kT for block in energies])
    corner = int(np.flatnonzero(couplings[:, 1] == 0)[-1])
    whole, whole_error = sum_with_error(chain.steps, chain.step_errors)
    charges, charges_error = sum_with_error(chain.steps[corner:], chain.step_errors[corner:])
    return StagedEstimate(
        kT * float(chain.values[-1]), kT * float(chain.errors[-1]), kT * float(chain.values[corner]), kT * float(chain.errors[corner]),
        kT * charges, kT * charges_error, kT * whole, kT * whole_error, chain, chain.warning,
    )  # fmt: skip


def staged_insertion(
    settings: StagedInsertion, folder: Path | None = None, workers: Executor | int = 0, progress: Progress | None = None
) -> StagedEstimate:
    """Sample all windows and combine them.

    Args:
        folder: where finished windows are kept; the same call continues.
        workers: where they run, or a number of processes of one thread; zero runs the windows in this one.

    Raises:
        RunFailure: a window failed.
    """
    n = len(settings.couplings)
    done: dict[int, FloatArray] = {}
    for window, result in run_tasks(partial(sample_window, settings, folder), range(n), workers, "windows of the insertion", progress):
        if isinstance(result, Exception):
            raise RunFailure(f"window {window} failed: {result}", "staged insertion", "Lower the time step; finished windows are kept.")
        done[window] = result
    return staged_estimate([done[window] for window in range(n)], settings.couplings, settings.temperature)


def with_ghost(state: State, molecule: Molecule, potential: ClassicalMolecules, seed: int) -> State:
    """The state with one more molecule, as the last one, where it fits best; without velocities.

    It must not start on top of another molecule: the soft core has a flat top, from which a molecule held by its neighbours
    does not come down in time.

    Args:
        state: relaxed.
        molecule: its species need not be among those of the state.
        potential: decides which of many random places and orientations fits best.
    """
    generator, topology = np.random.default_rng(seed), state.topology
    geometry = np.array(molecule.geometry) - molecule.masses @ np.array(molecule.geometry) / molecule.mass
    insertion = MoleculeInsertion(potential, molecule, geometry[None])
    insertion.bind(topology, state.cell)
    places = generator.uniform(size=(PLACES, 3)) * state.edges
    turned = np.einsum("ncd,ad->nac", Rotation.from_quat(generator.normal(size=(PLACES, 4))).as_matrix(), geometry)
    best = int(insertion.energies_at(state.positions, places, turned).argmin())
    species = topology.species if molecule.name in topology.species else (*topology.species, molecule.name)
    more = Topology(
        species,
        np.append(topology.molecule_species, species.index(molecule.name)),
        np.append(topology.offsets, topology.n_atoms + molecule.n_atoms),
        np.append(topology.atomic_numbers, molecule.numbers),
        np.append(topology.masses, molecule.masses),
    )
    positions = np.concatenate([state.positions, places[best] + turned[best]])
    return State(positions, state.cell, more, None, state.periodic)
