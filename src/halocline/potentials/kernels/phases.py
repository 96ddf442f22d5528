"""The phases of a SchNet evaluation over a half neighbour list, forward and backward.

====================  =============================================================
symbol                variable
====================  =============================================================
y_j = in2f(x_j)       ``sent``
m_i = sum_j W y_j     ``received``, one copy for each thread
1/(1 + e^-h)          ``slope``, derivative of the shifted softplus
dE/dm, dE/dy          ``d_received``, ``d_sent``, the latter one copy for each thread
dE/dr                 ``pair_slope``
====================  =============================================================

The whole evaluation is a list of phases; within a phase no thread reads what another one writes.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from halocline.potentials.kernels.buffers import Sites, Work
from halocline.potentials.kernels.dense import FASTMATH, SingleArray, multiply, softplus_in_place
from halocline.potentials.kernels.prior_pairs import pair_forces
from halocline.potentials.kernels.tables import NetworkArrays, PriorArrays
from halocline.topology import FloatArray, IntArray

BLOCK = 32  # rows per block of the dense layers: all blocks of one phase stay in the first-level cache
PREPARE, CONVOLVE, UPDATE, CONVOLVE_BACK, UPDATE_BACK, FORCES = range(6)
_ONE, _TWO, _THREE, _SIX = np.float32(1.0), np.float32(2.0), np.float32(3.0), np.float32(6.0)


@njit(error_model="numpy", cache=True)
def _range(n: int, thread: int, n_threads: int) -> tuple[int, int]:
    return n * thread // n_threads, n * (thread + 1) // n_threads


@njit(error_model="numpy", cache=True)
def _pair_range(start: IntArray, thread: int, n_threads: int) -> tuple[int, int]:
    """Rows of one thread, so that all threads have about as many pairs."""
    n_rows, n_pairs = len(start) - 1, start[-1]
    low, high = n_pairs * thread // n_threads, n_pairs * (thread + 1) // n_threads
    first, last = 0, n_rows
    while thread > 0 and first < n_rows and start[first] < low:
        first += 1
    while thread + 1 < n_threads and last > 0 and start[last - 1] >= high:
        last -= 1
    return first, last


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _prepare(first: int, last: int, thread: int, network: NetworkArrays, pairs: Sites, work: Work) -> None:
    """Knot and position of every pair in the tables; features before the first layer."""
    n_intervals = network.filters.shape[1] - 1
    low, high = pairs.start[first], pairs.start[last]
    for pair in range(low, high):
        position = pairs.distances[pair] / network.spacing
        knot = min(int(position), n_intervals - 1)
        work.knot[pair] = knot
        work.fraction[pair] = position - knot
        work.pair_slope[pair] = 0.0
    for row in range(first, last):
        kind = pairs.types[pairs.sites[row]]
        for f in range(network.embedding.shape[1]):
            work.features[row, f] = network.embedding[kind, f]
            work.sent[0, row, f] = network.sent[kind, f]
    work.energy[thread] = 0.0


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _convolve(layer: int, first: int, last: int, thread: int, network: NetworkArrays, pairs: Sites, work: Work) -> None:
    """received_i += W(r_ij) sent_j and the other way round."""
    n_features, table = network.filters.shape[3], network.filters[layer]
    sent, received = work.sent[layer], work.received[thread]
    _clear(received, 0, len(pairs.sites))
    for i in range(first, last):
        sent_i, received_i = sent[i], received[i]
        for pair in range(pairs.start[i], pairs.start[i + 1]):
            j, knot, t = pairs.neighbours[pair], work.knot[pair], work.fraction[pair]
            sent_j, received_j = sent[j], received[j]
            v0, s0, v1, s1 = table[knot, 0], table[knot, 1], table[knot + 1, 0], table[knot + 1, 1]
            u = _ONE - t
            a0, b0, a1, b1 = u * u * (_ONE + _TWO * t), t * u * u, t * t * (_THREE - _TWO * t), -t * t * u
            for f in range(n_features):
                weight = a0 * v0[f] + b0 * s0[f] + a1 * v1[f] + b1 * s1[f]
                received_i[f] += weight * sent_j[f]
                received_j[f] += weight * sent_i[f]


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _convolve_back(layer: int, first: int, last: int, thread: int, network: NetworkArrays, pairs: Sites, work: Work) -> None:
    """dE/dr += W'(r_ij) (d_received_i sent_j + d_received_j sent_i); d_sent_i += W(r_ij) d_received_j and back."""
    n_features, table = network.filters.shape[3], network.filters[layer]
    sent, d_received, d_sent = work.sent[layer], work.d_received, work.d_sent[thread]
    inverse_spacing = np.float32(1.0 / network.spacing)
    _clear(d_sent, 0, len(pairs.sites))
    for i in range(first, last):
        sent_i, d_received_i, d_sent_i = sent[i], d_received[i], d_sent[i]
        for pair in range(pairs.start[i], pairs.start[i + 1]):
            j, knot, t = pairs.neighbours[pair], work.knot[pair], work.fraction[pair]
            sent_j, d_received_j, d_sent_j = sent[j], d_received[j], d_sent[j]
            v0, s0, v1, s1 = table[knot, 0], table[knot, 1], table[knot + 1, 0], table[knot + 1, 1]
            u = _ONE - t
            a0, b0, a1, b1 = u * u * (_ONE + _TWO * t), t * u * u, t * t * (_THREE - _TWO * t), -t * t * u
            da, db0, db1 = -_SIX * t * u, u * (_ONE - _THREE * t), t * (_THREE * t - _TWO)
            total = np.float32(0.0)
            if layer > 0:
                for f in range(n_features):
                    weight = a0 * v0[f] + b0 * s0[f] + a1 * v1[f] + b1 * s1[f]
                    slope = da * (v0[f] - v1[f]) + db0 * s0[f] + db1 * s1[f]
                    total += slope * (d_received_i[f] * sent_j[f] + d_received_j[f] * sent_i[f])
                    d_sent_i[f] += weight * d_received_j[f]
                    d_sent_j[f] += weight * d_received_i[f]
            else:
                for f in range(n_features):
                    slope = da * (v0[f] - v1[f]) + db0 * s0[f] + db1 * s1[f]
                    total += slope * (d_received_i[f] * sent_j[f] + d_received_j[f] * sent_i[f])
            work.pair_slope[pair] += total * inverse_spacing


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _add_threads(copies: SingleArray, n_threads: int, first: int, n_rows: int, total: SingleArray) -> None:
    _clear(total, 0, n_rows)
    for thread in range(n_threads):
        for row in range(n_rows):
            for f in range(total.shape[1]):
                total[row, f] += copies[thread, first + row, f]


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _clear(array: SingleArray, first: int, n_rows: int) -> None:
    for row in range(first, first + n_rows):
        for f in range(array.shape[1]):
            array[row, f] = 0.0


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _back_through_update(layer: int, first: int, n_rows: int, buffer: SingleArray, network: NetworkArrays, work: Work) -> None:
    """d_received of a block of rows from its d_features: backwards through f2out."""
    _clear(buffer, 0, n_rows)
    multiply(work.d_features[first : first + n_rows], network.update2_t[layer], buffer, n_rows)
    d_received = work.d_received[first : first + n_rows]
    for row in range(n_rows):
        for f in range(buffer.shape[1]):
            buffer[row, f] *= work.slope[layer, first + row, f]
            d_received[row, f] = 0.0
    multiply(buffer, network.update1_t[layer], d_received, n_rows)


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _head(first: int, n_rows: int, head: SingleArray, network: NetworkArrays, pairs: Sites, work: Work) -> float:
    """Sum of the site energies of a block of rows, eV; leaves its derivative in d_features."""
    hidden, slope = head[0], head[1]
    for row in range(n_rows):
        for f in range(hidden.shape[1]):
            hidden[row, f] = network.head_bias1[f]
    multiply(work.features[first : first + n_rows], network.head1, hidden, n_rows)
    softplus_in_place(hidden, slope, n_rows)
    energy, scale = 0.0, np.float32(network.scale)
    for row in range(n_rows):
        site_energy = np.float32(network.head_bias2)
        for f in range(hidden.shape[1]):
            site_energy += network.head2[f] * hidden[row, f]
            slope[row, f] *= network.head2[f] * scale
        energy += scale * site_energy + network.shift[pairs.types[pairs.sites[first + row]]]
    _clear(work.d_features, first, n_rows)
    multiply(slope, network.head1_t, work.d_features[first : first + n_rows], n_rows)
    return energy


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _update(layer: int, first: int, last: int, thread: int, n_threads: int, network: NetworkArrays, pairs: Sites, work: Work) -> None:
    """features += f2out(received); then what they send next or, in the last layer, the energy and its derivative."""
    total, hidden = work.scratch[thread, 0], work.scratch[thread, 1]
    for block in range(first, last, BLOCK):
        n_rows = min(BLOCK, last - block)
        _add_threads(work.received, n_threads, block, n_rows, total)
        features = work.features[block : block + n_rows]
        for row in range(n_rows):
            for f in range(features.shape[1]):
                hidden[row, f] = network.bias1[layer, f]
                features[row, f] += network.bias2[layer, f]
        multiply(total, network.update1[layer], hidden, n_rows)
        softplus_in_place(hidden, work.slope[layer, block : block + n_rows], n_rows)
        multiply(hidden, network.update2[layer], features, n_rows)
        if layer + 1 < len(network.filters):
            sent = work.sent[layer + 1, block : block + n_rows]
            _clear(sent, 0, n_rows)
            multiply(features, network.send[layer + 1], sent, n_rows)
        else:
            work.energy[thread] += _head(block, n_rows, work.head[thread], network, pairs, work)
            _back_through_update(layer, block, n_rows, hidden, network, work)


