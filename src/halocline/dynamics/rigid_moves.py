"""Compiled loops of the rigid integrator: kick, flight and thermostat.

Molecules have modes (:mod:`halocline.dynamics.rigid_modes`). They are worked on in blocks of fixed size and draw numbers that
depend on the atom and the step alone, so the number of threads changes no bit.

Arguments of all loops, for n atoms, m molecules and s species:

    x, v, f            (n, 3) Å, Å/fs, eV/Å         masses, inverse    (n,) amu, 1/amu
    offsets            (m + 1,) first atoms         molecule_masses    (m,) amu
    modes              (m,) int8                    kinds              (m,) species
    corners            (s, 3) apex and base sites   triangles          (s, TRIANGLE_PARAMETERS)
"""

from __future__ import annotations

import numba
import numpy as np

from halocline.dynamics.constraints import LANES, fly_body, fly_triangles, project_body, project_triangle, tidy_body
from halocline.dynamics.noise import normal, stream_keys
from halocline.dynamics.rigid_modes import BODY, POINT, TRIANGLE, energy_of

BLOCK = LANES
THERMOSTAT = np.uint64(0)
_FOUR = np.int64(4)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _add_product(out, a, b, first, last):  # type: ignore[no-untyped-def]
    """out += a b. Slices that start at zero tell the compiler that no index is negative, so that it makes vectors."""
    part, left, right = out[first:last], a[first:last], b[first:last]
    for i in range(len(part)):
        part[i] += left[i] * right[i]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _add_scaled(out, factor, a, first, last):  # type: ignore[no-untyped-def]
    """out += factor a."""
    part, left = out[first:last], a[first:last]
    for i in range(len(part)):
        part[i] += factor * left[i]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _kick_point(v, f, scale, first, last):  # type: ignore[no-untyped-def]
    """The sum of the forces moves all atoms alike."""
    fx = fy = fz = 0.0
    for i in range(first, last):
        fx += f[i, 0]
        fy += f[i, 1]
        fz += f[i, 2]
    vx, vy, vz = v[first, 0] + scale * fx, v[first, 1] + scale * fy, v[first, 2] + scale * fz
    for i in range(first, last):
        v[i, 0], v[i, 1], v[i, 2] = vx, vy, vz


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _kick_block(block, x, v, f, speed, force, rate, point_rate, offsets, modes, kinds, masses, corners, triangles):  # type: ignore[no-untyped-def]
    """B; ``speed``, ``force`` and ``rate`` (time over mass) are (3 n,), ``point_rate`` is (m,)."""
    begin, end = block * BLOCK, min((block + 1) * BLOCK, len(modes))
    # Neighbours in memory are kicked together as one run of numbers, up to the next point.
    run = begin
    for m in range(begin, end + 1):
        if m == end or modes[m] == POINT:
            _add_product(speed, rate, force, 3 * offsets[run], 3 * offsets[m])
            run = m + 1
            if m < end:
                _kick_point(v, f, point_rate[m], offsets[m], offsets[run])
    for m in range(begin, end):
        first, mode = offsets[m], modes[m]
        if mode == TRIANGLE:
            s = kinds[m]
            project_triangle(x, v, first + corners[s, 0], first + corners[s, 1], first + corners[s, 2], triangles[s])
        elif mode == BODY:
            project_body(x, v, masses, first, offsets[m + 1])


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _fly_triangles(begin, end, s, x, v, h, offsets, modes, kinds, corners, row, lanes, molecules):  # type: ignore[no-untyped-def]
    """Velocities after A, and positions such that free flight with them ends where A does, for the awake triangles of species s."""
    count = 0
    for m in range(begin, end):
        if modes[m] == TRIANGLE and kinds[m] == s:
            a, b, c = offsets[m] + corners[0], offsets[m] + corners[1], offsets[m] + corners[2]
            for k in range(3):
                lanes[k * LANES + count] = x[b, k] - x[a, k]
                lanes[(k + 3) * LANES + count] = x[c, k] - x[a, k]
                lanes[(k + 6) * LANES + count] = v[b, k] - v[a, k]
                lanes[(k + 9) * LANES + count] = v[c, k] - v[a, k]
            molecules[count] = m
            count += 1
    fly_triangles(lanes, count, h, row)
    ratio = row[4]
    for n in range(count):
        m = molecules[n]
        a, b, c = offsets[m] + corners[0], offsets[m] + corners[1], offsets[m] + corners[2]
        for k in range(3):
            p, q = lanes[(k + 6) * LANES + n], lanes[(k + 9) * LANES + n]
            dx, dy = lanes[k * LANES + n] - h * p, lanes[(k + 3) * LANES + n] - h * q
            v[a, k] -= ratio * (p + q)
            v[b, k] += p
            v[c, k] += q
            x[a, k] -= ratio * (dx + dy)
            x[b, k] += dx
            x[c, k] += dy


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _fly_block(block, x, v, path, speed, h, offsets, modes, kinds, masses, inverse, corners, triangles, sites, lengths, starts):  # type: ignore[no-untyped-def]
    """A; ``path`` and ``speed`` are (3 n,) views of x and v. Returns how many molecules have no finite position any more."""
    begin, end = block * BLOCK, min((block + 1) * BLOCK, len(modes))
    awake = 0
    for m in range(begin, end):
        awake += modes[m] == TRIANGLE
    if awake > 0:
        lanes, molecules = np.empty(12 * LANES), np.empty(LANES, np.int64)
        for s in range(len(triangles)):
            if triangles[s, 0] > 0.0:
                _fly_triangles(begin, end, s, x, v, h, offsets, modes, kinds, corners[s], triangles[s], lanes, molecules)
    # Neighbours in memory fly together as one run of numbers, up to the next body.
    run = begin
    for m in range(begin, end + 1):
        if m == end or modes[m] == BODY:
            _add_scaled(path, h, speed, 3 * offsets[run], 3 * offsets[m])
            run = m + 1
            if m < end:
                first, s = offsets[m], kinds[m]
                fly_body(x, v, masses, first, offsets[run], h)
                tidy_body(x, inverse, first, sites[starts[s] : starts[s + 1]], lengths[starts[s] : starts[s + 1]])
    lost = 0
    for m in range(begin, end):
        total = x[offsets[m], 0] + x[offsets[m], 1] + x[offsets[m], 2]
        lost += total - total != 0.0
    return lost


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _damp_block(  # type: ignore[no-untyped-def]
    block, x, v, work, seed, step, speeds, point_speeds, decay, noise, offsets, modes, kinds, masses, molecule_masses, corners, triangles
):
    """O with v <- decay v + noise speed xi, for the (n,) thermal speeds of atoms or (m,) of points; writes the (m,) work in eV."""
    key, second = stream_keys(seed, THERMOSTAT, step)
    for m in range(block * BLOCK, min((block + 1) * BLOCK, len(modes))):
        if noise[m] == 0.0:
            work[m] = 0.0
            continue
        first, last, mode = offsets[m], offsets[m + 1], modes[m]
        before = energy_of(v, first, last, mode, masses, molecule_masses[m])
        c1 = decay[m]
        if mode == POINT:
            c2, counter = noise[m] * point_speeds[m], _FOUR * first
            vx = c1 * v[first, 0] + c2 * normal(np.uint64(counter), key, second)
            vy = c1 * v[first, 1] + c2 * normal(np.uint64(counter + 1), key, second)
            vz = c1 * v[first, 2] + c2 * normal(np.uint64(counter + 2), key, second)
            for i in range(first, last):
                v[i, 0], v[i, 1], v[i, 2] = vx, vy, vz
        else:
            for i in range(first, last):
                c2, counter = noise[m] * speeds[i], _FOUR * i
                v[i, 0] = c1 * v[i, 0] + c2 * normal(np.uint64(counter), key, second)
                v[i, 1] = c1 * v[i, 1] + c2 * normal(np.uint64(counter + 1), key, second)
                v[i, 2] = c1 * v[i, 2] + c2 * normal(np.uint64(counter + 2), key, second)
            if mode == TRIANGLE:
                s = kinds[m]
                project_triangle(x, v, first + corners[s, 0], first + corners[s, 1], first + corners[s, 2], triangles[s])
            elif mode == BODY:
                project_body(x, v, masses, first, last)
        work[m] = energy_of(v, first, last, mode, masses, molecule_masses[m]) - before


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def kick(blocks, *arguments):  # type: ignore[no-untyped-def]
    """B; see :func:`_kick_block`."""
    for block in range(blocks):
        _kick_block(block, *arguments)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, parallel=True)
def kick_threaded(blocks, *arguments):  # type: ignore[no-untyped-def]
    """:func:`kick` on several threads."""
    for block in numba.prange(blocks):
        _kick_block(block, *arguments)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def fly(blocks, *arguments):  # type: ignore[no-untyped-def]
    """A; returns how many molecules were lost."""
    lost = 0
    for block in range(blocks):
        lost += _fly_block(block, *arguments)
    return lost


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, parallel=True)
def fly_threaded(blocks, *arguments):  # type: ignore[no-untyped-def]
    """:func:`fly` on several threads."""
    lost = 0
    for block in numba.prange(blocks):
        lost += _fly_block(block, *arguments)
    return lost


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def damp(blocks, *arguments):  # type: ignore[no-untyped-def]
    """O; see :func:`_damp_block`."""
    for block in range(blocks):
        _damp_block(block, *arguments)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, parallel=True)
def damp_threaded(blocks, *arguments):  # type: ignore[no-untyped-def]
    """:func:`damp` on several threads."""
    for block in numba.prange(blocks):
        _damp_block(block, *arguments)
