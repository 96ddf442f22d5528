"""Moments of charges, dipoles and quadrupoles of the sites, about centres of mass: of molecules, and of frames.

A frame that is not periodic has its moments about its own centre of mass. In a periodic cell the quadrupole about any point
depends on which images of the molecules one looks at; what does not is the sum of the molecular quadrupoles, each about the
centre of mass of its molecule, and that is what a periodic frame gets. The dipole of a cell of neutral molecules is their
sum either way; ions count with their distance from the centre of mass and must not be wrapped between frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from halocline.models.base import Graph, Sources


def traceless(product: Tensor) -> Tensor:
    """(n, 3, 3) 3/2 (M + M^T) - tr(M) 1 of (n, 3, 3) M: the quadrupole of a second moment, twice over."""
    identity = torch.eye(3, dtype=product.dtype, device=product.device)
    trace = product.diagonal(dim1=1, dim2=2).sum(dim=1)
    return 1.5 * (product + product.transpose(1, 2)) - trace[:, None, None] * identity


def molecular_centres(graph: Graph) -> tuple[Tensor, Tensor]:
    """Centres of mass (n_molecules, 3) in Å and masses (n_molecules,) in amu of whole molecules."""
    masses = graph.masses.new_zeros(graph.n_molecules).index_add(0, graph.molecule, graph.masses)
    weighted = graph.masses[:, None] * graph.positions
    centres = weighted.new_zeros(graph.n_molecules, 3).index_add(0, graph.molecule, weighted) / masses[:, None]
    return centres, masses


def frame_arms(graph: Graph) -> Tensor:
    """(n_molecules, 3) from the centre of mass of the frame to that of each molecule, Å."""
    centres, masses = molecular_centres(graph)
    frame = graph.molecule_frame
    total = masses.new_zeros(graph.n_frames).index_add(0, frame, masses)
    origin = centres.new_zeros(graph.n_frames, 3).index_add(0, frame, masses[:, None] * centres) / total[:, None]
    return centres - origin[frame]


def molecular_dipoles(sources: Sources, graph: Graph) -> Tensor:
    """(n_molecules, 3) mu_m = sum_i [ q_i (r_i - R_m) + mu_i ] about the centre of mass R_m of each whole molecule, e Å."""
    centres, _ = molecular_centres(graph)
    terms = sources.charges[:, None] * (graph.positions - centres[graph.molecule])
    if sources.dipoles is not None:
        terms = terms + sources.dipoles
    return terms.new_zeros(graph.n_molecules, 3).index_add(0, graph.molecule, terms)


def frame_dipoles(molecular: Tensor, sources: Sources, graph: Graph) -> Tensor:
    """(n_frames, 3) sum_m [ mu_m + Q_m (R_m - R_frame) ] about the centre of mass of each frame, e Å."""
    terms = molecular + sources.molecule_charges[:, None] * frame_arms(graph)
    return terms.new_zeros(graph.n_frames, 3).index_add(0, graph.molecule_frame, terms)


def molecular_quadrupoles(sources: Sources, graph: Graph) -> Tensor:
    """(n_molecules, 3, 3) about the centre of mass of each whole molecule, e Å^2.

    Theta_m = sum_i { q_i/2 [3 d d^T - d^2 1] + 3/2 [d mu_i^T + mu_i d^T] - (d . mu_i) 1 + Theta_i },  d = r_i - R_m.
    """
    centres, _ = molecular_centres(graph)
    arms = graph.positions - centres[graph.molecule]
    terms = moved_quadrupole(sources.charges, sources.dipoles, arms)
    if sources.quadrupoles is not None:
        terms = terms + sources.quadrupoles
    return terms.new_zeros(graph.n_molecules, 3, 3).index_add(0, graph.molecule, terms)


def frame_quadrupoles(molecular: Tensor, dipoles: Tensor, sources: Sources, graph: Graph) -> Tensor:
    """(n_frames, 3, 3) of the whole frame about its centre of mass, from molecular quadrupoles, dipoles and charges, e Å^2.

    Of a periodic frame the sum of the molecular ones.
    """
    moved = moved_quadrupole(sources.molecule_charges, dipoles, frame_arms(graph))
    if graph.periodic is not None:
        moved = moved * (~graph.periodic)[graph.molecule_frame][:, None, None]
    terms = molecular + moved
    return terms.new_zeros(graph.n_frames, 3, 3).index_add(0, graph.molecule_frame, terms)


def moved_quadrupole(charges: Tensor, dipoles: Tensor | None, arms: Tensor) -> Tensor:
    """(n, 3, 3) quadrupole of charges (n,) and dipoles (n, 3) that sit at ``arms`` (n, 3) from the origin, e Å^2."""
    moments = 0.5 * charges[:, None] * arms
    if dipoles is not None:
        moments = moments + dipoles
    return traceless(arms[:, :, None] * moments[:, None, :])
