"""Energy as a sum of site energies."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from halocline.models.base import Features, Graph, Representation
from halocline.models.heads.base import Head
from halocline.models.radial import ShiftedSoftplus


class EnergyHead(Head):
    """E = sum_i scale * net(x_i) + shift[type_i], eV; the prior is added by the model."""

    name = "energy"
    summary = "energy as a sum of site energies; forces are its gradient"
    growth = 0.5

    scale: Tensor
    shift: Tensor

    def __init__(self, representation: Representation) -> None:
        super().__init__(representation)
        features = representation.features
        self.net = nn.Sequential(nn.Linear(features, features // 2), ShiftedSoftplus(), nn.Linear(features // 2, 1))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(len(representation.types), dtype=torch.float64))

    def forward(self, features: Features, graph: Graph, type_index: Tensor) -> dict[str, Tensor]:
        """``site_energy`` (n_sites,) without shift and ``energy`` (n_frames,) with it."""
        site_energy = self.scale * self.net(features.scalars)[:, 0]
        # Atomic references are four orders of magnitude larger than what is learned: add them in double precision.
        total = site_energy.double() + self.shift[type_index]
        energy = total.new_zeros(graph.n_frames).index_add(0, graph.frame, total)
        return {"site_energy": site_energy, "energy": energy}
