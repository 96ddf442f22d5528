"""A molecular species: what it is made of, and the parameters of its simplest classical model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from halocline.topology import FloatArray, IntArray, Topology


@dataclass(frozen=True)
class Bond:
    """Harmonic bond k/2 (r - r0)^2; r0 in Å, k in eV/Å^2."""

    i: int
    j: int
    length: float
    force_constant: float


@dataclass(frozen=True)
class Angle:
    """Harmonic angle k/2 (theta - theta0)^2 with vertex j; theta0 in rad, k in eV/rad^2."""

    i: int
    j: int
    k: int
    angle: float
    force_constant: float


@dataclass(frozen=True)
class Torsion:
    """Periodic torsion k (1 + cos(n phi - phi0)) about the axis j-k; phi by the IUPAC convention, phi0 in rad, k in eV."""

    i: int
    j: int
    k: int
    l: int  # noqa: E741 - the names of the four atoms of a torsion
    multiplicity: int
    phase: float
    force_constant: float


@dataclass(frozen=True)
class Pair:
    """Nonbonded interaction of two atoms of one molecule, scaled as its force field wants it; product of charges in e^2, Å, eV."""

    i: int
    j: int
    charge_product: float
    sigma: float
    epsilon: float


@dataclass(frozen=True)
class Nonbonded:
    """Point charge (e) and Lennard-Jones parameters (Å, eV) of one atom."""

    charge: float
    sigma: float
    epsilon: float


@dataclass(frozen=True)
class Molecule:
    """One molecular species; one file of this package, or of a plug-in folder, each.

    Attributes:
        name: word used in study files.
        summary: one sentence, with the source of the classical parameters.
        symbols: chemical symbols of the atoms, in order.
        geometry: (n_atoms, 3), Å, near the gas-phase minimum.
        charge: total charge, e.
        bonds, angles, torsions, pairs, nonbonded: classical model, to equilibrate boxes and as a force field (section ``force_field``).
        rigid: whether the geometry is held fixed in classical dynamics; bonds and angles are then only used to equilibrate.
        formula_masses: (n_atoms,) amu, where the masses are not those of the elements (united atoms, reduced units); empty otherwise.
    """

    name: str
    summary: str
    symbols: tuple[str, ...]
    geometry: tuple[tuple[float, float, float], ...]
    charge: int = 0
    bonds: tuple[Bond, ...] = ()
    angles: tuple[Angle, ...] = ()
    nonbonded: tuple[Nonbonded, ...] = ()
    rigid: bool = False
    formula_masses: tuple[float, ...] = ()
    torsions: tuple[Torsion, ...] = ()
    pairs: tuple[Pair, ...] = ()

    @property
    def n_atoms(self) -> int:
        return len(self.symbols)

    @property
    def numbers(self) -> IntArray:
        """(n_atoms,) atomic numbers."""
        return np.array([atomic_numbers[symbol] for symbol in self.symbols], dtype=np.int64)

    @property
    def masses(self) -> FloatArray:
        """(n_atoms,), amu; standard atomic weights unless the species states its own."""
        if self.formula_masses:
            return np.array(self.formula_masses)
        return np.array([atomic_masses[number] for number in self.numbers])

    @property
    def mass(self) -> float:
        return float(self.masses.sum())


def scaled_pairs(
    nonbonded: Sequence[Nonbonded], pairs: Sequence[tuple[int, int]], charge_scale: float, dispersion_scale: float, geometric: bool = False
) -> tuple[Pair, ...]:
    """Interactions of atoms of one molecule from those of their sites, such as the scaled ones three bonds apart.

    Args:
        nonbonded: of all atoms.
        pairs: the two atoms of each.
        charge_scale, dispersion_scale: factors of the Coulomb and of the Lennard-Jones energy.
        geometric: geometric instead of arithmetic mean of the sigmas.
    """
    made = []
    for i, j in pairs:
        a, b = nonbonded[i], nonbonded[j]
        sigma = (a.sigma * b.sigma) ** 0.5 if geometric else 0.5 * (a.sigma + b.sigma)
        made.append(Pair(i, j, charge_scale * a.charge * b.charge, sigma, dispersion_scale * (a.epsilon * b.epsilon) ** 0.5))
    return tuple(made)


def build_topology(molecules: Sequence[tuple[Molecule, int]]) -> Topology:
    """Topology of ``count`` copies of each species, one species after the other."""
    species = tuple(molecule.name for molecule, _ in molecules)
    kinds = np.concatenate([np.full(count, index) for index, (_, count) in enumerate(molecules)]).astype(np.int64)
    sizes = np.array([molecule.n_atoms for molecule, _ in molecules])[kinds]
    numbers = np.concatenate([np.tile(molecule.numbers, count) for molecule, count in molecules])
    masses = np.concatenate([np.tile(molecule.masses, count) for molecule, count in molecules])
    return Topology(species, kinds, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), numbers, masses)
