"""Modes of molecules in the rigid integrator: compiled loops for their kinetic energies, and for changes of identity.

FREE moves its atoms one by one; TRIANGLE and BODY keep a rigid shape; POINT moves as one mass at the centre of mass: its atoms
share one velocity and one displacement. Arguments are those of :mod:`halocline.dynamics.rigid_moves`.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from halocline.dynamics.constraints import centre, project_body
from halocline.dynamics.noise import normal, stream_keys
from halocline.units import ACCELERATION

FREE, TRIANGLE, BODY, POINT = 0, 1, 2, 3
WAKE = np.uint64(1)
_HALF = 0.5 / ACCELERATION
_FOUR = np.int64(4)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def energy_of(v, first, last, mode, masses, molecule_mass):  # type: ignore[no-untyped-def]
    """Kinetic energy of one molecule, eV."""
    if mode == POINT:
        return _HALF * molecule_mass * (v[first, 0] * v[first, 0] + v[first, 1] * v[first, 1] + v[first, 2] * v[first, 2])
    total = 0.0
    for i in range(first, last):
        total += masses[i] * (v[i, 0] * v[i, 0] + v[i, 1] * v[i, 1] + v[i, 2] * v[i, 2])
    return _HALF * total


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def kinetic(v, offsets, modes, masses, molecule_masses, levels, degrees, energy_sums, degree_sums):  # type: ignore[no-untyped-def]
    """Adds kinetic energies (eV) and the (m,) degrees of freedom of the molecules to the sums of their levels."""
    for m in range(len(modes)):
        energy_sums[levels[m]] += energy_of(v, offsets[m], offsets[m + 1], modes[m], masses, molecule_masses[m])
        degree_sums[levels[m]] += degrees[m]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def sum_levels(values, levels, sums):  # type: ignore[no-untyped-def]
    """Adds (m,) values to the sums of their levels, in the order of the molecules."""
    for m in range(len(values)):
        sums[levels[m]] += values[m]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def project(x, v, offsets, modes, masses):  # type: ignore[no-untyped-def]
    """Velocities of rigid molecules onto their constraints, and of points onto their centres of mass."""
    for m in range(len(modes)):
        first, last = offsets[m], offsets[m + 1]
        if modes[m] == TRIANGLE or modes[m] == BODY:
            project_body(x, v, masses, first, last)
        elif modes[m] == POINT:
            vx, vy, vz = centre(v, masses, first, last)
            for i in range(first, last):
                v[i, 0], v[i, 1], v[i, 2] = vx, vy, vz


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def sleep(molecules, change, v, offsets, modes, masses, molecule_masses):  # type: ignore[no-untyped-def]
    """v <- V on all atoms of rigid ``molecules``; writes the change of their kinetic energies."""
    for k in range(len(molecules)):
        m = molecules[k]
        first, last = offsets[m], offsets[m + 1]
        before = energy_of(v, first, last, modes[m], masses, molecule_masses[m])
        vx, vy, vz = centre(v, masses, first, last)
        for i in range(first, last):
            v[i, 0], v[i, 1], v[i, 2] = vx, vy, vz
        change[k] = energy_of(v, first, last, POINT, masses, molecule_masses[m]) - before


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def wake(molecules, change, x, v, seed, event, heat, offsets, kinds, masses, molecule_masses, reference, places):  # type: ignore[no-untyped-def]
    """Random orientations, and velocities of the temperature about the centres of mass; writes the change of kinetic energy.

    A Gaussian velocity of every atom, projected onto the rigid motions, is a Maxwell-Boltzmann one of the rigid body;
    four normal numbers, divided by their norm, are a uniform unit quaternion.

    Args:
        heat: kT in amu Å^2/fs^2.
        reference: geometries about their centres of mass, one species after the other; places: (s,) their first rows.
    """
    key, second = stream_keys(seed, WAKE, event)
    beyond = _FOUR * len(x)
    for k in range(len(molecules)):
        m = molecules[k]
        first, last, row = offsets[m], offsets[m + 1], places[kinds[m]]
        before = energy_of(v, first, last, POINT, masses, molecule_masses[m])
        cx, cy, cz = centre(x, masses, first, last)
        vx, vy, vz = v[first, 0], v[first, 1], v[first, 2]
        counter = beyond + _FOUR * m
        qw, qx = normal(np.uint64(counter), key, second), normal(np.uint64(counter + 1), key, second)
        qy, qz = normal(np.uint64(counter + 2), key, second), normal(np.uint64(counter + 3), key, second)
        norm = 1.0 / math.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        qw, qx, qy, qz = qw * norm, qx * norm, qy * norm, qz * norm
        for i in range(first, last):
            rx, ry, rz = reference[row + i - first, 0], reference[row + i - first, 1], reference[row + i - first, 2]
            wx, wy, wz = qw * rx + qy * rz - qz * ry, qw * ry + qz * rx - qx * rz, qw * rz + qx * ry - qy * rx
            x[i, 0] = cx + rx + 2.0 * (qy * wz - qz * wy)
            x[i, 1] = cy + ry + 2.0 * (qz * wx - qx * wz)
            x[i, 2] = cz + rz + 2.0 * (qx * wy - qy * wx)
            speed = math.sqrt(heat / masses[i])
            for axis in range(3):
                v[i, axis] = speed * normal(np.uint64(_FOUR * i + axis), key, second)
        project_body(x, v, masses, first, last)
        ux, uy, uz = centre(v, masses, first, last)
        for i in range(first, last):
            v[i, 0] += vx - ux
            v[i, 1] += vy - uy
            v[i, 2] += vz - uz
        change[k] = energy_of(v, first, last, BODY, masses, molecule_masses[m]) - before
