"""Atomic charges that add up to the charge of each molecule."""

from __future__ import annotations

import torch
from torch import Tensor

from halocline.models.base import Graph, Sources
from halocline.models.heads.sources import SourceHead


class ChargesHead(SourceHead):
    """Charges of the shared sources, e."""

    name = "charges"
    summary = "atomic charges, exactly conserved in every molecule"
    order = 0

    def moments(self, sources: Sources, graph: Graph) -> dict[str, Tensor]:
        """``charges`` (n_sites,), e."""
        return {"charges": sources.charges}

    def guess(self, label: Tensor, graph: Graph, type_index: Tensor) -> Tensor:
        """(n_sites,) mean charge of each type: the spread of charges is that within a type."""
        known = torch.isfinite(label)
        n_types = int(type_index.max()) + 1
        sums = label.new_zeros(n_types).index_add(0, type_index[known], label[known])
        counts = label.new_zeros(n_types).index_add(0, type_index[known], torch.ones_like(label[known]))
        return (sums / counts.clamp(min=1))[type_index]
