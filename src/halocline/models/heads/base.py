"""A head turns features into one predicted quantity."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from halocline.labels import QUANTITIES, Extent
from halocline.models.base import Features, Graph, Representation

SMALLEST = 1e-9
"""Of a spread or scale, in the unit of its quantity: nothing is ever divided by zero."""


class Head(nn.Module, ABC):
    """One predicted quantity with its unit, origin, loss and metric. One file of this package each.

    Attributes:
        name: the quantity of ``halocline.labels`` that it predicts.
        needs_vectors: whether the representation must have vector features.
        order: highest multipole that it takes from the sources shared by the heads of a model (0 charges, 1 dipoles, 2
            quadrupoles); None for a head that takes none.
        growth: the value of a frame of N molecules is divided by N**growth in loss and spread, so that frames of all sizes
            count alike: 1 for what adds up with one sign, 1/2 for what adds up like a random walk, 0 for what does not add up.
    """

    name: str = ""
    summary: str = ""
    needs_vectors: bool = False
    order: int | None = None
    growth: float = 0.0

    def __init__(self, representation: Representation) -> None:
        super().__init__()

    @property
    def unit(self) -> str:
        """Internal unit of prediction and label."""
        return QUANTITIES[self.name].unit

    @property
    def origin(self) -> str:
        """What multipoles are taken about; empty where it does not matter."""
        return QUANTITIES[self.name].origin

    @property
    def extent(self) -> Extent:
        """Whether there is one value per frame, atom or molecule."""
        return QUANTITIES[self.name].extent

    @abstractmethod
    def forward(self, features: Features, graph: Graph, type_index: Tensor) -> dict[str, Tensor]:
        """Predictions; the entry under the head's own name has the shape of the label, with a leading frame axis."""

    def set_means(self, label: Tensor, graph: Graph, type_index: Tensor) -> None:
        """Fix whatever can be known without learning. Labels are NaN where there is none; by default nothing is fixed."""

    def guess(self, label: Tensor, graph: Graph, type_index: Tensor) -> Tensor:
        """The best constant that anybody could guess from the labels, broadcastable to them; zero by default."""
        return label.new_zeros(())

    def per_size(self, value: Tensor, graph: Graph) -> Tensor:
        """(n, ...) values divided by N**growth, N the number of molecules of each frame."""
        if self.growth == 0.0:
            return value
        sizes = value.new_zeros(graph.n_frames).index_add(0, graph.molecule_frame, value.new_ones(graph.n_molecules))
        return value / sizes.pow(self.growth).reshape(-1, *[1] * (value.dim() - 1))

    def spread(self, label: Tensor, graph: Graph, type_index: Tensor) -> float:
        """Root mean square of the components of the labels, by size, about :meth:`guess`, in :attr:`unit`.

        The error of a model that has learned nothing; NaN where no frame is labelled.
        """
        scaled = self.per_size(label, graph)
        left = (scaled - self.guess(scaled, graph, type_index)).double()
        known = torch.isfinite(left)
        if not bool(known.any()):
            return float("nan")
        return max(float(left[known].square().mean().sqrt()), SMALLEST)

    def squares(self, prediction: Tensor, label: Tensor, graph: Graph) -> tuple[Tensor, int]:
        """Sum of squared errors of all labelled components, by size, and their number; a missing label counts for nothing."""
        error = self.per_size(prediction - label, graph)
        # A NaN times zero is a NaN in the backward pass: what is missing must be replaced before anything is done with it.
        known = torch.isfinite(label)
        return torch.where(known, error, error.new_zeros(())).square().sum(), int(known.sum())

    def loss(self, prediction: Tensor, label: Tensor, graph: Graph, spread: float) -> Tensor:
        """Mean squared error over the labelled components, over the square of the spread; zero where no frame is labelled."""
        total, count = self.squares(prediction, label, graph)
        return total / (max(count, 1) * spread**2)
