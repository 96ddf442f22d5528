"""Which atoms of another program form which molecule: from bonds, from numbers, or recognised from distances.

The pair prior of a model tells atoms of one molecule from atoms of two, charges add up within a molecule, and a bead is the centre
of one. Other programs hand over bare atoms, often in another order and broken across the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import ase
import numpy as np
from ase.data import atomic_masses, covalent_radii
from ase.symbols import Symbols
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from halocline.datasets.connectivity import HYDROGEN_BOND, known_molecules, recognise
from halocline.errors import UserError
from halocline.export.cells import repeat_everywhere
from halocline.state import State
from halocline.topology import FloatArray, IntArray, Topology


@dataclass(frozen=True)
class Membership:
    """Molecules of a set of atoms.

    Attributes:
        topology: the molecules, as contiguous runs of atoms.
        order: (n_atoms,) atom of the other program at each place of the topology.
        bonds: (n_bonds, 2) places that are bonded, where that is known from distances; such molecules can fall apart.
    """

    topology: Topology
    order: IntArray
    bonds: IntArray

    @cached_property
    def _longest(self) -> FloatArray:
        """(n_bonds,) lengths beyond which a bond is none, Å."""
        radii = covalent_radii[self.topology.atomic_numbers]
        return np.asarray(HYDROGEN_BOND * (radii[self.bonds[:, 0]] + radii[self.bonds[:, 1]]))

    def state(self, positions: FloatArray, cell: FloatArray, periodic: bool) -> State:
        """Whole molecules from (n_atoms, 3) positions in the order of the other program, Å."""
        own = np.ascontiguousarray(np.asarray(positions, dtype=np.float64)[self.order])
        return State(own, np.array(cell, dtype=np.float64), self.topology, periodic=periodic).make_whole()

    def holds(self, state: State) -> bool:
        """Whether every bond is still one."""
        i, j = self.bonds.T
        lengths = np.linalg.norm(state.positions[j] - state.positions[i], axis=1)
        return bool((lengths < self._longest).all())

    def back(self, values: FloatArray) -> FloatArray:
        """(n_atoms, ...) values of the places of the topology, in the order of the other program."""
        result = np.empty_like(values)
        result[self.order] = values
        return result


def from_numbers(numbers: IntArray, molecules: IntArray, species: Sequence[str] = ()) -> Membership:
    """Molecules that are given by a number for each atom.

    Args:
        numbers: (n_atoms,) atomic numbers.
        molecules: (n_atoms,) any integers, equal within a molecule.
        species: names to prefer where several species have the same formula. A formula of no known species is its own name.

    Raises:
        UserError: not one molecule for each atom.
    """
    numbers, molecules = np.asarray(numbers, dtype=np.int64), np.asarray(molecules)
    if molecules.shape != numbers.shape or not np.issubdtype(molecules.dtype, np.integer):
        what = f"the molecules have shape {molecules.shape} and type {molecules.dtype} for {len(numbers)} atoms"
        raise UserError(what, "molecules", "Give one integer for each atom, equal for the atoms of one molecule.")
    order = np.argsort(molecules, kind="stable").astype(np.int64)
    starts = np.flatnonzero(np.diff(molecules[order], prepend=np.iinfo(np.int64).min)) if len(order) else np.zeros(0, dtype=np.int64)
    offsets = np.append(starts, len(order)).astype(np.int64)
    kinds: dict[tuple[int, ...], int] = {}
    molecule_kinds = []
    for begin, end in pairwise(offsets):
        formula = tuple(sorted(numbers[order[begin:end]].tolist()))
        molecule_kinds.append(kinds.setdefault(formula, len(kinds)))
    names = _names(list(kinds), species)
    topology = Topology(names, np.array(molecule_kinds, dtype=np.int64), offsets, numbers[order], atomic_masses[numbers[order]])
    return Membership(topology, order, np.zeros((0, 2), dtype=np.int64))


def from_bonds(numbers: IntArray, bonds: IntArray, species: Sequence[str] = ()) -> Membership:
    """Molecules as sets of bonded atoms; an atom without a bond is a molecule of its own.

    Args:
        numbers: (n_atoms,) atomic numbers.
        bonds: (n_bonds, 2) atoms.
        species: as for :func:`from_numbers`.
    """
    bonds = np.asarray(bonds, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(len(numbers), len(numbers)))
    _, fragments = connected_components(graph, directed=False)
    return from_numbers(numbers, fragments.astype(np.int64), species)


def from_distances(numbers: IntArray, positions: FloatArray, cell: FloatArray, pbc: Sequence[bool]) -> Membership:
    """Molecules of known species, recognised as in imported data (:func:`halocline.datasets.connectivity.recognise`).

    Args:
        numbers: (n_atoms,) atomic numbers.
        positions: (n_atoms, 3), Å; molecules may be broken across the cell.
        cell: (3, 3), Å, rows are lattice vectors.
        pbc: directions in which the cell repeats, in any mixture.

    Raises:
        RunFailure: a fragment is no known species.
    """
    box, periodic = repeat_everywhere(positions, cell, pbc, 2 * HYDROGEN_BOND * float(covalent_radii[numbers].max(initial=0.0)))
    species = known_molecules()
    state, order = recognise(ase.Atoms(numbers=numbers, positions=positions, cell=box, pbc=periodic), species, "atoms")
    topology = state.topology
    bonds = [
        np.array([(bond.i, bond.j) for bond in species[topology.species[kind]].bonds], dtype=np.int64).reshape(-1, 2) + start
        for kind, start in zip(topology.molecule_species, topology.offsets)
    ]
    return Membership(topology, order, np.concatenate(bonds))


def _names(formulas: Sequence[tuple[int, ...]], preferred: Sequence[str]) -> tuple[str, ...]:
    """A name for each formula: of a species that the model names, of a known one, or the formula itself."""
    known = known_molecules()
    ordered = sorted(known, key=lambda name: name not in preferred)
    of_formula: dict[tuple[int, ...], str] = {}
    for name in ordered:
        of_formula.setdefault(tuple(sorted(known[name].numbers.tolist())), name)
    return tuple(of_formula.get(formula, Symbols(np.array(formula)).get_chemical_formula()) for formula in formulas)
