"""Traceless quadrupoles of molecules and frames from charges, atomic dipoles and atomic quadrupoles.

Theta = 1/2 sum q (3 r r^T - r^2 1), the convention of Buckingham (Q. Rev. Chem. Soc. 13, 183 (1959), doi:10.1039/QR9591300183).
"""

from __future__ import annotations

from torch import Tensor

from halocline.models.base import Graph, Sources
from halocline.models.heads._moments import frame_quadrupoles, molecular_dipoles, molecular_quadrupoles
from halocline.models.heads.sources import SourceHead


class QuadrupoleHead(SourceHead):
    """Quadrupole of every molecule about its centre of mass, and that of the frame about its own."""

    name = "quadrupole"
    summary = "traceless quadrupoles: conserved charges plus atomic dipoles and quadrupoles"
    needs_vectors = True
    order = 2
    growth = 0.5

    def moments(self, sources: Sources, graph: Graph) -> dict[str, Tensor]:
        """``charges`` (n_sites,) in e, ``molecular_quadrupole`` (n_molecules, 3, 3) and ``quadrupole`` (n_frames, 3, 3) in e Å^2.

        In a periodic cell ``quadrupole`` is the sum of the molecular ones.
        """
        molecular = molecular_quadrupoles(sources, graph)
        frames = frame_quadrupoles(molecular, molecular_dipoles(sources, graph), sources, graph)
        return {"charges": sources.charges, "molecular_quadrupole": molecular, "quadrupole": frames}
