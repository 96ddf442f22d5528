"""Energies, forces and the gradient of their loss for PaiNN: compiled messages over half the pairs, no second derivatives.

The loss gradient is that of ``e . E - c . dE/dx`` (see :mod:`halocline.training.steps`). The second term is minus the
derivative of the energy along the displacement c of all sites, so the network is evaluated once more on dual numbers
(values and their derivatives along c) and differentiated once with respect to its parameters. Both are exact.

The filters of a layer are linear in the radial basis: one matrix product gives them, and their derivatives, for all pairs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from halocline.models.model import Model
from halocline.models.painn import Message, PaiNN, Update
from halocline.training import painn_kernels as kernels
from halocline.training.data import Batch
from halocline.training.steps import LossSlopes, NetworkStep, _dual_mlp


class PaiNNStep(NetworkStep):
    """PaiNN with compiled pair loops.

    Args:
        model: with a PaiNN representation.

    Raises:
        TypeError: another representation; a subclass may compute something else with the same parameters.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        if type(self.representation) is not PaiNN:
            raise TypeError(f"the representation is {type(self.representation).__name__}, not PaiNN itself")
        self.painn = self.representation

    def energy_and_forces(self, batch: Batch) -> tuple[Tensor, Tensor]:
        pairs = _Pairs(batch, self.painn)
        with torch.no_grad():
            return self._forces(batch, pairs, self._filters(pairs))

    def surrogate(self, batch: Batch, slopes: LossSlopes) -> Tensor:
        pairs = _Pairs(batch, self.painn)
        filters = self._filters(pairs)
        energy_weights, direction = slopes(*self._forces(batch, pairs, [item.detach() for item in filters]))
        pairs.move_along(direction)
        energy, rate = self._dual_site_energies(batch, pairs, filters)
        return (energy_weights[batch.frame] * energy - rate).sum()

    def _filters(self, pairs: _Pairs) -> list[Tensor]:
        """For each layer (2, n_pairs, 3 features): filters with the cut-off in them, and their derivatives."""
        result = []
        for message, _ in self._layers():
            matrix = torch.cat([message.filter.weight, message.filter.bias[:, None]], dim=1)
            result.append((pairs.basis @ matrix.T).view(2, len(pairs.i), len(matrix)))
        return result

    def _forces(self, batch: Batch, pairs: _Pairs, filters: list[Tensor]) -> tuple[Tensor, Tensor]:
        s = self.painn.embedding.weight.detach()[batch.type_index]
        with torch.enable_grad():
            r, u = pairs.distances.detach().requires_grad_(True), pairs.units.detach().requires_grad_(True)
            v: Tensor | None = None
            for (message, update), item in zip(self._layers(), filters):
                received = _Messages.apply(r, u, message.sender(s), v, item, pairs)
                s, v = s + received[:, 0], received[:, 1:] if v is None else v + received[:, 1:]
                s, v = update(s, v)
            site_energy = self.head.scale * self.head.net(s)[:, 0]
            by_distance, by_unit = torch.autograd.grad(site_energy.sum(), (r, u))
        energy = site_energy.detach().new_zeros(batch.n_frames).index_add(0, batch.frame, site_energy.detach())
        forces = torch.zeros_like(batch.forces)
        r_array, u_array = batch.distances.numpy(), batch.units.numpy()
        kernels.pair_forces(by_distance.numpy(), by_unit.numpy(), r_array, u_array, pairs.i, pairs.j, forces.numpy())
        return energy, forces

    def _dual_site_energies(self, batch: Batch, pairs: _Pairs, filters: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Site energies and their derivatives along the displacement."""
        start = self.painn.embedding(batch.type_index)
        s = torch.stack([start, torch.zeros_like(start)])
        v: Tensor | None = None
        for (message, update), item in zip(self._layers(), filters):
            received = _DualMessages.apply(_dual_layers(message.sender, s), v, item, pairs)
            s, v = s + received[:, :, 0], received[:, :, 1:] if v is None else v + received[:, :, 1:]
            s, v = _dual_update(update, s, v)
        output = self.head.scale * _dual_mlp(self.head.net, s.transpose(0, 1))[:, :, 0]
        return output[:, 0], output[:, 1]

    def _layers(self) -> list[tuple[Message, Update]]:
        return list(zip(self.painn.messages, self.painn.updates))  # type: ignore[arg-type]


class _Pairs:
    """Geometry of the pairs of one batch and the radial basis with its derivatives, constant within a step."""

    def __init__(self, batch: Batch, painn: PaiNN) -> None:
        self.i, self.j, self.distances, self.units = batch.i.numpy(), batch.j.numpy(), batch.distances, batch.units
        self.basis = _radial(painn, batch.distances)
        self.rate: np.ndarray | None = None
        self.turn: np.ndarray | None = None

    def move_along(self, direction: Tensor) -> None:
        """Derivatives of distances and unit vectors along a displacement (n_sites, 3) of all sites."""
        r, u = self.distances.numpy(), self.units.numpy()
        self.rate, self.turn = np.empty_like(r), np.empty_like(u)
        kernels.pair_rates(np.ascontiguousarray(direction.numpy(), r.dtype), r, u, self.i, self.j, self.rate, self.turn)


def _radial(painn: PaiNN, r: Tensor) -> Tensor:
    """(2 n_pairs, radial + 1): basis times cut-off, then the cut-off itself; below them the derivatives."""
    basis, cutoff = painn.basis, painn.cutoff
    inverse, phase = 1 / r[:, None], basis.wave * r[:, None]
    value = math.sqrt(2.0 / cutoff) * torch.sin(phase) * inverse
    slope = (math.sqrt(2.0 / cutoff) * basis.wave * torch.cos(phase) - value) * inverse
    x = (r[:, None] / cutoff).clamp(max=1.0)
    window, window_slope = 1 - x**3 * (10 - 15 * x + 6 * x**2), -30 * x**2 * (1 - x) ** 2 / cutoff
    upper = torch.cat([value * window, window], dim=1)
    return torch.cat([upper, torch.cat([slope * window + value * window_slope, window_slope], dim=1)])


class _Messages(torch.autograd.Function):
    """Messages, differentiable with respect to distances, unit vectors and features, not the filters."""

    @staticmethod
    def forward(ctx: Any, r: Tensor, u: Tensor, phi: Tensor, v: Tensor | None, filters: Tensor, pairs: _Pairs) -> Tensor:
        sent, vectors = _array(phi), _vectors(v, phi)
        out = phi.new_zeros(len(phi), 4, phi.shape[1] // 3)
        ctx.arrays = filters.numpy(), sent, vectors, v is not None, pairs
        kernels.messages(filters.numpy(), pairs.units.numpy(), pairs.i, pairs.j, sent, vectors, v is not None, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        filters, phi, v, has_vectors, pairs = ctx.arrays
        phi_out, v_out = np.zeros_like(phi), np.zeros_like(v)
        r_out, u_out = torch.zeros_like(pairs.distances), torch.zeros_like(pairs.units)
        units, upward = pairs.units.numpy(), _array(up)
        kernels.messages_gradient(
            filters, units, pairs.i, pairs.j, phi, v, has_vectors, upward, phi_out, v_out, r_out.numpy(), u_out.numpy()
        )
        return r_out, u_out, torch.from_numpy(phi_out), torch.from_numpy(v_out) if has_vectors else None, None, None


class _DualMessages(torch.autograd.Function):
    """Messages with their directional derivatives, differentiable with respect to features and filters."""

    @staticmethod
    def forward(ctx: Any, phi: Tensor, v: Tensor | None, filters: Tensor, pairs: _Pairs) -> Tensor:
        sent, vectors, table = _array(phi), _vectors(v, phi), _array(filters)
        out = phi.new_zeros(2, phi.shape[1], 4, phi.shape[2] // 3)
        units, rate, turn, i, j = pairs.units.numpy(), pairs.rate, pairs.turn, pairs.i, pairs.j
        ctx.arrays = table, units, rate, turn, i, j, sent, vectors, v is not None
        kernels.messages_dual(table, units, rate, turn, i, j, sent, vectors, v is not None, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        filters, units, rate, turn, i, j, phi, v, has_vectors = ctx.arrays
        phi_out, v_out, filters_out = np.zeros_like(phi), np.zeros_like(v), np.zeros_like(filters)
        kernels.messages_dual_gradient(filters, units, rate, turn, i, j, phi, v, has_vectors, _array(up), phi_out, v_out, filters_out)
        return torch.from_numpy(phi_out), torch.from_numpy(v_out) if has_vectors else None, torch.from_numpy(filters_out), None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _vectors(v: Tensor | None, phi: Tensor) -> np.ndarray:
    """Vector features as an array; an empty one in the first layer."""
    return _array(phi.new_zeros((*phi.shape[:-1], 0, 0)) if v is None else v)


def _dual_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer on dual numbers (2, ..., n_in); the bias has no derivative."""
    value = nn.functional.linear(x, layer.weight)
    if layer.bias is None:
        return value
    return torch.stack([value[0] + layer.bias, value[1]])


def _dual_layers(layers: nn.Module, x: Tensor) -> Tensor:
    """Linear layers with SiLU between them on dual numbers (2, n, n_in)."""
    assert isinstance(layers, nn.Sequential)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            x = _dual_linear(layer, x)
        elif isinstance(layer, nn.SiLU):
            sigma = torch.sigmoid(x[0])
            x = torch.stack([x[0] * sigma, x[1] * (sigma * (1 + x[0] * (1 - sigma)))])
        else:
            raise TypeError(f"no derivative known of {type(layer).__name__}")
    return x


def _dual_update(update: Update, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """:class:`halocline.models.painn.Update` on dual numbers (2, n, F) and (2, n, 3, F)."""
    u, w = _dual_linear(update.mix, v).chunk(2, dim=3)
    norm = torch.sqrt((w[0] ** 2).sum(dim=1) + 1e-8)
    norms = torch.stack([norm, (w[0] * w[1]).sum(dim=1) / norm])
    a_vector, a_product, a_scalar = _dual_layers(update.gate, torch.cat([s, norms], dim=2)).chunk(3, dim=2)
    product = torch.stack([(u[0] * w[0]).sum(dim=1), (u[0] * w[1] + u[1] * w[0]).sum(dim=1)])
    mixed = torch.stack([a_product[0] * product[0], a_product[0] * product[1] + a_product[1] * product[0]])
    gate = a_vector[:, :, None, :]
    turned = torch.stack([u[0] * gate[0], u[0] * gate[1] + u[1] * gate[0]])
    return s + a_scalar + mixed, v + turned
