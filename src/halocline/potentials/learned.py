"""Learned models as potentials, on the compiled kernels: atoms, or beads at centres of mass."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numba import njit

from halocline.errors import RunFailure, UserError
from halocline.models.model import Model
from halocline.potentials.base import BoolArray, Evaluation, Potential, Rule
from halocline.potentials.kernels.kernel import make_kernel
from halocline.potentials.kernels.neighbours import NeighbourList
from halocline.topology import FloatArray, IntArray, Topology


class _Learned(Potential):
    """What atoms and beads share: model, kernel and neighbour list.

    Args:
        model: a model, or the safetensors file of one. It is copied: later training does not change the potential.
        force_cap: eV/Å, limit of the tabulated repulsion of one pair between molecules; capped pairs are counted.
        skin: Å, of the neighbour list.
        n_knots: knots of each filter table; None for the number that the kernel was tested with.

    Raises:
        UserError: a model of another kind, without energies, or without a compiled kernel.
    """

    rules = frozenset({"site"})
    _kind = ""
    _other = ""

    def __init__(self, model: Model | Path | str, force_cap: float = math.inf, skin: float = 1.0, n_knots: int | None = None) -> None:
        model = load_model(model, self._kind, type(self).__name__, self._other)
        self.model, self.skin = model, skin
        self.cutoff = float(model.representation.cutoff)
        self.interaction_range = self.cutoff * model.representation.layers
        self._kernel = make_kernel(model, force_cap, n_knots)

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._topology = topology
        self._types, self._molecules = self._sites(topology)
        self._list = NeighbourList(self.cutoff, orthorhombic_edges(cell), self.skin)

    def reset(self) -> None:
        self._list.reset()

    def _sites(self, topology: Topology) -> tuple[IntArray, IntArray]:
        """(n_sites,) type index and molecule."""
        raise NotImplementedError


class LearnedAtoms(_Learned):
    """An atomistic model through the compiled kernel."""

    _kind, _other = "atoms", "LearnedBeads"

    def _sites(self, topology: Topology) -> tuple[IntArray, IntArray]:
        return type_indices(topology.atomic_numbers, self.model), topology.molecule_of_atom.astype(np.int64)

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        selected = None if subset is None else subset[self._molecules]
        result = self._kernel.evaluate(self._list.pairs(positions, selected), self._types, self._molecules)
        require_finite(result.energy, result.forces, self._topology)
        capped = sum_by_molecule(result.capped, self._molecules, self._topology.n_molecules)
        return Evaluation(result.energy, result.forces, result.virial if virial else None, capped)

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        if rule not in self.rules:
            return super().evaluate_weighted(positions, weights, rule)
        of_sites = np.asarray(weights, dtype=np.float64)[self._molecules]
        result = self._kernel.evaluate(self._list.pairs(positions, None), self._types, self._molecules, of_sites)
        require_finite(result.energy, result.forces, self._topology)
        n_molecules = self._topology.n_molecules
        own = np.bincount(self._molecules, result.own, n_molecules).astype(np.float64)
        return Evaluation(result.energy, result.forces, None, sum_by_molecule(result.capped, self._molecules, n_molecules), own)


class LearnedBeads(_Learned):
    """A model of one bead per molecule, at its centre of mass; atom i of molecule a feels m_i / M_a of the bead's force."""

    _kind, _other = "beads", "LearnedAtoms"

    def _sites(self, topology: Topology) -> tuple[IntArray, IntArray]:
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        return type_indices(bead_numbers(topology, self.model), self.model), np.arange(topology.n_molecules)

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        centres = centres_of_mass(np.ascontiguousarray(positions), self._topology.offsets, self._share)
        result = self._kernel.evaluate(self._list.pairs(centres, subset), self._types, self._molecules)
        forces = spread_forces(result.forces, self._topology.offsets, self._share)
        require_finite(result.energy, forces, self._topology)
        return Evaluation(result.energy, forces, result.virial if virial else None, result.capped)

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        if rule not in self.rules:
            return super().evaluate_weighted(positions, weights, rule)
        centres = centres_of_mass(np.ascontiguousarray(positions), self._topology.offsets, self._share)
        scales = np.asarray(weights, dtype=np.float64)
        result = self._kernel.evaluate(self._list.pairs(centres, None), self._types, self._molecules, scales)
        forces = spread_forces(result.forces, self._topology.offsets, self._share)
        require_finite(result.energy, forces, self._topology)
        return Evaluation(result.energy, forces, None, result.capped, result.own)


def load_model(model: Model | Path | str, kind: str, name: str, other: str) -> Model:
    """A model of the wanted kind that predicts energies.

    Raises:
        UserError: anything else.
    """
    where = name if isinstance(model, Model) else str(model)
    if not isinstance(model, Model):
        model = Model.load(model)
    if model.kind != kind:
        raise UserError(f"{name} needs a model of {kind}, this is one of {model.kind}", where, f"Use {other}, or another model.")
    if "energy" not in model.heads:
        raise UserError("the model predicts no energy, so it exerts no forces", where, f"It predicts {', '.join(model.heads)}.")
    return model


