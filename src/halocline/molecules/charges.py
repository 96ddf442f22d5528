"""Point charges of the classical models of species."""

from __future__ import annotations

import numpy as np

from halocline import registry
from halocline.topology import FloatArray, Topology


def point_charges(topology: Topology) -> FloatArray:
    """(n_atoms,) charges in e from :attr:`Molecule.nonbonded`; zero for a species that has none.

    Raises:
        UserError: an unknown species.
    """
    charges = [np.array([site.charge for site in registry.get("molecules", name).nonbonded]) for name in topology.species]
    sizes = np.diff(topology.offsets)
    each = [charges[kind] if len(charges[kind]) else np.zeros(size) for kind, size in zip(topology.molecule_species, sizes)]
    return np.concatenate(each) if each else np.zeros(0)


def charge_extent(topology: Topology) -> float:
    """Largest distance of a charge from the centre of mass of its molecule, in the geometries of the species, Å; zero without charges.

    Raises:
        UserError: an unknown species.
    """
    farthest = 0.0
    for name in topology.species:
        molecule = registry.get("molecules", name)
        charged = np.array([site.charge != 0.0 for site in molecule.nonbonded], dtype=bool)
        if charged.any():
            geometry = np.array(molecule.geometry)
            away = geometry - molecule.masses @ geometry / molecule.mass
            farthest = max(farthest, float(np.linalg.norm(away[charged], axis=1).max()))
    return farthest


def dipoles(topology: Topology, charges: FloatArray, positions: FloatArray) -> FloatArray:
    """(n_molecules, 3) dipoles about the centres of mass, e Å, from (n_atoms, 3) positions of whole molecules."""
    away = positions - topology.centres_of_mass(positions)[topology.molecule_of_atom]
    return np.add.reduceat(charges[:, None] * away, topology.offsets[:-1], axis=0)
