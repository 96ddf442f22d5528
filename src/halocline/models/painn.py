"""PaiNN: equivariant message passing with scalar and vector features (Schütt et al., ICML 2021, arXiv:2102.03150)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from halocline.models.base import Features, Representation
from halocline.models.radial import BesselBasis, smooth_cutoff


class Message(nn.Module):
    """s_i and v_i gather what the neighbours send: ds = phi W, dv = v_j (phi W) + r_ij/|r_ij| (phi W)."""

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.sender = nn.Sequential(nn.Linear(features, features), nn.SiLU(), nn.Linear(features, 3 * features))
        self.filter = nn.Linear(radial, 3 * features)

    def forward(self, s: Tensor, v: Tensor, pairs: Tensor, units: Tensor, basis: Tensor, cutoff: Tensor) -> tuple[Tensor, Tensor]:
        i, j = pairs
        message = self.sender(s)[j] * (self.filter(basis) * cutoff[:, None])
        scalar, along_vector, along_pair = message.chunk(3, dim=1)
        vector = v[j] * along_vector[:, None, :] + units[:, :, None] * along_pair[:, None, :]
        return s + torch.zeros_like(s).index_add(0, i, scalar), v + torch.zeros_like(v).index_add(0, i, vector)


class Update(nn.Module):
    """Mixing within a site; vectors enter scalars only through norms and products."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.mix = nn.Linear(features, 2 * features, bias=False)
        self.gate = nn.Sequential(nn.Linear(2 * features, features), nn.SiLU(), nn.Linear(features, 3 * features))

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        u, w = self.mix(v).chunk(2, dim=2)
        # The small constant keeps the norm differentiable where an isolated site has no vectors at all.
        norm = torch.sqrt((w**2).sum(dim=1) + 1e-8)
        a_vector, a_product, a_scalar = self.gate(torch.cat([s, norm], dim=1)).chunk(3, dim=1)
        return s + a_scalar + a_product * (u * w).sum(dim=1), v + u * a_vector[:, None, :]


class PaiNN(Representation):
    """Equivariant network; vector features rotate with the configuration, scalar features do not change."""

    name = "painn"
    summary = "PaiNN, equivariant message passing; vectors for dipoles and polarizabilities"
    has_vectors = True

    def __init__(self, types: list[int], features: int = 64, layers: int = 2, cutoff: float = 5.0, radial: int = 20) -> None:
        super().__init__(types, features, layers, cutoff)
        self.radial = radial
        self.embedding = nn.Embedding(len(self.types), features)
        self.basis = BesselBasis(radial, cutoff)
        self.messages = nn.ModuleList(Message(features, radial) for _ in range(layers))
        self.updates = nn.ModuleList(Update(features) for _ in range(layers))

    def forward(self, types: Tensor, pairs: Tensor, displacements: Tensor) -> Features:
        distances = displacements.norm(dim=1)
        units = displacements / distances[:, None]
        basis, cutoff = self.basis(distances), smooth_cutoff(distances, self.cutoff)
        s = self.embedding(self.type_index[types])
        v = s.new_zeros(s.shape[0], 3, self.features)
        for message, update in zip(self.messages, self.updates):
            s, v = message(s, v, pairs, units, basis, cutoff)
            s, v = update(s, v)
        return Features(s, v)

    def hyperparameters(self) -> dict[str, object]:
        return {**super().hyperparameters(), "radial": self.radial}
