"""Molecular dipoles from charges and atomic dipoles.

mu_m = sum_{i in m} [q_i (r_i - R_m) + mu_i], with R_m the centre of mass of the whole molecule and the charges q_i shifted
so that they add up to the molecular charge. Scalar charges together with atomic dipoles beat either alone (Veit et al.,
J. Chem. Phys. 153, 024113 (2020), doi:10.1063/5.0009106).
"""

from __future__ import annotations

from torch import Tensor

from halocline.models.base import Graph, Sources
from halocline.models.heads._moments import frame_dipoles, molecular_dipoles
from halocline.models.heads.sources import SourceHead


class DipoleHead(SourceHead):
    """Dipole of every molecule about its centre of mass, and that of the frame about its own."""

    name = "dipole"
    summary = "molecular dipoles: conserved charges plus atomic dipoles"
    needs_vectors = True
    order = 1
    growth = 0.5

    def moments(self, sources: Sources, graph: Graph) -> dict[str, Tensor]:
        """``charges`` (n_sites,) in e, ``molecular_dipole`` (n_molecules, 3) and ``dipole`` (n_frames, 3) in e Å.

        The dipole of a frame is about its centre of mass: a charged molecule contributes its charge times its distance
        from there, which means something for isolated clusters alone; with neutral molecules it is the plain sum.
        """
        molecular = molecular_dipoles(sources, graph)
        return {"charges": sources.charges, "molecular_dipole": molecular, "dipole": frame_dipoles(molecular, sources, graph)}
