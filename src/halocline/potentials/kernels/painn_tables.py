"""What the PaiNN kernel reads: filters as cubic B-splines, dense layers as plain arrays padded to whole lanes of features."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import solve_banded
from torch import nn

from halocline.models.heads.energy import EnergyHead
from halocline.models.painn import Message, PaiNN, Update
from halocline.models.radial import smooth_cutoff
from halocline.potentials.kernels.dense import SingleArray
from halocline.topology import FloatArray, IntArray

LANES = 32
"""Features that a pair loop takes at a time. All of them lie at constant distances from each other, so that LLVM can prove with few
comparisons that the two ends of a pair do not overlap; the filters of one such group stay in the second-level cache."""


class PaiNNArrays(NamedTuple):
    """A PaiNN with its energy head; matrices act from the right, ``_t`` marks transposes for the backward pass.

    ``features`` stands for their number rounded up to whole ``LANES``; what is added is zero and stays zero.

    Attributes:
        spacing: distance of the knots of the filters, Å; the first knot is at zero, the last at the cut-off.
        filters: (layers, features / LANES, (n_knots + 2) * 3 * LANES) coefficients of uniform cubic B-splines; for each knot the lanes of
            the scalar, the vector and the pair filter.
        embedding, sent: (n_types, features) and (n_types, 3 features) scalars before the first layer, and what they send in it.
        send1, send2: the two layers that make what a site sends.
        mix: (layers, features, 2 features) from vectors to u and w.
        gate1: from scalars and norms; ``gate_scalars`` on to the scalar and the product gate, ``gate_vectors`` to the vector gate.
    """

    spacing: float
    filters: SingleArray
    embedding: SingleArray
    sent: SingleArray
    send1: SingleArray
    send1_t: SingleArray
    send_bias1: SingleArray
    send2: SingleArray
    send2_t: SingleArray
    send_bias2: SingleArray
    mix: SingleArray
    mix_t: SingleArray
    gate1: SingleArray
    gate1_t: SingleArray
    gate_bias1: SingleArray
    gate_scalars: SingleArray
    gate_scalars_t: SingleArray
    gate_bias_scalars: SingleArray
    gate_vectors: SingleArray
    gate_vectors_t: SingleArray
    gate_bias_vectors: SingleArray
    head1: SingleArray
    head1_t: SingleArray
    head_bias1: SingleArray
    head2: SingleArray
    head_bias2: float
    scale: float
    shift: FloatArray


def painn_arrays(representation: PaiNN, head: EnergyHead, n_knots: int) -> PaiNNArrays:
    """Arrays of a network; the filters are evaluated in double precision."""
    network, energy = copy.deepcopy(representation).cpu().double(), copy.deepcopy(head).cpu().double()
    messages = [layer for layer in network.messages if isinstance(layer, Message)]
    updates = [layer for layer in network.updates if isinstance(layer, Update)]
    one = _places(network.features, 1)
    two, three = _places(network.features, 2), _places(network.features, 3)
    # The gate of the vectors comes first in the torch module, then those of the product and of the scalars.
    vector_gate, scalar_gate = np.arange(network.features), _chunks(network.features, (2, 1))
    embedding = _spread(network.embedding.weight.detach().numpy(), columns=one)
    with torch.no_grad():
        sent = _spread(messages[0].sender(network.embedding.weight).numpy(), columns=three)
    gates = [(_matrix(layer.gate[2]), _bias(layer.gate[2])) for layer in updates]
    pairs = {
        "send1": [_spread(_matrix(layer.sender[0]), one, one) for layer in messages],
        "send2": [_spread(_matrix(layer.sender[2]), one, three) for layer in messages],
        "mix": [_spread(_matrix(layer.mix), one, two) for layer in updates],
        "gate1": [_spread(_matrix(layer.gate[0]), two, one) for layer in updates],
        "gate_scalars": [_spread(matrix[:, scalar_gate], one, two) for matrix, _ in gates],
        "gate_vectors": [_spread(matrix[:, vector_gate], one, one) for matrix, _ in gates],
    }
    matrices = {name: _single(np.stack(each)) for name, each in pairs.items()}
    matrices |= {f"{name}_t": _single(np.stack([matrix.T for matrix in each])) for name, each in pairs.items()}
    head1 = _spread(_matrix(energy.net[0]), one, None)
    return PaiNNArrays(
        spacing=network.cutoff / (n_knots - 1),
        filters=_single(np.stack([_tabulate_filters(network, layer, n_knots) for layer in messages])),
        embedding=_single(embedding),
        sent=_single(sent),
        send_bias1=_single(np.stack([_spread(_bias(layer.sender[0]), columns=one) for layer in messages])),
        send_bias2=_single(np.stack([_spread(_bias(layer.sender[2]), columns=three) for layer in messages])),
        gate_bias1=_single(np.stack([_spread(_bias(layer.gate[0]), columns=one) for layer in updates])),
        gate_bias_scalars=_single(np.stack([_spread(bias[scalar_gate], columns=two) for _, bias in gates])),
        gate_bias_vectors=_single(np.stack([_spread(bias[vector_gate], columns=one) for _, bias in gates])),
        head1=_single(head1),
        head1_t=_single(head1.T),
        head_bias1=_single(_bias(energy.net[0])),
        head2=_single(_matrix(energy.net[2])[:, 0]),
        head_bias2=float(_bias(energy.net[2])[0]),
        scale=float(energy.scale),
        shift=np.ascontiguousarray(energy.shift.detach().numpy(), dtype=np.float64),
        **matrices,
    )


def padded(features: int) -> int:
    """Number of features rounded up to whole lanes."""
    return -(-features // LANES) * LANES


def spline_coefficients(values: FloatArray) -> FloatArray:
    """(n + 2, ...) coefficients of the uniform cubic B-spline through (n, ...) values that is flat at both ends.

    Between knots k and k + 1 the spline is the sum of coefficients k .. k + 3 times the four pieces of a cubic B-spline.
    """
    n = len(values)
    right = np.zeros((n + 2, *values.shape[1:]))
    right[1:-1] = 6.0 * values
    # Equal coefficients on either side of an end make its slope zero; that removes the two unknowns outside.
    bands = np.ones((3, n))
    bands[1] = 4.0
    bands[0, 1] = bands[2, -2] = 2.0
    inside = solve_banded((1, 1), bands, right[1:-1].reshape(n, -1)).reshape(values.shape)
    return np.concatenate([inside[1:2], inside, inside[-2:-1]])


def _tabulate_filters(network: PaiNN, layer: Message, n_knots: int) -> FloatArray:
    """(features / LANES, (n_knots + 2) * 3 * LANES) coefficients of W(r) from r = 0 to the cut-off.

    W is an even function of r, so flat at zero; the Bessel functions have their limit there but no value.
    """
    r = torch.linspace(0.0, network.cutoff, n_knots, dtype=torch.float64)
    r[0] = 1e-6 * network.cutoff
    with torch.no_grad():
        values = (layer.filter(network.basis(r)) * smooth_cutoff(r, network.cutoff)[:, None]).numpy()
    values[-1] = 0.0
    coefficients = _spread(spline_coefficients(values), columns=_places(network.features, 3))
    groups = padded(network.features) // LANES
    return coefficients.reshape(n_knots + 2, 3, groups, LANES).transpose(2, 0, 1, 3).reshape(groups, -1)


def _places(features: int, n_chunks: int) -> tuple[IntArray, int]:
    """Where the columns of ``n_chunks`` times ``features`` go when each chunk is padded, and how many columns that makes."""
    width = padded(features)
    return (np.arange(n_chunks)[:, None] * width + np.arange(features)).ravel(), n_chunks * width


def _chunks(features: int, order: tuple[int, ...]) -> IntArray:
    return (np.array(order)[:, None] * features + np.arange(features)).ravel()


def _spread(array: FloatArray, rows: tuple[IntArray, int] | None = None, columns: tuple[IntArray, int] | None = None) -> FloatArray:
    """The array with its rows and columns (the last axis) at their padded places, zero elsewhere."""
    if columns is not None:
        wide = np.zeros((*array.shape[:-1], columns[1]))
        wide[..., columns[0]] = array
        array = wide
    if rows is not None:
        tall = np.zeros((rows[1], *array.shape[1:]))
        tall[rows[0]] = array
        array = tall
    return array


def _matrix(layer: nn.Module) -> FloatArray:
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach().numpy().T


def _bias(layer: nn.Module) -> FloatArray:
    assert isinstance(layer, nn.Linear)
    return layer.bias.detach().numpy()


def _single(array: FloatArray) -> SingleArray:
    return np.ascontiguousarray(array, dtype=np.float32)
