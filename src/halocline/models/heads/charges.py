"""Atomic charges that add up to the charge of each molecule."""

from __future__ import annotations

from torch import Tensor, nn

from halocline.models.base import Features, Graph, Representation
from halocline.models.heads.base import Head


def conserve_charge(raw: Tensor, graph: Graph) -> Tensor:
    """(n_sites,) charges, e: the raw ones with the same shift for all atoms of a molecule, so that its charge is exact."""
    counts = raw.new_zeros(graph.n_molecules).index_add(0, graph.molecule, raw.new_ones(len(raw)))
    total = raw.new_zeros(graph.n_molecules).index_add(0, graph.molecule, raw)
    wanted = raw.new_zeros(graph.n_molecules) if graph.molecule_charges is None else graph.molecule_charges
    return raw + ((wanted - total) / counts)[graph.molecule]


class ChargesHead(Head):
    """q_i = net(x_i), shifted within each molecule."""

    name = "charges"
    summary = "atomic charges, exactly conserved in every molecule"

    def __init__(self, representation: Representation) -> None:
        super().__init__(representation)
        features = representation.features
        self.net = nn.Sequential(nn.Linear(features, features // 2), nn.SiLU(), nn.Linear(features // 2, 1))

    def forward(self, features: Features, graph: Graph, type_index: Tensor) -> dict[str, Tensor]:
        """``charges`` (n_sites,), e."""
        return {"charges": conserve_charge(self.net(features.scalars)[:, 0], graph)}
