"""Site-site interactions of rigid or flexible molecules over a Verlet list of centres of mass.

For each molecule the neighbours that may have a site within the cut-off are picked from the list in ascending order,
their sites are laid out side by side, and the loops of :mod:`site_pairs` run over them. What is picked depends on the
positions alone, not on the age of the list, and rows are dealt out to threads by their number: the same positions,
subset and number of threads give the same bits, whether or not the list was rebuilt in between.

The difference of two centres is taken in double precision; sites are relative to their centres. In single precision a
force is therefore good to about 1e-6 wherever in the box its molecules are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from halocline.potentials.kernels import site_pairs
from halocline.potentials.kernels.dense import FASTMATH
from halocline.potentials.kernels.neighbours import RowArray
from halocline.potentials.kernels.site_pairs import LENGTH, RealArray
from halocline.topology import FloatArray, IntArray

LANES = 8  # the last register is filled up with sites that are
FAR = 1e4  # Å away
_Y, _Z, _FX = np.uint64(LENGTH), np.uint64(2 * LENGTH), np.uint64(3 * LENGTH)
_ENERGY, _FACTOR, _CHARGE = (np.uint64(row * LENGTH) for row in range(6, 9))
_ONE, _LANES = np.uint64(1), np.uint64(LANES)


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


@njit(error_model="numpy", cache=True)
def place(positions: FloatArray, share: FloatArray, molecules: Molecules, points: FloatArray, sites: RealArray) -> float:
    """Centres of mass, and sites relative to them; returns the largest squared distance of a site from its centre."""
    largest = 0.0
    for m in range(len(molecules.first)):
        first = molecules.first[m]
        last = first + molecules.n_sites[molecules.species[m]]
        for c in range(3):
            centre = 0.0
            for atom in range(first, last):
                centre += share[atom] * positions[atom, c]
            points[m, c] = centre
        for atom in range(first, last):
            square = 0.0
            for c in range(3):
                offset = positions[atom, c] - points[m, c]
                sites[atom, c] = offset
                square += offset * offset
            largest = max(largest, square)
    return largest


def fractions_of(points: FloatArray, edges: FloatArray, real: type[np.floating]) -> tuple[Any, RealArray]:
    """Points of a periodic box as integers of the width of ``real`` whose range is the box, with a column of zeros, and their unit.

    Args:
        points: (n, 3), Å, wrapped or not.
        edges: (3,), Å.
        real: number type of the kernel.
    """
    integer = np.int32 if real is np.float32 else np.int64
    span = 2.0 ** np.iinfo(integer).bits
    fractions = np.zeros((len(points), 4), dtype=integer)
    scaled = points / edges
    fractions[:, :3] = ((scaled - np.floor(scaled) - 0.5) * span).astype(integer)
    return fractions, np.append(edges / span, 0.0).astype(real)


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _pick(i: int, frame: Frame, near: RowArray, shift: RealArray) -> np.uint64:
    """Neighbours of molecule i within reach whose factor is not zero: number, index, (n, 4) displacement and factor."""
    fractions, unit, neighbours, weights = frame.fractions, frame.unit, frame.neighbours, frame.weights
    x, y, z = fractions[i, 0], fractions[i, 1], fractions[i, 2]
    ux, uy, uz, square_reach, none = unit[0], unit[1], unit[2], frame.square_reach, unit[3]
    constant, linear = frame.rule[0] + frame.rule[1] * weights[i], frame.rule[1] + frame.rule[2] * weights[i]
    integer, real = fractions.dtype.type, unit.dtype.type
    n = np.uint64(0)
    for k in range(np.uint64(frame.start[i]), np.uint64(frame.start[i + 1])):
        j = np.uint64(neighbours[k])
        # The difference of two integers overflows exactly where the nearest image is another one.
        dx = ux * real(integer(fractions[j, 0] - x))
        dy = uy * real(integer(fractions[j, 1] - y))
        dz = uz * real(integer(fractions[j, 2] - z))
        factor = constant + linear * weights[j]
        # Written without a branch, which the processor could not predict: the next pair overwrites a rejected one.
        near[n] = neighbours[k]
        shift[n, 0], shift[n, 1], shift[n, 2], shift[n, 3] = dx, dy, dz, factor
        n += np.uint64((dx * dx + dy * dy + dz * dz < square_reach) & (factor != none))
    return n


@njit(error_model="numpy", cache=True)
def _gather(
    near: RowArray, shift: RealArray, begin: np.uint64, n: np.uint64, kind: int, molecules: Molecules, sites: RealArray, s: RealArray
) -> np.uint64:
    """Lay out the sites of n neighbours of one species; returns how far first, second and further sites are apart."""
    n_sites, padded = molecules.n_sites[kind], (n + _LANES - _ONE) // _LANES * _LANES
    for k in range(n):
        first, place = np.uint64(molecules.first[np.uint64(near[begin + k])]), k
        dx, dy, dz = shift[begin + k, 0], shift[begin + k, 1], shift[begin + k, 2]
        for atom in range(first, first + np.uint64(n_sites)):
            s[place] = dx + sites[atom, 0]
            s[place + _Y] = dy + sites[atom, 1]
            s[place + _Z] = dz + sites[atom, 2]
            place += padded  # type: ignore[assignment]
        s[k + _FACTOR] = shift[begin + k, 3]
    for b in range(n_sites):
        base, charge = np.uint64(b) * padded, molecules.charges[kind, b]
        for place in range(base + n, base + padded):
            s[place], s[place + _Y], s[place + _Z], s[place + _FACTOR] = FAR, FAR, FAR, 0.0
        for k in range(padded):
            s[base + k + _CHARGE] = charge
            s[base + k + _FACTOR] = s[k + _FACTOR]
    place = np.uint64(n_sites) * padded  # type: ignore[assignment]
    for row in range(3, 7):
        s[row * LENGTH : row * LENGTH + place] = 0.0
    return padded


@njit(error_model="numpy", cache=True)
def _set_cores(s: RealArray, n: int, site: int, low: int, high: int, table: SiteTable) -> None:
    s[9 * LENGTH : 10 * LENGTH] = 0.0
    for row in range(low, high):
        if table.own[row] == site:
            begin = 9 * LENGTH + table.other[row] * n
            s[begin : begin + n] = table.pair[row, 3]


@njit(error_model="numpy", cache=True)
def _interact(
    s: RealArray, n: np.uint64, first: int, n_own: int, kind: int, other: int, molecules: Molecules, table: SiteTable,
    sites: RealArray, on_own: FloatArray, capped: IntArray,
) -> None:  # fmt: skip
    """All pairs of sites of one molecule and some neighbours, n places for each of their sites."""
    low, high = table.start[kind, other], table.stop[kind, other]
    charged = np.uint64(molecules.charged[other, 0]) * n, np.uint64(molecules.charged[other, 1]) * n
    for a in range(n_own):
        x, y, z = sites[first + a, 0], sites[first + a, 1], sites[first + a, 2]
        inner, fx, fy, fz = 0.0, 0.0, 0.0, 0.0
        if table.capped:
            _set_cores(s, n, a, low, high, table)  # type: ignore[arg-type]
        charge = table.coulomb * molecules.charges[kind, a]
        if charge != 0 and charged[1] > charged[0]:
            gx, gy, gz, hits = site_pairs.charges(s, charged[0], charged[1], x, y, z, charge, table.field)
            fx, fy, fz, inner = fx + gx, fy + gy, fz + gz, inner + hits
            if len(table.polynomial) > 0:
                gx, gy, gz = site_pairs.damping(s, charged[0], charged[1], x, y, z, charge, table.field, table.polynomial)
                fx, fy, fz = fx + gx, fy + gy, fz + gz
        for row in range(low, high):
            if table.own[row] == a and table.dispersive[row]:
                begin = np.uint64(table.other[row]) * n
                gx, gy, gz, hits = site_pairs.lennard_jones(
                    s, begin, begin + n, x, y, z, table.pair[row, 0], table.pair[row, 1], table.pair[row, 2], table.field
                )
                fx, fy, fz, inner = fx + gx, fy + gy, fz + gz, inner + hits
        on_own[a, 0], on_own[a, 1], on_own[a, 2] = fx, fy, fz
        if inner > 0:
            for row in range(low, high):
                if table.own[row] == a:
                    core, slope, begin = table.core[row, 0], table.core[row, 1], table.other[row] * n
                    site_pairs.cores(s, int(begin), int(n), x, y, z, table.pair[row, 3], core, slope, on_own[a], capped)


@njit(error_model="numpy", cache=True)
def _scatter(
    near: RowArray, shift: RealArray, begin: np.uint64, n: np.uint64, padded: np.uint64, kind: int, molecules: Molecules, s: RealArray,
    own_weight: float, weights: RealArray, slope: FloatArray, forces: RealArray, energies: FloatArray,
) -> tuple[float, float]:  # fmt: skip
    """Add forces on the neighbours and their shares of the pair energies; returns the share of the molecule, and the scaled energy."""
    n_sites = molecules.n_sites[kind]
    for k in range(n):
        first, place = np.uint64(molecules.first[np.uint64(near[begin + k])]), k + _FX
        for atom in range(first, first + np.uint64(n_sites)):
            forces[atom, 0] += s[place]
            forces[atom, 1] += s[place + _Y]
            forces[atom, 2] += s[place + _Z]
            place += padded
    share, scaled, theirs = 0.0, 0.0, slope[0] + slope[1] * own_weight
    for k in range(n):
        energy, place, j = 0.0, k + _ENERGY, np.uint64(near[begin + k])
        for _ in range(n_sites):
            energy += s[place]
            place += padded
        energies[j] += theirs * energy
        share += (slope[0] + slope[1] * weights[j]) * energy
        scaled += shift[begin + k, 3] * energy
    return share, scaled


@njit(error_model="numpy", cache=True)
def _add_virial(s: RealArray, n: int, first: int, n_own: int, sites: RealArray, on_own: FloatArray, virial: FloatArray) -> None:
    """Sum of (x_j - x_i) outer F_j over pairs of sites, from n sites of neighbours; ``on_own`` is minus the force on the molecule."""
    for c in range(3):
        for d in range(3):
            total = 0.0
            for k in range(n):
                total += np.float64(s[c * LENGTH + k]) * s[(3 + d) * LENGTH + k]
            for a in range(n_own):
                total -= sites[first + a, c] * on_own[a, d]
            virial[c, d] += total


@njit(nogil=True, error_model="numpy", cache=True)
def run(thread: int, n_threads: int, molecules: Molecules, table: SiteTable, frame: Frame, work: Work, with_virial: bool) -> None:
    """The rows of one thread."""
    s, near, shift, forces = work.scratch[thread], work.near[thread], work.shift[thread], work.forces[thread]
    energies, capped, sites = work.energies[thread], work.capped[thread], frame.sites
    weights, slope = frame.weights, frame.slope
    on_own, counts = np.zeros((molecules.n_sites.max(), 3)), np.zeros(LENGTH, dtype=np.int64)
    for row in range(thread, len(frame.rows), n_threads):
        i = frame.rows[row]
        kind, first = molecules.species[i], molecules.first[i]
        n_own = molecules.n_sites[kind]
        found, begin = _pick(i, frame, near, shift), np.uint64(0)
        while begin < found:
            other = molecules.species[near[begin]]
            stop = min(begin + np.uint64(LENGTH // LANES // molecules.n_sites[other] * LANES), found)
            while near[stop - _ONE] >= molecules.end[other]:
                stop -= _ONE
            n = stop - begin
            padded = _gather(near, shift, begin, n, other, molecules, sites, s)
            _interact(s, padded, first, n_own, kind, other, molecules, table, sites, on_own, counts)
            share, scaled = _scatter(
                near, shift, begin, n, padded, other, molecules, s, np.float64(weights[i]), weights, slope, forces, energies
            )
            energies[i] += share
            work.energy[thread] += scaled
            for a in range(n_own):
                for c in range(3):
                    forces[first + a, c] -= on_own[a, c]
            if table.capped:
                for k in range(n):
                    capped[i] += counts[k]
                    capped[near[begin + k]] += counts[k]
                    counts[k] = 0
            if with_virial:
                _add_virial(s, int(padded) * molecules.n_sites[other], first, n_own, sites, on_own, work.virial[thread])
            begin = stop


@njit(parallel=True, error_model="numpy", cache=True)
def run_parallel(n_threads: int, molecules: Molecules, table: SiteTable, frame: Frame, work: Work, with_virial: bool) -> None:
    for thread in prange(n_threads):
        run(thread, n_threads, molecules, table, frame, work, with_virial)
