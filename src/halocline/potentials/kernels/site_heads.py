"""Charges, atomic dipoles and hidden features of sites, from the features that a kernel leaves; no derivatives."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from halocline.models.heads.charges import ChargesHead
from halocline.models.heads.dipole import DipoleHead
from halocline.models.heads.energy import EnergyHead
from halocline.potentials.kernels.dense import SingleArray
from halocline.potentials.kernels.results import SiteOutputs
from halocline.topology import FloatArray, IntArray


class SiteHeads:
    """The heads of a model, copied and in double precision: they cost little beside the network.

    Args:
        heads: quantity -> head, with an energy head. Heads of other kinds than charges and dipoles are passed over.
    """

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        kinds = EnergyHead, ChargesHead, DipoleHead
        self._heads = [copy.deepcopy(head).cpu().double().eval() for head in heads.values() if isinstance(head, kinds)]

    def __call__(
        self,
        scalars: SingleArray,
        vectors: SingleArray | None,
        sites: IntArray,
        types: IntArray,
        molecules: IntArray,
        molecule_charges: FloatArray | None = None,
    ) -> SiteOutputs:
        """Outputs of all sites.

        Args:
            scalars, vectors: (n_rows, features) and (n_rows, 3, features), the latter where the network has them.
            sites: (n_rows,) listed sites; molecules are listed whole or not at all.
            types, molecules: (n_sites,) index of the type and molecule of every site.
            molecule_charges: (n_molecules,) in e, or None where all are neutral.
        """
        outputs, n_sites = SiteOutputs(np.zeros((len(types), 0))), len(types)
        s = torch.from_numpy(scalars.astype(np.float64))

        def everywhere(values: FloatArray) -> FloatArray:
            full = np.zeros((n_sites, *values.shape[1:]))
            full[sites] = values
            return full

        with torch.no_grad():
            for head in self._heads:
                if isinstance(head, EnergyHead):
                    outputs.hidden = everywhere(head.net[1](head.net[0](s)).numpy())
                    continue
                raw = head.net(s)
                charges = raw[:, 0].numpy()
                if isinstance(head, DipoleHead):
                    assert vectors is not None
                    mixed = head.mix(torch.from_numpy(vectors.astype(np.float64)))
                    outputs.dipoles = everywhere((head.scale * (mixed * raw[:, None, 1:]).mean(dim=2)).numpy())
                    charges = float(head.scale) * charges + head.type_charge.numpy()[types[sites]]
                # As in the model, a later head has the last word.
                outputs.charges = everywhere(conserved(charges, molecules[sites], molecule_charges))
        return outputs


def conserved(charges: FloatArray, molecules: IntArray, molecule_charges: FloatArray | None) -> FloatArray:
    """(n,) charges with the same shift for all sites of a molecule, so that they add up to its charge."""
    n = int(molecules.max(initial=-1)) + 1
    counts, totals = np.bincount(molecules, minlength=n), np.bincount(molecules, charges, n)
    wanted = np.zeros(n) if molecule_charges is None else np.asarray(molecule_charges, dtype=np.float64)[:n]
    return np.asarray(charges + ((wanted - totals) / np.maximum(counts, 1))[molecules])
