"""Energies of molecules that are put among others: the same sites, cut-off and electrostatics as classical molecules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numba import njit
from scipy.spatial.transform import Rotation

from halocline import registry
from halocline.errors import UserError
from halocline.molecules.base import Molecule, Nonbonded
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.kernels import single_molecule
from halocline.potentials.kernels.neighbours import require_room
from halocline.potentials.learned import orthorhombic_edges
from halocline.potentials.pair_table import PairTable, pair_energies
from halocline.potentials.site_tables import site_table
from halocline.topology import FloatArray, IntArray, Topology

PairEnergy = Callable[[FloatArray], FloatArray]


class Insertion(ABC):
    """A molecule that can be put anywhere into a configuration."""

    @abstractmethod
    def bind(self, topology: Topology, cell: FloatArray) -> None:
        """Prepare for a system: the topology without the inserted molecule, and an orthorhombic periodic cell in Å.

        Raises:
            UserError: the cell is shorter than twice the reach, or a species has no parameters.
        """

    @abstractmethod
    def energies(self, positions: FloatArray, n: int, generator: np.random.Generator) -> FloatArray:
        """(n,) energies, eV, of the molecule with all others at n random places in random orientation.

        Args:
            positions: (n_atoms, 3), Å, whole molecules.
        """


class MoleculeInsertion(Insertion):
    """Insertion of a molecule of one species among classical molecules.

    The energy is the difference of :class:`ClassicalMolecules` with and without the molecule.

    Args:
        potential: of the surroundings; its parameters, cut-off, electrostatics and cap are used.
        species: what is inserted, by name or itself; it need not be in the system.
        conformations: (n, n_sites, 3), Å, geometries drawn with equal probability, for flexible molecules from a run of the
            isolated molecule; by default the one geometry of a rigid molecule.

    Raises:
        UserError: a flexible molecule without conformations, or sites that do not match.
    """

    def __init__(self, potential: ClassicalMolecules, species: str | Molecule, conformations: FloatArray | None = None) -> None:
        molecule: Molecule = registry.get("molecules", species, "MoleculeInsertion") if isinstance(species, str) else species
        species = molecule.name
        if conformations is None:
            if molecule.n_atoms > 1 and not molecule.rigid:
                found = f"'{species}' is flexible, its geometry has a distribution"
                raise UserError(found, "MoleculeInsertion", "Give conformations sampled from the isolated molecule.")
            conformations = np.array([molecule.geometry])
        shapes = np.asarray(conformations, dtype=np.float64)
        if shapes.shape[1:] != (molecule.n_atoms, 3):
            found = f"conformations have shape {shapes.shape}, '{species}' has {molecule.n_atoms} atoms"
            raise UserError(found, "MoleculeInsertion", "Give an array of shape (n, n_atoms, 3).")
        self.potential, self.species = potential, species
        centre = np.einsum("a,nac->nc", molecule.masses, shapes) / molecule.mass
        self.conformations = shapes - centre[:, None]
        self._radius = float(np.sqrt((self.conformations**2).sum(-1).max()))

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._topology = topology
        self._around = surroundings(self.potential, topology, cell, self.species)

    def energies(self, positions: FloatArray, n: int, generator: np.random.Generator) -> FloatArray:
        centres = generator.uniform(size=(n, 3)) * self._around.edges
        shapes = self.conformations[generator.integers(len(self.conformations), size=n)]
        if shapes.shape[1] > 1:
            turns = Rotation.from_quat(generator.normal(size=(n, 4))).as_matrix()
            shapes = np.einsum("ncd,nad->nac", turns, shapes)
        return self.energies_at(positions, centres, shapes)

    def energies_at(self, positions: FloatArray, centres: FloatArray, shapes: FloatArray) -> FloatArray:
        """(n,) energies, eV, with the centre of mass at (n, 3) places, Å, and the sites (n, n_sites, 3) from there, Å."""
        points, sites, radius = relative_sites(self._topology, positions)
        radius = max(radius, self._radius)
        require_room(self.potential.cutoff + 2 * radius, self._around.edges)
        result = np.empty(len(centres))
        shapes = np.ascontiguousarray(shapes, dtype=np.float64)
        single_molecule.insertion_energies(
            np.ascontiguousarray(centres, dtype=np.float64), shapes, points, sites, radius, self._around, result
        )
        return result


class BeadInsertion(Insertion):
    """Insertion of a bead that interacts with the centres of mass of all molecules: a coarse reservoir.

    Args:
        energy: (n,) distances in Å -> (n,) energies in eV, for all species or for each by name; must be zero at the cut-off.
        cutoff: Å.
        knots: of the table that stands for the function, linear in r^2 between 0 and the cut-off.
    """

    def __init__(self, energy: PairEnergy | Mapping[str, PairEnergy], cutoff: float, knots: int = 100_000) -> None:
        self.energy, self.cutoff, self.knots = energy, float(cutoff), knots

    @classmethod
    def of_table(cls, table: PairTable, inserted: str, species: Sequence[str]) -> BeadInsertion:
        """A bead of the species ``inserted`` among beads of several species, with the tabulated potential of all of them."""
        return cls({name: partial(pair_energies, table, inserted, name) for name in species}, table.cutoff)

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._topology, self._edges = topology, orthorhombic_edges(cell)
        distances, rows = np.sqrt(np.linspace(1e-6, self.cutoff**2, self.knots)), []
        for name in topology.species:
            if isinstance(self.energy, Mapping) and name not in self.energy:
                raise UserError(f"no pair energy with species '{name}'", "BeadInsertion", f"Known: {', '.join(self.energy)}.")
            rows.append((self.energy[name] if isinstance(self.energy, Mapping) else self.energy)(distances))
        self._tables = np.ascontiguousarray(rows, dtype=np.float64)
        if not np.isfinite(self._tables).all():
            raise UserError("a pair energy is not finite everywhere", "BeadInsertion", "Cap it at short distances.")
        require_room(self.cutoff, self._edges)

    def energies(self, positions: FloatArray, n: int, generator: np.random.Generator) -> FloatArray:
        points, result = self._topology.centres_of_mass(positions), np.empty(n)
        centres, species = generator.uniform(size=(n, 3)) * self._edges, self._topology.molecule_species
        _bead_energies(centres, points, species, self._tables, self.cutoff**2, self._edges, result)
        return result


@njit(error_model="numpy", cache=True)
def _bead_energies(
    centres: FloatArray,
    points: FloatArray,
    species: IntArray,
    tables: FloatArray,
    square_cutoff: float,
    edges: FloatArray,
    result: FloatArray,
) -> None:
    scale = (tables.shape[1] - 1) / square_cutoff
    for row in range(len(centres)):
        energy = 0.0
        for j in range(len(points)):
            square = 0.0
            for c in range(3):
                d = points[j, c] - centres[row, c]
                d -= edges[c] * np.rint(d / edges[c])
                square += d * d
            if square < square_cutoff:
                place = square * scale
                knot = int(place)
                table = tables[species[j]]
                energy += table[knot] + (place - knot) * (table[knot + 1] - table[knot])
        result[row] = energy


def surroundings(potential: ClassicalMolecules, topology: Topology, cell: FloatArray, species: str) -> single_molecule.Surroundings:
    """What a molecule of ``species`` meets in a system of classical molecules; all of them present."""
    names = list(topology.species)
    sets: list[Sequence[Nonbonded]] = [potential.sites_of(name) for name in names]
    own = potential.sites_of(species)
    coulomb = potential.coulomb
    field = np.array([coulomb.cutoff**2, coulomb.constant, coulomb.linear, coulomb.quadratic])
    n_sites = np.array([len(sites) for sites in sets], dtype=np.int64)
    # Rows of the pair (inserted, s) of the table for the inserted species followed by all others.
    table = site_table([own, *sets], coulomb, potential.force_cap, potential.mixing, np.float64)
    pairs = np.zeros((len(names), len(own), int(n_sites.max(initial=1)), 6))
    for s in range(len(names)):
        for row in range(table.start[0, s + 1], table.stop[0, s + 1]):
            a, b = table.own[row], table.other[row]
            charges = float(table.coulomb) * own[a].charge * sets[s][b].charge
            pairs[s, a, b] = (*table.pair[row, :3], charges, *table.core[row])
    everyone = np.ones(topology.n_molecules, dtype=np.bool_)
    return single_molecule.Surroundings(
        topology.molecule_species.astype(np.int64), topology.offsets[:-1].astype(np.int64), n_sites, everyone, pairs, field,
        np.array(coulomb.smooth, dtype=np.float64), orthorhombic_edges(cell),
    )  # fmt: skip


def relative_sites(topology: Topology, positions: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """(n_molecules, 3) centres of mass, (n_atoms, 3) sites from there, and the largest distance of a site from its centre; Å."""
    points = topology.centres_of_mass(positions)
    sites = positions - points[topology.molecule_of_atom]
    return points, sites, math.sqrt(float((sites**2).sum(-1).max(initial=0.0)))
