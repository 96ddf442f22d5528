"""The phases of a PaiNN evaluation over a half neighbour list, forward and backward, for one thread or several.

The whole evaluation is a list of phases. A phase is divided into units: groups of features times slabs of rows, or blocks of rows. What a
unit computes, and the order in which units are added up, do not depend on the thread that does it.
"""

from __future__ import annotations

from numba import njit, prange

from halocline.potentials.kernels.buffers import Sites
from halocline.potentials.kernels.dense import clear
from halocline.potentials.kernels.painn_buffers import BLOCK, Work
from halocline.potentials.kernels.painn_pairs import convolve, convolve_back
from halocline.potentials.kernels.painn_sites import gather_received, head, put, send, send_back, update, update_back
from halocline.potentials.kernels.painn_tables import LANES, PaiNNArrays
from halocline.potentials.kernels.prior_pairs import class_of, prior_pair
from halocline.potentials.kernels.tables import PriorArrays
from halocline.topology import FloatArray, IntArray

PREPARE, CONVOLVE, UPDATE, TURN, FINISH, CONVOLVE_BACK, UPDATE_BACK, FORCES = range(8)


@njit(error_model="numpy", cache=True)
def _prepare(first: int, last: int, network: PaiNNArrays, pairs: Sites, work: Work) -> None:
    """Knot, position in the tables and unit vector of every pair; features before the first layer and what they send."""
    n_groups, width = len(work.gradient), network.embedding.shape[1]
    n_intervals = network.filters.shape[2] // (3 * LANES) - 3
    for pair in range(pairs.start[first], pairs.start[last]):
        position = pairs.distances[pair] / network.spacing
        knot = min(int(position), n_intervals - 1)
        work.knot[pair] = knot
        work.fraction[pair] = position - knot
        for k in range(3):
            work.unit[pair, k] = pairs.displacements[pair, k] / pairs.distances[pair]
    for group in range(n_groups):
        clear(work.gradient[group], pairs.start[first], pairs.start[last] - pairs.start[first])
    for row in range(first, last):
        kind = pairs.types[pairs.sites[row]]
        for f in range(width):
            work.scalars[row, f] = network.embedding[kind, f]
        for group in range(n_groups):
            for k in range(3):
                put(network.sent[kind], k * width + group * LANES, work.node[0, group, row], k * LANES)
    clear(work.vectors, 3 * first, 3 * (last - first))


@njit(error_model="numpy", cache=True)
def _site_phase(phase: int, layer: int, block: int, thread: int, bounds: IntArray, network: PaiNNArrays, pairs: Sites, work: Work) -> None:
    """One block of rows."""
    first = block * BLOCK
    n_rows, top = min(BLOCK, len(pairs.sites) - first), len(network.filters) - 1
    if phase == UPDATE_BACK:
        send_back(layer, first, n_rows, thread, bounds, network, work)
        layer -= 1
    else:
        gather_received(first, n_rows, bounds, work)
        update(layer, first, n_rows, thread, phase != TURN, network, work)
        if phase == TURN:
            head(first, n_rows, thread, network, pairs, work)
        elif layer < top:
            send(layer + 1, first, n_rows, thread, network, work)
    if phase in (TURN, UPDATE_BACK):
        update_back(layer, first, n_rows, thread, phase == UPDATE_BACK, network, work)


@njit(error_model="numpy", cache=True)
def _forces(slab: int, first: int, last: int, prior: PriorArrays, pairs: Sites, work: Work) -> None:
    """From derivatives by distances and unit vectors, and from the pair prior, to forces and virial, in double precision.

    dE/dr_ij = E_r u + (E_u - u (u.E_u)) / r. Half of each pair of the prior belongs to the site at either end.
    """
    forces, capped, virial, own = work.forces[slab], work.capped[slab], work.virial[slab], work.own_pairs[slab]
    for k in range(3):
        for row in range(len(pairs.sites)):
            forces[row, k], capped[row], own[row] = 0.0, 0, 0.0
        for m in range(3):
            virial[m, k] = 0.0
    energy, n_groups, weights, gradient = 0.0, len(work.gradient), work.weights, work.gradient
    for i in range(first, last):
        for pair in range(pairs.start[i], pairs.start[i + 1]):
            j, r = pairs.neighbours[pair], pairs.distances[pair]
            slope, gx, gy, gz = 0.0, 0.0, 0.0, 0.0
            for group in range(n_groups):
                slope += gradient[group, pair, 0]
                gx += gradient[group, pair, 1]
                gy += gradient[group, pair, 2]
                gz += gradient[group, pair, 3]
            kind = class_of(pairs.sites[i], pairs.sites[j], prior, pairs)
            if kind >= 0:
                value, prior_slope = prior_pair(r, kind, prior)
                scale = 0.5 * (weights[i] + weights[j])
                own[i] += 0.5 * value
                own[j] += 0.5 * value
                energy += scale * value
                slope += scale * prior_slope
                if prior.counted[kind] and r < prior.core[kind] and scale > 0.0:
                    capped[i] += 1
                    capped[j] += 1
            x, y, z = pairs.displacements[pair, 0], pairs.displacements[pair, 1], pairs.displacements[pair, 2]
            slope = (slope - (gx * x + gy * y + gz * z) / (r * r)) / r
            _push(i, j, -slope * x - gx / r, -slope * y - gy / r, -slope * z - gz / r, x, y, z, forces, virial)
    work.energy[slab] = energy