@njit(fastmath=FASTMATH, error_model="numpy", cache=True)
def _update_back(layer: int, first: int, last: int, thread: int, n_threads: int, network: NetworkArrays, work: Work) -> None:
    """d_features of the layer below from d_sent, and on through its f2out."""
    total, hidden = work.scratch[thread, 0], work.scratch[thread, 1]
    for block in range(first, last, BLOCK):
        n_rows = min(BLOCK, last - block)
        _add_threads(work.d_sent, n_threads, block, n_rows, total)
        multiply(total, network.send_t[layer], work.d_features[block : block + n_rows], n_rows)
        _back_through_update(layer - 1, block, n_rows, hidden, network, work)


@njit(nogil=True, error_model="numpy", cache=True)
def run(program: IntArray, thread: int, n_threads: int, network: NetworkArrays, prior: PriorArrays, pairs: Sites, work: Work) -> None:
    """The share of one thread in some phases of the program, rows (phase, layer)."""
    first_row, last_row = _range(len(pairs.sites), thread, n_threads)
    first, last = _pair_range(pairs.start, thread, n_threads)
    for step in range(len(program)):
        phase, layer = program[step]
        if phase == PREPARE:
            _prepare(first, last, thread, network, pairs, work)
        elif phase == CONVOLVE:
            _convolve(layer, first, last, thread, network, pairs, work)
        elif phase == UPDATE:
            _update(layer, first_row, last_row, thread, n_threads, network, pairs, work)
        elif phase == CONVOLVE_BACK:
            _convolve_back(layer, first, last, thread, network, pairs, work)
        elif phase == UPDATE_BACK:
            _update_back(layer, first_row, last_row, thread, n_threads, network, work)
        else:
            pair_forces(first, last, thread, prior, pairs, work)


@njit(parallel=True, error_model="numpy", cache=True)
def run_parallel(program: IntArray, n_threads: int, network: NetworkArrays, prior: PriorArrays, pairs: Sites, work: Work) -> None:
    for step in range(len(program)):
        for thread in prange(n_threads):
            run(program[step : step + 1], thread, n_threads, network, prior, pairs, work)


@njit(error_model="numpy", cache=True)
def collect(pairs: Sites, n_threads: int, work: Work, forces: FloatArray, capped: IntArray, virial: FloatArray) -> float:
    """Add up the threads and scatter rows to sites; returns the energy."""
    energy = 0.0
    for thread in range(n_threads):
        energy += work.energy[thread]
        for k in range(3):
            for m in range(3):
                virial[m, k] += work.virial[thread, m, k]
        for row in range(len(pairs.sites)):
            site = pairs.sites[row]
            capped[site] += work.capped[thread, row]
            for k in range(3):
                forces[site, k] += work.forces[thread, row, k]
    return energy
