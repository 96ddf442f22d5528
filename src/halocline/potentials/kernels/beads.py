"""Loops of tabulated pair potentials between centres of mass over a Verlet list.

For each molecule the neighbours within the cut-off are picked from the list in ascending order, then their distances are
worked out side by side, and the table is read for one after the other. What is picked depends on the positions alone, not on
the age of the list: the same positions, weights and number of threads give the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from halocline.potentials.kernels.neighbours import RowArray
from halocline.topology import FloatArray, IntArray


class Table(NamedTuple):
    """Cubic polynomials a + t (b + t (c + t d)), t from 0 to 1, of each interval (n_pairs, n_intervals + 1, 4), eV.

    The last interval begins at the cut-off: a distance just below it may be rounded up.

    ``kinds`` (n_species, n_species) is the pair, ``core`` (n_pairs, 3) where the linear core begins (Å), the energy (eV)
    and dU/dR (eV/Å) there.
    """

    start: float
    spacing: float
    cutoff: float
    coefficients: FloatArray
    kinds: IntArray
    core: FloatArray


class Beads(NamedTuple):
    """One configuration; see :class:`halocline.potentials.kernels.frame.Frame`, whose numbers are wider here."""

    fractions: IntArray
    unit: FloatArray
    weights: FloatArray
    rule: FloatArray
    slope: FloatArray
    species: IntArray
    start: IntArray
    neighbours: RowArray


class Work(NamedTuple):
    """Buffers of each thread: first axis. What is read and written together lies together.

    Attributes:
        near: (n_threads, longest) neighbours.
        shift: (n_threads, longest, 4) displacement and square of the distance, in the end with the pull on it instead.
        radial: (n_threads, 3, longest) distance, its reciprocal, and its place in the table.
        sums: (n_threads, n_molecules, 4) force, and the molecule's share of the energies.
        capped: (n_threads, n_molecules) pairs within their core.
        energy: (n_threads,).
        virial: (n_threads, 3, 3).
    """

    near: RowArray
    shift: FloatArray
    radial: FloatArray
    sums: FloatArray
    capped: IntArray
    energy: FloatArray
    virial: FloatArray


def work_for(n_threads: int, n_molecules: int, longest: int) -> Work:
    """Buffers for lists of at most ``longest`` neighbours of a molecule; one more place takes what is rejected."""
    longest += 1
    return Work(
        np.empty((n_threads, longest), dtype=np.int32), np.empty((n_threads, longest, 4)), np.empty((n_threads, 3, longest)),
        np.zeros((n_threads, n_molecules, 4)), np.zeros((n_threads, n_molecules), dtype=np.int64),
        np.zeros(n_threads), np.zeros((n_threads, 3, 3)),
    )  # fmt: skip


@njit(error_model="numpy", fastmath={"contract"}, inline="always")
def _pick(i, begin, end, square_cutoff, fractions, unit, neighbours, near, shift):  # type: ignore[no-untyped-def]
    """Neighbours of molecule i within the cut-off: number, index, displacement and square of the distance."""
    ux, uy, uz = unit[0], unit[1], unit[2]
    x, y, z = fractions[i, 0], fractions[i, 1], fractions[i, 2]
    n = np.uint64(0)
    for k in range(np.uint64(begin), np.uint64(end)):
        j = np.uint64(neighbours[k])
        # The difference of two integers overflows exactly where the nearest image is another one.
        dx, dy, dz = ux * (fractions[j, 0] - x), uy * (fractions[j, 1] - y), uz * (fractions[j, 2] - z)
        square = dx * dx + dy * dy + dz * dz
        # Written without a branch, which the processor could not predict: the next pair overwrites a rejected one.
        near[n] = neighbours[k]
        shift[n, 0], shift[n, 1], shift[n, 2], shift[n, 3] = dx, dy, dz, square
        n += np.uint64(square < square_cutoff)
    return n


@njit(error_model="numpy", fastmath={"contract"}, inline="always")
def _measure(n, start, inverse, shift, distance, reciprocal, place):  # type: ignore[no-untyped-def]
    """Distances, their reciprocals, and their places in the table, apart from the rest so that they are worked out side by side."""
    for k in range(n):
        r = np.sqrt(shift[k, 3])
        distance[k], reciprocal[k], place[k] = r, 1.0 / r, (r - start) * inverse


@njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def run(thread: int, n_threads: int, table: Table, beads: Beads, work: Work, with_virial: bool) -> None:
    """The rows of one thread."""
    near, shift, radial, sums = work.near[thread], work.shift[thread], work.radial[thread], work.sums[thread]
    capped, virial, inverse = work.capped[thread], work.virial[thread], 1.0 / table.spacing
    distance, reciprocal, places = radial[0], radial[1], radial[2]
    # Arrays that are looked up in a tuple, or passed on, within a loop cost a counted reference each time, over which threads compete.
    kinds, species, cores, cubics, start = table.kinds, beads.species, table.core, table.coefficients, beads.start
    fractions, unit, neighbours = beads.fractions, beads.unit, beads.neighbours
    first_knot, square_cutoff = table.start, table.cutoff * table.cutoff
    weights, slope_0, slope_1 = beads.weights, beads.slope[0], beads.slope[1]
    rule_0, rule_1, rule_2 = beads.rule[0], beads.rule[1], beads.rule[2]
    total = 0.0
    for i in range(thread, len(weights), n_threads):
        constant, linear = rule_0 + rule_1 * weights[i], rule_1 + rule_2 * weights[i]
        if start[i] == start[i + 1] or (constant == 0.0 and linear == 0.0):
            continue
        fx, fy, fz, own, hits = 0.0, 0.0, 0.0, 0.0, 0
        found = _pick(i, start[i], start[i + 1], square_cutoff, fractions, unit, neighbours, near, shift)
        _measure(found, first_knot, inverse, shift, distance, reciprocal, places)
        mine, theirs = species[i], slope_0 + slope_1 * weights[i]
        for k in range(found):
            j = np.uint64(near[k])
            weight = weights[j]
            factor = constant + linear * weight
            if factor == 0.0:
                shift[k, 3] = 0.0
                continue
            kind, r = np.uint64(kinds[mine, np.uint64(species[j])]), distance[k]
            if r < cores[kind, 0]:
                slope = cores[kind, 2]
                energy = cores[kind, 1] + slope * (r - cores[kind, 0])
                hits += 1
                capped[j] += 1
            else:
                knot = np.int64(places[k])
                t, place = places[k] - np.float64(knot), np.uint64(knot)
                a, b, c, d = cubics[kind, place, 0], cubics[kind, place, 1], cubics[kind, place, 2], cubics[kind, place, 3]
                energy = a + t * (b + t * (c + t * d))
                slope = (b + t * (2.0 * c + t * 3.0 * d)) * inverse
            # Two molecules in one place repel each other in no direction.
            pull = -factor * slope * reciprocal[k] if r > 0.0 else 0.0
            dx, dy, dz = pull * shift[k, 0], pull * shift[k, 1], pull * shift[k, 2]
            sums[j, 0] += dx
            sums[j, 1] += dy
            sums[j, 2] += dz
            sums[j, 3] += theirs * energy
            fx += dx
            fy += dy
            fz += dz
            own += (slope_0 + slope_1 * weight) * energy
            total += factor * energy
            shift[k, 3] = pull
        sums[i, 0] -= fx
        sums[i, 1] -= fy
        sums[i, 2] -= fz
        sums[i, 3] += own
        capped[i] += hits
        if with_virial:
            _add_virial(shift, int(found), virial)
    work.energy[thread] = total


@njit(error_model="numpy", cache=True)
def _add_virial(shift: FloatArray, found: int, virial: FloatArray) -> None:
    for c in range(3):
        for d in range(3):
            for pair in range(found):
                virial[c, d] += shift[pair, 3] * shift[pair, c] * shift[pair, d]


@njit(parallel=True, error_model="numpy", cache=True)
def run_parallel(n_threads: int, table: Table, beads: Beads, work: Work, with_virial: bool) -> None:
    """:func:`run` on several threads."""
    for thread in prange(n_threads):
        run(thread, n_threads, table, beads, work, with_virial)
