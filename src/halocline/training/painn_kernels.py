"""Compiled pair loops of PaiNN training: messages, their gradients, and the derivatives of both along a displacement.

Every pair (i, j) appears once; the filters W depend on the distance alone, so that both directions share them, while the
unit vector u from i to j changes its sign. What site b sends to site a along u is, with m = W phi_b,

    ds_a = m_0,      dv_a = v_b m_1 + u m_2.

Symbols: ``filters`` (2, n_pairs, 3 F) W and dW/dr; ``units`` (n_pairs, 3); ``phi`` (n_sites, 3 F) what is sent; ``x``
(4, n_sites, F) scalar features and the three components of the vector features; ``out`` the same, what is received; ``up``
the same, the gradient of the energy with respect to what is received. ``d...`` are derivatives along a displacement of all
sites; ``rate`` (n_pairs,) and ``turn`` (n_pairs, 3) are dr and du along it. ``has_vectors`` is False in the first layer,
where all v vanish. Short inner loops over features, with few arrays each, are what the compiler vectorises.
"""

from __future__ import annotations

import numba
import numpy as np

FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
"""Reordering and fused multiply-add, but NaN and infinity stay what they are: the loop has to find them."""


@numba.njit(inline="always")
def _receive(filters, p, u, phi, x, a, b, has_vectors, m, out):  # type: ignore[no-untyped-def]
    """out_a += message of b along the tuple u; ``m`` (3 F,) is room to work in."""
    n = out.shape[2]
    for f in range(3 * n):
        m[f] = filters[0, p, f] * phi[b, f]
    for f in range(n):
        out[0, a, f] += m[f]
    for d in range(3):
        if has_vectors:
            for f in range(n):
                out[1 + d, a, f] += x[1 + d, b, f] * m[n + f] + u[d] * m[2 * n + f]
        else:
            for f in range(n):
                out[1 + d, a, f] += u[d] * m[2 * n + f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def messages(filters, units, i, j, phi, x, has_vectors, out):  # type: ignore[no-untyped-def]
    """Add the messages of all pairs to ``out``."""
    m = np.empty(phi.shape[1], phi.dtype)
    for p in range(len(i)):
        u = (units[p, 0], units[p, 1], units[p, 2])
        _receive(filters, p, u, phi, x, i[p], j[p], has_vectors, m, out)
        _receive(filters, p, (-u[0], -u[1], -u[2]), phi, x, j[p], i[p], has_vectors, m, out)


@numba.njit(inline="always")
def _send_back(filters, p, u, phi, x, a, b, has_vectors, up, q, phi_out, x_out):  # type: ignore[no-untyped-def]
    """Gradients of what a received from b: added to those of phi_b and v_b; returned for the distance and the unit vector."""
    n = up.shape[2]
    zero = up.dtype.type(0)
    for f in range(n):
        q[f] = up[0, a, f]
    for f in range(n):
        q[n + f] = zero
    for f in range(n):
        q[2 * n + f] = u[0] * up[1, a, f] + u[1] * up[2, a, f] + u[2] * up[3, a, f]
    if has_vectors:
        for f in range(n):
            q[n + f] = x[1, b, f] * up[1, a, f] + x[2, b, f] * up[2, a, f] + x[3, b, f] * up[3, a, f]
        for d in range(1, 4):
            for f in range(n):
                x_out[d, b, f] += filters[0, p, n + f] * phi[b, n + f] * up[d, a, f]
    slope = zero
    for f in range(3 * n):
        phi_out[b, f] += filters[0, p, f] * q[f]
    for f in range(3 * n):
        slope += filters[1, p, f] * phi[b, f] * q[f]
    gx, gy, gz = zero, zero, zero
    for f in range(n):
        m = filters[0, p, 2 * n + f] * phi[b, 2 * n + f]
        gx += m * up[1, a, f]
        gy += m * up[2, a, f]
        gz += m * up[3, a, f]
    return slope, gx, gy, gz


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def messages_gradient(filters, units, i, j, phi, x, has_vectors, up, phi_out, x_out, r_out, u_out):  # type: ignore[no-untyped-def]
    """Gradients of ``up . messages``: added to those of phi and v, and of distances (n_pairs,) and unit vectors (n_pairs, 3)."""
    q = np.empty(phi.shape[1], phi.dtype)
    for p in range(len(i)):
        u = (units[p, 0], units[p, 1], units[p, 2])
        r1, x1, y1, z1 = _send_back(filters, p, u, phi, x, i[p], j[p], has_vectors, up, q, phi_out, x_out)
        u = (-u[0], -u[1], -u[2])
        r2, x2, y2, z2 = _send_back(filters, p, u, phi, x, j[p], i[p], has_vectors, up, q, phi_out, x_out)
        r_out[p] += r1 + r2
        u_out[p, 0] += x1 - x2
        u_out[p, 1] += y1 - y2
        u_out[p, 2] += z1 - z2


@numba.njit(inline="always")
def _receive_rate(filters, p, rate, u, du, phi, dphi, x, dx, a, b, has_vectors, m, out):  # type: ignore[no-untyped-def]
    """out_a += derivative of the message of b; ``m`` (2, 3 F) is room for it and its derivative."""
    n = out.shape[2]
    for f in range(3 * n):
        m[0, f] = filters[0, p, f] * phi[b, f]
    for f in range(3 * n):
        m[1, f] = filters[0, p, f] * dphi[b, f] + rate * filters[1, p, f] * phi[b, f]
    for f in range(n):
        out[0, a, f] += m[1, f]
    for d in range(3):
        for f in range(n):
            out[1 + d, a, f] += du[d] * m[0, 2 * n + f] + u[d] * m[1, 2 * n + f]
        if has_vectors:
            for f in range(n):
                out[1 + d, a, f] += dx[1 + d, b, f] * m[0, n + f] + x[1 + d, b, f] * m[1, n + f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def messages_rate(filters, units, rate, turn, i, j, phi, dphi, x, dx, has_vectors, out):  # type: ignore[no-untyped-def]
    """Add the derivatives of the messages of all pairs to ``out``."""
    m = np.empty((2, phi.shape[1]), phi.dtype)
    for p in range(len(i)):
        u, du = (units[p, 0], units[p, 1], units[p, 2]), (turn[p, 0], turn[p, 1], turn[p, 2])
        _receive_rate(filters, p, rate[p], u, du, phi, dphi, x, dx, i[p], j[p], has_vectors, m, out)
        u, du = (-u[0], -u[1], -u[2]), (-du[0], -du[1], -du[2])
        _receive_rate(filters, p, rate[p], u, du, phi, dphi, x, dx, j[p], i[p], has_vectors, m, out)


@numba.njit(inline="always")
def _gradients_received(u, du, x, dx, a, b, has_vectors, up, dup, q):  # type: ignore[no-untyped-def]
    """q (2, 3 F) <- gradient of the energy by the message m of b to a, and its derivative."""
    n = up.shape[2]
    for f in range(n):
        q[0, f] = up[0, a, f]
    for f in range(n):
        q[1, f] = dup[0, a, f]
    for f in range(n):
        q[0, 2 * n + f] = u[0] * up[1, a, f] + u[1] * up[2, a, f] + u[2] * up[3, a, f]
    for f in range(n):
        q[1, 2 * n + f] = du[0] * up[1, a, f] + du[1] * up[2, a, f] + du[2] * up[3, a, f]
    for f in range(n):
        q[1, 2 * n + f] += u[0] * dup[1, a, f] + u[1] * dup[2, a, f] + u[2] * dup[3, a, f]
    for f in range(n, 2 * n):
        q[0, f] = 0
    for f in range(n, 2 * n):
        q[1, f] = 0
    if has_vectors:
        for d in range(1, 4):
            for f in range(n):
                q[0, n + f] += x[d, b, f] * up[d, a, f]
            for f in range(n):
                q[1, n + f] += dx[d, b, f] * up[d, a, f] + x[d, b, f] * dup[d, a, f]


@numba.njit(inline="always")
def _send_back_rate(filters, p, rate, phi, dphi, a, b, has_vectors, up, dup, q, m, dphi_out, dx_out):  # type: ignore[no-untyped-def]
    """Derivatives of the gradients of what a received from b, added to those of phi_b and v_b."""
    n = up.shape[2]
    for f in range(3 * n):
        dphi_out[b, f] += filters[0, p, f] * q[1, f] + rate * filters[1, p, f] * q[0, f]
    if has_vectors:
        for f in range(n):
            m[0, f] = filters[0, p, n + f] * phi[b, n + f]
        for f in range(n):
            m[1, f] = filters[0, p, n + f] * dphi[b, n + f] + rate * filters[1, p, n + f] * phi[b, n + f]
        for d in range(1, 4):
            for f in range(n):
                dx_out[d, b, f] += m[0, f] * dup[d, a, f] + m[1, f] * up[d, a, f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def messages_gradient_rate(  # type: ignore[no-untyped-def]
    filters, units, rate, turn, i, j, phi, dphi, x, dx, has_vectors, up, dup, dphi_out, dx_out, filters_out
):
    """Derivatives of the gradients of :func:`messages_gradient`: added for phi and v; written for the filters.

    ``filters_out`` (2, n_pairs, 3 F) is the derivative of the gradient with respect to W, and that with respect to dW/dr.
    """
    width = phi.shape[1]
    q, m = np.empty((2, width), phi.dtype), np.empty((2, width), phi.dtype)
    for p in range(len(i)):
        a, b, dr = i[p], j[p], rate[p]
        u, du = (units[p, 0], units[p, 1], units[p, 2]), (turn[p, 0], turn[p, 1], turn[p, 2])
        _gradients_received(u, du, x, dx, a, b, has_vectors, up, dup, q)
        _send_back_rate(filters, p, dr, phi, dphi, a, b, has_vectors, up, dup, q, m, dphi_out, dx_out)
        for f in range(width):
            filters_out[0, p, f] = phi[b, f] * q[1, f] + dphi[b, f] * q[0, f]
        for f in range(width):
            filters_out[1, p, f] = dr * phi[b, f] * q[0, f]
        u, du = (-u[0], -u[1], -u[2]), (-du[0], -du[1], -du[2])
        _gradients_received(u, du, x, dx, b, a, has_vectors, up, dup, q)
        _send_back_rate(filters, p, dr, phi, dphi, b, a, has_vectors, up, dup, q, m, dphi_out, dx_out)
        for f in range(width):
            filters_out[0, p, f] += phi[a, f] * q[1, f] + dphi[a, f] * q[0, f]
        for f in range(width):
            filters_out[1, p, f] += dr * phi[a, f] * q[0, f]


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
