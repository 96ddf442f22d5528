"""Compiled elementwise loops of PaiNN's update within a site, its gradients, and the derivatives of both along a displacement.

Symbols, per site and feature: ``mixed`` (3, n_sites, 2 F) two mixtures U and V of the vector features; ``gate``
(n_sites, 3 F) a_v, a_p, a_s; ``norm`` |V| and ``product`` p = U . V, (n_sites, F);

    s += a_s + a_p p,      v += U a_v.

``x`` and ``out`` (4, n_sites, F) are scalar features and components of the vector features; ``up`` is the gradient of the
energy with respect to the result, ``d...`` are derivatives along a displacement of all sites.
"""

from __future__ import annotations

import numba
import numpy as np

from halocline.training.painn_kernels import FASTMATH


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def invariants(mixed, norm, product):  # type: ignore[no-untyped-def]
    """Write |V|, rounded off at zero, and U . V."""
    n = norm.shape[1]
    for a in range(len(norm)):
        for f in range(n):
            x, y, z = mixed[0, a, n + f], mixed[1, a, n + f], mixed[2, a, n + f]
            norm[a, f] = np.sqrt(x * x + y * y + z * z + norm.dtype.type(1e-8))
        for f in range(n):
            x, y, z = mixed[0, a, n + f], mixed[1, a, n + f], mixed[2, a, n + f]
            product[a, f] = mixed[0, a, f] * x + mixed[1, a, f] * y + mixed[2, a, f] * z


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def invariants_rate(mixed, dmixed, norm, dnorm, dproduct):  # type: ignore[no-untyped-def]
    n = norm.shape[1]
    for a in range(len(norm)):
        for f in range(n):
            total = mixed[0, a, n + f] * dmixed[0, a, n + f] + mixed[1, a, n + f] * dmixed[1, a, n + f]
            dnorm[a, f] = (total + mixed[2, a, n + f] * dmixed[2, a, n + f]) / norm[a, f]
        for f in range(n):
            dproduct[a, f] = 0
        for d in range(3):
            for f in range(n):
                dproduct[a, f] += mixed[d, a, f] * dmixed[d, a, n + f] + dmixed[d, a, f] * mixed[d, a, n + f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def gated(mixed, gate, product, out):  # type: ignore[no-untyped-def]
    """Add the update to ``out``."""
    n = product.shape[1]
    for a in range(len(product)):
        for f in range(n):
            out[0, a, f] += gate[a, 2 * n + f] + gate[a, n + f] * product[a, f]
        for d in range(3):
            for f in range(n):
                out[1 + d, a, f] += mixed[d, a, f] * gate[a, f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def gated_rate(mixed, dmixed, gate, dgate, product, dproduct, out):  # type: ignore[no-untyped-def]
    n = product.shape[1]
    for a in range(len(product)):
        for f in range(n):
            out[0, a, f] += dgate[a, 2 * n + f] + dgate[a, n + f] * product[a, f] + gate[a, n + f] * dproduct[a, f]
        for d in range(3):
            for f in range(n):
                out[1 + d, a, f] += dmixed[d, a, f] * gate[a, f] + mixed[d, a, f] * dgate[a, f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def gate_gradient(mixed, product, up, out):  # type: ignore[no-untyped-def]
    """Write the gradient with respect to the gate, (n_sites, 3 F)."""
    n = product.shape[1]
    for a in range(len(product)):
        for f in range(n):
            out[a, f] = mixed[0, a, f] * up[1, a, f] + mixed[1, a, f] * up[2, a, f] + mixed[2, a, f] * up[3, a, f]
        for f in range(n):
            out[a, n + f] = up[0, a, f] * product[a, f]
        for f in range(n):
            out[a, 2 * n + f] = up[0, a, f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def gate_gradient_rate(mixed, dmixed, product, dproduct, up, dup, out):  # type: ignore[no-untyped-def]
    n = product.shape[1]
    for a in range(len(product)):
        for f in range(n):
            out[a, f] = 0
        for d in range(3):
            for f in range(n):
                out[a, f] += mixed[d, a, f] * dup[1 + d, a, f] + dmixed[d, a, f] * up[1 + d, a, f]
        for f in range(n):
            out[a, n + f] = dup[0, a, f] * product[a, f] + up[0, a, f] * dproduct[a, f]
        for f in range(n):
            out[a, 2 * n + f] = dup[0, a, f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def mixed_gradient(mixed, gate, norm, up, norm_up, out):  # type: ignore[no-untyped-def]
    """Write the gradient with respect to U and V, (3, n_sites, 2 F); ``norm_up`` (n_sites, F) is that by the norm."""
    n = norm.shape[1]
    by_product, by_square = np.empty(n, norm.dtype), np.empty(n, norm.dtype)
    for a in range(len(norm)):
        for f in range(n):
            by_product[f] = up[0, a, f] * gate[a, n + f]
        for f in range(n):
            by_square[f] = norm_up[a, f] / norm[a, f]
        for d in range(3):
            for f in range(n):
                out[d, a, f] = up[1 + d, a, f] * gate[a, f] + by_product[f] * mixed[d, a, n + f]
            for f in range(n):
                out[d, a, n + f] = by_product[f] * mixed[d, a, f] + by_square[f] * mixed[d, a, n + f]


@numba.njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def mixed_gradient_rate(  # type: ignore[no-untyped-def]
    mixed, dmixed, gate, dgate, norm, dnorm, up, dup, norm_up, dnorm_up, out
):
    n = norm.shape[1]
    b, db, c, dc = np.empty(n, norm.dtype), np.empty(n, norm.dtype), np.empty(n, norm.dtype), np.empty(n, norm.dtype)
    for a in range(len(norm)):
        for f in range(n):
            b[f] = up[0, a, f] * gate[a, n + f]
        for f in range(n):
            db[f] = dup[0, a, f] * gate[a, n + f] + up[0, a, f] * dgate[a, n + f]
        for f in range(n):
            c[f] = norm_up[a, f] / norm[a, f]
        for f in range(n):
            dc[f] = (dnorm_up[a, f] - c[f] * dnorm[a, f]) / norm[a, f]
        for d in range(3):
            for f in range(n):
                out[d, a, f] = dup[1 + d, a, f] * gate[a, f] + up[1 + d, a, f] * dgate[a, f]
            for f in range(n):
                out[d, a, f] += db[f] * mixed[d, a, n + f] + b[f] * dmixed[d, a, n + f]
            for f in range(n):
                out[d, a, n + f] = db[f] * mixed[d, a, f] + b[f] * dmixed[d, a, f]
            for f in range(n):
                out[d, a, n + f] += dc[f] * mixed[d, a, n + f] + c[f] * dmixed[d, a, n + f]
