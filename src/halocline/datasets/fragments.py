"""Species made from what a file holds: fragments that are none of the registered molecules, named by formula and bonds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import ase
import numpy as np
from ase.data import chemical_symbols
from ase.geometry import find_mic

from halocline import registry
from halocline.datasets.frame import Frame
from halocline.errors import RunFailure
from halocline.molecules.base import Bond, Molecule
from halocline.state import State
from halocline.topology import IntArray

WORD = "species_charges"
"""In ``state.info``: species -> charge in e, for those that no file of the package describes."""
_HASH_LENGTH = 6


class Fragments:
    """Species found so far in one file; the same bonds between the same elements always give the same species.

    Handedness and conformation are not told apart. The species have bonds of the length at which they were first met, no
    classical model and no charge of their own, see :func:`assign_charges`.

    Attributes:
        species: name -> molecule.
    """

    def __init__(self) -> None:
        self.species: dict[str, Molecule] = {}

    def add(self, members: IntArray, atoms: ase.Atoms, bonded: set[frozenset[int]]) -> tuple[str, IntArray]:
        """The name of a fragment's species, and its atoms in the order of that species.

        Args:
            members: (n,) atoms of the fragment.
            atoms: all atoms; the fragment may be broken across the cell.
            bonded: pairs of bonded atoms, of which only those among the members matter.
        """
        numbers = np.asarray(atoms.numbers, dtype=np.int64)
        neighbours = neighbour_lists(members, bonded)
        ordered = members[canonical_order(numbers[members], neighbours)]
        place = {int(atom): index for index, atom in enumerate(ordered)}
        edges = sorted(tuple(sorted(place[int(atom)] for atom in pair)) for pair in bonded if pair <= place.keys())
        name = fragment_name(numbers[ordered], edges)
        if name not in self.species:
            geometry = find_mic(atoms.positions[ordered] - atoms.positions[ordered[0]], atoms.cell, atoms.pbc)[0]
            bonds = tuple(Bond(i, j, float(np.linalg.norm(geometry[i] - geometry[j])), 0.0) for i, j in edges)
            symbols = tuple(chemical_symbols[number] for number in numbers[ordered])
            self.species[name] = Molecule(
                name, f"{name.split('-')[0]}, found in a file", symbols, tuple(tuple(row) for row in geometry.tolist()), bonds=bonds
            )
        return name, ordered


def assign_charges(state: State, known: Mapping[str, Molecule], total: int, where: str) -> dict[str, int]:
    """Charges of the species of a frame that ``known`` lacks, e.

    Closed shells are assumed: molecules with an even sum of atomic numbers are neutral, the odd ones share what is left equally,
    as +1 or -1 each. Where a frame is a single molecule, it has the total charge. Ions of other charge need a file of their own.

    Args:
        state: the frame.
        known: species of known charge.
        total: charge of the frame, e.
        where: file and frame, for messages.

    Raises:
        RunFailure: the rule does not give the total charge.
    """
    topology = state.topology
    counts = np.bincount(topology.molecule_species, minlength=len(topology.species))
    unknown = [index for index, name in enumerate(topology.species) if name not in known]
    left = total - sum(known[name].charge * int(counts[index]) for index, name in enumerate(topology.species) if name in known)
    if len(unknown) == 1 and counts[unknown[0]] == 1:
        return {topology.species[unknown[0]]: left}
    charges = {}
    for index in unknown:
        first = int(np.flatnonzero(topology.molecule_species == index)[0])
        charges[index] = int(topology.atomic_numbers[topology.offsets[first] : topology.offsets[first + 1]].sum()) % 2
    odd = sum(int(counts[index]) for index, parity in charges.items() if parity)
    if abs(left) != odd:
        what = f"{left} e is left for {odd} molecules with an odd number of electrons at charge 0"
        remedy = "State the total charge of the frame as 'charge', or add the ions as species of their own."
        raise RunFailure(f"the charges of unknown molecules cannot be told: {what}", where, remedy)
    return {topology.species[index]: parity * (1 if left > 0 else -1) for index, parity in charges.items()}


def species_charges(frames: Iterable[Frame]) -> dict[str, float]:
    """Charge of every species of some frames, e: from the frame where it was read from a file, otherwise of the registered molecule.

    Raises:
        UserError: a species that is neither.
        RunFailure: two frames give one species different charges.
    """
    charges: dict[str, float] = {}
    for frame in frames:
        own = frame.state.info.get(WORD, {})
        assert isinstance(own, dict)
        for name in frame.state.topology.species:
            if name in own or name not in charges:
                charge = float(own[name] if name in own else registry.get("molecules", name, "frames").charge)
                if charges.setdefault(name, charge) != charge:
                    remedy = "Train on the two charge states apart."
                    raise RunFailure(f"'{name}' has charges {charges[name]} and {charge}", frame.source, remedy)
    return charges


def fragment_name(numbers: IntArray, edges: Sequence[tuple[int, ...]]) -> str:
    """Formula after Hill (carbon, hydrogen, the others by alphabet), a dash, and a hash of elements and bonds."""
    symbols = [chemical_symbols[number] for number in numbers]
    first = [symbol for symbol in ("C", "H") if "C" in symbols and symbol in symbols]
    order = first + sorted(set(symbols) - set(first))
    formula = "".join(symbol + (str(count) if (count := symbols.count(symbol)) > 1 else "") for symbol in order)
    digest = hashlib.sha256(repr(([int(number) for number in numbers], [tuple(edge) for edge in edges])).encode()).hexdigest()
    return f"{formula}-{digest[:_HASH_LENGTH]}"


def neighbour_lists(members: IntArray, bonded: set[frozenset[int]]) -> list[list[int]]:
    """Bonded neighbours of each member, as places within ``members``."""
    place = {int(atom): index for index, atom in enumerate(members)}
    lists: list[list[int]] = [[] for _ in members]
    for i, j in (sorted(pair) for pair in bonded if pair <= place.keys()):
        lists[place[i]].append(place[j])
        lists[place[j]].append(place[i])
    return lists


def canonical_order(numbers: IntArray, neighbours: Sequence[Sequence[int]]) -> IntArray:
    """An order of the atoms of a molecule that depends on elements and bonds alone, heaviest element first.

    Ranks of the elements are refined by the ranks of bonded atoms (Weisfeiler and Leman) until they do not change; while atoms
    share a rank, one of the first such group is moved ahead and the refinement repeated. Atoms equivalent by symmetry may come in
    either order. In rare regular graphs refinement cannot tell inequivalent atoms apart: one molecule then has several names.
    """
    ranks = _refine(np.unique(-numbers, return_inverse=True)[1].tolist(), neighbours)
    while len(set(ranks)) < len(ranks):
        shared = min(rank for rank in ranks if ranks.count(rank) > 1)
        chosen = ranks.index(shared)
        ranks = [2 * rank + (rank == shared and index != chosen) for index, rank in enumerate(ranks)]
        ranks = _refine(ranks, neighbours)
    return np.argsort(ranks, kind="stable").astype(np.int64)


def _refine(ranks: list[int], neighbours: Sequence[Sequence[int]]) -> list[int]:
    while True:
        words = [(rank, *sorted(ranks[other] for other in bonded)) for rank, bonded in zip(ranks, neighbours)]
        table = {word: index for index, word in enumerate(sorted(set(words)))}
        if len(table) == len(set(ranks)):
            return [table[word] for word in words]
        ranks = [table[word] for word in words]
