"""Compiled loops of SchNet training: continuous-filter convolution over pairs, its gradients and its directional derivative.

The filter W_f(r) depends on the distance alone. In one optimisation step it is evaluated on a grid of knots only, values and
slopes, and interpolated between them with cubic Hermite polynomials,

    W(t) = a0 V_k + a1 V_{k+1} + b0 D_k + b1 D_{k+1},      t = (r - r_k)/h in [0, 1],  D = h dW/dr,

which is linear in the knots, so that gradients with respect to them are exact. Every pair (i, j) appears once.

Symbols: ``table`` (n_knots, 2, n_features) V and D; ``knot`` and ``t`` (n_pairs,); ``x`` (n_sites, n_features) what is sent;
a second axis of length 2 holds a quantity and its derivative along a displacement of all sites ("dual"); ``rate`` (n_pairs,)
is dt along that displacement. Short inner loops over features, with few arrays each, are what the compiler vectorises.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@numba.njit(inline="always")
def _weights(t, real):  # type: ignore[no-untyped-def]
    """Hermite weights a0, a1, b0, b1, in the precision of the table: wider ones would widen every inner loop."""
    t2 = t * t
    t3 = t2 * t
    a1 = 3 * t2 - 2 * t3
    return real(1 - a1), real(a1), real(t - 2 * t2 + t3), real(t3 - t2)


@numba.njit(inline="always")
def _rates(t, rate, real):  # type: ignore[no-untyped-def]
    """Derivatives of the Hermite weights with respect to t, times a rate."""
    t2 = t * t
    a1 = 6 * (t - t2) * rate
    return real(-a1), real(a1), real((1 - 4 * t + 3 * t2) * rate), real((3 * t2 - 2 * t) * rate)


@numba.njit(inline="always")
def _filters(table, k, weights, out):  # type: ignore[no-untyped-def]
    """Filters of one pair, or their derivatives, from the values and slopes at the knots k and k + 1."""
    a0, a1, b0, b1 = weights
    for f in range(len(out)):
        out[f] = a0 * table[k, 0, f] + a1 * table[k + 1, 0, f] + b0 * table[k, 1, f] + b1 * table[k + 1, 1, f]


@numba.njit(fastmath=True, cache=True)
def convolve(table, knot, t, i, j, x, out):  # type: ignore[no-untyped-def]
    """out_i += W x_j and out_j += W x_i, (n_sites, n_features)."""
    n_features = x.shape[1]
    real = x.dtype.type
    w = np.empty(n_features, x.dtype)
    for p in range(len(knot)):
        k, a, b = knot[p], i[p], j[p]
        _filters(table, k, _weights(t[p], real), w)
        for f in range(n_features):
            out[a, f] += w[f] * x[b, f]
        for f in range(n_features):
            out[b, f] += w[f] * x[a, f]


@numba.njit(fastmath=True, cache=True)
def convolve_gradient(table, knot, t, i, j, x, up, x_out, t_out):  # type: ignore[no-untyped-def]
    """Gradients of ``up . convolve`` with respect to x (added to ``x_out``) and to t (written to ``t_out``)."""
    n_features = x.shape[1]
    real = x.dtype.type
    w = np.empty(n_features, x.dtype)
    for p in range(len(knot)):
        k, a, b = knot[p], i[p], j[p]
        _filters(table, k, _weights(t[p], real), w)
        for f in range(n_features):
            x_out[a, f] += w[f] * up[b, f]
        for f in range(n_features):
            x_out[b, f] += w[f] * up[a, f]
        a0, a1, b0, b1 = _rates(t[p], 1, real)
        total = real(0)
        for f in range(n_features):
            slope = a0 * table[k, 0, f] + a1 * table[k + 1, 0, f] + b0 * table[k, 1, f] + b1 * table[k + 1, 1, f]
            total += slope * (up[a, f] * x[b, f] + up[b, f] * x[a, f])
        t_out[p] = total


@numba.njit(fastmath=True, cache=True)
def convolve_dual(table, knot, t, rate, i, j, x, out):  # type: ignore[no-untyped-def]
    """The convolution and its directional derivative: out' = W x' + W' x, all (n_sites, 2, n_features)."""
    n_features = x.shape[2]
    real = x.dtype.type
    w, dw = np.empty(n_features, x.dtype), np.empty(n_features, x.dtype)
    for p in range(len(knot)):
        k, a, b = knot[p], i[p], j[p]
        a0, a1, b0, b1 = _weights(t[p], real)
        c0, c1, d0, d1 = _rates(t[p], rate[p], real)
        _filters(table, k, (a0, a1, b0, b1), w)
        _filters(table, k, (c0, c1, d0, d1), dw)
        for f in range(n_features):
            out[a, 0, f] += w[f] * x[b, 0, f]
        for f in range(n_features):
            out[a, 1, f] += w[f] * x[b, 1, f] + dw[f] * x[b, 0, f]
        for f in range(n_features):
            out[b, 0, f] += w[f] * x[a, 0, f]
        for f in range(n_features):
            out[b, 1, f] += w[f] * x[a, 1, f] + dw[f] * x[a, 0, f]


