"""Energies, forces and the gradient of their loss: for any representation, and a compiled short cut for SchNet.

With forces F = -dE/dx the gradient of a loss L(E, F) with respect to the parameters is that of a scalar,

    dL/dtheta = d/dtheta [ sum_frames e_f E_f - c . dE/dx ],    e_f = dL/dE_f and c = dL/dF held fixed,

so it takes one evaluation of the forces and one directional derivative of the energy along c, differentiated once. No
second derivative through the network is ever formed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from halocline.models.base import Graph
from halocline.models.heads.energy import EnergyHead
from halocline.models.model import Model
from halocline.models.painn import PaiNN
from halocline.models.radial import ShiftedSoftplus
from halocline.models.schnet import Interaction, SchNet
from halocline.training import kernels
from halocline.training.data import Batch

LossSlopes = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Energies (n_frames,) and forces (n_sites, 3) -> derivatives of the loss with respect to either, dL/dE and dL/dF."""


class NetworkStep(ABC):
    """The learned part of a model, without prior and energy references, on batches of residual labels."""

    def __init__(self, model: Model) -> None:
        self.representation = model.representation
        head = model.heads["energy"]
        assert isinstance(head, EnergyHead)
        self.head = head

    @abstractmethod
    def energy_and_forces(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(n_frames,) eV and (n_sites, 3) eV/Å, without gradient."""

    @abstractmethod
    def surrogate(self, batch: Batch, slopes: LossSlopes) -> Tensor:
        """The scalar whose gradient with respect to the parameters is that of the loss with the given slopes."""


class GeneralStep(NetworkStep):
    """Any representation: automatic differentiation, twice."""

    def energy_and_forces(self, batch: Batch) -> tuple[Tensor, Tensor]:
        energy, forces = self._evaluate(batch, False)
        return energy.detach(), forces.detach()

    def surrogate(self, batch: Batch, slopes: LossSlopes) -> Tensor:
        energy, forces = self._evaluate(batch, True)
        energy_weights, direction = slopes(energy.detach(), forces.detach())
        return (energy_weights * energy).sum() + (direction * forces).sum()

    def _evaluate(self, batch: Batch, create_graph: bool) -> tuple[Tensor, Tensor]:
        i, j = batch.i.long(), batch.j.long()
        half = (batch.units * batch.distances[:, None]).requires_grad_(True)
        pairs = torch.stack([torch.cat([i, j]), torch.cat([j, i])])
        types = torch.tensor(self.representation.types)[batch.type_index]
        with torch.enable_grad():
            features = self.representation(types, pairs, torch.cat([half, -half]))
            site_energy = self.head(features, _bare_graph(batch, types, pairs), batch.type_index)["site_energy"]
            energy = site_energy.new_zeros(batch.n_frames).index_add(0, batch.frame, site_energy)
            (gradient,) = torch.autograd.grad(energy.sum(), half, create_graph=create_graph)
        forces = torch.zeros_like(batch.forces).index_add(0, i, gradient).index_add(0, j, -gradient)
        return energy, forces


def _bare_graph(batch: Batch, types: Tensor, pairs: Tensor) -> Graph:
    """What the energy head needs to know of a graph: frames; the rest is empty."""
    nothing, none = batch.forces.new_zeros(0), torch.zeros(0, dtype=torch.long)
    return Graph(types, nothing, pairs, nothing, batch.frame, none, batch.n_frames, 0, none, nothing)


class SchNetStep(NetworkStep):
    """SchNet through compiled pair loops and filters that are evaluated on a grid of distances once a step.

    Args:
        model: with a SchNet representation.
        shortest: Å, shortest distance of any pair in any batch.
        spacing: Å, largest distance of knots; 0.025 leaves a relative force error of about 1e-4.
    """

    def __init__(self, model: Model, shortest: float, spacing: float = 0.025) -> None:
        super().__init__(model)
        assert isinstance(self.representation, SchNet)
        self.schnet = self.representation
        cutoff = self.schnet.cutoff
        self.start = max(0.0, min(shortest, cutoff) - 2 * spacing)
        n_knots = math.ceil((cutoff - self.start) / spacing) + 1
        self.spacing = (cutoff - self.start) / (n_knots - 1)
        self.grid = torch.linspace(self.start, cutoff, n_knots, dtype=model.dtype)
        self.basis, self.basis_slope = _gaussians(self.schnet, self.grid)
        self.window, self.window_slope = _window(self.grid, cutoff)

    def energy_and_forces(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            tables = self._tables()
        return self._forces(batch, self._locate(batch), tables)

    def surrogate(self, batch: Batch, slopes: LossSlopes) -> Tensor:
        place, tables = self._locate(batch), self._tables()
        energy_weights, direction = slopes(*self._forces(batch, place, [table.detach() for table in tables]))
        return self._along(batch, place, tables, direction, energy_weights)

    def _forces(self, batch: Batch, place: _Place, tables: list[Tensor]) -> tuple[Tensor, Tensor]:
        x = self.schnet.embedding.weight.detach()[batch.type_index]
        with torch.enable_grad():
            t = torch.from_numpy(place.t).requires_grad_(True)
            for interaction, table in zip(self._interactions(), tables):
                x = x + interaction.f2out(_Convolution.apply(t, interaction.in2f(x), table, place))
            site_energy = self.head.scale * self.head.net(x)[:, 0]
            (gradient,) = torch.autograd.grad(site_energy.sum(), t)
        energy = site_energy.detach().new_zeros(batch.n_frames).index_add(0, batch.frame, site_energy.detach())
        forces = torch.zeros_like(batch.forces)
        kernels.pair_forces((gradient / self.spacing).numpy(), batch.units.numpy(), place.i, place.j, forces.numpy())
        return energy, forces

    def _along(self, batch: Batch, place: _Place, tables: list[Tensor], direction: Tensor, energy_weights: Tensor) -> Tensor:
        """``energy_weights . E - direction . dE/dx``, by forward differentiation along the direction."""
        rate = torch.empty_like(batch.distances)
        kernels.distance_rates(direction.numpy(), batch.units.numpy(), place.i, place.j, rate.numpy())
        place.rate = (rate / self.spacing).numpy()
        start = self.schnet.embedding(batch.type_index)
        x = torch.stack([start, torch.zeros_like(start)], dim=1)
        for interaction, table in zip(self._interactions(), tables):
            x = x + _dual_mlp(interaction.f2out, _DualConvolution.apply(table, interaction.in2f(x), place))
        output = self.head.scale * _dual_mlp(self.head.net, x)[:, :, 0]
        return (energy_weights[batch.frame] * output[:, 0] - output[:, 1]).sum()

    def _interactions(self) -> list[Interaction]:
        return [module for module in self.schnet.interactions if isinstance(module, Interaction)]

    def _locate(self, batch: Batch) -> _Place:
        """Knot below each distance and the fraction of the way to the next."""
        position = (batch.distances - self.start) / self.spacing
        knot = position.to(torch.int32).clamp_(0, len(self.grid) - 2)
        return _Place(knot.numpy(), (position - knot).numpy(), batch.i.numpy(), batch.j.numpy())

    def _tables(self) -> list[Tensor]:
        """For each layer (n_knots, 2, n_features) filter values and slopes times the spacing, differentiable."""
        start, tables = torch.stack([self.basis, self.basis_slope], dim=1), []
        for interaction in self._interactions():
            value, slope = _dual_mlp(interaction.filter, start).unbind(1)
            slope = slope * self.window + value * self.window_slope
            tables.append(torch.stack([value * self.window, slope * self.spacing], dim=1))
        return tables


class _Place:
    """Where the pairs are; constant within a step."""

    def __init__(self, knot: np.ndarray, t: np.ndarray, i: np.ndarray, j: np.ndarray) -> None:
        self.knot, self.t, self.i, self.j = knot, t, i, j
        self.rate: np.ndarray | None = None


class _Convolution(torch.autograd.Function):
    """Convolution, differentiable with respect to distances and sent features, not the table."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, x: Tensor, table: Tensor, place: _Place) -> Tensor:
        out = torch.zeros_like(x)
        ctx.arrays = table.numpy(), x.detach().contiguous().numpy(), place
        kernels.convolve(ctx.arrays[0], place.knot, place.t, place.i, place.j, ctx.arrays[1], out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        table, x, place = ctx.arrays
        x_out, t_out = torch.zeros_like(up), up.new_empty(len(place.t))
        upward = up.contiguous().numpy()
        kernels.convolve_gradient(table, place.knot, place.t, place.i, place.j, x, upward, x_out.numpy(), t_out.numpy())
        return t_out, x_out, None, None


class _DualConvolution(torch.autograd.Function):
    """Convolution with its directional derivative, differentiable with respect to the table and sent features."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, x: Tensor, place: _Place) -> Tensor:
        out = torch.zeros_like(x)
        ctx.arrays = table.detach().contiguous().numpy(), x.detach().contiguous().numpy(), place
        kernels.convolve_dual(ctx.arrays[0], place.knot, place.t, place.rate, place.i, place.j, ctx.arrays[1], out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        table, x, place = ctx.arrays
        x_out, table_out = torch.zeros_like(up), up.new_zeros(table.shape)
        upward = up.contiguous().numpy()
        kernels.convolve_dual_gradient(
            table, place.knot, place.t, place.rate, place.i, place.j, x, upward, x_out.numpy(), table_out.numpy()
        )
        return table_out, x_out, None


def _dual_mlp(layers: nn.Module, x: Tensor) -> Tensor:
    """A stack of linear layers and shifted softplus on (n, 2, n_in): values and derivatives along one direction."""
    assert isinstance(layers, nn.Sequential)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            bias = torch.stack([layer.bias, torch.zeros_like(layer.bias)])
            x = nn.functional.linear(x, layer.weight) + bias
        elif isinstance(layer, ShiftedSoftplus):
            value, slope = x.unbind(1)
            x = torch.stack([layer(value), torch.sigmoid(value) * slope], dim=1)
        else:
            raise TypeError(f"no derivative known of {type(layer).__name__}")
    return x


def _gaussians(schnet: SchNet, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Radial basis and its derivative on the grid, (n_knots, radial)."""
    basis = schnet.basis(grid)
    return basis, -(grid[:, None] - schnet.basis.centres) / schnet.basis.width**2 * basis


def _window(grid: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Smooth cut-off of :func:`halocline.models.radial.smooth_cutoff` and its derivative, (n_knots, 1)."""
    x = (grid / cutoff).clamp(max=1.0)
    value = 1 - x**3 * (10 - 15 * x + 6 * x**2)
    return value[:, None], (-30 * x**2 * (1 - x) ** 2 / cutoff)[:, None]


def make_step(model: Model, shortest: float) -> NetworkStep:
    """The fastest step there is for a model.

    Args:
        model: with an energy head.
        shortest: Å, shortest distance of any pair that will be seen.
    """
    from halocline.training.painn_step import PaiNNStep  # it is made of parts of this module

    # A subclass may compute something else with the same parameters: only the networks themselves take the short cuts.
    if type(model.representation) is PaiNN:
        return PaiNNStep(model)
    return SchNetStep(model, shortest) if type(model.representation) is SchNet else GeneralStep(model)
