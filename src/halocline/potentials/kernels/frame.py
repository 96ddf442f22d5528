"""What the loops over molecules read and write: molecules in the order of their species, tables, one configuration, buffers.

The difference of two centres is taken between integers that wrap around with the box; sites are relative to their centres.
In single precision a force is therefore good to about 1e-6 wherever in the box its molecules are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from halocline.potentials.kernels.neighbour_loops import BoolArray, RowArray
from halocline.potentials.kernels.site_pairs import RealArray
from halocline.topology import FloatArray, IntArray


class Molecules(NamedTuple):
    """Molecules in the order of their species.

    Attributes:
        species: (n_molecules,) ascending.
        first: (n_molecules,) first atom in the system.
        n_sites: (n_species,).
        end: (n_species,) one more than the last molecule of the species.
        charges: (n_species, largest n_sites), e.
        charged: (n_species, 2) first charged site and one more than the last.
    """

    species: IntArray
    first: IntArray
    n_sites: IntArray
    end: IntArray
    charges: RealArray
    charged: IntArray


class SiteTable(NamedTuple):
    """Interacting pairs of sites of each pair of species (s, t), s <= t: rows ``start[s, t]:stop[s, t]``.

    Attributes:
        own, other: (n_rows,) site in the molecule of species s, and of species t.
        dispersive: (n_rows,) whether there is a Lennard-Jones interaction.
        pair: (n_rows, 4) c12, c6, V_LJ(cut-off), core^2; eV and Å.
        core: (n_rows, 2) where the linear core begins (Å) and the repulsion there (eV/Å), double precision.
        capped: whether there are cores.
        coulomb: eV Å/e^2, or zero.
        field: (10,) 1, 0, cut-off^2, then the Coulomb energy is k q q (1/r + f[3] + f[4] r + f[5] r^2), 2 f[5], 2/cut-off^2, 12, 6.
        polynomial: damping polynomial, highest power first, or empty.
    """

    start: IntArray
    stop: IntArray
    own: IntArray
    other: IntArray
    dispersive: NDArray[np.bool_]
    pair: RealArray
    core: FloatArray
    capped: bool
    coulomb: Any
    field: RealArray
    polynomial: RealArray


class Frame(NamedTuple):
    """One configuration.

    Attributes:
        rows: (n_rows,) selected molecules, ascending.
        fractions: (n_molecules, 4) centre over the edges as integers that wrap around with the box, see :func:`fractions_of`.
        unit: (4,) length of the unit of a fraction, Å.
        weights: (n_molecules,), zero for molecules that are not selected.
        sites: (n_atoms, 3) relative to the centres, Å.
        rule: (3,) the factor of two molecules is rule[0] + rule[1] (w_a + w_b) + rule[2] w_a w_b.
        slope: (2,) a pair of energy U adds (slope[0] + slope[1] w_b) U to what is kept for molecule a.
        square_reach: Å^2, between centres.
        start, neighbours: candidates, see :meth:`NeighbourList.candidates`.
    """

    rows: IntArray
    fractions: Any
    unit: RealArray
    weights: RealArray
    sites: RealArray
    rule: RealArray
    slope: FloatArray
    square_reach: Any
    start: IntArray
    neighbours: RowArray


class Grid(NamedTuple):
    """(3,) edges of a box, Å, the number of integers that span it, and the largest of them that a fraction may become."""

    edges: FloatArray
    span: float
    largest: float


INTEGERS = {np.float32: np.int32, np.float64: np.int64}
"""Integers of the width of the kernel's numbers."""


class Work(NamedTuple):
    """Buffers of each thread: first axis."""

    scratch: RealArray
    near: RowArray
    shift: RealArray
    forces: RealArray
    energies: FloatArray
    capped: IntArray
    energy: FloatArray
    virial: FloatArray


