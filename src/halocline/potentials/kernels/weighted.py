"""Weighted sums of the site energies of a SchNet: E = sum_i w_i V_i.

The weights enter where the sum over sites is taken and in its derivative; everything between is that of the plain sum, and its
phases are used as they are. Half of each pair of the prior belongs to the site at either end.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from halocline.potentials.kernels.buffers import Sites, Work
from halocline.potentials.kernels.phases import BLOCK, _back_through_update, _head
from halocline.potentials.kernels.prior_pairs import class_of, prior_pair, push
from halocline.potentials.kernels.tables import NetworkArrays, PriorArrays
from halocline.topology import FloatArray


@njit(error_model="numpy", cache=True)
def readout(weights: FloatArray, n_threads: int, network: NetworkArrays, pairs: Sites, work: Work, own: FloatArray) -> None:
    """After the last update: the weighted energy, its derivative by what the sites received, and the energies of rows.

    Args:
        weights, own: (n_rows,); ``own`` is added to, eV.
    """
    hidden, layer, energy = work.head[0, 0], len(network.filters) - 1, 0.0
    for first in range(0, len(pairs.sites), BLOCK):
        n_rows = min(BLOCK, len(pairs.sites) - first)
        _head(first, n_rows, work.head[0], network, pairs, work)
        for row in range(n_rows):
            site_energy = float(network.head_bias2)
            for f in range(hidden.shape[1]):
                site_energy += network.head2[f] * hidden[row, f]
            value = network.scale * site_energy + network.shift[pairs.types[pairs.sites[first + row]]]
            own[first + row] += value
            energy += weights[first + row] * value
            for f in range(work.d_features.shape[1]):
                work.d_features[first + row, f] *= np.float32(weights[first + row])
        _back_through_update(layer, first, n_rows, work.scratch[0, 1], network, work)
    work.energy[:n_threads] = 0.0
    work.energy[0] = energy


@njit(error_model="numpy", cache=True)
def pair_forces(weights: FloatArray, n_threads: int, prior: PriorArrays, pairs: Sites, work: Work, own: FloatArray) -> None:
    """Add the weighted pair prior, and turn dE/dr into forces."""
    work.forces[:n_threads], work.capped[:n_threads], work.virial[:n_threads] = 0.0, 0, 0.0
    forces, capped, virial = work.forces[0], work.capped[0], work.virial[0]
    energy = 0.0
    for i in range(len(pairs.sites)):
        for pair in range(pairs.start[i], pairs.start[i + 1]):
            j, r, slope = pairs.neighbours[pair], pairs.distances[pair], float(work.pair_slope[pair])
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
            push(i, j, pair, slope, pairs, forces, virial)
    work.energy[0] += energy
