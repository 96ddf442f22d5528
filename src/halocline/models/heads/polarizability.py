"""Molecular polarizability tensors as sums of atomic ones.

alpha_m = sum_{i in m} { a_i 1 + sum_k g_k [ (u_k w_k^T + w_k u_k^T)/2 - (u_k . w_k)/3 1 ] } with u, w linear in the vector
features and a, g functions of the scalar features: isotropic plus symmetric traceless, hence equivariant by construction.

Molecules polarise each other: A_i = alpha_i ( 1 + sum_j T_ij A_j ) over sites j of other molecules within the cut-off, with T the
damped dipole tensor, iterated twice (dipole-induced dipole: Applequist et al., J. Am. Chem. Soc. 94, 2952 (1972),
doi:10.1021/ja00764a010). The network is left with what this does not say.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from halocline.models.base import Features, Graph, Representation
from halocline.models.heads.base import Head

ORDERS = 2
"""Dipoles induced by dipoles induced by ... the field: two orders leave about one per cent of what neighbours do to each other."""
INITIAL_DAMPING = 1.0
"""Å^-3, before the softplus."""


def damped_dipole_tensor(r: Tensor, cutoff: float, damping: Tensor) -> Tensor:
    """(n, 3, 3) T = s(r) (3 r r^T / r^2 - 1) / r^3, Å^-3, from (n, 3) displacements.

    s = [1 - exp(-a r^3)] c(r): short of overlap (Thole, Chem. Phys. 59, 341 (1981), doi:10.1016/0301-0104(81)85176-2), and zero with
    two derivatives at the cut-off; c = 1 - 28 x^6 + 48 x^7 - 21 x^8, x = r / r_c, stays near one for longer than that of the features.
    """
    distance = r.norm(dim=1)
    x, cube = (distance / cutoff).clamp(max=1.0), distance**3
    strength = -torch.expm1(-damping * cube) / cube * (1 - x**6 * (28 - 48 * x + 21 * x**2))
    units = r / distance[:, None]
    identity = torch.eye(3, dtype=r.dtype, device=r.device)
    return strength[:, None, None] * (3 * units[:, :, None] * units[:, None, :] - identity)


class PolarizabilityHead(Head):
    """Polarizability of every molecule, and their sum.

    Attributes:
        scale: Å^3, spread of what is learned.
        damping: learned, Å^-3 through a softplus. coupling: learned strength of the induction, 1 to begin with.
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
        self.damping = nn.Parameter(torch.tensor(INITIAL_DAMPING))
        self.coupling = nn.Parameter(torch.tensor(1.0))
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
        traceless = symmetric - trace[:, None, None] / 3.0 * identity
        isotropic = self.scale * output[:, 0] + self.shift[type_index]
        atomic = self.induced(isotropic[:, None, None] * identity + self.scale * traceless, graph)
        molecular = atomic.new_zeros(graph.n_molecules, 3, 3).index_add(0, graph.molecule, atomic)
        frame = molecular.new_zeros(graph.n_frames, 3, 3).index_add(0, graph.molecule_frame, molecular)
        return {"molecular_polarizability": molecular, "polarizability": frame}

    def induced(self, bare: Tensor, graph: Graph) -> Tensor:
        """(n_sites, 3, 3) A_i, the symmetric part: the dipole of site i per field from outside, the fields of the others included."""
        (i, j), r = graph.pairs, graph.displacements()
        other = (graph.molecule[i] != graph.molecule[j]) | (graph.shifts.abs().amax(dim=1) > 1e-4)
        i, j, r = i[other], j[other], r[other]
        tensor = self.coupling * damped_dipole_tensor(r, self.cutoff, torch.nn.functional.softplus(self.damping))
        response = bare
        for _ in range(ORDERS):
            field = torch.zeros_like(bare).index_add(0, i, tensor @ response[j])
            response = bare + bare @ field
        return 0.5 * (response + response.transpose(1, 2))

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
