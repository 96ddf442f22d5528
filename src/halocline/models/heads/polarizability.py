"""Molecular polarizability tensors as sums of atomic ones.

alpha_m = sum_{i in m} { a_i 1 + sum_k g_k [ (u_k w_k^T + w_k u_k^T)/2 - (u_k . w_k)/3 1 ] } with u, w linear in the vector
features and a, g functions of the scalar features: isotropic plus symmetric traceless, hence equivariant by construction.

Bonds add h_ij (3 n n^T - 1), n the unit vector from i to j and h_ij = < p(x_i) q(x_j) f(r_ij) >, to both of their sites: polarizabilities
of covalent bonds, and what neighbours do to each other (to first order the dipole-induced dipole; Applequist et al., J. Am. Chem. Soc. 94,
2952 (1972), doi:10.1021/ja00764a010). A product of two sums of unit vectors has no such term without cross terms between bonds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from halocline.models.base import Features, Graph, Representation
from halocline.models.heads.base import Head
from halocline.models.radial import BesselBasis, late_cutoff

RADIAL = 20
"""Functions of the distance that bond terms are made of."""


class PolarizabilityHead(Head):
    """Polarizability of every molecule, and their sum.

    Attributes:
        scale: Å^3, spread of what is learned.
        shift: (n_types,) Å^3, mean isotropic part of each type.
    """

    name = "polarizability"
    summary = "molecular polarizability tensors: isotropic plus symmetric traceless"
    needs_vectors = True
    growth = 1.0

    scale: Tensor
    shift: Tensor

    def __init__(self, representation: Representation) -> None:
        super().__init__(representation)
        features = representation.features
        self.channels = max(4, features // 4)
        self.net = nn.Sequential(nn.Linear(features, features), nn.SiLU(), nn.Linear(features, 1 + self.channels))
        self.left = nn.Linear(features, self.channels, bias=False)
        self.right = nn.Linear(features, self.channels, bias=False)
        self.cutoff = representation.cutoff
        self.receiver, self.sender = nn.Linear(features, features), nn.Linear(features, features)
        self.basis, self.filter = BesselBasis(RADIAL, self.cutoff), nn.Linear(RADIAL, features, bias=False)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(len(representation.types)))

    def forward(self, features: Features, graph: Graph, type_index: Tensor) -> dict[str, Tensor]:
        """``molecular_polarizability`` (n_molecules, 3, 3) and ``polarizability`` (n_frames, 3, 3), Å^3."""
        assert features.vectors is not None
        output = self.net(features.scalars)
        u, w = self.left(features.vectors), self.right(features.vectors)
        product = torch.einsum("nak,nbk,nk->nab", u, w, output[:, 1:])
        symmetric = 0.5 * (product + product.transpose(1, 2))
        identity = torch.eye(3, dtype=symmetric.dtype, device=symmetric.device)
        trace = symmetric.diagonal(dim1=1, dim2=2).sum(dim=1)
        anisotropic = symmetric - trace[:, None, None] / 3.0 * identity + self.of_bonds(features.scalars, graph)
        isotropic = self.scale * output[:, 0] + self.shift[type_index]
        atomic = isotropic[:, None, None] * identity + self.scale * anisotropic
        molecular = atomic.new_zeros(graph.n_molecules, 3, 3).index_add(0, graph.molecule, atomic)
        frame = molecular.new_zeros(graph.n_frames, 3, 3).index_add(0, graph.molecule_frame, molecular)
        return {"molecular_polarizability": molecular, "polarizability": frame}

    def of_bonds(self, x: Tensor, graph: Graph) -> Tensor:
        """(n_sites, 3, 3) sum_j h_ij (3 n n^T - 1), dimensionless, from (n_sites, n_features) scalar features."""
        (i, j), r = graph.pairs, graph.displacements()
        distance = r.norm(dim=1)
        filters = self.filter(self.basis(distance)) * late_cutoff(distance, self.cutoff)[:, None]
        strength = (self.receiver(x)[i] * self.sender(x)[j] * filters).mean(dim=1)
        n = r / distance[:, None]
        identity = torch.eye(3, dtype=r.dtype, device=r.device)
        terms = strength[:, None, None] * (3.0 * n[:, :, None] * n[:, None, :] - identity)
        return terms.new_zeros(len(x), 3, 3).index_add(0, i, terms)

    def guess(self, label: Tensor, graph: Graph, type_index: Tensor) -> Tensor:
        """The mean isotropic polarizability times 1: anisotropic parts average to zero over orientations."""
        diagonal = label.diagonal(dim1=1, dim2=2)
        return diagonal[torch.isfinite(diagonal)].mean() * torch.eye(3, dtype=label.dtype, device=label.device)

    def set_means(self, label: Tensor, graph: Graph, type_index: Tensor) -> None:
        """Isotropic polarizability of each type by least squares, and the scale of what it leaves per molecule."""
        known = torch.isfinite(label).flatten(1).all(dim=1)
        if not bool(known.any()):
            return
        one_hot = torch.nn.functional.one_hot(type_index, len(self.shift)).double()
        counts = one_hot.new_zeros(graph.n_frames, len(self.shift)).index_add(0, graph.frame, one_hot)
        isotropic = label[known].double().diagonal(dim1=1, dim2=2).mean(dim=1)
        # The driver that copes with types in fixed proportion exists on the CPU alone.
        self.shift.copy_(torch.linalg.lstsq(counts[known].cpu(), isotropic.cpu()[:, None], driver="gelsd").solution[:, 0])
        mean = (counts @ self.shift.double())[:, None, None] * torch.eye(3, dtype=torch.float64, device=label.device)
        left = self.per_size(label.double() - mean, graph)[known]
        self.scale.fill_(max(float(left.square().mean().sqrt()), 1e-6))
