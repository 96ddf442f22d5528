"""Site-site interactions of rigid or flexible molecules over a Verlet list of centres of mass.

For each molecule the neighbours that may have a site within the cut-off are picked from the list in ascending order,
their sites are laid out side by side, and the loops of :mod:`site_pairs` run over them. What is picked depends on the
positions alone, not on the age of the list, and rows are dealt out to threads by their number: the same positions,
subset and number of threads give the same bits, whether or not the list was rebuilt in between.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from halocline.potentials.kernels import site_pairs
from halocline.potentials.kernels.dense import FASTMATH
from halocline.potentials.kernels.frame import Frame, Molecules, SiteTable, Work
from halocline.potentials.kernels.site_pairs import LENGTH

LANES = 8  # the last register is filled up with sites that are
FAR = 1e4  # Å away
LARGEST = LENGTH // LANES
"""Most sites of a molecule: one register of each must fit into a row of the scratch array."""
_Y, _Z, _FX = np.uint64(LENGTH), np.uint64(2 * LENGTH), np.uint64(3 * LENGTH)
_ENERGY, _FACTOR, _CHARGE = (np.uint64(row * LENGTH) for row in range(6, 9))
_ONE, _LANES = np.uint64(1), np.uint64(LANES)


# Arrays that are looked up in a tuple, or passed on, within a loop cost a counted reference each time, over which threads compete:
# everything down to the loops over sites is one function for the compiler, and it looks up its arrays once.


@njit(fastmath=FASTMATH, error_model="numpy", inline="always")
def _pick(i, begin, end, fractions, unit, neighbours, weights, rule, square_reach, near, shift):  # type: ignore[no-untyped-def]
    """Neighbours of molecule i within reach whose factor is not zero: number, index, (n, 4) displacement and factor."""
    x, y, z = fractions[i, 0], fractions[i, 1], fractions[i, 2]
    ux, uy, uz, none = unit[0], unit[1], unit[2], unit[3]
    constant, linear = rule[0] + rule[1] * weights[i], rule[1] + rule[2] * weights[i]
    integer, real = fractions.dtype.type, unit.dtype.type
    n = np.uint64(0)
    for k in range(np.uint64(begin), np.uint64(end)):
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


@njit(error_model="numpy", inline="always")
def _gather(near, shift, begin, n, n_sites, first, charges, sites, s):  # type: ignore[no-untyped-def]
    """Lay out the sites of n neighbours of one species, with these charges; returns how far first, second and further sites are apart."""
    padded = (n + _LANES - _ONE) // _LANES * _LANES
    for k in range(n):
        atom, place = np.uint64(first[np.uint64(near[begin + k])]), k
        dx, dy, dz = shift[begin + k, 0], shift[begin + k, 1], shift[begin + k, 2]
        for a in range(atom, atom + np.uint64(n_sites)):
            s[place] = dx + sites[a, 0]
            s[place + _Y] = dy + sites[a, 1]
            s[place + _Z] = dz + sites[a, 2]
            place += padded
        s[k + _FACTOR] = shift[begin + k, 3]
    for b in range(n_sites):
        base, charge = np.uint64(b) * padded, charges[b]
        for place in range(base + n, base + padded):
            s[place], s[place + _Y], s[place + _Z], s[place + _FACTOR] = FAR, FAR, FAR, 0.0
        for k in range(padded):
            s[base + k + _CHARGE] = charge
            s[base + k + _FACTOR] = s[k + _FACTOR]
    place = np.uint64(n_sites) * padded
    for row in range(3, 7):
        for k in range(place):
            s[np.uint64(row * LENGTH) + k] = 0.0
    return padded


@njit(error_model="numpy", inline="always")
def _set_cores(s, n, site, low, high, own, other, pair):  # type: ignore[no-untyped-def]
    s[9 * LENGTH : 10 * LENGTH] = 0.0
    for row in range(low, high):
        if own[row] == site:
            begin = 9 * LENGTH + other[row] * n
            s[begin : begin + n] = pair[row, 3]


@njit(error_model="numpy", inline="always")
def _interact(  # type: ignore[no-untyped-def]
    s, n, first, n_own, charges, charged_0, charged_1, low, high, own, other, dispersive, pair, core, with_cores, coulomb, field,
    polynomial, sites, on_own, capped
):  # fmt: skip
    """All pairs of sites of one molecule, with these charges, and some neighbours, n places for each of their sites."""
    for a in range(n_own):
        x, y, z = sites[first + a, 0], sites[first + a, 1], sites[first + a, 2]
        inner, fx, fy, fz = 0.0, 0.0, 0.0, 0.0
        if with_cores:
            _set_cores(s, int(n), a, low, high, own, other, pair)
        charge = coulomb * charges[a]
        if charge != 0 and charged_1 > charged_0:
            gx, gy, gz, hits = site_pairs.charges(s, charged_0, charged_1, x, y, z, charge, field)
            fx, fy, fz, inner = fx + gx, fy + gy, fz + gz, inner + hits
            if len(polynomial) > 0:
                gx, gy, gz = site_pairs.damping(s, charged_0, charged_1, x, y, z, charge, field, polynomial)
                fx, fy, fz = fx + gx, fy + gy, fz + gz
        for row in range(low, high):
            if own[row] == a and dispersive[row]:
                begin = np.uint64(other[row]) * n
                gx, gy, gz, hits = site_pairs.lennard_jones(s, begin, begin + n, x, y, z, pair[row, 0], pair[row, 1], pair[row, 2], field)
                fx, fy, fz, inner = fx + gx, fy + gy, fz + gz, inner + hits
        on_own[a, 0], on_own[a, 1], on_own[a, 2] = fx, fy, fz
        if inner > 0:
            for row in range(low, high):
                if own[row] == a:
                    place = other[row] * int(n)
                    site_pairs.cores(s, place, int(n), x, y, z, pair[row, 3], core[row, 0], core[row, 1], on_own[a], capped)


@njit(error_model="numpy", inline="always")
def _scatter(near, shift, begin, n, padded, n_sites, first, s, own_weight, weights, slope, forces, energies):  # type: ignore[no-untyped-def]
    """Add forces on the neighbours and their shares of the pair energies; returns the share of the molecule, and the scaled energy."""
    share, scaled, theirs = 0.0, 0.0, slope[0] + slope[1] * own_weight
    for k in range(n):
        j, place, energy = np.uint64(near[begin + k]), k + _FX, 0.0
        atom = np.uint64(first[j])
        for a in range(atom, atom + np.uint64(n_sites)):
            forces[a, 0] += s[place]
            forces[a, 1] += s[place + _Y]
            forces[a, 2] += s[place + _Z]
            energy += s[place + _ENERGY - _FX]
            place += padded
        energies[j] += theirs * energy
        share += (slope[0] + slope[1] * weights[j]) * energy
        scaled += shift[begin + k, 3] * energy
    return share, scaled


@njit(error_model="numpy", inline="always")
def _add_virial(s, n, first, n_own, sites, on_own, virial):  # type: ignore[no-untyped-def]
    """Sum of (x_j - x_i) outer F_j over pairs of sites, from n sites of neighbours; ``on_own`` is minus the force on the molecule."""
    for c in range(3):
        for d in range(3):
            total = 0.0
            for k in range(n):
                total += np.float64(s[c * LENGTH + k]) * s[(3 + d) * LENGTH + k]
            for a in range(n_own):
                total -= sites[first + a, c] * on_own[a, d]
            virial[c, d] += total


@njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=True)
def run(thread: int, n_threads: int, molecules: Molecules, table: SiteTable, frame: Frame, work: Work, with_virial: bool) -> None:
    """The rows of one thread."""
    s, near, shift, forces = work.scratch[thread], work.near[thread], work.shift[thread], work.forces[thread]
    energies, capped, virial = work.energies[thread], work.capped[thread], work.virial[thread]
    species, firsts, sizes, ends = molecules.species, molecules.first, molecules.n_sites, molecules.end
    charges, charged = molecules.charges, molecules.charged
    starts, stops, own, other, dispersive = table.start, table.stop, table.own, table.other, table.dispersive
    pair, core, with_cores, coulomb, field, polynomial = table.pair, table.core, table.capped, table.coulomb, table.field, table.polynomial
    rows, fractions, unit, weights, sites = frame.rows, frame.fractions, frame.unit, frame.weights, frame.sites
    rule, slope, square_reach, start, neighbours = frame.rule, frame.slope, frame.square_reach, frame.start, frame.neighbours
    on_own, counts, total = np.zeros((sizes.max(), 3)), np.zeros(LENGTH, dtype=np.int64), 0.0
    for row in range(thread, len(rows), n_threads):
        i = rows[row]
        kind, first = species[i], firsts[i]
        n_own, own_energy = sizes[kind], 0.0
        found = _pick(i, start[i], start[i + 1], fractions, unit, neighbours, weights, rule, square_reach, near, shift)
        begin = np.uint64(0)
        while begin < found:
            their = species[near[begin]]
            stop = min(begin + np.uint64(LENGTH // LANES // sizes[their] * LANES), found)
            while near[stop - _ONE] >= ends[their]:
                stop -= _ONE
            n = stop - begin
            padded = _gather(near, shift, begin, n, sizes[their], firsts, charges[their], sites, s)
            charged_0, charged_1 = np.uint64(charged[their, 0]) * padded, np.uint64(charged[their, 1]) * padded
            _interact(
                s, padded, first, n_own, charges[kind], charged_0, charged_1, starts[kind, their], stops[kind, their], own, other,
                dispersive, pair, core, with_cores, coulomb, field, polynomial, sites, on_own, counts,
            )  # fmt: skip
            share, scaled = _scatter(
                near, shift, begin, n, padded, sizes[their], firsts, s, np.float64(weights[i]), weights, slope, forces, energies
            )
            own_energy += share
            total += scaled
            for a in range(n_own):
                for c in range(3):
                    forces[first + a, c] -= on_own[a, c]
            if with_cores:
                for k in range(n):
                    capped[i] += counts[k]
                    capped[near[begin + k]] += counts[k]
                    counts[k] = 0
            if with_virial:
                _add_virial(s, int(padded) * sizes[their], first, n_own, sites, on_own, virial)
            begin = stop
        energies[i] += own_energy
    work.energy[thread] = total


@njit(parallel=True, error_model="numpy", cache=True)
def run_parallel(n_threads: int, molecules: Molecules, table: SiteTable, frame: Frame, work: Work, with_virial: bool) -> None:
    for thread in prange(n_threads):
        run(thread, n_threads, molecules, table, frame, work, with_virial)
