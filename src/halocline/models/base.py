"""Graphs and representations: what a network sees, and what it makes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Graph:
    """One or several configurations as one graph.

    Attributes:
        types: (n_sites,) atomic numbers; for beads 1 + index of the species.
        positions: (n_sites, 3), Å.
        pairs: (2, n_pairs) directed pairs; row 0 is the receiving site i, row 1 the sending site j. Every pair within the
            cut-off appears twice, as (i, j) and (j, i); periodic images of one j are separate pairs.
        shifts: (n_pairs, 3), Å, so that the displacement from i to j is ``positions[j] + shift - positions[i]``.
        frame: (n_sites,) configuration of each site.
        molecule: (n_sites,) molecule of each site, numbered through the whole graph.
        n_frames, n_molecules: counts.
        molecule_frame: (n_molecules,) configuration of each molecule.
        masses: (n_sites,), amu: the origin of multipoles is the centre of mass.
        molecule_charges: (n_molecules,), e, or None where all molecules are neutral.
        periodic: (n_frames,) whether each configuration is, or None where none is.
    """

    types: Tensor
    positions: Tensor
    pairs: Tensor
    shifts: Tensor
    frame: Tensor
    molecule: Tensor
    n_frames: int
    n_molecules: int
    molecule_frame: Tensor
    masses: Tensor
    molecule_charges: Tensor | None = None
    periodic: Tensor | None = None

    def displacements(self) -> Tensor:
        """(n_pairs, 3) from i to j, Å."""
        i, j = self.pairs
        return self.positions[j] + self.shifts - self.positions[i]


@dataclass
class Sources:
    """Multipoles of each site: what charges, dipoles and quadrupoles of molecules and frames are all made of.

    Attributes:
        charges: (n_sites,), e.
        dipoles: (n_sites, 3), e Å, or None.
        quadrupoles: (n_sites, 3, 3), e Å^2, symmetric and traceless, or None.
        molecule_charges: (n_molecules,), e, what the charges of each molecule add up to; exactly zero where that is asked for.
    """

    charges: Tensor
    dipoles: Tensor | None
    quadrupoles: Tensor | None
    molecule_charges: Tensor


@dataclass
class Features:
    """What a representation knows about each site: invariant and, where it has them, vector features.

    Attributes:
        scalars: (n_sites, n_features).
        vectors: (n_sites, 3, n_features) or None.
        sources: multipoles of the sites, made from the other two where a head of the model asks for them.
    """

    scalars: Tensor
    vectors: Tensor | None
    sources: Sources | None = None


class Representation(nn.Module, ABC):
    """A network that turns a graph into features. One file of this package each.

    Attributes:
        name: word used in study files.
        cutoff: Å.
        layers: number of message-passing layers; ``cutoff * layers`` is the receptive field of a site.
    """

    name: str = ""
    summary: str = ""
    has_vectors: bool = False

    type_index: Tensor

    def __init__(self, types: list[int], features: int, layers: int, cutoff: float) -> None:
        super().__init__()
        self.types, self.features, self.layers, self.cutoff = sorted(types), features, layers, cutoff
        index = torch.full((max(self.types) + 1,), -1, dtype=torch.long)
        index[torch.tensor(self.types)] = torch.arange(len(self.types))
        self.register_buffer("type_index", index, persistent=False)

    @property
    def receptive_field(self) -> float:
        """Å."""
        return self.cutoff * self.layers

    @abstractmethod
    def forward(self, types: Tensor, pairs: Tensor, displacements: Tensor) -> Features:
        """Features of every site from (n_sites,) types, (2, n_pairs) pairs and (n_pairs, 3) displacements in Å."""

    def hyperparameters(self) -> dict[str, object]:
        """Keyword arguments that make the same representation again."""
        return {"types": self.types, "features": self.features, "layers": self.layers, "cutoff": self.cutoff}
