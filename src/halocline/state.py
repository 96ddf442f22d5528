"""One configuration: positions, velocities, cell and whole molecules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import ase
import numpy as np

from halocline.topology import FloatArray, IntArray, Topology


@dataclass(frozen=True, eq=False)
class State:
    """Positions of whole molecules in a cell.

    Attributes:
        positions: (n_atoms, 3), Å. Every molecule is whole; centres of mass may lie outside the cell.
        cell: (3, 3), Å, rows are lattice vectors. Zeros for an isolated cluster.
        topology: which atoms form which molecule.
        velocities: (n_atoms, 3), Å/fs, or None.
        periodic: whether the cell repeats (all three directions or none).
    """

    positions: FloatArray
    cell: FloatArray
    topology: Topology
    velocities: FloatArray | None = None
    periodic: bool = True
    info: dict[str, object] = field(default_factory=dict)

    @property
    def volume(self) -> float:
        """Å^3; zero for a cluster."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def edges(self) -> FloatArray:
        """(3,) lengths of an orthorhombic cell, Å."""
        return np.diag(self.cell).copy()

    @property
    def centres_of_mass(self) -> FloatArray:
        """(n_molecules, 3), Å, not wrapped."""
        return self.topology.centres_of_mass(self.positions)

    def with_positions(self, positions: FloatArray) -> State:
        return replace(self, positions=positions)

    def make_whole(self) -> State:
        """Bring every atom to the periodic image nearest to its predecessor in the same molecule."""
        if not self.periodic:
            return self
        positions = self.positions.copy()
        inverse = np.linalg.inv(self.cell)
        topology = self.topology
        for position in range(1, int(np.diff(topology.offsets).max(initial=1))):
            has_atom = np.diff(topology.offsets) > position
            atoms = topology.offsets[:-1][has_atom] + position
            delta = positions[atoms] - positions[atoms - 1]
            positions[atoms] -= np.round(delta @ inverse) @ self.cell
        return replace(self, positions=positions)

    def wrap(self) -> State:
        """Shift whole molecules so that their centres of mass lie in the cell."""
        if not self.periodic:
            return self
        shift = -np.floor(self.centres_of_mass @ np.linalg.inv(self.cell)) @ self.cell
        return replace(self, positions=self.positions + shift[self.topology.molecule_of_atom])

    def select(self, molecules: IntArray | Sequence[int]) -> State:
        """The given molecules in the same cell."""
        atoms = self.topology.atoms_of(molecules)
        velocities = None if self.velocities is None else self.velocities[atoms]
        return replace(self, positions=self.positions[atoms], velocities=velocities, topology=self.topology.select(molecules))

    def isolated(self) -> State:
        """The same molecules without a cell, each at the image nearest to the first molecule."""
        state = self.make_whole()
        positions = state.positions
        if self.periodic:
            centres = state.centres_of_mass
            shift = -np.round((centres - centres[0]) @ np.linalg.inv(self.cell)) @ self.cell
            positions = positions + shift[self.topology.molecule_of_atom]
        return replace(state, positions=positions, cell=np.zeros((3, 3)), periodic=False)

    def to_ase(self) -> ase.Atoms:
        """ASE atoms with the molecule index of every atom as array ``molecule``."""
        atoms = ase.Atoms(
            numbers=self.topology.atomic_numbers, positions=self.positions, masses=self.topology.masses, cell=self.cell, pbc=self.periodic
        )
        atoms.set_array("molecule", self.topology.molecule_of_atom)
        return atoms