@njit(error_model="numpy", inline="always")
def _fraction(x, c, grid):  # type: ignore[no-untyped-def]
    """Coordinate x along axis c as a fraction of the box, from the smallest to the largest integer."""
    scaled = x / grid.edges[c]
    return min((scaled - np.rint(scaled)) * grid.span, grid.largest)


@njit(error_model="numpy", cache=True)
def place(
    positions: FloatArray, share: FloatArray, molecules: Molecules, order: IntArray, weights: FloatArray, every: bool, grid: Grid,
    points: FloatArray, fractions: Any, sites: RealArray, selected: BoolArray, ordered: RealArray,
) -> float:  # fmt: skip
    """Centres of mass and their fractions, sites relative to them, and which molecules are selected (those with a weight, or ``every``
    one) with their weights.

    The first arrays are those of the system, the last five are filled in the order of ``molecules``.

    Returns:
        The largest squared distance of a site from its centre, Å^2.
    """
    largest = 0.0
    for m in range(len(molecules.first)):
        weight = weights[order[m]]
        ordered[m], selected[m] = weight, every or weight > 0.0
        first = molecules.first[m]
        last = first + molecules.n_sites[molecules.species[m]]
        for c in range(3):
            centre = 0.0
            for atom in range(first, last):
                centre += share[atom] * positions[atom, c]
            points[m, c], fractions[m, c] = centre, _fraction(centre, c, grid)
        fractions[m, 3] = 0
        for atom in range(first, last):
            square = 0.0
            for c in range(3):
                offset = positions[atom, c] - points[m, c]
                sites[atom, c] = offset
                square += offset * offset
            largest = max(largest, square)
    return largest


@njit(error_model="numpy", cache=True)
def collect(work: Work, order: IntArray) -> tuple[float, FloatArray, IntArray, FloatArray]:
    """Sums over threads: energy, forces (n_atoms, 3), and capped pairs and energies (n_molecules,) in the order of the system."""
    n_molecules, n_atoms, energy = len(order), work.forces.shape[1], 0.0
    forces, capped, own = np.zeros((n_atoms, 3)), np.zeros(n_molecules, dtype=np.int64), np.zeros(n_molecules)
    for thread in range(len(work.energy)):
        energy += work.energy[thread]
        on_atoms, counts, energies = work.forces[thread], work.capped[thread], work.energies[thread]
        for atom in range(n_atoms):
            for c in range(3):
                forces[atom, c] += on_atoms[atom, c]
        for m in range(n_molecules):
            capped[order[m]] += counts[m]
            own[order[m]] += energies[m]
    return energy, forces, capped, own


def grid_of(edges: FloatArray, real: type[np.floating]) -> tuple[Grid, RealArray]:
    """How a periodic box of (3,) edges in Å is counted in integers of the width of ``real``, and the (4,) ``unit`` of a :class:`Frame`."""
    bits = 32 if real is np.float32 else 64
    span, unit = 2.0**bits, np.zeros(4, dtype=real)
    unit[:3] = edges / span
    return Grid(np.array(edges, dtype=np.float64), span, 0.5 * span - 1.0 if bits == 32 else float(np.nextafter(0.5 * span, 0.0))), unit


def fractions_of(points: FloatArray, edges: FloatArray, real: type[np.floating]) -> tuple[Any, RealArray]:
    """Points of a periodic box as integers of the width of ``real`` whose range is the box, with a column of zeros, and their unit.

    Args:
        points: (n, 3), Å, wrapped or not.
        edges: (3,), Å.
        real: number type of the kernel.
    """
    fractions, (grid, unit) = np.empty((len(points), 4), dtype=INTEGERS[real]), grid_of(edges, real)
    _fill(points, grid, fractions)
    return fractions, unit


@njit(error_model="numpy", cache=True)
def _fill(points: FloatArray, grid: Grid, fractions: Any) -> None:
    for m in range(len(points)):
        for c in range(3):
            fractions[m, c] = _fraction(points[m, c], c, grid)
        fractions[m, 3] = 0
