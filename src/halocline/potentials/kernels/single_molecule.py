"""One molecule among all others: its energy where it is inserted, and its coupled energy and forces where it is tagged.

The soft-core Lennard-Jones energy of a pair of sites at coupling L, with a = alpha (1 - L) and s = a + (r/sigma)^6,

    U(r) = L [ f(r) - f(r_c) ],    f = 4 eps (1/s^2 - 1/s)

is finite at r = 0 for L < 1, zero at the cut-off, and the truncated and shifted interaction itself at L = 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from halocline.topology import FloatArray, IntArray

SMALLEST_SQUARE = 1e-6
"""Å^2; sites closer than that count as this far apart, so that no energy is infinite."""


class Surroundings(NamedTuple):
    """What one molecule meets.

    Attributes:
        species: (n_molecules,) of all molecules.
        first: (n_molecules,) first atom of each.
        n_sites: (n_species,).
        present: (n_molecules,) False for molecules that do not exist for the one molecule (itself, above all).
        pairs: (n_species, n_own, largest n_sites, 6) c12, c6, V_LJ(cut-off), k q q, core, force at the core; eV and Å.
        field: (4,) cut-off^2, then the Coulomb energy is k q q (1/r + f[1] + f[2] r + f[3] r^2).
        polynomial: damping polynomial in 2 (r/cut-off)^2 - 1, highest power first, or empty.
        edges: (3,), Å.
    """

    species: IntArray
    first: IntArray
    n_sites: IntArray
    present: NDArray[np.bool_]
    pairs: FloatArray
    field: FloatArray
    polynomial: FloatArray
    edges: FloatArray


@njit(error_model="numpy", cache=True)
def _coulomb(square: float, around: Surroundings) -> tuple[float, float]:
    """Energy of two unit charges over k, and minus its derivative divided by r."""
    field, polynomial = around.field, around.polynomial
    r = np.sqrt(square)
    energy = 1.0 / r + field[1] + field[2] * r + field[3] * square
    pull = 1.0 / (square * r) - field[2] / r - 2.0 * field[3]
    if len(polynomial) > 0:
        scale = 2.0 / field[0]
        t, p, slope = scale * square - 1.0, 0.0, 0.0
        for coefficient in polynomial:
            slope = slope * t + p
            p = p * t + coefficient
        energy += p
        pull -= 2.0 * scale * slope
    return energy, pull


@njit(error_model="numpy", cache=True)
def _pair_energy(distance_square: float, pair: FloatArray, around: Surroundings) -> float:
    """Full interaction of two sites within the cut-off, linear below the core."""
    core = pair[4]
    square = max(distance_square, core * core, SMALLEST_SQUARE)
    inverse6 = 1.0 / (square * square * square)
    energy = inverse6 * (pair[0] * inverse6 - pair[1]) - pair[2]
    if pair[3] != 0.0:
        energy += pair[3] * _coulomb(square, around)[0]
    if distance_square < core * core:
        energy += pair[5] * (core - np.sqrt(distance_square))
    return energy


@njit(error_model="numpy", cache=True)
def _soft(square: float, pair: FloatArray, coupling: float, alpha: float, square_cutoff: float) -> tuple[float, float]:
    """Soft-core Lennard-Jones energy of a pair of sites, and minus its derivative divided by r."""
    if pair[0] == 0.0 or pair[1] == 0.0 or coupling == 0.0:
        return 0.0, 0.0
    sigma6, four_epsilon = pair[0] / pair[1], pair[1] * pair[1] / pair[0]
    softness = alpha * (1.0 - coupling)
    s, rim = softness + square**3 / sigma6, softness + square_cutoff**3 / sigma6
    energy = coupling * four_epsilon * (1.0 / (s * s) - 1.0 / s - 1.0 / (rim * rim) + 1.0 / rim)
    pull = coupling * four_epsilon * (2.0 / (s * s * s) - 1.0 / (s * s)) * 6.0 * square * square / sigma6
    return energy, pull


@njit(error_model="numpy", cache=True)
def _displacement(points: FloatArray, j: int, x: float, y: float, z: float, edges: FloatArray) -> tuple[float, float, float]:
    dx, dy, dz = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
    return dx - edges[0] * np.rint(dx / edges[0]), dy - edges[1] * np.rint(dy / edges[1]), dz - edges[2] * np.rint(dz / edges[2])


@njit(error_model="numpy", cache=True)
def insertion_energies(
    centres: FloatArray,
    shapes: FloatArray,
    points: FloatArray,
    sites: FloatArray,
    radius: float,
    around: Surroundings,
    energies: FloatArray,
) -> None:
    """Energies of one molecule with all others at each of many places.

    Args:
        centres: (n, 3) where it is put, Å.
        shapes: (n, n_own, 3) its sites from its centre of mass, Å.
        points: (n_molecules, 3) centres of mass, Å. sites: (n_atoms, 3) from the centres of their molecules, Å.
        radius: largest distance of a site from the centre of its molecule, of all molecules, Å.
        energies: (n,) eV, filled.
    """
    square_cutoff = around.field[0]
    reach = np.sqrt(square_cutoff) + 2.0 * radius * (1.0 + 1e-6)
    for row in range(len(centres)):
        x, y, z = centres[row]
        energy = 0.0
        for j in range(len(points)):
            dx, dy, dz = _displacement(points, j, x, y, z, around.edges)
            if not around.present[j] or dx * dx + dy * dy + dz * dz >= reach * reach:
                continue
            kind, first = around.species[j], around.first[j]
            for a in range(shapes.shape[1]):
                for b in range(around.n_sites[kind]):
                    ex = dx + sites[first + b, 0] - shapes[row, a, 0]
                    ey = dy + sites[first + b, 1] - shapes[row, a, 1]
                    ez = dz + sites[first + b, 2] - shapes[row, a, 2]
                    square = ex * ex + ey * ey + ez * ez
                    if square < square_cutoff:
                        energy += _pair_energy(square, around.pairs[kind, a, b], around)
        energies[row] = energy


@njit(error_model="numpy", cache=True)
def _between(
    sites: FloatArray, other: int, own: int, dx: float, dy: float, dz: float
) -> tuple[tuple[float, float, float], float]:  # fmt: skip
    """Vector from site ``own`` to site ``other`` of molecules that are (dx, dy, dz) apart, Å, and its square, never zero."""
    x, y, z = dx + sites[other, 0] - sites[own, 0], dy + sites[other, 1] - sites[own, 1], dz + sites[other, 2] - sites[own, 2]
    return (x, y, z), max(x * x + y * y + z * z, SMALLEST_SQUARE)


@njit(error_model="numpy", cache=True)
def coupled(
    tagged: int, n_own: int, points: FloatArray, sites: FloatArray, radius: float, lennard_jones: float, charge: float, alpha: float,
    around: Surroundings, forces: FloatArray, virial: FloatArray,
) -> float:  # fmt: skip
    """Energy of the tagged molecule at one coupling; adds its forces, eV/Å, and sum r outer F, eV."""
    square_cutoff, energy = around.field[0], 0.0
    reach = np.sqrt(square_cutoff) + 2.0 * radius * (1.0 + 1e-6)
    x, y, z = points[tagged]
    own = around.first[tagged]
    for j in range(len(points)):
        dx, dy, dz = _displacement(points, j, x, y, z, around.edges)
        if not around.present[j] or dx * dx + dy * dy + dz * dz >= reach * reach:
            continue
        kind, first = around.species[j], around.first[j]
        for a in range(n_own):
            for b in range(around.n_sites[kind]):
                e, square = _between(sites, first + b, own + a, dx, dy, dz)
                if square >= square_cutoff:
                    continue
                pair = around.pairs[kind, a, b]
                part, pull = _soft(square, pair, lennard_jones, alpha, square_cutoff)
                if charge != 0.0 and pair[3] != 0.0:
                    u, du = _coulomb(square, around)
                    part += charge * pair[3] * u
                    pull += charge * pair[3] * du
                energy += part
                for c in range(3):
                    forces[first + b, c] += pull * e[c]
                    forces[own + a, c] -= pull * e[c]
                    for d in range(3):
                        virial[c, d] += e[c] * pull * e[d]
    return energy


@njit(error_model="numpy", cache=True)
def coupled_energies(
    tagged: int, n_own: int, points: FloatArray, sites: FloatArray, radius: float, couplings: FloatArray, alpha: float,
    around: Surroundings, energies: FloatArray,
) -> None:  # fmt: skip
    """Energies of the tagged molecule at all of the (n, 2) couplings of Lennard-Jones and charges in one pass; adds to (n,) eV."""
    square_cutoff = around.field[0]
    reach = np.sqrt(square_cutoff) + 2.0 * radius * (1.0 + 1e-6)
    x, y, z = points[tagged]
    own = around.first[tagged]
    for j in range(len(points)):
        dx, dy, dz = _displacement(points, j, x, y, z, around.edges)
        if not around.present[j] or dx * dx + dy * dy + dz * dz >= reach * reach:
            continue
        kind, first = around.species[j], around.first[j]
        for a in range(n_own):
            for b in range(around.n_sites[kind]):
                _, square = _between(sites, first + b, own + a, dx, dy, dz)
                if square >= square_cutoff:
                    continue
                pair = around.pairs[kind, a, b]
                u = pair[3] * _coulomb(square, around)[0] if pair[3] != 0.0 else 0.0
                part = 0.0
                for k in range(len(couplings)):
                    if k == 0 or couplings[k, 0] != couplings[k - 1, 0]:
                        part = _soft(square, pair, couplings[k, 0], alpha, square_cutoff)[0]
                    energies[k] += part + couplings[k, 1] * u
