"""Charges, atomic dipoles and hidden features of sites, from the features that a kernel leaves; no derivatives."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from halocline.models.base import Features, Graph
from halocline.models.heads.energy import EnergyHead
from halocline.models.heads.sources import AtomicSources
from halocline.potentials.kernels.dense import SingleArray
from halocline.potentials.kernels.results import SiteOutputs
from halocline.topology import FloatArray, IntArray


class SiteHeads:
    """The energy head and the sources of a model, copied and in double precision: they cost little beside the network.

    Args:
        head: of the energy.
        sources: of charges and multipoles, or None where the model has none.
    """

    def __init__(self, head: EnergyHead, sources: AtomicSources | None) -> None:
        self._head = copy.deepcopy(head).cpu().double().eval()
        self._sources = None if sources is None else copy.deepcopy(sources).cpu().double().eval()

    def __call__(
        self,
        scalars: SingleArray,
        vectors: SingleArray | None,
        sites: IntArray,
        types: IntArray,
        molecules: IntArray,
        molecule_charges: FloatArray | None = None,
    ) -> SiteOutputs:
        """Outputs of all sites; zero for those that are not listed.

        Args:
            scalars, vectors: (n_rows, features) and (n_rows, 3, features), the latter where the network has them.
            sites: (n_rows,) listed sites; molecules are listed whole or not at all.
            types, molecules: (n_sites,) index of the type and molecule of every site.
            molecule_charges: (n_molecules,) in e, or None where all are neutral.
        """
        n_sites = len(types)

        def everywhere(values: Tensor) -> FloatArray:
            full = np.zeros((n_sites, *values.shape[1:]))
            full[sites] = values.numpy()
            return full

        with torch.no_grad():
            s = torch.from_numpy(scalars.astype(np.float64))
            outputs = SiteOutputs(everywhere(self._head.net[1](self._head.net[0](s))))
            if self._sources is not None:
                v = None if vectors is None else torch.from_numpy(vectors.astype(np.float64))
                graph = _graph_of(molecules[sites], molecule_charges)
                found = self._sources(Features(s, v), graph, torch.from_numpy(np.asarray(types[sites], dtype=np.int64)))
                outputs.charges = everywhere(found.charges)
                outputs.dipoles = None if found.dipoles is None else everywhere(found.dipoles)
        return outputs


def _graph_of(molecules: IntArray, molecule_charges: FloatArray | None) -> Graph:
    """One configuration that knows its molecules and their charges, which is all that sources ask of a graph."""
    n, count = len(molecules), int(molecules.max(initial=-1)) + 1
    integers, nothing = torch.zeros(n, dtype=torch.int64), torch.zeros(n, 3, dtype=torch.float64)
    charges = None if molecule_charges is None else torch.as_tensor(np.asarray(molecule_charges, dtype=np.float64)[:count])
    return Graph(
        types=integers,
        positions=nothing,
        pairs=torch.zeros(2, 0, dtype=torch.int64),
        shifts=torch.zeros(0, 3, dtype=torch.float64),
        frame=integers,
        molecule=torch.from_numpy(np.asarray(molecules, dtype=np.int64)),
        n_frames=1,
        n_molecules=count,
        molecule_frame=torch.zeros(count, dtype=torch.int64),
        masses=torch.ones(n, dtype=torch.float64),
        molecule_charges=charges,
    )
