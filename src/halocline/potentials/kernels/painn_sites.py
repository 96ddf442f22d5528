"""What PaiNN does within sites: dense layers, gates, products of vectors, and the energy head, forward and backward.

All functions work on one block of rows. In an update, u and w are linear in the vectors v and

    a_v, a_p, a_s = gate(s, |w|)        s += a_s + a_p u.w        v += a_v u
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from halocline.potentials.kernels.buffers import Sites
from halocline.potentials.kernels.dense import FASTMATH, SingleArray, clear, fill, multiply, silu_in_place, softplus_in_place
from halocline.potentials.kernels.painn_buffers import Work
from halocline.potentials.kernels.painn_tables import LANES, PaiNNArrays
from halocline.topology import IntArray

_N = LANES
_FLOOR = np.float32(1e-8)  # of the squared norm, as in the torch module


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _scale(array: SingleArray, factors: SingleArray, n_rows: int) -> None:
    for row in range(n_rows):
        line, factor = array[row], factors[row]
        for f in range(len(line)):
            line[f] *= factor[f]


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _add(source: SingleArray, at: int, target: SingleArray, to: int) -> None:
    """target[to + f] += source[at + f] for one group of features."""
    here, there = source[at : at + _N], target[to : to + _N]
    for f in range(_N):
        there[f] += here[f]


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def put(source: SingleArray, at: int, target: SingleArray, to: int) -> None:
    """target[to + f] = source[at + f] for one group of features."""
    here, there = source[at : at + _N], target[to : to + _N]
    for f in range(_N):
        there[f] = here[f]


@njit(error_model="numpy", cache=True)
def gather_received(first: int, n_rows: int, bounds: IntArray, work: Work) -> None:
    """Add what was received to scalars and vectors, in the order of the slabs."""
    n_groups = work.node.shape[1]
    for row in range(first, first + n_rows):
        for slab in range(len(bounds) - 1):
            if bounds[slab] <= row:
                for group in range(n_groups):
                    source = work.received[slab, group, row]
                    _add(source, 0, work.scalars[row], group * _N)
                    for k in range(3):
                        _add(source, (1 + k) * _N, work.vectors[3 * row + k], group * _N)


@njit(error_model="numpy", cache=True)
def send(layer: int, first: int, n_rows: int, thread: int, network: PaiNNArrays, work: Work) -> None:
    """What the sites send in a layer, beside the vectors they have."""
    hidden, message = work.hidden[thread], work.wide[thread]
    fill(hidden, network.send_bias1[layer], n_rows)
    multiply(work.scalars[first : first + n_rows], network.send1[layer], hidden, n_rows)
    silu_in_place(hidden, work.send_slope[layer, first : first + n_rows], n_rows)
    fill(message, network.send_bias2[layer], n_rows)
    multiply(hidden, network.send2[layer], message, n_rows)
    width = work.scalars.shape[1]
    for group in range(work.node.shape[1]):
        for row in range(n_rows):
            node = work.node[layer, group, first + row]
            for k in range(3):
                put(message[row], k * width + group * _N, node, k * _N)
                put(work.vectors[3 * (first + row) + k], group * _N, node, (3 + k) * _N)


@njit(error_model="numpy", cache=True)
def send_back(layer: int, first: int, n_rows: int, thread: int, bounds: IntArray, network: PaiNNArrays, work: Work) -> None:
    """Add to the derivatives by scalars and vectors what comes back through the messages."""
    d_hidden, d_message = work.hidden[thread], work.wide[thread]
    width = work.scalars.shape[1]
    clear(d_message, 0, n_rows)
    for row in range(n_rows):
        for slab in range(len(bounds) - 1):
            if bounds[slab] <= first + row:
                for group in range(work.node.shape[1]):
                    source = work.d_node[slab, group, first + row]
                    for k in range(3):
                        _add(source, k * _N, d_message[row], k * width + group * _N)
                        _add(source, (3 + k) * _N, work.d_vectors[3 * (first + row) + k], group * _N)
    clear(d_hidden, 0, n_rows)
    multiply(d_message, network.send2_t[layer], d_hidden, n_rows)
    _scale(d_hidden, work.send_slope[layer, first : first + n_rows], n_rows)
    multiply(d_hidden, network.send1_t[layer], work.d_scalars[first : first + n_rows], n_rows)


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _norms(mixed: SingleArray, inner: SingleArray, n_rows: int, width: int) -> None:
    """|w| beside the scalars."""
    for row in range(n_rows):
        x, y, z, norm = mixed[3 * row, width:], mixed[3 * row + 1, width:], mixed[3 * row + 2, width:], inner[row, width:]
        for f in range(width):
            norm[f] = math.sqrt(x[f] * x[f] + y[f] * y[f] + z[f] * z[f] + _FLOOR)


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _products(mixed: SingleArray, row: int, factors: SingleArray, target: SingleArray, width: int) -> None:
    """target += factors u.w of one site."""
    ux, uy, uz = mixed[3 * row, :width], mixed[3 * row + 1, :width], mixed[3 * row + 2, :width]
    wx, wy, wz = mixed[3 * row, width:], mixed[3 * row + 1, width:], mixed[3 * row + 2, width:]
    for f in range(width):
        target[f] += factors[f] * (ux[f] * wx[f] + uy[f] * wy[f] + uz[f] * wz[f])


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _add_product(a: SingleArray, b: SingleArray, target: SingleArray, n: int) -> None:
    for f in range(n):
        target[f] += a[f] * b[f]


@njit(error_model="numpy", cache=True)
def update(layer: int, first: int, n_rows: int, thread: int, vectors: bool, network: PaiNNArrays, work: Work) -> None:
    """The mixing within sites; the vectors are left alone where nobody needs them."""
    width, last = work.scalars.shape[1], first + n_rows
    mixed, inner, hidden = work.mixed[layer, 3 * first : 3 * last], work.inner[thread], work.hidden[thread]
    clear(mixed, 0, 3 * n_rows)
    multiply(work.vectors[3 * first : 3 * last], network.mix[layer], mixed, 3 * n_rows)
    for row in range(n_rows):
        for f in range(width):
            inner[row, f] = work.scalars[first + row, f]
    _norms(mixed, inner, n_rows, width)
    fill(hidden, network.gate_bias1[layer], n_rows)
    multiply(inner, network.gate1[layer], hidden, n_rows)
    silu_in_place(hidden, work.gate_slope[layer, first:last], n_rows)
    gates = work.gate_scalars[layer, first:last]
    fill(gates, network.gate_bias_scalars[layer], n_rows)
    multiply(hidden, network.gate_scalars[layer], gates, n_rows)
    for row in range(n_rows):
        scalars = work.scalars[first + row]
        for f in range(width):
            scalars[f] += gates[row, f]
        _products(mixed, row, gates[row, width:], scalars, width)
    if vectors:
        vector_gates = work.gate_vectors[layer, first:last]
        fill(vector_gates, network.gate_bias_vectors[layer], n_rows)
        multiply(hidden, network.gate_vectors[layer], vector_gates, n_rows)
        for row in range(n_rows):
            for k in range(3):
                _add_product(vector_gates[row], mixed[3 * row + k], work.vectors[3 * (first + row) + k], width)


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _divide_by_norms(mixed: SingleArray, inner: SingleArray, n_rows: int, width: int) -> None:
    """dE/d|w| / |w|, in place."""
    for row in range(n_rows):
        x, y, z, slope = mixed[3 * row, width:], mixed[3 * row + 1, width:], mixed[3 * row + 2, width:], inner[row, width:]
        for f in range(width):
            slope[f] /= math.sqrt(x[f] * x[f] + y[f] * y[f] + z[f] * z[f] + _FLOOR)


@njit(error_model="numpy", cache=True)
def update_back(layer: int, first: int, n_rows: int, thread: int, vectors: bool, network: PaiNNArrays, work: Work) -> None:
    """Derivatives by scalars and vectors before an update from those after it, and where the pair loops find them.

    Without ``vectors`` the energy does not depend on the vectors after the update.
    """
    width, last = work.scalars.shape[1], first + n_rows
    mixed, gates = work.mixed[layer, 3 * first : 3 * last], work.gate_scalars[layer, first:last]
    d_scalars, d_vectors = work.d_scalars[first:last], work.d_vectors[3 * first : 3 * last]
    inner, d_mixed, d_hidden, single = work.inner[thread], work.d_mixed[thread], work.hidden[thread], work.single[thread]
    clear(d_mixed, 0, 3 * n_rows)
    clear(d_hidden, 0, n_rows)
    clear(inner, 0, n_rows)
    clear(single, 0, n_rows)
    if vectors:
        vector_gates = work.gate_vectors[layer, first:last]
        for row in range(n_rows):
            for k in range(3):
                _add_product(d_vectors[3 * row + k], mixed[3 * row + k], single[row], width)
                _add_product(d_vectors[3 * row + k], vector_gates[row], d_mixed[3 * row + k], width)
        multiply(single, network.gate_vectors_t[layer], d_hidden, n_rows)
        clear(single, 0, n_rows)
    else:
        clear(d_vectors, 0, 3 * n_rows)
    for row in range(n_rows):
        for f in range(width):
            inner[row, f] = d_scalars[row, f]
        _products(mixed, row, d_scalars[row], inner[row, width:], width)
        _add_product(d_scalars[row], gates[row, width:], single[row], width)  # dE/d(u.w)
    multiply(inner, network.gate_scalars_t[layer], d_hidden, n_rows)
    _scale(d_hidden, work.gate_slope[layer, first:last], n_rows)
    clear(inner, 0, n_rows)
    multiply(d_hidden, network.gate1_t[layer], inner, n_rows)
    _divide_by_norms(mixed, inner, n_rows, width)
    for row in range(n_rows):
        for f in range(width):
            d_scalars[row, f] += inner[row, f]
        for k in range(3):
            vector, d_vector = mixed[3 * row + k], d_mixed[3 * row + k]
            _add_product(single[row], vector[width:], d_vector, width)
            _add_product(single[row], vector, d_vector[width:], width)
            _add_product(inner[row, width:], vector[width:], d_vector[width:], width)
    multiply(d_mixed, network.mix_t[layer], d_vectors, 3 * n_rows)
    _hand_to_pairs(layer, first, n_rows, work)


@njit(error_model="numpy", cache=True)
def _hand_to_pairs(layer: int, first: int, n_rows: int, work: Work) -> None:
    for group in range(work.node.shape[1]):
        for row in range(first, first + n_rows):
            node = work.node[layer, group, row]
            put(work.d_scalars[row], group * _N, node, 6 * _N)
            for k in range(3):
                put(work.d_vectors[3 * row + k], group * _N, node, (7 + k) * _N)


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def head(first: int, n_rows: int, thread: int, network: PaiNNArrays, pairs: Sites, work: Work) -> None:
    """Energies of the sites, eV, and the derivative of their weighted sum by the scalars."""
    hidden, slope = work.head[thread, 0], work.head[thread, 1]
    fill(hidden, network.head_bias1, n_rows)
    multiply(work.scalars[first : first + n_rows], network.head1, hidden, n_rows)
    softplus_in_place(hidden, slope, n_rows)
    for row in range(n_rows):
        weight, value = np.float32(network.scale * work.weights[first + row]), float(network.head_bias2)
        for f in range(hidden.shape[1]):
            value += network.head2[f] * hidden[row, f]
            slope[row, f] *= network.head2[f] * weight
        work.own[first + row] = network.scale * value + network.shift[pairs.types[pairs.sites[first + row]]]
    d_scalars = work.d_scalars[first : first + n_rows]
    clear(d_scalars, 0, n_rows)
    multiply(slope, network.head1_t, d_scalars, n_rows)
