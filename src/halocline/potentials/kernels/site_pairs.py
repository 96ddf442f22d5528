"""The innermost loops of classical molecules: one site of a molecule with one site of each of its neighbours.

The neighbours' sites lie in a scratch array of rows of ``WIDTH`` numbers, ``ROWS`` rows for each site of the species:

    x, y, z             from the centre of the first molecule, Å
    fx, fy, fz          force on the neighbour, scaled by the factor of the pair of molecules
    energy, factor      unscaled energy of the site pairs so far; factor of the pair of molecules
    t, p, dp            argument, value and slope of the damping polynomial

The loops have no branches, their index is unsigned and all their numbers are of one width, and rows are a fixed
distance apart: that is what LLVM needs to make vector code of them. Pairs beyond the cut-off add exactly zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from halocline.potentials.kernels.dense import FASTMATH

WIDTH, ROWS = 128, 11
RealArray = NDArray[np.floating[Any]]
_Y, _Z, _FX, _FY, _FZ, _ENERGY, _FACTOR, _T, _P, _DP = (np.uint64(WIDTH * row) for row in range(1, ROWS))


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def charges(s: RealArray, base: np.uint64, n: np.uint64, own: RealArray, pair: RealArray, field: RealArray) -> tuple[Any, ...]:
    """Coulomb interaction of a site at ``own`` (3,) with ``n`` sites at ``base``.

    Returns the sum of the forces on the neighbours (three numbers) and the number of pairs within the core.
    """
    x, y, z = own[0], own[1], own[2]
    qq, square_core = pair[5], pair[6]
    one, zero, square_cutoff, constant, linear, quadratic, twice = field[0], field[1], field[2], field[3], field[4], field[5], field[6]
    fx, fy, fz, inner = zero, zero, zero, zero
    for k in range(n):
        i = base + k
        dx, dy, dz = s[i] - x, s[i + _Y] - y, s[i + _Z] - z
        square = dx * dx + dy * dy + dz * dz
        inside = square < square_cutoff
        inner += one if square < square_core else zero
        square = max(square, square_core)
        inverse = one / np.sqrt(square)
        q = qq if inside else zero
        s[i + _ENERGY] += q * (inverse + constant + square * (linear * inverse + quadratic))
        pull = q * s[i + _FACTOR] * (inverse * (inverse * inverse - linear) - twice)
        dx, dy, dz = pull * dx, pull * dy, pull * dz
        s[i + _FX] += dx
        s[i + _FY] += dy
        s[i + _FZ] += dz
        fx += dx
        fy += dy
        fz += dz
    return fx, fy, fz, inner


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def lennard_jones(s: RealArray, base: np.uint64, n: np.uint64, own: RealArray, pair: RealArray, field: RealArray) -> tuple[Any, ...]:
    """Lennard-Jones and Coulomb interaction; otherwise as :func:`charges`."""
    x, y, z = own[0], own[1], own[2]
    c12, c6, shift, twelve_c12, six_c6, qq, square_core = pair[0], pair[1], pair[2], pair[3], pair[4], pair[5], pair[6]
    one, zero, square_cutoff, constant, linear, quadratic, twice = field[0], field[1], field[2], field[3], field[4], field[5], field[6]
    fx, fy, fz, inner = zero, zero, zero, zero
    for k in range(n):
        i = base + k
        dx, dy, dz = s[i] - x, s[i + _Y] - y, s[i + _Z] - z
        square = dx * dx + dy * dy + dz * dz
        inside = square < square_cutoff
        inner += one if square < square_core else zero
        square = max(square, square_core)
        inverse = one / np.sqrt(square)
        inverse2 = inverse * inverse
        inverse6 = inverse2 * inverse2 * inverse2
        coulomb = qq * (inverse + constant + square * (linear * inverse + quadratic))
        energy = inverse6 * (c12 * inverse6 - c6) - shift + coulomb
        slope = inverse6 * inverse2 * (twelve_c12 * inverse6 - six_c6) + qq * (inverse * (inverse2 - linear) - twice)
        s[i + _ENERGY] += energy if inside else zero
        pull = s[i + _FACTOR] * slope if inside else zero
        dx, dy, dz = pull * dx, pull * dy, pull * dz
        s[i + _FX] += dx
        s[i + _FY] += dy
        s[i + _FZ] += dz
        fx += dx
        fy += dy
        fz += dz
    return fx, fy, fz, inner


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def damping(
    s: RealArray, base: np.uint64, n: np.uint64, own: RealArray, pair: RealArray, field: RealArray, polynomial: RealArray
) -> tuple[Any, ...]:
    """The smooth part -erf(a r)/r of a damped Coulomb interaction: a polynomial in t = 2 (r/cut-off)^2 - 1, highest power first.

    Returns the sum of the forces on the neighbours.
    """
    x, y, z = own[0], own[1], own[2]
    qq, square_core = pair[5], pair[6]
    one, zero, square_cutoff, scale = field[0], field[1], field[2], field[7]
    for k in range(n):
        i = base + k
        dx, dy, dz = s[i] - x, s[i + _Y] - y, s[i + _Z] - z
        square = dx * dx + dy * dy + dz * dz
        s[i + _T] = min(max(square, square_core), square_cutoff) * scale - one
        s[i + _P] = zero
        s[i + _DP] = zero
    for power in range(len(polynomial)):
        coefficient = polynomial[power]
        for k in range(n):
            i = base + k
            t, p = s[i + _T], s[i + _P]
            s[i + _DP] = s[i + _DP] * t + p
            s[i + _P] = p * t + coefficient
    fx, fy, fz = zero, zero, zero
    for k in range(n):
        i = base + k
        dx, dy, dz = s[i] - x, s[i + _Y] - y, s[i + _Z] - z
        q = qq if dx * dx + dy * dy + dz * dz < square_cutoff else zero
        s[i + _ENERGY] += q * s[i + _P]
        pull = -(scale + scale) * q * s[i + _FACTOR] * s[i + _DP]
        dx, dy, dz = pull * dx, pull * dy, pull * dz
        s[i + _FX] += dx
        s[i + _FY] += dy
        s[i + _FZ] += dz
        fx += dx
        fy += dy
        fz += dz
    return fx, fy, fz


@njit(error_model="numpy", cache=True)
def cores(
    s: RealArray, base: int, n: int, own: RealArray, square_core: float, core: float, slope: float, total: RealArray, capped: NDArray[np.int64]
) -> None:
    """Below the core the loops above used its rim: replace force slope/core * d by slope * d/|d|, and let the energy rise linearly.

    Args:
        core, slope: Å and eV/Å, distance of the rim and the force there, positive where it is repulsive.
        total: (3,) sum of the forces on the neighbours, corrected in place.
        capped: (n,) counts of capped pairs by neighbour.
    """
    for k in range(n):
        dx, dy, dz = s[base + k] - own[0], s[base + WIDTH + k] - own[1], s[base + 2 * WIDTH + k] - own[2]
        square = dx * dx + dy * dy + dz * dz
        if square < square_core:
            capped[k] += 1
            distance = np.sqrt(np.float64(square))
            s[base + 6 * WIDTH + k] += slope * (core - distance)
            # Two sites at one point push each other in no direction.
            change = slope * (1.0 / distance - 1.0 / core) * s[base + 7 * WIDTH + k] if distance > 0 else 0.0
            s[base + 3 * WIDTH + k] += change * dx
            s[base + 4 * WIDTH + k] += change * dy
            s[base + 5 * WIDTH + k] += change * dz
            total[0] += change * dx
            total[1] += change * dy
            total[2] += change * dz
