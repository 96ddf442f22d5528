"""The pair loops of PaiNN: messages and their derivatives, both directions of a pair at once.

With u the unit vector from i to j, and what site j sends: phi_s, phi_v, phi_u (scalar, vector and pair message) and its vectors v,

    scalars of i  += W_s phi_s        vectors of i += W_v phi_v v + W_u phi_u u

and the same for j with i and -u. W(r) are cubic B-splines. In the first layer there are no vectors yet. All arrays hold ``LANES`` features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from halocline.potentials.kernels.buffers import Sites
from halocline.potentials.kernels.dense import FASTMATH, SingleArray, clear
from halocline.potentials.kernels.painn_buffers import Work
from halocline.potentials.kernels.painn_tables import LANES, PaiNNArrays

_N = LANES
_ONE, _TWO, _THREE, _FOUR, _SIX = (np.float32(x) for x in (1, 2, 3, 4, 6))
_HALF, _SIXTH = np.float32(0.5), np.float32(1.0 / 6.0)


@njit(inline="always")
def _pieces(t: Any) -> tuple[Any, Any, Any, Any]:
    """The four pieces of a uniform cubic B-spline at the position t between two knots."""
    u = _ONE - t
    return (
        _SIXTH * u * u * u,
        _SIXTH * (_FOUR - t * t * (_SIX - _THREE * t)),
        _SIXTH * (_FOUR - u * u * (_SIX - _THREE * u)),
        _SIXTH * t * t * t,
    )


@njit(inline="always")
def _slopes(t: Any, scale: Any) -> tuple[Any, Any, Any, Any]:
    """Their derivatives, times ``scale``."""
    u = _ONE - t
    a, b = -scale * _HALF * u * u, scale * _HALF * t * t
    return a, -scale * t * (_TWO - _THREE * _HALF * t), scale * u * (_TWO - _THREE * _HALF * u), b


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _exchange_first(
    w: SingleArray, t: float, unit: SingleArray, i: SingleArray, j: SingleArray, to_i: SingleArray, to_j: SingleArray
) -> None:
    """Messages of one pair where neither site has vectors."""
    b0, b1, b2, b3 = _pieces(t)
    x, y, z = unit[0], unit[1], unit[2]
    for f in range(_N):
        scalar = b0 * w[f] + b1 * w[3 * _N + f] + b2 * w[6 * _N + f] + b3 * w[9 * _N + f]
        along = b0 * w[2 * _N + f] + b1 * w[5 * _N + f] + b2 * w[8 * _N + f] + b3 * w[11 * _N + f]
        from_j, from_i = along * j[2 * _N + f], along * i[2 * _N + f]
        to_i[f] += scalar * j[f]
        to_j[f] += scalar * i[f]
        to_i[_N + f] += x * from_j
        to_j[_N + f] -= x * from_i
        to_i[2 * _N + f] += y * from_j
        to_j[2 * _N + f] -= y * from_i
        to_i[3 * _N + f] += z * from_j
        to_j[3 * _N + f] -= z * from_i


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _exchange(w: SingleArray, t: float, unit: SingleArray, i: SingleArray, j: SingleArray, to_i: SingleArray, to_j: SingleArray) -> None:
    """Messages of one pair."""
    b0, b1, b2, b3 = _pieces(t)
    x, y, z = unit[0], unit[1], unit[2]
    for f in range(_N):
        scalar = b0 * w[f] + b1 * w[3 * _N + f] + b2 * w[6 * _N + f] + b3 * w[9 * _N + f]
        vector = b0 * w[_N + f] + b1 * w[4 * _N + f] + b2 * w[7 * _N + f] + b3 * w[10 * _N + f]
        along = b0 * w[2 * _N + f] + b1 * w[5 * _N + f] + b2 * w[8 * _N + f] + b3 * w[11 * _N + f]
        of_j, of_i = vector * j[_N + f], vector * i[_N + f]
        from_j, from_i = along * j[2 * _N + f], along * i[2 * _N + f]
        to_i[f] += scalar * j[f]
        to_j[f] += scalar * i[f]
        to_i[_N + f] += of_j * j[3 * _N + f] + x * from_j
        to_j[_N + f] += of_i * i[3 * _N + f] - x * from_i
        to_i[2 * _N + f] += of_j * j[4 * _N + f] + y * from_j
        to_j[2 * _N + f] += of_i * i[4 * _N + f] - y * from_i
        to_i[3 * _N + f] += of_j * j[5 * _N + f] + z * from_j
        to_j[3 * _N + f] += of_i * i[5 * _N + f] - z * from_i


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _back_first(w: SingleArray, t: float, scale: Any, unit: SingleArray, i: SingleArray, j: SingleArray, gradient: SingleArray) -> None:
    """Derivatives of the energy by the distance and the unit vector of one pair, where nothing depends on what is sent."""
    b0, b1, b2, b3 = _pieces(t)
    c0, c1, c2, c3 = _slopes(t, scale)
    x, y, z = unit[0], unit[1], unit[2]
    by_r, by_x, by_y, by_z = gradient[0], gradient[1], gradient[2], gradient[3]
    for f in range(_N):
        along = b0 * w[2 * _N + f] + b1 * w[5 * _N + f] + b2 * w[8 * _N + f] + b3 * w[11 * _N + f]
        scalar_slope = c0 * w[f] + c1 * w[3 * _N + f] + c2 * w[6 * _N + f] + c3 * w[9 * _N + f]
        along_slope = c0 * w[2 * _N + f] + c1 * w[5 * _N + f] + c2 * w[8 * _N + f] + c3 * w[11 * _N + f]
        # What i received comes from j along u, what j received from i along -u.
        px = j[2 * _N + f] * i[7 * _N + f] - i[2 * _N + f] * j[7 * _N + f]
        py = j[2 * _N + f] * i[8 * _N + f] - i[2 * _N + f] * j[8 * _N + f]
        pz = j[2 * _N + f] * i[9 * _N + f] - i[2 * _N + f] * j[9 * _N + f]
        by_r += scalar_slope * (j[f] * i[6 * _N + f] + i[f] * j[6 * _N + f]) + along_slope * (x * px + y * py + z * pz)
        by_x += along * px
        by_y += along * py
        by_z += along * pz
    gradient[0], gradient[1], gradient[2], gradient[3] = by_r, by_x, by_y, by_z


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _back(
    w: SingleArray, t: float, scale: Any, unit: SingleArray, i: SingleArray, j: SingleArray,
    d_i: SingleArray, d_j: SingleArray, gradient: SingleArray,
) -> None:  # fmt: skip
    """Derivatives of the energy by what either site of one pair sent, by its vectors, by the distance and by the unit vector."""
    b0, b1, b2, b3 = _pieces(t)
    c0, c1, c2, c3 = _slopes(t, scale)
    x, y, z = unit[0], unit[1], unit[2]
    by_r, by_x, by_y, by_z = gradient[0], gradient[1], gradient[2], gradient[3]
    for f in range(_N):
        scalar = b0 * w[f] + b1 * w[3 * _N + f] + b2 * w[6 * _N + f] + b3 * w[9 * _N + f]
        vector = b0 * w[_N + f] + b1 * w[4 * _N + f] + b2 * w[7 * _N + f] + b3 * w[10 * _N + f]
        along = b0 * w[2 * _N + f] + b1 * w[5 * _N + f] + b2 * w[8 * _N + f] + b3 * w[11 * _N + f]
        scalar_slope = c0 * w[f] + c1 * w[3 * _N + f] + c2 * w[6 * _N + f] + c3 * w[9 * _N + f]
        vector_slope = c0 * w[_N + f] + c1 * w[4 * _N + f] + c2 * w[7 * _N + f] + c3 * w[10 * _N + f]
        along_slope = c0 * w[2 * _N + f] + c1 * w[5 * _N + f] + c2 * w[8 * _N + f] + c3 * w[11 * _N + f]
        si, xi, yi, zi = i[6 * _N + f], i[7 * _N + f], i[8 * _N + f], i[9 * _N + f]
        sj, xj, yj, zj = j[6 * _N + f], j[7 * _N + f], j[8 * _N + f], j[9 * _N + f]
        # The vectors of the sender, and the unit vector, on the derivative at the receiver.
        on_i = j[3 * _N + f] * xi + j[4 * _N + f] * yi + j[5 * _N + f] * zi
        on_j = i[3 * _N + f] * xj + i[4 * _N + f] * yj + i[5 * _N + f] * zj
        unit_i, unit_j = x * xi + y * yi + z * zi, x * xj + y * yj + z * zj
        of_j, of_i = vector * j[_N + f], vector * i[_N + f]
        from_j, from_i = along * j[2 * _N + f], along * i[2 * _N + f]
        d_j[f] += scalar * si
        d_i[f] += scalar * sj
        d_j[_N + f] += vector * on_i
        d_i[_N + f] += vector * on_j
        d_j[2 * _N + f] += along * unit_i
        d_i[2 * _N + f] -= along * unit_j
        d_j[3 * _N + f] += of_j * xi
        d_i[3 * _N + f] += of_i * xj
        d_j[4 * _N + f] += of_j * yi
        d_i[4 * _N + f] += of_i * yj
        d_j[5 * _N + f] += of_j * zi
        d_i[5 * _N + f] += of_i * zj
        by_r += scalar_slope * (j[f] * si + i[f] * sj) + vector_slope * (j[_N + f] * on_i + i[_N + f] * on_j)
        by_r += along_slope * (j[2 * _N + f] * unit_i - i[2 * _N + f] * unit_j)
        by_x += from_j * xi - from_i * xj
        by_y += from_j * yi - from_i * yj
        by_z += from_j * zi - from_i * zj
    gradient[0], gradient[1], gradient[2], gradient[3] = by_r, by_x, by_y, by_z


@njit(error_model="numpy", cache=True)
def convolve(layer: int, group: int, slab: int, first: int, last: int, network: PaiNNArrays, pairs: Sites, work: Work) -> None:
    """What the sites receive from the pairs of rows first .. last, for one group of features."""
    table, node, received = network.filters[layer, group], work.node[layer, group], work.received[slab, group]
    start, neighbours, knots, fractions, units = pairs.start, pairs.neighbours, work.knot, work.fraction, work.unit
    # The second site of a pair is never before the first.
    clear(received, first, len(pairs.sites) - first)
    for i in range(first, last):
        node_i, received_i = node[i], received[i]
        for pair in range(start[i], start[i + 1]):
            j, knot = neighbours[pair], 3 * _N * knots[pair]
            weights = table[knot : knot + 12 * _N]
            if layer > 0:
                _exchange(weights, fractions[pair], units[pair], node_i, node[j], received_i, received[j])
            else:
                _exchange_first(weights, fractions[pair], units[pair], node_i, node[j], received_i, received[j])


@njit(error_model="numpy", cache=True)
def convolve_back(layer: int, group: int, slab: int, first: int, last: int, network: PaiNNArrays, pairs: Sites, work: Work) -> None:
    """Backwards through :func:`convolve`."""
    table, node, d_node, gradient = network.filters[layer, group], work.node[layer, group], work.d_node[slab, group], work.gradient[group]
    start, neighbours, knots, fractions, units = pairs.start, pairs.neighbours, work.knot, work.fraction, work.unit
    scale = np.float32(1.0 / network.spacing)
    if layer > 0:
        clear(d_node, first, len(pairs.sites) - first)
    for i in range(first, last):
        node_i, d_node_i = node[i], d_node[i]
        for pair in range(start[i], start[i + 1]):
            j, knot = neighbours[pair], 3 * _N * knots[pair]
            weights = table[knot : knot + 12 * _N]
            if layer > 0:
                _back(weights, fractions[pair], scale, units[pair], node_i, node[j], d_node_i, d_node[j], gradient[pair])
            else:
                _back_first(weights, fractions[pair], scale, units[pair], node_i, node[j], gradient[pair])
