"""The innermost loops of classical molecules: one site of a molecule with the sites of its neighbours, side by side.

The neighbours' sites lie in rows of a scratch array, ``LENGTH`` numbers apart; the first sites of all neighbours come
first, then their second sites, and so on:

    x, y, z             from the centre of the first molecule, Å
    fx, fy, fz          force on the neighbour's site, scaled by the factor of the pair of molecules, eV/Å
    energy, factor      unscaled energy so far, eV; factor of the pair of molecules
    charge, core        charge, e; square of the distance below which the force is capped, Å^2
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

ROWS, LENGTH = 13, 1040  # not a power of two, or all rows would compete for the same places of the cache
RealArray = NDArray[np.floating[Any]]
_Y, _Z, _FX, _FY, _FZ, _ENERGY, _FACTOR, _CHARGE, _CORE, _T, _P, _DP = (np.uint64(LENGTH * row) for row in range(1, ROWS))


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def charges(s: RealArray, begin: np.uint64, end: np.uint64, x: Any, y: Any, z: Any, charge: Any, field: RealArray) -> tuple[Any, ...]:
    """Coulomb interaction of a site at x, y, z with the sites from ``begin`` to ``end``; ``charge`` is in eV Å/e.

    Returns the sum of the forces on the neighbours (three numbers) and the number of pairs within their core.
    """
    one, zero, square_cutoff, constant, linear, quadratic, twice = field[0], field[1], field[2], field[3], field[4], field[5], field[6]
    fx, fy, fz, inner = zero, zero, zero, zero
    for i in range(begin, end):
        dx, dy, dz = s[i] - x, s[i + _Y] - y, s[i + _Z] - z
        square, core = dx * dx + dy * dy + dz * dz, s[i + _CORE]
        q = charge * s[i + _CHARGE] if square < square_cutoff else zero
        inner += one if square < core else zero
        square = max(square, core)
        inverse = one / np.sqrt(square)
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
def lennard_jones(
    s: RealArray, begin: np.uint64, end: np.uint64, x: Any, y: Any, z: Any, c12: Any, c6: Any, shift: Any, field: RealArray
) -> tuple[Any, ...]:
    """c12/r^12 - c6/r^6 - shift; otherwise as :func:`charges`."""
    one, zero, square_cutoff, twelve, six = field[0], field[1], field[2], field[8], field[9]
    fx, fy, fz, inner = zero, zero, zero, zero
    for i in range(begin, end):
        dx, dy, dz = s[i] - x, s[i + _Y] - y, s[i + _Z] - z
        square, core = dx * dx + dy * dy + dz * dz, s[i + _CORE]
        inside = square < square_cutoff
        inner += one if square < core else zero
        inverse2 = one / max(square, core)
        inverse6 = inverse2 * inverse2 * inverse2
        energy = inverse6 * (c12 * inverse6 - c6) - shift
        pull = s[i + _FACTOR] * inverse6 * inverse2 * (twelve * c12 * inverse6 - six * c6)
        s[i + _ENERGY] += energy if inside else zero
        pull = pull if inside else zero
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
    s: RealArray, begin: np.uint64, end: np.uint64, x: Any, y: Any, z: Any, charge: Any, field: RealArray, polynomial: RealArray
) -> tuple[Any, ...]:
    """The smooth part -erf(a r)/r of a damped Coulomb interaction: a polynomial in t = 2 (r/cut-off)^2 - 1, highest power first.

    Returns the sum of the forces on the neighbours.
    """
    one, zero, square_cutoff, scale = field[0], field[1], field[2], field[7]
    for i in range(begin, end):
        dx, dy, dz = s[i] - x, s[i + _Y] - y, s[i + _Z] - z
        s[i + _T] = min(max(dx * dx + dy * dy + dz * dz, s[i + _CORE]), square_cutoff) * scale - one
        s[i + _P] = zero
        s[i + _DP] = zero
    for power in range(len(polynomial)):
        coefficient = polynomial[power]
        for i in range(begin, end):
            t, p = s[i + _T], s[i + _P]
            s[i + _DP] = s[i + _DP] * t + p
            s[i + _P] = p * t + coefficient
    fx, fy, fz = zero, zero, zero
    for i in range(begin, end):
        dx, dy, dz = s[i] - x, s[i + _Y] - y, s[i + _Z] - z
        q = charge * s[i + _CHARGE] if dx * dx + dy * dy + dz * dz < square_cutoff else zero
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
    s: RealArray, begin: int, n: int, x: Any, y: Any, z: Any, square_core: Any, core: float, slope: float, total: Any, capped: Any
) -> None:
    """Below the core the loops above used its rim: replace force slope/core * d by slope * d/|d|, and let the energy rise linearly.

    Args:
        core, slope: Å and eV/Å, distance of the rim and the force there, positive where it is repulsive.
        total: (3,) sum of the forces on the neighbours, corrected in place.
        capped: (n,) counts of capped pairs by neighbour.
    """
    for k in range(n):
        i = begin + k
        dx, dy, dz = s[i] - x, s[i + LENGTH] - y, s[i + 2 * LENGTH] - z
        square = dx * dx + dy * dy + dz * dz
        if square < square_core:
            capped[k] += 1
            distance = np.sqrt(np.float64(square))
            s[i + 6 * LENGTH] += slope * (core - distance)
            # Two sites at one point push each other in no direction.
            change = slope * (1.0 / distance - 1.0 / core) * s[i + 7 * LENGTH] if distance > 0 else 0.0
            s[i + 3 * LENGTH] += change * dx
            s[i + 4 * LENGTH] += change * dy
            s[i + 5 * LENGTH] += change * dz
            total[0] += change * dx
            total[1] += change * dy
            total[2] += change * dz
