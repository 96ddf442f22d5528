"""Pair prior: one tabulated potential for each pair of types, within and between molecules.

Outside the cut-off a table is zero; inside its first knot it goes on with constant force, which caps the core.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from halocline.models.base import Graph


class PairTables(nn.Module):
    """sum over pairs of V_class(r), cubic Hermite between evenly spaced knots.

    Attributes:
        start, spacing: first knot and distance of knots, Å.
        values, slopes: (n_classes, n_knots), eV and eV/Å; both zero at the last knot.
        pair_class: (n_types, n_types, 2) class of a pair of type indices; last axis 0 between, 1 within a molecule; -1: none.
    """

    start: Tensor
    spacing: Tensor
    values: Tensor
    slopes: Tensor
    pair_class: Tensor

    def __init__(self, start: float, spacing: float, values: Tensor, slopes: Tensor, pair_class: Tensor) -> None:
        super().__init__()
        self.register_buffer("start", torch.as_tensor(start, dtype=torch.float64))
        self.register_buffer("spacing", torch.as_tensor(spacing, dtype=torch.float64))
        self.register_buffer("values", values)
        self.register_buffer("slopes", slopes)
        self.register_buffer("pair_class", pair_class.long())

    @property
    def cutoff(self) -> float:
        """Å."""
        return float(self.start + self.spacing * (self.values.shape[1] - 1))

    def forward(self, type_index: Tensor, graph: Graph, displacements: Tensor) -> Tensor:
        """(n_sites,) energies in eV, half of each pair to either site."""
        i, j = graph.pairs
        same = (graph.molecule[i] == graph.molecule[j]) & (graph.shifts.abs().amax(dim=1) < 1e-4)
        kind = self.pair_class[type_index[i], type_index[j], same.long()]
        energy = torch.where(kind >= 0, self.pair_energy(displacements.norm(dim=1), kind.clamp(min=0)), 0.0)
        return displacements.new_zeros(type_index.shape[0]).index_add(0, i, 0.5 * energy)

    def pair_energy(self, distances: Tensor, kind: Tensor) -> Tensor:
        """V_kind(r) in eV, for (n_pairs,) distances in Å and classes."""
        dtype = distances.dtype
        values, slopes = self.values.to(dtype), self.slopes.to(dtype)
        start, spacing = self.start.to(dtype), self.spacing.to(dtype)
        position = (distances - start) / spacing
        knot = position.detach().floor().clamp(0, values.shape[1] - 2).long()
        t = position - knot
        v0, v1 = values[kind, knot], values[kind, knot + 1]
        s0, s1 = slopes[kind, knot] * spacing, slopes[kind, knot + 1] * spacing
        inside = v0 + t * (s0 + t * (3 * (v1 - v0) - 2 * s0 - s1 + t * (2 * (v0 - v1) + s0 + s1)))
        core = values[kind, 0] + slopes[kind, 0] * (distances - start)
        return torch.where(position < 0, core, torch.where(t > 1, torch.zeros_like(inside), inside))
