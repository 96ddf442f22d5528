"""Molecular dipoles from charges and atomic dipoles.

mu_m = sum_{i in m} [q_i (r_i - R_m) + mu_i], with R_m the centre of mass of the whole molecule and the charges q_i shifted
so that they add up to the molecular charge. Scalar charges together with atomic dipoles beat either alone (Veit et al.,
J. Chem. Phys. 153, 024113 (2020), doi:10.1063/5.0009106).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from halocline.models.base import Features, Graph, Representation
from halocline.models.heads.base import Head
from halocline.models.heads.charges import conserve_charge


class DipoleHead(Head):
    """Dipole of every molecule about its centre of mass, and their sum.

    Attributes:
        scale: e Å, typical size of a learned atomic dipole (and charge, per Å).
        type_charge: (n_types,) mean charges of the atoms, e: the part of the answer that needs no learning.
    """

    name = "dipole"
    summary = "molecular dipoles: conserved charges plus atomic dipoles"
    needs_vectors = True

    scale: Tensor
    type_charge: Tensor

    def __init__(self, representation: Representation) -> None:
        super().__init__(representation)
        features = representation.features
        self.net = nn.Sequential(nn.Linear(features, features), nn.SiLU(), nn.Linear(features, 1 + features))
        self.mix = nn.Linear(features, features, bias=False)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("type_charge", torch.zeros(len(representation.types)))

    def forward(self, features: Features, graph: Graph, type_index: Tensor) -> dict[str, Tensor]:
        """``charges`` (n_sites,) in e, ``molecular_dipole`` (n_molecules, 3) and ``dipole`` (n_frames, 3) in e Å.

        The dipole of a frame is about its centre of mass: a charged molecule contributes its charge times its distance
        from there, which means something for isolated clusters alone; with neutral molecules it is the plain sum.
        """
        assert features.vectors is not None
        output = self.net(features.scalars)
        charges = conserve_charge(self.scale * output[:, 0] + self.type_charge[type_index], graph)
        atomic = self.scale * (self.mix(features.vectors) * output[:, None, 1:]).mean(dim=2)
        centres, masses = molecular_centres(graph)
        terms = charges[:, None] * (graph.positions - centres[graph.molecule]) + atomic
        molecular = terms.new_zeros(graph.n_molecules, 3).index_add(0, graph.molecule, terms)
        frame = molecular.new_zeros(graph.n_frames, 3).index_add(0, graph.molecule_frame, molecular)
        if graph.molecule_charges is not None and bool((graph.molecule_charges != 0).any()):
            frame = frame + _charge_transport(graph, centres, masses)
        return {"charges": charges, "molecular_dipole": molecular, "dipole": frame}


def molecular_centres(graph: Graph) -> tuple[Tensor, Tensor]:
    """Centres of mass (n_molecules, 3) in Å and masses (n_molecules,) in amu of whole molecules."""
    masses = graph.masses.new_zeros(graph.n_molecules).index_add(0, graph.molecule, graph.masses)
    weighted = graph.masses[:, None] * graph.positions
    centres = weighted.new_zeros(graph.n_molecules, 3).index_add(0, graph.molecule, weighted) / masses[:, None]
    return centres, masses


def _charge_transport(graph: Graph, centres: Tensor, masses: Tensor) -> Tensor:
    """(n_frames, 3) sum_m Q_m (R_m - R_frame), e Å."""
    frame = graph.molecule_frame
    total = masses.new_zeros(graph.n_frames).index_add(0, frame, masses)
    origin = centres.new_zeros(graph.n_frames, 3).index_add(0, frame, masses[:, None] * centres) / total[:, None]
    assert graph.molecule_charges is not None
    terms = graph.molecule_charges[:, None] * (centres - origin[frame])
    return terms.new_zeros(graph.n_frames, 3).index_add(0, frame, terms)
