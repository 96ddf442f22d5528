"""Which atoms form which molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Topology:
    """Molecules as contiguous runs of atoms.

    Attributes:
        species: names of the molecular species, as in ``halocline list molecules``.
        molecule_species: (n_molecules,) index into ``species``.
        offsets: (n_molecules + 1,) atoms of molecule m are ``offsets[m]:offsets[m + 1]``.
        atomic_numbers: (n_atoms,).
        masses: (n_atoms,), amu.
    """

    species: tuple[str, ...]
    molecule_species: IntArray
    offsets: IntArray
    atomic_numbers: IntArray
    masses: FloatArray

    @property
    def n_atoms(self) -> int:
        return int(self.offsets[-1])

    @property
    def n_molecules(self) -> int:
        return len(self.molecule_species)

    @cached_property
    def molecule_of_atom(self) -> IntArray:
        """(n_atoms,) molecule of each atom."""
        return np.repeat(np.arange(self.n_molecules), np.diff(self.offsets))

    @cached_property
    def molecule_masses(self) -> FloatArray:
        """(n_molecules,), amu."""
        return np.add.reduceat(self.masses, self.offsets[:-1]) if self.n_molecules else np.zeros(0)

    def centres_of_mass(self, positions: FloatArray) -> FloatArray:
        """(n_molecules, 3) mass-weighted mean of (n_atoms, 3); the molecules must be whole."""
        weighted = np.add.reduceat(positions * self.masses[:, None], self.offsets[:-1], axis=0)
        return weighted / self.molecule_masses[:, None]

    def atoms_of(self, molecules: IntArray | Sequence[int]) -> IntArray:
        """Atom indices of the given molecules, in the order given."""
        ranges = [np.arange(self.offsets[m], self.offsets[m + 1]) for m in molecules]
        return np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.int64)

    def atom_mask(self, molecule_mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(n_atoms,) mask of the atoms whose molecule is in the (n_molecules,) mask."""
        return molecule_mask[self.molecule_of_atom]

    def select(self, molecules: IntArray | Sequence[int]) -> Topology:
        """Topology of the given molecules alone."""
        index = np.asarray(molecules, dtype=np.int64)
        atoms = self.atoms_of(index)
        sizes = np.diff(self.offsets)[index]
        return Topology(
            self.species,
            self.molecule_species[index],
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            self.atomic_numbers[atoms],
            self.masses[atoms],
        )
