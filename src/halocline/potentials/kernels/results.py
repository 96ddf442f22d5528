"""What a compiled kernel of a network gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from halocline.topology import FloatArray, IntArray


@dataclass
class KernelResult:
    """Energy (eV), forces (n_sites, 3) (eV/Å), virial (3, 3) (eV) and number of capped pairs of each site (n_sites,).

    ``own`` are the energies of the sites (n_sites,) in eV, half of each pair of the prior to either, where weights were given.
    """

    energy: float
    forces: FloatArray
    virial: FloatArray
    capped: IntArray
    own: FloatArray = field(default_factory=lambda: np.zeros(0))


@dataclass
class SiteOutputs:
    """What the heads of a model read from the features of each site; zero for sites that are not listed.

    Attributes:
        hidden: (n_sites, n_hidden) features before the last linear layer of the energy head.
        charges: (n_sites,) in e, or None where the model has no head for them. The sum over a molecule is its charge.
        dipoles: (n_sites, 3) atomic dipoles in e Å, or None.
    """

    hidden: FloatArray
    charges: FloatArray | None = None
    dipoles: FloatArray | None = None
