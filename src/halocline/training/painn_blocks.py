"""PaiNN block by block, each with its gradient and with the derivatives of both along a displacement of all sites.

Every block has four methods, called in this order, each using what the ones before left behind:

    forward             y(x)
    backward            x_up = y_up . dy/dx, where ``up`` is the gradient of the energy
    forward_rate        dy along the displacement, from dx
    backward_rate       dx_up from dy_up, and the derivatives of the parameter gradients, added to ``gradients``

The last are what a force-matching loss needs: the energy is differentiated by the parameters and once along the force error.
For a linear layer y = W x the parameter gradient is y_up x, and its derivative dy_up x + y_up dx.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from halocline.models.painn import Message, PaiNN, Update
from halocline.models.radial import ShiftedSoftplus
from halocline.training import painn_kernels as kernels
from halocline.training import painn_site_kernels as site_kernels
from halocline.training.data import Batch

Gradients = dict[Tensor, Tensor]


class Pairs:
    """Geometry of the pairs of one batch and the radial basis with its derivatives, constant within a step."""

    def __init__(self, batch: Batch, painn: PaiNN) -> None:
        self.i, self.j = batch.i.numpy(), batch.j.numpy()
        self.distances, self.units = batch.distances.numpy(), batch.units.numpy()
        self.basis = radial_basis(painn, batch.distances)
        self.r_up, self.u_up = np.zeros_like(self.distances), np.zeros_like(self.units)
        self.rate, self.turn = np.empty_like(self.distances), np.empty_like(self.units)

    def forces(self, n_sites: int) -> Tensor:
        """(n_sites, 3) of the gradients by distances and unit vectors that the messages left."""
        out = np.zeros((n_sites, 3), self.distances.dtype)
        kernels.pair_forces(self.r_up, self.u_up, self.distances, self.units, self.i, self.j, out)
        return torch.from_numpy(out)

    def move_along(self, direction: Tensor) -> None:
        """Derivatives of distances and unit vectors along a displacement (n_sites, 3) of all sites."""
        moved = np.ascontiguousarray(direction.numpy(), self.distances.dtype)
        kernels.pair_rates(moved, self.distances, self.units, self.i, self.j, self.rate, self.turn)


def radial_basis(painn: PaiNN, r: Tensor) -> Tensor:
    """(2 n_pairs, radial + 1): basis times cut-off, then the cut-off itself; below them the derivatives."""
    basis, cutoff = painn.basis, painn.cutoff
    inverse, phase = 1 / r[:, None], basis.wave * r[:, None]
    value = math.sqrt(2.0 / cutoff) * torch.sin(phase) * inverse
    slope = (math.sqrt(2.0 / cutoff) * basis.wave * torch.cos(phase) - value) * inverse
    x = (r[:, None] / cutoff).clamp(max=1.0)
    window, window_slope = 1 - x**3 * (10 - 15 * x + 6 * x**2), -30 * x**2 * (1 - x) ** 2 / cutoff
    upper = torch.cat([value * window, window], dim=1)
    return torch.cat([upper, torch.cat([slope * window + value * window_slope, window_slope], dim=1)])


class Dense:
    """Linear, SiLU or shifted softplus, linear; rows are sites.

    Raises:
        TypeError: other layers.
    """

    def __init__(self, layers: nn.Module) -> None:
        assert isinstance(layers, nn.Sequential)
        first, activation, last = layers
        if not (isinstance(first, nn.Linear) and isinstance(last, nn.Linear) and isinstance(activation, (nn.SiLU, ShiftedSoftplus))):
            raise TypeError(f"no derivatives known of {layers}")
        self.first, self.last, self.is_silu = first, last, isinstance(activation, nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        h = torch.addmm(self.first.bias, x, self.first.weight.T)
        sigma = torch.sigmoid(h)
        if self.is_silu:
            self.k = h * sigma
            self.slope = sigma + self.k * (1 - sigma)
            self.curvature = sigma * (1 - sigma) * (2 + h - 2 * self.k)
        else:
            self.k, self.slope, self.curvature = nn.functional.softplus(h) - math.log(2.0), sigma, sigma * (1 - sigma)
        return torch.addmm(self.last.bias, self.k, self.last.weight.T)

    def backward(self, y_up: Tensor) -> Tensor:
        self.y_up = y_up
        self.k_up = y_up @ self.last.weight
        self.h_up = self.k_up * self.slope
        return self.h_up @ self.first.weight

    def forward_rate(self, dx: Tensor) -> Tensor:
        self.dx = dx
        self.dh = dx @ self.first.weight.T
        self.dk = self.dh * self.slope
        return self.dk @ self.last.weight.T

    def backward_rate(self, dy_up: Tensor, gradients: Gradients) -> Tensor:
        dh_up = (dy_up @ self.last.weight) * self.slope + self.k_up * self.curvature * self.dh
        gradients[self.last.bias], gradients[self.first.bias] = dy_up.sum(dim=0), dh_up.sum(dim=0)
        gradients[self.last.weight] = torch.addmm(dy_up.T @ self.k, self.y_up.T, self.dk)
        gradients[self.first.weight] = torch.addmm(dh_up.T @ self.x, self.h_up.T, self.dx)
        return dh_up @ self.first.weight


class MessageBlock:
    """:class:`halocline.models.painn.Message`; features are (4, n_sites, F), scalars and the components of the vectors."""

    def __init__(self, message: Message, pairs: Pairs, is_first: bool) -> None:
        self.filter, self.sender, self.pairs, self.has_vectors = message.filter, Dense(message.sender), pairs, not is_first
        self.width = self.filter.out_features

    def forward(self, x: Tensor) -> Tensor:
        pairs, self.x = self.pairs, x
        # The filters are linear in the basis: one product gives them and their derivatives for all pairs.
        matrix = torch.cat([self.filter.weight, self.filter.bias[:, None]], dim=1)
        self.filters = (pairs.basis @ matrix.T).view(2, len(pairs.i), self.width).numpy()
        self.phi, out = self.sender.forward(x[0]), x.clone()
        phi, received = self.phi.numpy(), out.numpy()
        kernels.messages(self.filters, pairs.units, pairs.i, pairs.j, phi, x.numpy(), self.has_vectors, received)
        return out

    def backward(self, up: Tensor) -> Tensor:
        pairs, self.up, x_up, phi_up = self.pairs, up, up.clone(), torch.zeros_like(self.phi)
        kernels.messages_gradient(
            self.filters, pairs.units, pairs.i, pairs.j, self.phi.numpy(), self.x.numpy(), self.has_vectors,
            up.numpy(), phi_up.numpy(), x_up.numpy(), pairs.r_up, pairs.u_up,
        )  # fmt: skip
        x_up[0] += self.sender.backward(phi_up)
        return x_up

    def forward_rate(self, dx: Tensor) -> Tensor:
        pairs, self.dx, self.dphi, out = self.pairs, dx, self.sender.forward_rate(dx[0]), dx.clone()
        kernels.messages_rate(
            self.filters, pairs.units, pairs.rate, pairs.turn, pairs.i, pairs.j, self.phi.numpy(), self.dphi.numpy(),
            self.x.numpy(), dx.numpy(), self.has_vectors, out.numpy(),
        )  # fmt: skip
        return out

    def backward_rate(self, dup: Tensor, gradients: Gradients) -> Tensor:
        pairs, dx_up, dphi_up, filters_up = self.pairs, dup.clone(), torch.zeros_like(self.phi), np.empty_like(self.filters)
        kernels.messages_gradient_rate(
            self.filters, pairs.units, pairs.rate, pairs.turn, pairs.i, pairs.j, self.phi.numpy(), self.dphi.numpy(),
            self.x.numpy(), self.dx.numpy(), self.has_vectors, self.up.numpy(), dup.numpy(), dphi_up.numpy(), dx_up.numpy(), filters_up,
        )  # fmt: skip
        by_matrix = pairs.basis.T @ torch.from_numpy(filters_up).view(-1, self.width)
        gradients[self.filter.weight], gradients[self.filter.bias] = by_matrix[:-1].T, by_matrix[-1]
        dx_up[0] += self.sender.backward_rate(dphi_up, gradients)
        return dx_up


class UpdateBlock:
    """:class:`halocline.models.painn.Update`; features are (4, n_sites, F)."""

    def __init__(self, update: Update) -> None:
        self.mix, self.gate_layers, self.features = update.mix, Dense(update.gate), update.features

    def forward(self, x: Tensor) -> Tensor:
        self.x, out = x, x.clone()
        self.mixed = x[1:] @ self.mix.weight.T
        self.norm, self.product = torch.empty_like(x[0]), torch.empty_like(x[0])
        site_kernels.invariants(self.mixed.numpy(), self.norm.numpy(), self.product.numpy())
        self.gate = self.gate_layers.forward(torch.cat([x[0], self.norm], dim=1))
        site_kernels.gated(self.mixed.numpy(), self.gate.numpy(), self.product.numpy(), out.numpy())
        return out

    def backward(self, up: Tensor) -> Tensor:
        self.up, gate_up, self.mixed_up, out = up, torch.empty_like(self.gate), torch.empty_like(self.mixed), up.clone()
        site_kernels.gate_gradient(self.mixed.numpy(), self.product.numpy(), up.numpy(), gate_up.numpy())
        scalars_up, norm_up = self.gate_layers.backward(gate_up).split(self.features, dim=1)
        self.norm_up = norm_up.contiguous()
        site_kernels.mixed_gradient(
            self.mixed.numpy(), self.gate.numpy(), self.norm.numpy(), up.numpy(), self.norm_up.numpy(), self.mixed_up.numpy()
        )
        out[0] += scalars_up
        out[1:] += self.mixed_up @ self.mix.weight
        return out

    def forward_rate(self, dx: Tensor) -> Tensor:
        self.dx, out = dx, dx.clone()
        self.dmixed = dx[1:] @ self.mix.weight.T
        self.dnorm, self.dproduct = torch.empty_like(dx[0]), torch.empty_like(dx[0])
        mixed, dmixed, dproduct = self.mixed.numpy(), self.dmixed.numpy(), self.dproduct.numpy()
        site_kernels.invariants_rate(mixed, dmixed, self.norm.numpy(), self.dnorm.numpy(), dproduct)
        self.dgate = self.gate_layers.forward_rate(torch.cat([dx[0], self.dnorm], dim=1))
        site_kernels.gated_rate(mixed, dmixed, self.gate.numpy(), self.dgate.numpy(), self.product.numpy(), dproduct, out.numpy())
        return out

    def backward_rate(self, dup: Tensor, gradients: Gradients) -> Tensor:
        dgate_up, dmixed_up, out = torch.empty_like(self.gate), torch.empty_like(self.mixed), dup.clone()
        mixed, dmixed, up = self.mixed.numpy(), self.dmixed.numpy(), self.up.numpy()
        site_kernels.gate_gradient_rate(mixed, dmixed, self.product.numpy(), self.dproduct.numpy(), up, dup.numpy(), dgate_up.numpy())
        dscalars_up, dnorm_up = self.gate_layers.backward_rate(dgate_up, gradients).split(self.features, dim=1)
        site_kernels.mixed_gradient_rate(
            mixed, dmixed, self.gate.numpy(), self.dgate.numpy(), self.norm.numpy(), self.dnorm.numpy(),
            up, dup.numpy(), self.norm_up.numpy(), dnorm_up.contiguous().numpy(), dmixed_up.numpy(),
        )  # fmt: skip
        rows, drows = self.x[1:].reshape(-1, self.features), self.dx[1:].reshape(-1, self.features)
        flat, dflat = self.mixed_up.view(len(rows), -1), dmixed_up.view(len(rows), -1)
        gradients[self.mix.weight] = torch.addmm(dflat.T @ rows, flat.T, drows)
        out[0] += dscalars_up
        out[1:] += dmixed_up @ self.mix.weight
        return out
