"""Molecules of a bare set of atoms, recognised from distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ase
import numpy as np
from ase.data import chemical_symbols, covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from vesin import NeighborList

from halocline import registry
from halocline.datasets.fragments import Fragments
from halocline.errors import RunFailure
from halocline.molecules.base import Molecule, build_topology
from halocline.state import State
from halocline.topology import IntArray

BOND = 1.25
"""Heavy atoms are bonded below this multiple of the sum of their covalent radii."""
HYDROGEN_BOND = 1.65
"""A hydrogen belongs to the heavy atom nearest in units of the sum of covalent radii, at most this far (O-H: 1.6 Å)."""
_IONIC = np.array([3, 4, 11, 12, 13, 19, 20, 30, 37, 38, 55, 56])
"""Metals that form ions in liquids: never bonded, however close."""


def known_molecules() -> dict[str, Molecule]:
    """All registered molecular species by name."""
    species = {name: entry.value for name, entry in registry.available("molecules").items()}
    # Rigid and united-atom models are named by classical studies; a file from elsewhere holds the molecules of chemistry.
    return {name: molecule for name, molecule in species.items() if not molecule.rigid and not molecule.formula_masses}


def recognise(atoms: ase.Atoms, molecules: Mapping[str, Molecule], where: str, unknown: Fragments | None = None) -> tuple[State, IntArray]:
    """Whole molecules of known species from bare atoms.

    Hydrogen goes to its nearest heavy atom, so that hot or strained molecules stay whole; heavy atoms are joined by
    their covalent radii. Atoms of one element keep their order within a molecule.

    Args:
        atoms: periodic in all directions or in none; molecules may be broken across the cell.
        molecules: species to look for.
        where: file and frame, for messages.
        unknown: takes up fragments that are none of the species; without it they are refused.

    Returns:
        The state, its molecules whole and ordered by species, and the (n_atoms,) index into ``atoms`` of each of its atoms.

    Raises:
        RunFailure: a fragment is none of the species (dissociated molecules, unknown ions), or mixed periodicity.
    """
    if atoms.pbc.any() and not atoms.pbc.all():
        remedy = "Use a cell that repeats in all directions, or none."
        raise RunFailure(f"the cell repeats in some directions only ({atoms.pbc.tolist()})", where, remedy)
    pairs = _bonds(atoms)
    size = len(atoms)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    _, fragment = connected_components(graph, directed=False)
    bonded = {frozenset((int(i), int(j))) for i, j in pairs}
    found: dict[str, list[IntArray]] = {name: [] for name in molecules}
    templates = [(name, molecule, molecule.numbers) for name, molecule in molecules.items()]
    order = np.argsort(fragment, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(fragment[order])) + 1):
        matched = _match(np.sort(members), atoms.numbers, bonded, templates)
        if matched is None:
            if unknown is None:
                raise _stranger(np.sort(members), atoms.numbers, templates, where)
            matched = unknown.add(np.sort(members), atoms, bonded)
        name, ordered = matched
        found.setdefault(name, []).append(ordered)
    if unknown is not None:
        molecules = {**unknown.species, **molecules}
        found = dict(sorted(found.items()))
    species = [(molecules[name], len(groups)) for name, groups in found.items() if groups]
    index = np.concatenate([group for groups in found.values() for group in sorted(groups, key=lambda g: g[0])])
    topology = build_topology(species)
    cell = np.array(atoms.cell) if atoms.pbc.all() else np.zeros((3, 3))
    state = State(np.array(atoms.positions[index]), cell, topology, periodic=bool(atoms.pbc.all()))
    return state.make_whole(), index


def _bonds(atoms: ase.Atoms) -> IntArray:
    """(n_bonds, 2) bonded pairs of atoms."""
    radii, hydrogen = covalent_radii[atoms.numbers], atoms.numbers == 1
    heavy_radii = radii[~hydrogen & ~np.isin(atoms.numbers, _IONIC)]
    if len(heavy_radii) == 0:
        return np.zeros((0, 2), dtype=np.int64)
    largest = float(heavy_radii.max())
    cutoff = max(2 * BOND * largest if len(heavy_radii) > 1 else 0.0, HYDROGEN_BOND * (largest + covalent_radii[1]))
    neighbours = NeighborList(cutoff=cutoff, full_list=True)
    i, j, distance = neighbours.compute(atoms.positions, np.array(atoms.cell), bool(atoms.pbc.all()), "ijd")
    i, j = i.astype(np.int64), j.astype(np.int64)
    ionic = np.isin(atoms.numbers, _IONIC)
    reduced = distance / (radii[i] + radii[j])
    heavy = ~hydrogen[i] & ~hydrogen[j] & ~ionic[i] & ~ionic[j] & (reduced < BOND) & (i < j)
    to_hydrogen = np.flatnonzero(hydrogen[i] & ~hydrogen[j] & ~ionic[j] & (reduced < HYDROGEN_BOND))
    nearest = to_hydrogen[np.lexsort((reduced[to_hydrogen], i[to_hydrogen]))]
    _, first = np.unique(i[nearest], return_index=True)
    chosen = np.concatenate([np.flatnonzero(heavy), nearest[first]])
    return np.stack([i[chosen], j[chosen]], axis=1)


def _match(
    members: IntArray,
    numbers: IntArray,
    bonded: set[frozenset[int]],
    templates: Sequence[tuple[str, Molecule, IntArray]],
) -> tuple[str, IntArray] | None:
    """Species of a fragment, and its atoms in the order of that species; None where it is none of them."""
    for name, molecule, template in templates:
        if len(members) == len(template) and np.array_equal(np.sort(numbers[members]), np.sort(template)):
            ordered = np.empty(len(template), dtype=np.int64)
            ordered[np.argsort(template, kind="stable")] = members[np.argsort(numbers[members], kind="stable")]
            if all(frozenset((int(ordered[bond.i]), int(ordered[bond.j]))) in bonded for bond in molecule.bonds):
                return name, ordered
    return None


def _stranger(members: IntArray, numbers: IntArray, templates: Sequence[tuple[str, Molecule, IntArray]], where: str) -> RunFailure:
    symbols = "".join(chemical_symbols[number] for number in sorted(numbers[members])[::-1])
    known = ", ".join(name for name, _, _ in templates)
    remedy = f"Known here: {known}. Leave the frame out, or add the species."
    return RunFailure(f"a fragment {symbols} is no known molecule", f"{where}, atoms {members[:6].tolist()}", remedy)
