"""Lennard-Jones interactions of molecules that are one neutral site each, over a Verlet list.

With one pair of sites for a pair of molecules, laying out the neighbours of each molecule (:mod:`molecular`) costs more than the
interaction. Here the pairs of many molecules are gathered in one batch, worked out side by side, and handed back one by one. A
pair beyond the cut-off adds exactly zero, and sums are taken in the order of the list, which is ascending: the same positions,
subset and number of threads give the same bits, whether or not the list was rebuilt in between.

A batch is kept in rows of a scratch array, ``LENGTH`` numbers apart (see :mod:`site_pairs`): factor of the pair, its force on
the second molecule (x, y, z; eV/Å), and its energy without the factor (eV).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from halocline.potentials.kernels.dense import FASTMATH
from halocline.potentials.kernels.frame import Frame, Molecules, SiteTable, Work
from halocline.potentials.kernels.site_pairs import LENGTH

_X, _Y, _Z, _ENERGY = (np.uint64(row * LENGTH) for row in range(1, 5))
_ZERO, _ONE, _LENGTH = np.uint64(0), np.uint64(1), np.uint64(LENGTH)
# No reassociation of sums over pairs: a pair that adds zero must not change how the others are summed.
_CONTRACT = {"contract"}


@njit(error_model="numpy", fastmath=_CONTRACT, inline="always")
def _gather(i, first, n, begin, neighbours, fractions, weights, rule, s, near, steps):  # type: ignore[no-untyped-def]
    """Take n neighbours of molecule i from the list into the places from ``begin`` on."""
    x, y, z = fractions[i, 0], fractions[i, 1], fractions[i, 2]
    constant, linear = rule[0] + rule[1] * weights[i], rule[1] + rule[2] * weights[i]
    for k in range(n):
        j, place = np.uint64(neighbours[first + k]), begin + k
        near[place] = j
        steps[0, place], steps[1, place], steps[2, place] = fractions[j, 0] - x, fractions[j, 1] - y, fractions[j, 2] - z
        s[place] = constant + linear * weights[j]


@njit(error_model="numpy", fastmath=FASTMATH, cache=True)
def _interact(n, steps_x, steps_y, steps_z, unit, c12, c6, shift, square_core, field, s):  # type: ignore[no-untyped-def]
    """Forces and energies of n pairs; returns how many are within their core."""
    ux, uy, uz = unit[0], unit[1], unit[2]
    one, zero, square_cutoff, twelve_c12, six_c6 = field[0], field[1], field[2], field[8] * c12, field[9] * c6
    real, inner = unit.dtype.type, zero
    for k in range(n):
        # The difference of two integers overflowed exactly where the nearest image is another one.
        dx, dy, dz = ux * real(steps_x[k]), uy * real(steps_y[k]), uz * real(steps_z[k])
        square, factor = dx * dx + dy * dy + dz * dz, s[k]
        inside = (square < square_cutoff) & (factor != zero)
        inner += one if inside & (square < square_core) else zero
        inverse2 = one / (square if square > square_core else square_core)
        inverse6 = inverse2 * inverse2 * inverse2
        energy = inverse6 * (c12 * inverse6 - c6) - shift
        pull = factor * inverse6 * inverse2 * (twelve_c12 * inverse6 - six_c6)
        pull = pull if inside else zero
        s[k + _X] = pull * dx
        s[k + _Y] = pull * dy
        s[k + _Z] = pull * dz
        s[k + _ENERGY] = energy if inside else zero
    return inner


@njit(error_model="numpy", inline="always")
def _cap(i, begin, end, near, steps, unit, square_core, core, slope, s, capped):  # type: ignore[no-untyped-def]
    """Below the core :func:`_interact` used its rim: there the force has the same size, and the energy rises linearly."""
    real = unit.dtype.type
    for k in range(begin, end):
        dx, dy, dz = unit[0] * real(steps[0, k]), unit[1] * real(steps[1, k]), unit[2] * real(steps[2, k])
        square = dx * dx + dy * dy + dz * dz
        if square < square_core and s[k] != 0:
            capped[i] += 1
            capped[near[k]] += 1
            distance = np.sqrt(np.float64(square))
            # Two sites at one point push each other in no direction.
            pull = s[k] * slope / distance if distance > 0.0 else 0.0
            s[k + _X], s[k + _Y], s[k + _Z] = pull * dx, pull * dy, pull * dz
            s[k + _ENERGY] += slope * (core - distance)


@njit(error_model="numpy", fastmath=_CONTRACT, inline="always")
def _scatter(i, begin, end, near, atoms, weights, slope, s, forces, energies):  # type: ignore[no-untyped-def]
    """Add forces and shares of the energies of the pairs of molecule i; returns the sum of the scaled energies."""
    atom, total, slope_0, slope_1 = np.uint64(atoms[i]), 0.0, slope[0], slope[1]
    theirs, own = slope_0 + slope_1 * np.float64(weights[i]), energies[i]
    fx, fy, fz = forces[atom, 0], forces[atom, 1], forces[atom, 2]
    for k in range(begin, end):
        j, px, py, pz, energy = near[k], s[k + _X], s[k + _Y], s[k + _Z], np.float64(s[k + _ENERGY])
        other = np.uint64(atoms[j])
        forces[other, 0] += px
        forces[other, 1] += py
        forces[other, 2] += pz
        fx -= px
        fy -= py
        fz -= pz
        energies[j] += theirs * energy
        own += (slope_0 + slope_1 * np.float64(weights[j])) * energy
        total += np.float64(s[k]) * energy
    forces[atom, 0], forces[atom, 1], forces[atom, 2] = fx, fy, fz
    energies[i] = own
    return total


@njit(error_model="numpy", inline="always")
def _add_virial(n, steps, unit, s, virial):  # type: ignore[no-untyped-def]
    """Sum of r outer F over n pairs."""
    for c in range(3):
        for d in range(3):
            total = 0.0
            for k in range(n):
                total += np.float64(unit[c]) * steps[c, k] * s[(1 + d) * LENGTH + k]
            virial[c, d] += total


@njit(nogil=True, error_model="numpy", fastmath=_CONTRACT, cache=True)
def run(thread: int, n_threads: int, molecules: Molecules, table: SiteTable, frame: Frame, work: Work, with_virial: bool) -> None:
    """The rows of one thread; arguments are those of :func:`molecular.run`."""
    s, forces, energies = work.scratch[thread], work.forces[thread], work.energies[thread]
    capped, virial = work.capped[thread], work.virial[thread]
    species, atoms, ends, starts, stops = molecules.species, molecules.first, molecules.end, table.start, table.stop
    pair, core, field, slope, rule = table.pair, table.core, table.field, frame.slope, frame.rule
    rows, start, neighbours = frame.rows, frame.start, frame.neighbours
    fractions, weights, unit = frame.fractions, frame.weights, frame.unit
    near, steps = np.empty(LENGTH, dtype=np.uint64), np.empty((3, LENGTH), dtype=fractions.dtype)
    steps_x, steps_y, steps_z = steps[0], steps[1], steps[2]
    members, bounds = np.empty(LENGTH, dtype=np.int64), np.zeros(LENGTH + 1, dtype=np.uint64)
    total, row, done, filled, n_parts, kind = 0.0, np.int64(thread), np.int64(0), _ZERO, 0, -1
    while row < len(rows) or filled > _ZERO:
        # The next neighbours of one species of the molecule whose turn it is; none at the end.
        parameters, n, first = -1, _ZERO, _ZERO
        if row < len(rows):
            i = rows[row]
            first, end = np.uint64(start[i] + done), np.uint64(start[i + 1])
            if first == end:
                row, done = row + n_threads, np.int64(0)
                continue
            their = species[neighbours[first]]
            while neighbours[end - _ONE] >= ends[their]:
                end -= _ONE
            n, parameters = min(end - first, _LENGTH), starts[species[i], their]
            if parameters == stops[species[i], their]:
                done += np.int64(n)
                continue
        if filled > _ZERO and (filled + n > _LENGTH or parameters != kind):
            c12, c6, shift, square_core = pair[kind, 0], pair[kind, 1], pair[kind, 2], pair[kind, 3]
            inner = _interact(filled, steps_x, steps_y, steps_z, unit, c12, c6, shift, square_core, field, s)
            for part in range(n_parts):
                member, begin, stop = members[part], bounds[part], bounds[part + 1]
                if inner > 0:
                    _cap(member, begin, stop, near, steps, unit, square_core, core[kind, 0], core[kind, 1], s, capped)
                total += _scatter(member, begin, stop, near, atoms, weights, slope, s, forces, energies)
            if with_virial:
                _add_virial(int(filled), steps, unit, s, virial)
            filled, n_parts = _ZERO, 0
        if n > _ZERO:
            i = rows[row]
            _gather(i, first, n, filled, neighbours, fractions, weights, rule, s, near, steps)
            kind, members[n_parts], filled, done = parameters, i, filled + n, done + np.int64(n)
            n_parts += 1
            bounds[n_parts] = filled
    work.energy[thread] = total


@njit(parallel=True, error_model="numpy", cache=True)
def run_parallel(n_threads: int, molecules: Molecules, table: SiteTable, frame: Frame, work: Work, with_virial: bool) -> None:
    """:func:`run` on several threads."""
    for thread in prange(n_threads):
        run(thread, n_threads, molecules, table, frame, work, with_virial)
