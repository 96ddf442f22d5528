"""Energies, forces and the gradient of their loss for PaiNN: compiled, exact, and without second derivatives of everything.

The loss gradient is that of ``e . E - c . dE/dx`` (see :mod:`halocline.training.steps`). Energies and forces take one pass
forward and one back. Then both passes are differentiated along the displacement c of all sites, which gives the derivative
of the parameter gradient of the energy along c, and with it everything. Each pass uses what the ones before have computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from halocline.models.model import Model
from halocline.models.painn import Message, PaiNN, Update
from halocline.training.data import Batch
from halocline.training.painn_blocks import Dense, Gradients, MessageBlock, Pairs, UpdateBlock
from halocline.training.steps import LossSlopes, NetworkStep


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
        with torch.no_grad():
            passes = _Passes(self, batch)
            return passes.energies(), passes.forces()

    def surrogate(self, batch: Batch, slopes: LossSlopes) -> Tensor:
        parameters = [*self.painn.parameters(), *self.head.parameters()]
        with torch.no_grad():
            passes = _Passes(self, batch)
            energy, forces = passes.energies(), passes.forces()
            energy_weights, direction = slopes(energy, forces)
            found = passes.gradients(energy_weights, direction)
            value = (energy_weights * energy).sum() + (direction * forces).sum()
        return _Known.apply(value, [found[parameter] for parameter in parameters], *parameters)


class _Passes:
    """The passes over one batch, in the order of the methods."""

    def __init__(self, step: PaiNNStep, batch: Batch) -> None:
        self.batch, self.embedding, self.scale = batch, step.painn.embedding, step.head.scale
        self.pairs = Pairs(batch, step.painn)
        self.blocks: list[MessageBlock | UpdateBlock] = []
        for number, (message, update) in enumerate(zip(step.painn.messages, step.painn.updates)):
            assert isinstance(message, Message)
            assert isinstance(update, Update)
            self.blocks += [MessageBlock(message, self.pairs, number == 0), UpdateBlock(update)]
        self.head = Dense(step.head.net)

    def energies(self) -> Tensor:
        """(n_frames,) eV."""
        start = self.embedding.weight[self.batch.type_index]
        x = torch.zeros((4, *start.shape), dtype=start.dtype)
        x[0] = start
        for block in self.blocks:
            x = block.forward(x)
        site_energy = self.scale * self.head.forward(x[0])[:, 0]
        return site_energy.new_zeros(self.batch.n_frames).index_add(0, self.batch.frame, site_energy)

    def forces(self) -> Tensor:
        """(n_sites, 3) eV/Å."""
        n = len(self.batch.type_index)
        by_scalars = self.head.backward(self.scale.expand(n, 1))
        up = torch.zeros((4, *by_scalars.shape), dtype=by_scalars.dtype)
        up[0] = by_scalars
        for block in reversed(self.blocks):
            up = block.backward(up)
        return self.pairs.forces(n)

    def gradients(self, energy_weights: Tensor, direction: Tensor) -> Gradients:
        """Of ``energy_weights . E + direction . F`` by parameter.

        With site energies weighted by 1 - t e_f at the displacement t c, this is minus the derivative by t of the gradient of their sum.
        """
        self.pairs.move_along(direction)
        dx = torch.zeros_like(self.blocks[0].x)
        for block in self.blocks:
            dx = block.forward_rate(dx)
        self.head.forward_rate(dx[0])
        found: Gradients = {}
        weights = -self.scale * energy_weights.to(dx.dtype)[self.batch.frame]
        dup = torch.zeros_like(dx)
        dup[0] = self.head.backward_rate(weights[:, None], found)
        for block in reversed(self.blocks):
            dup = block.backward_rate(dup, found)
        by_type = torch.zeros_like(self.embedding.weight).index_add(0, self.batch.type_index, dup[0])
        found[self.embedding.weight] = by_type
        return {parameter: -value for parameter, value in found.items()}


class _Known(torch.autograd.Function):
    """A value whose gradient by the parameters is known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor], *parameters: nn.Parameter) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, up: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return (None, None, *(up * gradient for gradient in ctx.gradients))
