"""Site-site interactions of rigid or flexible molecules over a Verlet list of centres of mass.

For each molecule the neighbours that may have a site within the cut-off are picked from the list in ascending order,
their sites are laid out side by side, and the loops of :mod:`site_pairs` run over them. What is picked depends on the
positions alone, not on the age of the list, and rows are dealt out to threads by their number: the same positions,
subset and number of threads give the same bits, whether or not the list was rebuilt in between.

The difference of two centres is taken in double precision; sites are relative to their centres. In single precision a
force is therefore good to about 1e-6 wherever in the box its molecules are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from halocline.potentials.kernels import site_pairs
from halocline.potentials.kernels.neighbours import RowArray
from halocline.potentials.kernels.site_pairs import ROWS, WIDTH, RealArray
from halocline.topology import FloatArray, IntArray

LANES = 8  # rows of the scratch are filled up to a multiple of the widest vector register
FAR = 1e4  # Å, where sites are put that only fill up


class Molecules(NamedTuple):
    """Molecules in the order of their species.

    Attributes:
        species: (n_molecules,) ascending.
        first: (n_molecules,) first atom in the system.
        n_sites: (n_species,).
        end: (n_species,) one more than the last molecule of the species.
    """

    species: IntArray
    first: IntArray
    n_sites: IntArray
    end: IntArray


class SiteTable(NamedTuple):
    """Interacting pairs of sites of each pair of species (s, t), s <= t: rows ``start[s, t]:stop[s, t]``.

    Attributes:
        own, other: (n_rows,) site in the molecule of species s, and of species t.
        dispersive: (n_rows,) whether there is a Lennard-Jones interaction.
        pair: (n_rows, 7) c12, c6, V_LJ(cut-off), 12 c12, 6 c6, k q q, core^2; eV and Å.
        core: (n_rows, 2) where the linear core begins (Å) and the repulsion there (eV/Å), double precision.
        field: (8,) 1, 0, cut-off^2, then the Coulomb energy is k q q (1/r + f[3] + f[4] r + f[5] r^2), 2 f[5], 2/cut-off^2.
        polynomial: damping polynomial, highest power first, or empty.
    """

    start: IntArray
    stop: IntArray
    own: IntArray
    other: IntArray
    dispersive: NDArray[np.bool_]
    pair: RealArray
    core: FloatArray
    field: RealArray
    polynomial: RealArray


class Frame(NamedTuple):
    """One configuration.

    Attributes:
        rows: (n_rows,) selected molecules, ascending.
        centres: (3, n_molecules), Å.
        sites: (n_atoms, 3) relative to the centres, Å.
        weights: (n_molecules,); zero for molecules that are not selected.
        rule: (3,) the factor of two molecules is rule[0] + rule[1] (w_a + w_b) + rule[2] w_a w_b.
        edges: (3,), Å.
        reach: Å, between centres.
        start, neighbours: candidates, see :meth:`NeighbourList.candidates`.
    """

    rows: IntArray
    centres: FloatArray
    sites: RealArray
    weights: FloatArray
    rule: FloatArray
    edges: FloatArray
    reach: float
    start: IntArray
    neighbours: RowArray


class Work(NamedTuple):
    """Buffers of each thread: first axis."""

    scratch: RealArray
    near: IntArray
    shift: FloatArray
    forces: FloatArray
    energies: FloatArray
    capped: IntArray
    energy: FloatArray
    virial: FloatArray


@njit(error_model="numpy", cache=True)
def place(
    positions: FloatArray, share: FloatArray, molecules: Molecules, centres: FloatArray, points: FloatArray, sites: RealArray
) -> None:
    """Centres of mass, by component and by molecule, and sites relative to them."""
    for m in range(len(molecules.first)):
        first = molecules.first[m]
        last = first + molecules.n_sites[molecules.species[m]]
        for c in range(3):
            centre = 0.0
            for atom in range(first, last):
                centre += share[atom] * positions[atom, c]
            centres[c, m] = centre
            points[m, c] = centre
            for atom in range(first, last):
                sites[atom, c] = positions[atom, c] - centre


@njit(error_model="numpy", cache=True)
def _pick(i: int, frame: Frame, near: IntArray, shift: FloatArray) -> int:
    """Neighbours of molecule i within reach whose factor is not zero: their number, index, (4, n) displacement and factor."""
    begin, count = frame.start[i], frame.start[i + 1] - frame.start[i]
    listed = frame.neighbours[begin : begin + count]
    x, y, z, weight = frame.centres[0, i], frame.centres[1, i], frame.centres[2, i], frame.weights[i]
    lx, ly, lz = frame.edges
    ix, iy, iz = 1.0 / lx, 1.0 / ly, 1.0 / lz
    constant, linear = frame.rule[0] + frame.rule[1] * weight, frame.rule[1] + frame.rule[2] * weight
    square_reach = frame.reach * frame.reach
    n = 0
    for k in range(count):
        j = listed[k]
        dx, dy, dz = frame.centres[0, j] - x, frame.centres[1, j] - y, frame.centres[2, j] - z
        dx -= lx * np.rint(dx * ix)
        dy -= ly * np.rint(dy * iy)
        dz -= lz * np.rint(dz * iz)
        factor = constant + linear * frame.weights[j]
        # Written without a branch, which the processor could not predict: the next pair overwrites a rejected one.
        near[n] = j
        shift[0, n], shift[1, n], shift[2, n], shift[3, n] = dx, dy, dz, factor
        n += int((dx * dx + dy * dy + dz * dz < square_reach) & (factor != 0.0))
    return n


@njit(error_model="numpy", cache=True)
def _gather(near: IntArray, shift: FloatArray, n: int, n_sites: int, molecules: Molecules, sites: RealArray, s: RealArray) -> int:
    """Lay out the sites of some neighbours; returns their number with the places that only fill up."""
    padded = (n + LANES - 1) // LANES * LANES
    for b in range(n_sites):
        rows = s[b * ROWS * WIDTH : (b + 1) * ROWS * WIDTH]
        for k in range(n):
            atom = molecules.first[near[k]] + b
            for c in range(3):
                rows[c * WIDTH + k] = shift[c, k] + sites[atom, c]
            rows[7 * WIDTH + k] = shift[3, k]
        for k in range(n, padded):
            for c in range(3):
                rows[c * WIDTH + k] = FAR
            rows[7 * WIDTH + k] = 0.0
        for c in range(3, 7):
            rows[c * WIDTH : c * WIDTH + padded] = 0.0
    return padded


@njit(error_model="numpy", cache=True)
def _interact(
    s: RealArray, n: int, own: RealArray, low: int, high: int, table: SiteTable, on_own: FloatArray, capped: IntArray
) -> None:
    """All pairs of sites of one molecule and some of its neighbours."""
    on_own[:] = 0.0
    for row in range(low, high):
        base, length, pair = np.uint64(table.other[row] * ROWS * WIDTH), np.uint64(n), table.pair[row]
        site = own[table.own[row]]
        total = on_own[table.own[row]]
        if table.dispersive[row]:
            fx, fy, fz, inner = site_pairs.lennard_jones(s, base, length, site, pair, table.field)
        else:
            fx, fy, fz, inner = site_pairs.charges(s, base, length, site, pair, table.field)
        total[0] += fx
        total[1] += fy
        total[2] += fz
        if len(table.polynomial) > 0:
            fx, fy, fz = site_pairs.damping(s, base, length, site, pair, table.field, table.polynomial)
            total[0] += fx
            total[1] += fy
            total[2] += fz
        if inner > 0:
            core, slope = table.core[row, 0], table.core[row, 1]
            site_pairs.cores(s, int(base), n, site, pair[6], core, slope, total, capped)


@njit(error_model="numpy", cache=True)
def _scatter(near: IntArray, shift: FloatArray, n: int, n_sites: int, molecules: Molecules, s: RealArray, forces: FloatArray, energies: FloatArray) -> tuple[float, float]:
    """Add forces on the neighbours and half of the pair energies to them; returns the other halves, and the scaled energy."""
    for b in range(n_sites):
        rows = s[b * ROWS * WIDTH : (b + 1) * ROWS * WIDTH]
        for k in range(n):
            atom = molecules.first[near[k]] + b
            for c in range(3):
                forces[atom, c] += rows[(3 + c) * WIDTH + k]
    half, scaled = 0.0, 0.0
    for k in range(n):
        energy = 0.0
        for b in range(n_sites):
            energy += s[(b * ROWS + 6) * WIDTH + k]
        energies[near[k]] += 0.5 * energy
        half += 0.5 * energy
        scaled += shift[3, k] * energy
    return half, scaled


@njit(error_model="numpy", cache=True)
def _add_virial(s: RealArray, n: int, n_sites: int, own: RealArray, on_own: FloatArray, virial: FloatArray) -> None:
    """Sum of (x_j - x_i) outer F_j over the pairs of sites; ``on_own`` is minus the force on the sites of the molecule itself."""
    for c in range(3):
        for d in range(3):
            total = 0.0
            for b in range(n_sites):
                x, f = (b * ROWS + c) * WIDTH, (b * ROWS + 3 + d) * WIDTH
                for k in range(n):
                    total += np.float64(s[x + k]) * s[f + k]
            for a in range(len(own)):
                total -= own[a, c] * on_own[a, d]
            virial[c, d] += total


@njit(nogil=True, error_model="numpy", cache=True)
def run(thread: int, n_threads: int, molecules: Molecules, table: SiteTable, frame: Frame, work: Work, with_virial: bool) -> None:
    """The rows of one thread."""
    s, near, shift, forces = work.scratch[thread], work.near[thread], work.shift[thread], work.forces[thread]
    energies, capped = work.energies[thread], work.capped[thread]
    on_own, counts = np.zeros((molecules.n_sites.max(), 3)), np.zeros(WIDTH, dtype=np.int64)
    for row in range(thread, len(frame.rows), n_threads):
        i = frame.rows[row]
        kind, first = molecules.species[i], molecules.first[i]
        own = frame.sites[first : first + molecules.n_sites[kind]]
        found = _pick(i, frame, near, shift)
        begin = 0
        while begin < found:
            other = molecules.species[near[begin]]
            stop = min(begin + WIDTH, found)
            while near[stop - 1] >= molecules.end[other]:
                stop -= 1
            n, n_sites = stop - begin, molecules.n_sites[other]
            chosen, place = near[begin:stop], shift[:, begin:stop]
            padded = _gather(chosen, place, n, n_sites, molecules, frame.sites, s)
            _interact(s, padded, own, table.start[kind, other], table.stop[kind, other], table, on_own, counts)
            half, scaled = _scatter(chosen, place, n, n_sites, molecules, s, forces, energies)
            energies[i] += half
            work.energy[thread] += scaled
            for a in range(len(own)):
                for c in range(3):
                    forces[first + a, c] -= on_own[a, c]
            for k in range(n):
                capped[i] += counts[k]
                capped[chosen[k]] += counts[k]
                counts[k] = 0
            if with_virial:
                _add_virial(s, n, n_sites, own, on_own, work.virial[thread])
            begin = stop


@njit(parallel=True, error_model="numpy", cache=True)
def run_parallel(n_threads: int, molecules: Molecules, table: SiteTable, frame: Frame, work: Work, with_virial: bool) -> None:
    for thread in prange(n_threads):
        run(thread, n_threads, molecules, table, frame, work, with_virial)
