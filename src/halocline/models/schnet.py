"""SchNet: continuous-filter convolutions (Schütt et al., J. Chem. Phys. 148, 241722 (2018))."""

from __future__ import annotations

from torch import Tensor, nn

from halocline.models.base import Features, Representation
from halocline.models.radial import GaussianBasis, ShiftedSoftplus, smooth_cutoff


class Interaction(nn.Module):
    """x_i <- x_i + f2out( sum_j W(r_ij) * in2f(x_j) ), with W(r) = filter(basis(r)) * cutoff(r)."""

    def __init__(self, features: int, radial: int) -> None:
        super().__init__()
        self.filter = nn.Sequential(nn.Linear(radial, features), ShiftedSoftplus(), nn.Linear(features, features))
        self.in2f = nn.Linear(features, features, bias=False)
        self.f2out = nn.Sequential(nn.Linear(features, features), ShiftedSoftplus(), nn.Linear(features, features))

    def forward(self, x: Tensor, pairs: Tensor, basis: Tensor, cutoff: Tensor) -> Tensor:
        i, j = pairs
        weights = self.filter(basis) * cutoff[:, None]
        messages = x.new_zeros(x.shape).index_add(0, i, weights * self.in2f(x)[j])
        return x + self.f2out(messages)


class SchNet(Representation):
    """Invariant network whose filters depend on the distance alone, so that they can be tabulated."""

    name = "schnet"
    summary = "SchNet, invariant continuous-filter convolutions; fastest, tabulated kernels"

    def __init__(self, types: list[int], features: int = 64, layers: int = 2, cutoff: float = 5.0, radial: int = 32) -> None:
        super().__init__(types, features, layers, cutoff)
        self.radial = radial
        self.embedding = nn.Embedding(len(self.types), features)
        self.basis = GaussianBasis(radial, cutoff)
        self.interactions = nn.ModuleList(Interaction(features, radial) for _ in range(layers))

    def forward(self, types: Tensor, pairs: Tensor, displacements: Tensor) -> Features:
        distances = displacements.norm(dim=1)
        basis, cutoff = self.basis(distances), smooth_cutoff(distances, self.cutoff)
        x = self.embedding(self.type_index[types])
        for interaction in self.interactions:
            x = interaction(x, pairs, basis, cutoff)
        return Features(x, None)

    def hyperparameters(self) -> dict[str, object]:
        return {**super().hyperparameters(), "radial": self.radial}