def orthorhombic_edges(cell: FloatArray) -> FloatArray:
    """(3,) edges of an orthorhombic cell, Å.

    Raises:
        UserError: the cell is not orthorhombic, or has no volume.
    """
    cell = np.asarray(cell, dtype=np.float64)
    edges = np.diag(cell).copy()
    if np.abs(cell - np.diag(edges)).max() > 1e-9 or edges.min() <= 0:
        raise UserError(f"the cell {cell.tolist()} is not orthorhombic", "cell", "Use a periodic box with right angles.")
    return edges


def type_indices(numbers: IntArray, model: Model) -> IntArray:
    """(n_sites,) index of each type in the model, from atomic numbers or bead types.

    Raises:
        UserError: a type that the model does not know.
    """
    table = model.representation.type_index.cpu().numpy()
    known = (numbers >= 0) & (numbers < len(table))
    index = np.where(known, table[np.where(known, numbers, 0)], -1).astype(np.int64)
    if (index < 0).any():
        unknown = sorted(set(numbers[index < 0].tolist()))
        raise UserError(
            f"sites of type {unknown} are unknown to the model",
            "model",
            f"The model knows types {model.types}; train one on data that contain the others.",
        )
    return index


def bead_numbers(topology: Topology, model: Model) -> IntArray:
    """(n_molecules,) bead types, 1 + index of the species in the model's own list.

    Raises:
        UserError: a species that the model does not know.
    """
    known = list(model.metadata.get("species", topology.species))
    missing = [name for name in topology.species if name not in known]
    if missing:
        raise UserError(
            f"no bead of species {', '.join(missing)}", "model", f"The model knows {', '.join(known)}; train one that knows all species."
        )
    return 1 + np.array([known.index(name) for name in topology.species], dtype=np.int64)[topology.molecule_species]


def require_finite(energy: float, forces: FloatArray, topology: Topology) -> None:
    """Refuse energies and forces that are not numbers.

    Raises:
        RunFailure: names the first atom and its molecule.
    """
    if math.isfinite(energy) and math.isfinite(forces.sum()):
        return
    bad = np.flatnonzero(~np.isfinite(forces).all(axis=1))
    remedy = "Look at the configuration: atoms may overlap. Shorten the time step, or train on such configurations."
    if not len(bad):
        raise RunFailure(f"the energy is {energy}", "forces", remedy)
    molecule = int(topology.molecule_of_atom[bad[0]])
    name = topology.species[topology.molecule_species[molecule]]
    raise RunFailure(
        f"the force on atom {bad[0]} (molecule {molecule}, {name}) is {forces[bad[0]]}; {len(bad)} atoms in all", "forces", remedy
    )


@njit(cache=True)
def sum_by_molecule(counts: IntArray, molecules: IntArray, n_molecules: int) -> IntArray:
    """(n_molecules,) sums of (n_atoms,) counts."""
    total = np.zeros(n_molecules, dtype=np.int64)
    for atom in range(len(counts)):
        total[molecules[atom]] += counts[atom]
    return total


@njit(cache=True)
def centres_of_mass(positions: FloatArray, offsets: IntArray, share: FloatArray) -> FloatArray:
    """(n_molecules, 3) centres of whole molecules; ``share`` is the mass of each atom over that of its molecule."""
    centres = np.empty((len(offsets) - 1, 3))
    for molecule in range(len(centres)):
        x, y, z = 0.0, 0.0, 0.0
        for atom in range(offsets[molecule], offsets[molecule + 1]):
            x += share[atom] * positions[atom, 0]
            y += share[atom] * positions[atom, 1]
            z += share[atom] * positions[atom, 2]
        centres[molecule, 0], centres[molecule, 1], centres[molecule, 2] = x, y, z
    return centres


@njit(cache=True)
def spread_forces(bead_forces: FloatArray, offsets: IntArray, share: FloatArray) -> FloatArray:
    """(n_atoms, 3) forces on atoms from (n_molecules, 3) forces on centres of mass."""
    forces = np.empty((offsets[-1], 3))
    for molecule in range(len(bead_forces)):
        for atom in range(offsets[molecule], offsets[molecule + 1]):
            for k in range(3):
                forces[atom, k] = share[atom] * bead_forces[molecule, k]
    return forces


@njit(cache=True)
def add_to_atoms(
    forces: FloatArray, molecules: IntArray, strength: FloatArray, direction: FloatArray, offsets: IntArray, share: FloatArray
) -> None:
    """Add forces on the centres of n molecules, of (n_molecules,) strengths along (n, 3) directions, to (n_atoms, 3) forces on atoms."""
    for row in range(len(molecules)):
        for atom in range(offsets[molecules[row]], offsets[molecules[row] + 1]):
            for k in range(3):
                forces[atom, k] += share[atom] * (strength[molecules[row]] * direction[row, k])
