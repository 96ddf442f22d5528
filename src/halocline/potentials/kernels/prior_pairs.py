"""The last phase of a SchNet evaluation: the pair prior, and from slopes of pairs to forces, in double precision."""

from __future__ import annotations

from numba import njit

from halocline.potentials.kernels.buffers import Sites, Work
from halocline.potentials.kernels.tables import PriorArrays
from halocline.topology import FloatArray


@njit(error_model="numpy", cache=True)
def prior_pair(r: float, kind: int, prior: PriorArrays) -> tuple[float, float]:
    """Energy (eV) and slope (eV/Å) of one pair of a class at distance r."""
    if r < prior.core[kind]:
        return prior.core_value[kind] + prior.core_slope[kind] * (r - prior.core[kind]), prior.core_slope[kind]
    position = (r - prior.start) / prior.spacing
    knot = int(position)
    if knot >= prior.values.shape[1] - 1:
        return 0.0, 0.0
    t = position - knot
    v0, s0, v1, s1 = prior.values[kind, knot], prior.slopes[kind, knot], prior.values[kind, knot + 1], prior.slopes[kind, knot + 1]
    b, c = 3 * (v1 - v0) - 2 * s0 - s1, 2 * (v0 - v1) + s0 + s1
    return v0 + t * (s0 + t * (b + t * c)), (s0 + t * (2 * b + 3 * t * c)) / prior.spacing


@njit(error_model="numpy", cache=True)
def class_of(first: int, second: int, prior: PriorArrays, pairs: Sites) -> int:
    """Class of a pair of sites, which depends on whether they belong to one molecule; negative for none."""
    return prior.pair_class[pairs.types[first], pairs.types[second], 1 if pairs.molecules[first] == pairs.molecules[second] else 0]


@njit(error_model="numpy", cache=True)
def push(i: int, j: int, pair: int, slope: float, pairs: Sites, forces: FloatArray, virial: FloatArray) -> None:
    """Add the forces (eV/Å) on rows i and j of a pair with dE/dr = ``slope``, and its part of the virial (eV)."""
    for k in range(3):
        force = -slope * pairs.displacements[pair, k] / pairs.distances[pair]
        forces[j, k] += force
        forces[i, k] -= force
        for m in range(3):
            virial[m, k] += pairs.displacements[pair, m] * force


@njit(error_model="numpy", cache=True)
def pair_forces(first: int, last: int, thread: int, prior: PriorArrays, pairs: Sites, work: Work) -> None:
    """Add the pair prior and turn dE/dr into forces and virial, in double precision."""
    forces, capped, virial = work.forces[thread], work.capped[thread], work.virial[thread]
    for k in range(3):
        for row in range(len(pairs.sites)):
            forces[row, k], capped[row] = 0.0, 0
        for m in range(3):
            virial[m, k] = 0.0
    energy = 0.0
    for i in range(first, last):
        for pair in range(pairs.start[i], pairs.start[i + 1]):
            j, r, slope = pairs.neighbours[pair], pairs.distances[pair], float(work.pair_slope[pair])
            kind = class_of(pairs.sites[i], pairs.sites[j], prior, pairs)
            if kind >= 0:
                value, prior_slope = prior_pair(r, kind, prior)
                energy += value
                slope += prior_slope
                if prior.counted[kind] and r < prior.core[kind]:
                    capped[i] += 1
                    capped[j] += 1
            push(i, j, pair, slope, pairs, forces, virial)
    work.energy[thread] += energy
