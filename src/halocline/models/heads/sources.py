"""Charges, dipoles and quadrupoles of the sites, from shared features: what all multipole heads of a model are made of.

    q_i     = s net_0(x_i) + q(type_i) + shift of its molecule (or frame), so that the total charge is exact
    mu_i    = s < g(x_i) (W v_i) >_k
    Theta_i = s sum_k h_k(x_i) [ 3/2 (u_k w_k^T + w_k u_k^T) - (u_k . w_k) 1 ],     u = U v_i, w = V v_i

with x_i scalar and v_i vector features. Charges, dipole and quadrupole of one model cannot contradict each other: all three
are moments of the same sources. Scalar charges together with atomic dipoles beat either alone (Veit et al., J. Chem. Phys.
153, 024113 (2020), doi:10.1063/5.0009106).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from halocline.errors import UserError
from halocline.models.base import Features, Graph, Representation, Sources
from halocline.models.heads._moments import traceless
from halocline.models.heads.base import SMALLEST, Head

CONSERVED = ("molecule", "frame")
"""What the total charge is exact of: every molecule, or only the whole configuration (charge may then flow between molecules)."""


class AtomicSources(nn.Module):
    """Multipoles of the sites up to an order.

    Args:
        representation: that the features come from; with vectors if ``order`` is above 0.
        order: 0 charges, 1 with dipoles, 2 with quadrupoles.
        conserved: one of :data:`CONSERVED`.

    Attributes:
        scale: typical size of a learned charge in e, dipole in e Å, quadrupole in e Å^2.
        type_charge: (n_types,) mean charges of the types, e: the part of the answer that needs no learning.

    Raises:
        UserError: ``conserved`` is no such word.
    """

    scale: Tensor
    type_charge: Tensor

    def __init__(self, representation: Representation, order: int, conserved: str = "molecule") -> None:
        super().__init__()
        if conserved not in CONSERVED:
            raise UserError(f"charge cannot be conserved per '{conserved}'", "model", f"Use one of: {', '.join(CONSERVED)}.")
        features = representation.features
        self.order, self.conserved, self.features = order, conserved, features
        self.channels = max(4, features // 4)
        outputs = 1 + (features if order > 0 else 0) + (self.channels if order > 1 else 0)
        self.net = nn.Sequential(nn.Linear(features, features), nn.SiLU(), nn.Linear(features, outputs))
        if order > 0:
            self.mix = nn.Linear(features, features, bias=False)
        if order > 1:
            self.left = nn.Linear(features, self.channels, bias=False)
            self.right = nn.Linear(features, self.channels, bias=False)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("type_charge", torch.zeros(len(representation.types)))

    def forward(self, features: Features, graph: Graph, type_index: Tensor) -> Sources:
        """Multipoles of every site; origin of each is the site itself."""
        output = self.net(features.scalars)
        charges, totals = self.conserve(self.scale * output[:, 0] + self.type_charge[type_index], graph)
        dipoles = quadrupoles = None
        if self.order > 0:
            assert features.vectors is not None
            dipoles = self.scale * (self.mix(features.vectors) * output[:, None, 1 : 1 + self.features]).mean(dim=2)
        if self.order > 1:
            assert features.vectors is not None
            u, w = self.left(features.vectors), self.right(features.vectors)
            product = torch.einsum("nak,nbk,nk->nab", u, w, output[:, 1 + self.features :])
            quadrupoles = self.scale * traceless(product)
        return Sources(charges, dipoles, quadrupoles, totals)

    def conserve(self, raw: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Charges (n_sites,) whose sums are exact, and what those of each molecule add up to (n_molecules,), e."""
        wanted = raw.new_zeros(graph.n_molecules) if graph.molecule_charges is None else graph.molecule_charges
        if self.conserved == "molecule":
            return share_out(raw, graph.molecule, wanted), wanted
        frames = wanted.new_zeros(graph.n_frames).index_add(0, graph.molecule_frame, wanted)
        charges = share_out(raw, graph.frame, frames)
        return charges, charges.new_zeros(graph.n_molecules).index_add(0, graph.molecule, charges)

    def of_type(self, kind: int, graph: Graph, type_index: Tensor) -> Sources:
        """Unit charges on the sites of one type, in the precision of the graph, with the shift that conservation then takes."""
        raw = (type_index == kind).to(graph.positions.dtype)
        charges, totals = self.conserve(raw, replace(graph, molecule_charges=None))
        return Sources(charges, None, None, totals)

    def set_means(self, heads: Sequence[SourceHead], labels: Mapping[str, Tensor], graph: Graph, type_index: Tensor) -> None:
        """Charges of the types by least squares to all labels at once, and the scale of what they leave.

        Every moment is linear in these charges, beside what the charges of ions contribute when all types have none. Labels are NaN
        where there is none; each counts by its own root mean square.

        Args:
            heads: with a label. labels: of the heads. graph: all labelled frames. type_index: (n_sites,) of the graph.
        """
        of_ions = None if graph.molecule_charges is None else graph.molecule_charges.double()
        double = replace(graph, positions=graph.positions.double(), masses=graph.masses.double(), molecule_charges=of_ions)
        units = [self.of_type(kind, double, type_index) for kind in range(len(self.type_charge))]
        charges, totals = self.conserve(double.positions.new_zeros(len(type_index)), double)
        ions = Sources(charges, None, None, totals)
        designs, targets, sizes = [], [], []
        for head in sorted(heads, key=lambda head: head.order):
            label = head.per_size(labels[head.name].double() - head.moments(ions, double)[head.name], double)
            known = torch.isfinite(label)
            if not bool(known.any()):
                continue
            sizes.append(max(float(label[known].square().mean().sqrt()), SMALLEST))
            columns = [head.per_size(head.moments(unit, double)[head.name], double)[known] for unit in units]
            # The driver that copes with types in fixed proportion exists on the CPU alone.
            designs.append((torch.stack(columns, dim=1) / sizes[-1]).cpu())
            targets.append((label[known] / sizes[-1]).cpu())
        if not targets:
            return
        solution = torch.linalg.lstsq(torch.cat(designs), torch.cat(targets)[:, None], driver="gelsd").solution[:, 0]
        self.type_charge.copy_(solution)
        # The label of lowest order is the closest to the multipoles of a single site.
        left = targets[0] - designs[0] @ solution
        self.scale.fill_(max(float(left.square().mean().sqrt()) * sizes[0], 1e-6))


class SourceHead(Head):
    """A head without weights of its own: a moment of the sources that all such heads of a model share."""

    order: int = 0

    @abstractmethod
    def moments(self, sources: Sources, graph: Graph) -> dict[str, Tensor]:
        """What :meth:`forward` returns, from sources."""

    def forward(self, features: Features, graph: Graph, type_index: Tensor) -> dict[str, Tensor]:
        """Moments of the sources of the features."""
        assert features.sources is not None, "the model makes the sources before it asks its heads"
        return self.moments(features.sources, graph)


def make_sources(representation: Representation, heads: Iterable[Head], conserved: str = "molecule") -> AtomicSources | None:
    """The sources that some heads of a model share; None where no head asks for them."""
    orders = [head.order for head in heads if head.order is not None]
    return AtomicSources(representation, max(orders), conserved) if orders else None


def share_out(raw: Tensor, group: Tensor, wanted: Tensor) -> Tensor:
    """(n_sites,) the raw charges with the same shift for all sites of a group, so that each group has the charge wanted."""
    counts = raw.new_zeros(len(wanted)).index_add(0, group, raw.new_ones(len(raw)))
    total = raw.new_zeros(len(wanted)).index_add(0, group, raw)
    return raw + ((wanted - total) / counts)[group]
