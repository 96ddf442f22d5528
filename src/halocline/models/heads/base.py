"""A head turns features into one predicted quantity."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from halocline.models.base import Features, Graph, Representation


class Head(nn.Module, ABC):
    """One predicted quantity. One file of this package each.

    Attributes:
        name: the quantity of ``halocline.labels`` that it predicts.
        needs_vectors: whether the representation must have vector features.
    """

    name: str = ""
    summary: str = ""
    needs_vectors: bool = False

    def __init__(self, representation: Representation) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, features: Features, graph: Graph, type_index: Tensor) -> dict[str, Tensor]:
        """Predictions; the entry under the head's own name has the shape of the label, with a leading frame axis."""
