"""Kinds of sites whose radial distribution functions are measured, and their names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from halocline.topology import IntArray, Topology


@dataclass(frozen=True)
class Site:
    """Atoms of one element in molecules of one species; ``label`` as the study names them."""

    label: str
    species: int
    element: int


@dataclass(frozen=True)
class Pair:
    """Two kinds of sites and what normalises them; the exact share of their pairs that lie in different molecules."""

    name: str
    first: int
    second: int
    share: float

    @property
    def directions(self) -> int:
        """Unequal kinds are counted from both sides."""
        return 1 if self.first == self.second else 2

    @property
    def key(self) -> str:
        """The name as one word."""
        return re.sub(r"\W+", "_", self.name).strip("_")


def site_kinds(topology: Topology) -> list[Site]:
    """Heaviest element first, then in the order of the species.

    A molecule of one atom is that atom: it goes by the name of its species, whatever element stands for it. The atoms of larger
    molecules are named by their element, with the species before it where there are several.
    """
    species_of_atom = topology.molecule_species[topology.molecule_of_atom]
    found = sorted(set(zip((-topology.atomic_numbers).tolist(), species_of_atom.tolist())))
    sites = []
    for element, species in found:
        name, symbol = topology.species[species], chemical_symbols[-element]
        is_single = (topology.molecule_species == species).sum() == (species_of_atom == species).sum()
        label = name if is_single else symbol if len(topology.species) == 1 else f"{name} {symbol}"
        sites.append(Site(label, species, -element))
    return sites


def kind_of_atom(topology: Topology, sites: Sequence[Site]) -> IntArray:
    """(n_atoms,) index of the kind of each atom."""
    species_of_atom = topology.molecule_species[topology.molecule_of_atom]
    kinds = np.zeros(topology.n_atoms, dtype=np.int64)
    for index, site in enumerate(sites):
        kinds[(topology.atomic_numbers == site.element) & (species_of_atom == site.species)] = index
    return kinds


def site_pairs(topology: Topology) -> list[Pair]:
    """All pairs of kinds of sites that exist in different molecules; those of a single solute with itself do not."""
    sites = site_kinds(topology)
    kinds = kind_of_atom(topology, sites)
    counts = [np.bincount(topology.molecule_of_atom[kinds == index], minlength=topology.n_molecules) for index in range(len(sites))]
    pairs = []
    for a, b in itertools.combinations_with_replacement(range(len(sites)), 2):
        within = float((counts[a] * counts[b]).sum())
        share = 1.0 - within / float(counts[a].sum() * counts[b].sum())
        first, second = sites[a].label, sites[b].label
        bare = all(label in chemical_symbols and label not in topology.species for label in (first, second))
        if share > 0.0:
            pairs.append(Pair(f"g_{first}{second}" if bare else f"g({first}, {second})", a, b, share))
    return pairs
