"""Learned models as potentials through torch itself: slower, for every representation and every device."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch

from halocline.models.base import Graph
from halocline.models.model import Model
from halocline.potentials.base import BoolArray, Evaluation, Potential
from halocline.potentials.kernels.neighbours import NeighbourList
from halocline.potentials.learned import (
    bead_numbers,
    centres_of_mass,
    load_model,
    orthorhombic_edges,
    require_finite,
    spread_forces,
    type_indices,
)
from halocline.topology import FloatArray, IntArray, Topology


class _TorchModel(Potential):
    """The eager model on a graph from the same neighbour list as the kernels.

    Args:
        model: a model, or the safetensors file of one; copied.
        dtype: precision of the network; energies are summed in double precision.
        device: where it runs; ``torch.device`` or its name.
        skin: Å, of the neighbour list.

    Raises:
        UserError: a model of another kind, or without energies.
    """

    _kind = ""
    _other = ""

    def __init__(
        self, model: Model | Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", skin: float = 1.0
    ) -> None:
        model = load_model(model, self._kind, type(self).__name__, self._other)
        self.model = copy.deepcopy(model).convert(dtype).to(device).requires_grad_(False).eval()
        self.dtype, self.device, self.skin = dtype, torch.device(device), skin
        self.cutoff = float(model.cutoff)
        self.interaction_range = self.cutoff * model.representation.layers

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._topology = topology
        self._numbers, self._molecules, self._masses = self._sites(topology)
        type_indices(self._numbers, self.model)
        self._list = NeighbourList(self.cutoff, orthorhombic_edges(cell), self.skin)

    def reset(self) -> None:
        self._list.reset()

    def graph(self, positions: FloatArray, selected: BoolArray | None = None) -> Graph:
        """The graph of the selected sites, in the form that the models take.

        Args:
            positions: (n_sites, 3), Å.
            selected: (n_sites,) mask, or None for all.
        """
        pairs = self._list.pairs(positions, selected)
        i, j = np.repeat(np.arange(len(pairs.sites)), np.diff(pairs.start)), pairs.neighbours.astype(np.int64)
        points = positions[pairs.sites]
        shifts = pairs.displacements - (points[j] - points[i])
        molecules, local = np.unique(self._molecules[pairs.sites], return_inverse=True)

        def real(array: FloatArray) -> torch.Tensor:
            return torch.as_tensor(array, dtype=self.dtype, device=self.device)

        def whole(array: IntArray) -> torch.Tensor:
            return torch.as_tensor(array, device=self.device)

        return Graph(
            types=whole(self._numbers[pairs.sites]),
            positions=real(points),
            pairs=whole(np.stack([np.concatenate([i, j]), np.concatenate([j, i])])),
            shifts=real(np.concatenate([shifts, -shifts])),
            frame=whole(np.zeros(len(pairs.sites), dtype=np.int64)),
            molecule=whole(local),
            n_frames=1,
            n_molecules=len(molecules),
            molecule_frame=whole(np.zeros(len(molecules), dtype=np.int64)),
            masses=real(self._masses[pairs.sites]),
        )

    def _evaluate(self, positions: FloatArray, selected: BoolArray | None) -> tuple[float, FloatArray, FloatArray]:
        graph = self.graph(positions, selected)
        forces = np.zeros((len(positions), 3))
        if not len(graph.types):
            return 0.0, forces, np.zeros((3, 3))
        energy, site_forces, virial = self.model.energy_forces_virial(graph)
        sites = np.arange(len(positions)) if selected is None else np.flatnonzero(selected)
        forces[sites] = site_forces.detach().cpu().double().numpy()
        return float(energy.sum()), forces, virial[0].cpu().double().numpy()

    def _sites(self, topology: Topology) -> tuple[IntArray, IntArray, FloatArray]:
        """(n_sites,) type, molecule and mass."""
        raise NotImplementedError


class TorchAtoms(_TorchModel):
    """An atomistic model in torch."""

    _kind, _other = "atoms", "TorchBeads"

    def _sites(self, topology: Topology) -> tuple[IntArray, IntArray, FloatArray]:
        return topology.atomic_numbers, topology.molecule_of_atom, topology.masses

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        selected = None if subset is None else subset[self._molecules]
        energy, forces, tensor = self._evaluate(positions, selected)
        require_finite(energy, forces, self._topology)
        return Evaluation(energy, forces, tensor if virial else None, np.zeros(self._topology.n_molecules, dtype=np.int64))


class TorchBeads(_TorchModel):
    """A model of one bead per molecule in torch."""

    _kind, _other = "beads", "TorchAtoms"

    def _sites(self, topology: Topology) -> tuple[IntArray, IntArray, FloatArray]:
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        return bead_numbers(topology, self.model), np.arange(topology.n_molecules), topology.molecule_masses

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        centres = centres_of_mass(np.ascontiguousarray(positions), self._topology.offsets, self._share)
        energy, bead_forces, tensor = self._evaluate(centres, subset)
        forces = spread_forces(bead_forces, self._topology.offsets, self._share)
        require_finite(energy, forces, self._topology)
        return Evaluation(energy, forces, tensor if virial else None, np.zeros(self._topology.n_molecules, dtype=np.int64))
