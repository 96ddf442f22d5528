"""One model on the atoms of another program: compiled kernel where the cell allows it, torch in double precision elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from halocline.export.cells import repeat_everywhere, room_around
from halocline.export.membership import Membership
from halocline.labels import QUANTITIES
from halocline.models.model import Model
from halocline.models.shipped import find_model
from halocline.potentials.base import Evaluation, Potential
from halocline.potentials.learned import require_finite, spread_forces
from halocline.potentials.warm_up import kernel_of
from halocline.state import State
from halocline.topology import FloatArray

EMPTY_CELLS = 1_000_000
"""Cells of a neighbour list beyond which a sparse cluster is not worth a box around it."""


class Engine:
    """Energy, forces and whatever else a model predicts, for atoms in any cell.

    Args:
        model: a model, the file of one, or the name of a shipped one. It is copied.

    Attributes:
        model: the copy in double precision.
        cutoff: Å.
        kernel: the potential on compiled kernels; None for a model that has none.
    """

    def __init__(self, model: Model | Path | str) -> None:
        loaded = model if isinstance(model, Model) else Model.load(find_model(model))
        self.model = copy.deepcopy(loaded).convert(torch.float64).requires_grad_(False).eval()
        self.cutoff = float(loaded.cutoff)
        self.kernel = kernel_of(loaded) if "energy" in loaded.heads else None
        self._cell: FloatArray | None = None
        self._room: FloatArray | None = None
        self._bound: tuple[Membership, FloatArray] | None = None

    @property
    def species(self) -> list[str]:
        """Molecular species that the model names."""
        return list(self.model.metadata.get("species", ()))

    def arrange(self, members: Membership, positions: FloatArray, cell: FloatArray, pbc: Sequence[bool]) -> State:
        """Whole molecules in a cell that repeats in all directions or in none."""
        box, periodic = repeat_everywhere(positions, cell, pbc, self._reach, self._cell)
        self._cell = box if periodic else None
        return members.state(positions, box, periodic)

    def evaluate(self, members: Membership, state: State) -> Evaluation:
        """Energy in eV, (n_atoms, 3) forces in eV/Å in the order of the other program, and (3, 3) virial in eV.

        Args:
            members: molecules of the atoms.
            state: from :meth:`arrange`.

        Raises:
            UserError: a model without energies, an element or species that it does not know.
            RunFailure: energies or forces that are not finite.
        """
        box = self._orthorhombic(state)
        result = self._by_torch(state) if self.kernel is None or box is None else self._by_kernel(self.kernel, members, state, box)
        require_finite(result.energy, result.forces, state.topology)
        result.forces = members.back(result.forces)
        return result

    def others(self, members: Membership, state: State) -> dict[str, FloatArray]:
        """What the model predicts beside the energy, in units of ``halocline.labels``: for all atoms (dipole, polarizability, ...), or
        for each in the order of the other program (charges)."""
        with torch.no_grad():
            output = self.model(self.model.graph(state))
        names = {*self.model.heads, "charges"} - {"energy"}
        found = {name: output[name].double().numpy() for name in names & set(output)}
        return {name: members.back(value) if QUANTITIES[name].extent == "atom" else value[0] for name, value in found.items()}

    @property
    def _reach(self) -> float:
        return self.cutoff if self.kernel is None else self.cutoff + self.kernel.skin

    def _orthorhombic(self, state: State) -> FloatArray | None:
        """The cell for the kernel, if it can take this configuration."""
        if self.kernel is None or state.topology.n_atoms == 0:
            return None
        if not state.periodic:
            self._room = room_around(state.positions, self._reach, self._room)
            return np.diag(self._room) if np.prod(self._room / self._reach) < EMPTY_CELLS else None
        edges = state.edges
        right_angles = np.abs(state.cell - np.diag(edges)).max() < 1e-9
        return state.cell if right_angles and edges.min() >= 2 * self.cutoff else None

    def _by_kernel(self, kernel: Potential, members: Membership, state: State, box: FloatArray) -> Evaluation:
        if self._bound is None or self._bound[0] is not members or not np.array_equal(self._bound[1], box):
            kernel.bind(state.topology, box)
            self._bound = (members, box.copy())
        return kernel.evaluate(state.positions, virial=True)

    def _by_torch(self, state: State) -> Evaluation:
        energy, forces, virial = self.model.energy_forces_virial(self.model.graph(state))
        topology = state.topology
        of_sites, none = forces.detach().numpy(), np.zeros(topology.n_molecules, dtype=np.int64)
        if self.model.kind == "beads":
            share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
            of_sites = spread_forces(of_sites, topology.offsets, share)
        return Evaluation(float(energy.sum()), of_sites, virial[0].double().numpy(), none)
