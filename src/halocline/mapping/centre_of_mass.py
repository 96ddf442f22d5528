"""Atoms to beads: one bead per molecule, at the centre of mass.

For the linear map R_I = sum_i m_i r_i / M_I (atom i of molecule I) the mapped force

    F_I = sum_{i in I} f_i

is an unbiased estimator of minus the gradient of the potential of mean force, because every atom enters one bead only and the
coefficients of the force map, all one, satisfy sum_i (m_i / M_I) * 1 = 1 (Noid et al., J. Chem. Phys. 128, 244114 (2008),
doi:10.1063/1.2938860; Krämer et al., J. Phys. Chem. Lett. 14, 3970 (2023), doi:10.1021/acs.jpclett.3c00444).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from halocline.state import State
from halocline.topology import FloatArray, IntArray, Topology


@dataclass(frozen=True, eq=False)
class Beads:
    """What one configuration looks like with one bead per molecule.

    Attributes:
        positions: (n_molecules, 3), Å, centres of mass, not wrapped.
        types: (n_molecules,) molecular species, index into ``species``.
        masses: (n_molecules,), amu.
        cell: (3, 3), Å, rows are lattice vectors; zeros without a cell.
        periodic: whether the cell repeats.
        species: names of the molecular species.
        forces: (n_molecules, 3), eV/Å, mapped forces, or None.
    """

    positions: FloatArray
    types: IntArray
    masses: FloatArray
    cell: FloatArray
    periodic: bool
    species: tuple[str, ...]
    forces: FloatArray | None = None


def map_positions(topology: Topology, positions: FloatArray) -> FloatArray:
    """Centres of mass, (n_molecules, 3), Å, of (n_atoms, 3) positions of whole molecules."""
    return topology.centres_of_mass(positions)


def map_forces(topology: Topology, forces: FloatArray) -> FloatArray:
    """Bead forces, (n_molecules, 3): the sum of (n_atoms, 3) over the atoms of each molecule, same unit."""
    return np.add.reduceat(forces, topology.offsets[:-1], axis=0)


def map_velocities(topology: Topology, velocities: FloatArray) -> FloatArray:
    """Centre-of-mass velocities, (n_molecules, 3), same unit as (n_atoms, 3)."""
    return topology.centres_of_mass(velocities)


def spread_forces(topology: Topology, bead_forces: FloatArray) -> FloatArray:
    """Atom forces, (n_atoms, 3), of forces on the beads: f_i = (m_i / M_I) F_I, the chain rule of the map."""
    share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
    return share[:, None] * bead_forces[topology.molecule_of_atom]


def to_beads(state: State, forces: FloatArray | None = None) -> Beads:
    """Beads of a state; with (n_atoms, 3) forces in eV/Å also the mapped forces."""
    topology = state.topology
    mapped = None if forces is None else map_forces(topology, forces)
    positions = map_positions(topology, state.positions)
    return Beads(positions, topology.molecule_species, topology.molecule_masses, state.cell, state.periodic, topology.species, mapped)
