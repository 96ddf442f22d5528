"""What the kernels read: filters and pair priors tabulated from torch modules, dense layers as plain arrays."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from torch import nn

from halocline.models.heads.energy import EnergyHead
from halocline.models.priors.pair_tables import PairTables
from halocline.models.radial import smooth_cutoff
from halocline.models.schnet import Interaction, SchNet
from halocline.potentials.kernels.dense import SingleArray
from halocline.topology import FloatArray, IntArray


class NetworkArrays(NamedTuple):
    """A SchNet with its energy head; matrices act from the right, ``_t`` marks transposes for the backward pass.

    Attributes:
        spacing: distance of the knots of the filters, Å; the first knot is at zero, the last at the cut-off.
        filters: (layers, n_knots, 2, features) values, and slopes times the spacing.
        embedding, sent: (n_types, features) features before the first layer, and what they send in it.
    """

    spacing: float
    filters: SingleArray
    embedding: SingleArray
    sent: SingleArray
    send: SingleArray
    send_t: SingleArray
    update1: SingleArray
    update1_t: SingleArray
    bias1: SingleArray
    update2: SingleArray
    update2_t: SingleArray
    bias2: SingleArray
    head1: SingleArray
    head1_t: SingleArray
    head_bias1: SingleArray
    head2: SingleArray
    head_bias2: float
    scale: float
    shift: FloatArray


class PriorArrays(NamedTuple):
    """Pair tables; below ``core`` a pair has constant slope.

    Attributes:
        start, spacing: first knot and distance of knots, Å.
        values, slopes: (n_classes, n_knots), eV; slopes are multiplied with the spacing.
        pair_class: (n_types, n_types, 2), last axis 0 between, 1 within a molecule; -1: no table.
        core, core_value, core_slope: (n_classes,) where the linear core begins (Å), its energy there (eV) and its slope (eV/Å).
        counted: (n_classes,) whether pairs within the core count as capped.
    """

    start: float
    spacing: float
    values: FloatArray
    slopes: FloatArray
    pair_class: IntArray
    core: FloatArray
    core_value: FloatArray
    core_slope: FloatArray
    counted: IntArray


def network_arrays(representation: SchNet, head: EnergyHead, n_knots: int) -> NetworkArrays:
    """Arrays of a network; the filters are evaluated in double precision."""
    network, energy = copy.deepcopy(representation).cpu().double(), copy.deepcopy(head).cpu().double()
    layers = [layer for layer in network.interactions if isinstance(layer, Interaction)]
    filters = np.stack([_tabulate_filter(network, layer, n_knots) for layer in layers])
    send = np.stack([_matrix(layer.in2f) for layer in layers])
    update1, update2 = (np.stack([_matrix(layer.f2out[k]) for layer in layers]) for k in (0, 2))
    bias1, bias2 = (np.stack([_bias(layer.f2out[k]) for layer in layers]) for k in (0, 2))
    embedding = network.embedding.weight.detach().numpy()
    head1, head2 = _matrix(energy.net[0]), _matrix(energy.net[2])[:, 0]
    return NetworkArrays(
        spacing=network.cutoff / (n_knots - 1),
        filters=_single(filters),
        embedding=_single(embedding),
        sent=_single(embedding @ send[0]),
        send=_single(send),
        send_t=_single(send.transpose(0, 2, 1)),
        update1=_single(update1),
        update1_t=_single(update1.transpose(0, 2, 1)),
        bias1=_single(bias1),
        update2=_single(update2),
        update2_t=_single(update2.transpose(0, 2, 1)),
        bias2=_single(bias2),
        head1=_single(head1),
        head1_t=_single(head1.T),
        head_bias1=_single(_bias(energy.net[0])),
        head2=_single(head2),
        head_bias2=float(_bias(energy.net[2])[0]),
        scale=float(energy.scale),
        shift=np.ascontiguousarray(energy.shift.detach().numpy(), dtype=np.float64),
    )


def prior_arrays(prior: PairTables | None, n_types: int, force_cap: float = math.inf, between: bool = True) -> PriorArrays:
    """Arrays of a prior, the repulsion between molecules limited to ``force_cap`` (eV/Å).

    Below the distance at which the repulsive force of a table reaches the cap, the energy goes on with that slope: the
    capped force is still the exact gradient of an energy. Tables within molecules are left alone.

    Args:
        prior: the tables, or None for none at all.
        n_types: number of types when there is no prior.
        between: False leaves out the tables between molecules.
    """
    if prior is None:
        none, zeros = np.full((n_types, n_types, 2), -1, dtype=np.int64), np.zeros(1)
        return PriorArrays(0.0, 1.0, np.zeros((1, 2)), np.zeros((1, 2)), none, zeros, zeros, zeros, np.zeros(1, dtype=np.int64))
    start, spacing = float(prior.start), float(prior.spacing)
    values, slopes = (np.ascontiguousarray(x.detach().cpu().numpy(), dtype=np.float64) for x in (prior.values, prior.slopes))
    pair_class = np.ascontiguousarray(prior.pair_class.cpu().numpy(), dtype=np.int64)
    core, core_value, core_slope = np.full(len(values), start), values[:, 0].copy(), slopes[:, 0].copy()
    counted = np.zeros(len(values), dtype=np.int64)
    outside = np.unique(pair_class[:, :, 0][pair_class[:, :, 0] >= 0])
    inside = np.unique(pair_class[:, :, 1][pair_class[:, :, 1] >= 0])
    if not between:
        pair_class[:, :, 0] = -1
    elif math.isfinite(force_cap):
        shared = np.intersect1d(outside, inside)
        if len(shared):
            # A table used within and between molecules is capped between them only: it needs a second copy.
            copies = np.arange(len(values), len(values) + len(shared))
            values, slopes = np.concatenate([values, values[shared]]), np.concatenate([slopes, slopes[shared]])
            core, core_value, core_slope = (np.concatenate([x, x[shared]]) for x in (core, core_value, core_slope))
            counted = np.zeros(len(values), dtype=np.int64)
            for old, new in zip(shared, copies):
                pair_class[:, :, 0][pair_class[:, :, 0] == old] = new
            outside = np.unique(pair_class[:, :, 0][pair_class[:, :, 0] >= 0])
        for kind in outside:
            capped = _cap(start, spacing, values[kind], slopes[kind], force_cap)
            if capped is not None:
                core[kind], core_value[kind], core_slope[kind], counted[kind] = *capped, 1
    return PriorArrays(start, spacing, values, slopes * spacing, pair_class, core, core_value, core_slope, counted)


def _cap(start: float, spacing: float, values: FloatArray, slopes: FloatArray, force_cap: float) -> tuple[float, float, float] | None:
    """Outermost distance with a repulsion of ``force_cap``, the energy there, and the slope; None if it is never reached."""
    strong = np.flatnonzero(slopes <= -force_cap)
    if not len(strong):
        return None
    knot = int(strong[-1])
    v0, v1 = values[knot], values[min(knot + 1, len(values) - 1)]
    s0, s1 = slopes[knot] * spacing, slopes[min(knot + 1, len(values) - 1)] * spacing
    b, c = 3 * (v1 - v0) - 2 * s0 - s1, 2 * (v0 - v1) + s0 + s1

    def excess(t: float) -> float:
        return (s0 + t * (2 * b + 3 * c * t)) / spacing + force_cap

    t = 0.0 if excess(0.0) == 0 else float(brentq(excess, 0.0, 1.0))
    return start + (knot + t) * spacing, float(v0 + t * (s0 + t * (b + t * c))), -force_cap


def _tabulate_filter(network: SchNet, layer: Interaction, n_knots: int) -> FloatArray:
    """(n_knots, 2, features): W(r) and its derivative times the spacing, from r = 0 to the cut-off."""

    def weights(r: torch.Tensor) -> torch.Tensor:
        return layer.filter(network.basis(r)) * smooth_cutoff(r, network.cutoff)[:, None]

    r = torch.linspace(0.0, network.cutoff, n_knots, dtype=torch.float64)
    derivative: tuple[torch.Tensor, ...] = torch.func.jvp(weights, (r,), (torch.ones_like(r),))
    values, slopes = derivative[0], derivative[1]
    values[-1], slopes[-1] = 0.0, 0.0
    return torch.stack([values, slopes * (network.cutoff / (n_knots - 1))], dim=1).detach().numpy()


def _matrix(layer: nn.Module) -> FloatArray:
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach().numpy().T


def _bias(layer: nn.Module) -> FloatArray:
    assert isinstance(layer, nn.Linear)
    return layer.bias.detach().numpy()


def _single(array: FloatArray) -> SingleArray:
    return np.ascontiguousarray(array, dtype=np.float32)