@njit(inline="always")
def _push(i: int, j: int, fx: float, fy: float, fz: float, x: float, y: float, z: float, forces: FloatArray, virial: FloatArray) -> None:
    """Add a force on row j and its opposite on row i, and its part of the virial."""
    forces[j, 0] += fx
    forces[j, 1] += fy
    forces[j, 2] += fz
    forces[i, 0] -= fx
    forces[i, 1] -= fy
    forces[i, 2] -= fz
    virial[0, 0] += x * fx
    virial[0, 1] += x * fy
    virial[0, 2] += x * fz
    virial[1, 0] += y * fx
    virial[1, 1] += y * fy
    virial[1, 2] += y * fz
    virial[2, 0] += z * fx
    virial[2, 1] += z * fy
    virial[2, 2] += z * fz


@njit(nogil=True, error_model="numpy", cache=True)
def run(
    program: IntArray, bounds: IntArray, thread: int, n_threads: int, network: PaiNNArrays, prior: PriorArrays, pairs: Sites, work: Work
) -> None:
    """The share of one thread in some phases of the program, rows (phase, layer)."""
    n_slabs, n_groups = len(bounds) - 1, len(work.gradient)
    for step in range(len(program)):
        phase, layer = program[step]
        if phase in (CONVOLVE, CONVOLVE_BACK):
            n_units = n_groups * n_slabs
        elif phase in (PREPARE, FORCES):
            n_units = n_slabs
        else:
            n_units = (len(pairs.sites) + BLOCK - 1) // BLOCK
        for unit in range(n_units * thread // n_threads, n_units * (thread + 1) // n_threads):
            # One group after the other: the filters of a group stay in the cache.
            slab = unit % n_slabs
            if phase == PREPARE:
                _prepare(bounds[slab], bounds[slab + 1], network, pairs, work)
            elif phase == CONVOLVE:
                convolve(layer, unit // n_slabs, slab, bounds[slab], bounds[slab + 1], network, pairs, work)
            elif phase == CONVOLVE_BACK:
                convolve_back(layer, unit // n_slabs, slab, bounds[slab], bounds[slab + 1], network, pairs, work)
            elif phase == FORCES:
                _forces(slab, bounds[slab], bounds[slab + 1], prior, pairs, work)
            else:
                _site_phase(phase, layer, unit, thread, bounds, network, pairs, work)


@njit(parallel=True, error_model="numpy", cache=True)
def run_parallel(
    program: IntArray, bounds: IntArray, n_threads: int, network: PaiNNArrays, prior: PriorArrays, pairs: Sites, work: Work
) -> None:
    for step in range(len(program)):
        for thread in prange(n_threads):
            run(program[step : step + 1], bounds, thread, n_threads, network, prior, pairs, work)


@njit(error_model="numpy", cache=True)
def collect(pairs: Sites, n_slabs: int, work: Work, forces: FloatArray, capped: IntArray, virial: FloatArray, own: FloatArray) -> float:
    """Add up the slabs and scatter rows to sites; returns the weighted energy."""
    energy = 0.0
    for row in range(len(pairs.sites)):
        energy += work.weights[row] * work.own[row]
        own[pairs.sites[row]] = work.own[row]
    for slab in range(n_slabs):
        energy += work.energy[slab]
        for k in range(3):
            for m in range(3):
                virial[m, k] += work.virial[slab, m, k]
        for row in range(len(pairs.sites)):
            site = pairs.sites[row]
            own[site] += work.own_pairs[slab, row]
            capped[site] += work.capped[slab, row]
            for k in range(3):
                forces[site, k] += work.forces[slab, row, k]
    return energy
