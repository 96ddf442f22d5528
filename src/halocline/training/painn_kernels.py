"""Compiled pair loops of PaiNN training: messages, their gradients and their directional derivatives.

Every pair (i, j) appears once; the filters W depend on the distance alone, so that both directions share them, while the
unit vector u from i to j changes its sign. What site b sends to site a along u is, with m = W phi_b,

    ds_a = m_0,      dv_a = v_b m_1 + u m_2.

Symbols: ``filters`` (2, n_pairs, 3 F) W and dW/dr; ``units`` (n_pairs, 3); ``phi`` (n_sites, 3 F) what is sent; ``v``
(n_sites, 3, F) vector features; ``out`` (n_sites, 4, F) what is received, scalar first, then the vector; ``up`` the same of
the gradient. Dual arrays carry a leading axis of length 2, the quantity and its derivative along a displacement of all
sites; ``rate`` (n_pairs,) and ``turn`` (n_pairs, 3) are dr and du along it. ``has_vectors`` is False in the first layer,
where all v vanish. Short inner loops over features, with few arrays each, are what the compiler vectorises.
"""

from __future__ import annotations

import numba
import numpy as np

FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
"""Reordering and fused multiply-add, but NaN and infinity stay what they are: the loop has to find them."""


@numba.njit(inline="always")
def _receive(filters, p, x, y, z, phi, v, a, b, has_vectors, m, out):  # type: ignore[no-untyped-def]
    """out_a += message of b, whose direction is (x, y, z)."""
    n = out.shape[2]
    for f in range(3 * n):
        m[f] = filters[0, p, f] * phi[b, f]
    for f in range(n):
        out[a, 0, f] += m[f]
    if has_vectors:
        for f in range(n):
            out[a, 1, f] += v[b, 0, f] * m[n + f] + x * m[2 * n + f]
        for f in range(n):
            out[a, 2, f] += v[b, 1, f] * m[n + f] + y * m[2 * n + f]
        for f in range(n):
            out[a, 3, f] += v[b, 2, f] * m[n + f] + z * m[2 * n + f]
    else:
        for f in range(n):
            out[a, 1, f] += x * m[2 * n + f]
        for f in range(n):
            out[a, 2, f] += y * m[2 * n + f]
        for f in range(n):
            out[a, 3, f] += z * m[2 * n + f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def messages(filters, units, i, j, phi, v, has_vectors, out):  # type: ignore[no-untyped-def]
    """Add the messages of all pairs to ``out``."""
    m = np.empty(phi.shape[1], phi.dtype)
    for p in range(len(i)):
        x, y, z = units[p, 0], units[p, 1], units[p, 2]
        _receive(filters, p, x, y, z, phi, v, i[p], j[p], has_vectors, m, out)
        _receive(filters, p, -x, -y, -z, phi, v, j[p], i[p], has_vectors, m, out)


@numba.njit(inline="always")
def _send_back(filters, p, x, y, z, phi, v, a, b, has_vectors, up, q, phi_out, v_out):  # type: ignore[no-untyped-def]
    """Gradients of what a received from b: added to those of phi_b and v_b; returned for the distance and the unit vector."""
    n = up.shape[2]
    zero = up.dtype.type(0)
    for f in range(n):
        q[f] = up[a, 0, f]
    for f in range(n):
        q[2 * n + f] = x * up[a, 1, f] + y * up[a, 2, f] + z * up[a, 3, f]
    if has_vectors:
        for f in range(n):
            q[n + f] = v[b, 0, f] * up[a, 1, f] + v[b, 1, f] * up[a, 2, f] + v[b, 2, f] * up[a, 3, f]
        for d in range(3):
            for f in range(n):
                v_out[b, d, f] += filters[0, p, n + f] * phi[b, n + f] * up[a, 1 + d, f]
    else:
        for f in range(n):
            q[n + f] = zero
    slope = zero
    for f in range(3 * n):
        phi_out[b, f] += filters[0, p, f] * q[f]
    for f in range(3 * n):
        slope += filters[1, p, f] * phi[b, f] * q[f]
    gx, gy, gz = zero, zero, zero
    for f in range(n):
        m = filters[0, p, 2 * n + f] * phi[b, 2 * n + f]
        gx += m * up[a, 1, f]
        gy += m * up[a, 2, f]
        gz += m * up[a, 3, f]
    return slope, gx, gy, gz


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def messages_gradient(filters, units, i, j, phi, v, has_vectors, up, phi_out, v_out, r_out, u_out):  # type: ignore[no-untyped-def]
    """Gradients of ``up . messages``: added to those of phi and v, and of distances (n_pairs,) and unit vectors (n_pairs, 3)."""
    q = np.empty(phi.shape[1], phi.dtype)
    for p in range(len(i)):
        x, y, z = units[p, 0], units[p, 1], units[p, 2]
        r1, x1, y1, z1 = _send_back(filters, p, x, y, z, phi, v, i[p], j[p], has_vectors, up, q, phi_out, v_out)
        r2, x2, y2, z2 = _send_back(filters, p, -x, -y, -z, phi, v, j[p], i[p], has_vectors, up, q, phi_out, v_out)
        r_out[p] += r1 + r2
        u_out[p, 0] += x1 - x2
        u_out[p, 1] += y1 - y2
        u_out[p, 2] += z1 - z2


@numba.njit(inline="always")
def _receive_dual(filters, p, rate, u, du, phi, v, a, b, has_vectors, m, out):  # type: ignore[no-untyped-def]
    """Message of b to a and its derivative; ``u`` and ``du`` are tuples, ``m`` (2, 3 F) is room to work in."""
    n = out.shape[3]
    for f in range(3 * n):
        m[0, f] = filters[0, p, f] * phi[0, b, f]
    for f in range(3 * n):
        m[1, f] = filters[0, p, f] * phi[1, b, f] + rate * filters[1, p, f] * phi[0, b, f]
    for f in range(n):
        out[0, a, 0, f] += m[0, f]
    for f in range(n):
        out[1, a, 0, f] += m[1, f]
    for d in range(3):
        if has_vectors:
            for f in range(n):
                out[0, a, 1 + d, f] += v[0, b, d, f] * m[0, n + f] + u[d] * m[0, 2 * n + f]
            for f in range(n):
                out[1, a, 1 + d, f] += v[1, b, d, f] * m[0, n + f] + v[0, b, d, f] * m[1, n + f]
            for f in range(n):
                out[1, a, 1 + d, f] += du[d] * m[0, 2 * n + f] + u[d] * m[1, 2 * n + f]
        else:
            for f in range(n):
                out[0, a, 1 + d, f] += u[d] * m[0, 2 * n + f]
            for f in range(n):
                out[1, a, 1 + d, f] += du[d] * m[0, 2 * n + f] + u[d] * m[1, 2 * n + f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def messages_dual(filters, units, rate, turn, i, j, phi, v, has_vectors, out):  # type: ignore[no-untyped-def]
    """Add the messages of all pairs and their directional derivatives to ``out``; phi, v and out are dual."""
    m = np.empty((2, phi.shape[2]), phi.dtype)
    for p in range(len(i)):
        u, du = (units[p, 0], units[p, 1], units[p, 2]), (turn[p, 0], turn[p, 1], turn[p, 2])
        _receive_dual(filters, p, rate[p], u, du, phi, v, i[p], j[p], has_vectors, m, out)
        u, du = (-u[0], -u[1], -u[2]), (-du[0], -du[1], -du[2])
        _receive_dual(filters, p, rate[p], u, du, phi, v, j[p], i[p], has_vectors, m, out)


@numba.njit(inline="always")
def _send_back_dual(filters, p, rate, u, du, phi, v, a, b, has_vectors, up, q, phi_out, v_out, filters_out):  # type: ignore[no-untyped-def]
    """Gradients of what a received from b, added to those of phi_b, v_b and the filters; ``q`` (2, 3 F) is room to work in."""
    n = up.shape[3]
    for f in range(n):
        q[0, f] = up[0, a, 0, f]
    for f in range(n):
        q[1, f] = up[1, a, 0, f]
    for f in range(n):
        q[0, 2 * n + f] = u[0] * up[0, a, 1, f] + u[1] * up[0, a, 2, f] + u[2] * up[0, a, 3, f]
    for f in range(n):
        q[0, 2 * n + f] += du[0] * up[1, a, 1, f] + du[1] * up[1, a, 2, f] + du[2] * up[1, a, 3, f]
    for f in range(n):
        q[1, 2 * n + f] = u[0] * up[1, a, 1, f] + u[1] * up[1, a, 2, f] + u[2] * up[1, a, 3, f]
    for f in range(n, 2 * n):
        q[0, f], q[1, f] = 0, 0
    if has_vectors:
        for d in range(3):
            for f in range(n):
                q[0, n + f] += v[0, b, d, f] * up[0, a, 1 + d, f] + v[1, b, d, f] * up[1, a, 1 + d, f]
            for f in range(n):
                q[1, n + f] += v[0, b, d, f] * up[1, a, 1 + d, f]
            for f in range(n):
                m0 = filters[0, p, n + f] * phi[0, b, n + f]
                v_out[1, b, d, f] += m0 * up[1, a, 1 + d, f]
            for f in range(n):
                m0 = filters[0, p, n + f] * phi[0, b, n + f]
                m1 = filters[0, p, n + f] * phi[1, b, n + f] + rate * filters[1, p, n + f] * phi[0, b, n + f]
                v_out[0, b, d, f] += m0 * up[0, a, 1 + d, f] + m1 * up[1, a, 1 + d, f]
    for f in range(3 * n):
        phi_out[0, b, f] += filters[0, p, f] * q[0, f] + rate * filters[1, p, f] * q[1, f]
    for f in range(3 * n):
        phi_out[1, b, f] += filters[0, p, f] * q[1, f]
    for f in range(3 * n):
        filters_out[0, p, f] += phi[0, b, f] * q[0, f] + phi[1, b, f] * q[1, f]
    for f in range(3 * n):
        filters_out[1, p, f] += rate * phi[0, b, f] * q[1, f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def messages_dual_gradient(filters, units, rate, turn, i, j, phi, v, has_vectors, up, phi_out, v_out, filters_out):  # type: ignore[no-untyped-def]
    """Gradients of ``up . messages_dual`` with respect to phi, v and filters, added to the last three arrays."""
    q = np.empty((2, phi.shape[2]), phi.dtype)
    for p in range(len(i)):
        u, du = (units[p, 0], units[p, 1], units[p, 2]), (turn[p, 0], turn[p, 1], turn[p, 2])
        _send_back_dual(filters, p, rate[p], u, du, phi, v, i[p], j[p], has_vectors, up, q, phi_out, v_out, filters_out)
        u, du = (-u[0], -u[1], -u[2]), (-du[0], -du[1], -du[2])
        _send_back_dual(filters, p, rate[p], u, du, phi, v, j[p], i[p], has_vectors, up, q, phi_out, v_out, filters_out)


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def pair_rates(direction, distances, units, i, j, rate, turn):  # type: ignore[no-untyped-def]
    """Write dr and du of every pair along a displacement of all sites: dr = u . (c_j - c_i), du = (c_j - c_i - u dr)/r."""
    for p in range(len(i)):
        a, b = i[p], j[p]
        total = rate.dtype.type(0)
        for d in range(3):
            total += units[p, d] * (direction[b, d] - direction[a, d])
        rate[p] = total
        for d in range(3):
            turn[p, d] = (direction[b, d] - direction[a, d] - units[p, d] * total) / distances[p]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def pair_forces(by_distance, by_unit, distances, units, i, j, out):  # type: ignore[no-untyped-def]
    """Add to ``out`` (n_sites, 3) the forces of an energy with derivatives by r and by u of every pair."""
    for p in range(len(i)):
        along = out.dtype.type(0)
        for d in range(3):
            along += by_unit[p, d] * units[p, d]
        for d in range(3):
            force = by_distance[p] * units[p, d] + (by_unit[p, d] - along * units[p, d]) / distances[p]
            out[i[p], d] += force
            out[j[p], d] -= force