@numba.njit(fastmath=True, cache=True)
def convolve_dual_gradient(table, knot, t, rate, i, j, x, up, x_out, table_out):  # type: ignore[no-untyped-def]
    """Gradients of ``up . convolve_dual`` with respect to x and to the table, added to ``x_out`` and ``table_out``."""
    n_features = x.shape[2]
    real = x.dtype.type
    w, dw = np.empty(n_features, x.dtype), np.empty(n_features, x.dtype)
    gw, gd = np.empty(n_features, x.dtype), np.empty(n_features, x.dtype)
    for p in range(len(knot)):
        k, a, b = knot[p], i[p], j[p]
        a0, a1, b0, b1 = _weights(t[p], real)
        c0, c1, d0, d1 = _rates(t[p], rate[p], real)
        _filters(table, k, (a0, a1, b0, b1), w)
        _filters(table, k, (c0, c1, d0, d1), dw)
        for f in range(n_features):
            gw[f] = up[a, 0, f] * x[b, 0, f] + up[b, 0, f] * x[a, 0, f] + up[a, 1, f] * x[b, 1, f] + up[b, 1, f] * x[a, 1, f]
            gd[f] = up[a, 1, f] * x[b, 0, f] + up[b, 1, f] * x[a, 0, f]
        for f in range(n_features):
            table_out[k, 0, f] += a0 * gw[f] + c0 * gd[f]
        for f in range(n_features):
            table_out[k, 1, f] += b0 * gw[f] + d0 * gd[f]
        for f in range(n_features):
            table_out[k + 1, 0, f] += a1 * gw[f] + c1 * gd[f]
        for f in range(n_features):
            table_out[k + 1, 1, f] += b1 * gw[f] + d1 * gd[f]
        for f in range(n_features):
            x_out[a, 0, f] += w[f] * up[b, 0, f] + dw[f] * up[b, 1, f]
        for f in range(n_features):
            x_out[a, 1, f] += w[f] * up[b, 1, f]
        for f in range(n_features):
            x_out[b, 0, f] += w[f] * up[a, 0, f] + dw[f] * up[a, 1, f]
        for f in range(n_features):
            x_out[b, 1, f] += w[f] * up[a, 1, f]


@numba.njit(fastmath=True, cache=True)
def pair_forces(gradient, units, i, j, out):  # type: ignore[no-untyped-def]
    """Forces of dE/dr: out_i += g u and out_j -= g u with u from i to j, (n_sites, 3)."""
    for p in range(len(gradient)):
        for d in range(3):
            force = gradient[p] * units[p, d]
            out[i[p], d] += force
            out[j[p], d] -= force


@numba.njit(fastmath=True, cache=True)
def distance_rates(direction, units, i, j, out):  # type: ignore[no-untyped-def]
    """dr of every pair along a displacement of all sites: u . (c_j - c_i)."""
    for p in range(len(out)):
        a, b = i[p], j[p]
        total = out.dtype.type(0)
        for d in range(3):
            total += units[p, d] * (direction[b, d] - direction[a, d])
        out[p] = total
