"""A classical engine with every label: exercises the whole road in seconds, and has no chemistry in it.

Energies are those of the flexible classical model of each species (harmonic bonds and angles, Lennard-Jones, point
charges), with pair terms that go to zero smoothly at the cutoff, together with their forces.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, ClassVar

import numba
import numpy as np
from ase.data import chemical_symbols

from halocline import compilation as compilation  # before any kernel
from halocline.errors import UserError
from halocline.labels import Labels
from halocline.reference.base import BadInput, ReferenceEngine, package_version, species_of
from halocline.reference.induction import POLARIZABILITIES, polarizability
from halocline.state import State
from halocline.topology import FloatArray, IntArray
from halocline.units import COULOMB

METHODS = ("classical",)
CUTOFF = 4.6
"""Å; below half the edge of a box of 32 water molecules also when that is compressed by 4 %."""
DAMPING = 0.2
"""1/Å, of the damped shifted-force Coulomb term."""


class AnalyticEngine(ReferenceEngine):
    """Flexible classical model with shifted-force Lennard-Jones and Coulomb terms (Fennell and Gezelter, J. Chem. Phys. 124,
    234104 (2006), doi 10.1063/1.2206581), multipoles of its point charges, and induced-dipole polarizabilities (Thole).

    Energy and forces are continuous everywhere; all periodic images within the cutoff count, so any box size works.
    """

    name = "analytic"
    summary = "Classical model of the species, for tests and dry runs: all labels in milliseconds, no electronic structure"
    provides: ClassVar[frozenset[str]] = frozenset({"energy", "forces", "stress", "charges", "dipole", "quadrupole", "polarizability"})
    periodic = True
    molecular = True

    def __init__(self, method: str = "classical") -> None:
        # Study files that only swap the engine keep their method; this engine has one, and says so in its level.
        self.method = METHODS[0]

    def level(self) -> dict[str, Any]:
        constants = {"cutoff": CUTOFF, "damping": DAMPING}
        return {"engine": self.name, "method": self.method, **constants, "halocline": package_version("halocline")}

    def calculate(self, state: State, quantities: Collection[str]) -> Labels:
        """All quantities asked for, in closed form."""
        species = species_of(state.topology)
        if any(len(molecule.nonbonded) != molecule.n_atoms for molecule in species):
            raise UserError("a species has no classical parameters", f"engine '{self.name}'", "Give its nonbonded parameters.")
        charges, sigma, epsilon = np.array([atom for m in species for atom in _parameters(m.nonbonded)]).T
        edges = state.edges if state.periodic else np.zeros(3)
        molecule = state.topology.molecule_of_atom
        energy, forces, virial = _pair_terms(state.positions, edges, molecule, charges, sigma, epsilon, CUTOFF, DAMPING)
        bonded = bonded_terms(state)
        labels: Labels = {
            "energy": np.asarray(energy + bonded[0]),
            "forces": forces + bonded[1],
            "charges": charges,
        }
        if state.periodic:
            labels["stress"] = (virial + bonded[2]) / state.volume
            return labels
        centre = state.topology.masses @ state.positions / state.topology.masses.sum()
        r = state.positions - centre
        labels["dipole"] = charges @ r
        second = (r * charges[:, None]).T @ r
        labels["quadrupole"] = 0.5 * (3.0 * second - np.trace(second) * np.eye(3))
        if "polarizability" in quantities:
            labels["polarizability"] = polarizability(state.positions, _atomic_polarizabilities(state.topology.atomic_numbers))
        return labels


def _parameters(nonbonded: Collection[Any]) -> list[tuple[float, float, float]]:
    return [(atom.charge, atom.sigma, atom.epsilon) for atom in nonbonded]


def _atomic_polarizabilities(numbers: IntArray) -> FloatArray:
    symbols = [chemical_symbols[number] for number in numbers]
    unknown = sorted(set(symbols) - set(POLARIZABILITIES))
    if unknown:
        raise BadInput(f"no atomic polarizability of {', '.join(unknown)}", "engine 'analytic'", "Use another engine.")
    return np.array([POLARIZABILITIES[symbol] for symbol in symbols])


def bonded_terms(state: State) -> tuple[float, FloatArray, FloatArray]:
    """Harmonic bonds and angles of whole molecules: energy (eV), forces (n_atoms, 3), dE/d(strain) (3, 3)."""
    positions = state.positions
    energy, gradient = 0.0, np.zeros_like(positions)
    bonds, angles = _bonded_lists(state)
    if len(bonds):
        i, j = bonds[:, 0].astype(int), bonds[:, 1].astype(int)
        d = positions[i] - positions[j]
        r = np.linalg.norm(d, axis=1)
        energy += float(0.5 * bonds[:, 3] @ (r - bonds[:, 2]) ** 2)
        pull = (bonds[:, 3] * (r - bonds[:, 2]) / r)[:, None] * d
        np.add.at(gradient, i, pull)
        np.add.at(gradient, j, -pull)
    if len(angles):
        i, j, k = (angles[:, column].astype(int) for column in range(3))
        a, b = positions[i] - positions[j], positions[k] - positions[j]
        la, lb = np.linalg.norm(a, axis=1)[:, None], np.linalg.norm(b, axis=1)[:, None]
        cosine = np.clip(np.sum(a * b, axis=1, keepdims=True) / (la * lb), -1.0 + 1e-12, 1.0 - 1e-12)
        theta = np.arccos(cosine)[:, 0]
        energy += float(0.5 * angles[:, 4] @ (theta - angles[:, 3]) ** 2)
        slope = (-angles[:, 4] * (theta - angles[:, 3]) / np.sin(theta))[:, None]
        on_i = slope * (b / (la * lb) - cosine * a / la**2)
        on_k = slope * (a / (la * lb) - cosine * b / lb**2)
        np.add.at(gradient, i, on_i)
        np.add.at(gradient, k, on_k)
        np.add.at(gradient, j, -on_i - on_k)
    # The terms act within whole molecules and do not change under translation, so positions serve as lever arms.
    return energy, -gradient, gradient.T @ positions


def _bonded_lists(state: State) -> tuple[FloatArray, FloatArray]:
    """Rows (i, j, length, k) and (i, j, k, angle, k)."""
    bonds, angles = [], []
    for first, molecule in zip(state.topology.offsets[:-1], species_of(state.topology)):
        bonds += [(first + b.i, first + b.j, b.length, b.force_constant) for b in molecule.bonds]
        angles += [(first + a.i, first + a.j, first + a.k, a.angle, a.force_constant) for a in molecule.angles]
    return np.array(bonds, dtype=float), np.array(angles, dtype=float)


@numba.njit(cache=True)
def _pair_terms(
    positions: FloatArray,
    edges: FloatArray,
    molecule: IntArray,
    charges: FloatArray,
    sigma: FloatArray,
    epsilon: FloatArray,
    cutoff: float,
    damping: float,
) -> tuple[float, FloatArray, FloatArray]:
    """Energy, forces and dE/d(strain) of all pairs of different molecules (or images) within the cutoff."""
    n = len(positions)
    energy, forces, virial = 0.0, np.zeros((n, 3)), np.zeros((3, 3))
    images = np.zeros(3, np.int64)
    for axis in range(3):
        if edges[axis] > 0.0:
            images[axis] = math.ceil(cutoff / edges[axis] - 0.5)
    own, d = np.zeros(3), np.zeros(3)
    for i in range(n):
        for j in range(i, n):
            own[:] = positions[i] - positions[j]
            nearest = own.copy()
            for axis in range(3):
                if edges[axis] > 0.0:
                    nearest[axis] -= edges[axis] * np.round(own[axis] / edges[axis])
            size, depth = 0.5 * (sigma[i] + sigma[j]), math.sqrt(epsilon[i] * epsilon[j])
            strength = COULOMB * charges[i] * charges[j]
            weight = 0.5 if i == j else 1.0  # an atom meets each image of itself from both sides
            for a in range(-images[0], images[0] + 1):
                d[0] = nearest[0] + a * edges[0]
                for b in range(-images[1], images[1] + 1):
                    d[1] = nearest[1] + b * edges[1]
                    for c in range(-images[2], images[2] + 1):
                        d[2] = nearest[2] + c * edges[2]
                        r = math.sqrt(d[0] ** 2 + d[1] ** 2 + d[2] ** 2)
                        # Excluded: the pair within one whole molecule, but not the pairs with periodic images of it
                        if r >= cutoff or (molecule[i] == molecule[j] and np.abs(d - own).max() < 1e-6):
                            continue
                        value, slope = _pair(r, strength, size, depth, cutoff, damping)
                        energy += weight * value
                        pull = weight * slope / r
                        for p in range(3):
                            forces[i, p] -= pull * d[p]
                            forces[j, p] += pull * d[p]
                            for q in range(3):
                                virial[p, q] += pull * d[p] * d[q]
    return energy, forces, virial


@numba.njit(cache=True)
def _pair(r: float, strength: float, size: float, depth: float, cutoff: float, damping: float) -> tuple[float, float]:
    """Energy and its slope: damped Coulomb and Lennard-Jones, both shifted so that value and slope vanish at the cutoff."""
    gauss = 2.0 * damping / math.sqrt(math.pi)
    screened, screened_end = math.erfc(damping * r) / r, math.erfc(damping * cutoff) / cutoff
    slope_end = -screened_end / cutoff - gauss * math.exp(-((damping * cutoff) ** 2)) / cutoff
    value = strength * (screened - screened_end - slope_end * (r - cutoff))
    slope = strength * (-screened / r - gauss * math.exp(-((damping * r) ** 2)) / r - slope_end)
    if depth > 0.0:
        six, six_end = (size / r) ** 6, (size / cutoff) ** 6
        lj_slope_end = 24.0 * depth * (six_end - 2.0 * six_end**2) / cutoff
        value += 4.0 * depth * (six**2 - six - six_end**2 + six_end) - lj_slope_end * (r - cutoff)
        slope += 24.0 * depth * (six - 2.0 * six**2) / r - lj_slope_end
    return value, slope
