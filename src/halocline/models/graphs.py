"""From configurations to graphs: neighbour lists of periodic boxes, isolated droplets and beads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from vesin import NeighborList

from halocline.errors import UserError
from halocline.models.base import Graph
from halocline.state import State
from halocline.topology import FloatArray, IntArray


def half_pairs(positions: FloatArray, cell: FloatArray, periodic: bool, cutoff: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Every pair within the cut-off once.

    Args:
        positions: (n, 3), Å, anywhere.
        cell: (3, 3), Å, rows are lattice vectors; ignored without periodicity. It may be shorter than twice the cut-off:
            all images are found.
        periodic: in all three directions or in none.
        cutoff: Å.

    Returns:
        i and j, (n_pairs,), and the shifts (n_pairs, 3) in Å with displacement ``positions[j] + shift - positions[i]``.

    Raises:
        UserError: a position that is not finite.
    """
    if not np.all(np.isfinite(positions)):
        raise UserError("positions hold NaN or infinity", "neighbour list", "Remove the configuration.")
    if len(positions) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3))
    box = np.asarray(cell, dtype=np.float64) if periodic else np.zeros((3, 3))
    search = NeighborList(cutoff=float(cutoff), full_list=False, n_threads=1)
    points = np.ascontiguousarray(positions, dtype=np.float64)
    i, j, images = search.compute(points=points, box=box, periodic=periodic, quantities="ijS")
    return i.astype(np.int64), j.astype(np.int64), images.astype(np.float64) @ box


def build_graph(
    states: State | Sequence[State],
    cutoff: float,
    dtype: torch.dtype = torch.float32,
    charges: Mapping[str, float] | None = None,
) -> Graph:
    """Atoms of one or several configurations as one graph.

    The second half of the pairs is the first half reversed.

    Args:
        states: periodic or isolated, in any mixture; molecules must be whole.
        cutoff: Å.
        dtype: of positions, shifts and masses.
        charges: species name -> molecular charge, e; without it every molecule counts as neutral.

    Raises:
        UserError: no configuration at all, or a position that is not finite.
    """
    states = [states] if isinstance(states, State) else list(states)
    parts = [
        _Part(
            state.topology.atomic_numbers,
            state.positions,
            state.topology.molecule_of_atom,
            state.topology.masses,
            _molecular_charges(state, charges),
            state.periodic,
            *half_pairs(state.positions, state.cell, state.periodic, cutoff),
        )
        for state in states
    ]
    return _join(parts, dtype)


def build_bead_graph(
    states: State | Sequence[State], cutoff: float, dtype: torch.dtype = torch.float32, species: Sequence[str] | None = None
) -> Graph:
    """One bead per molecule, at its centre of mass, as one graph; type 1 + index of the species.

    Args:
        states: atomistic configurations of whole molecules.
        cutoff: Å.
        dtype: of positions, shifts and masses.
        species: names in the order of the model's types; by default the order of each topology.

    Raises:
        UserError: a species that is not in ``species``.
    """
    states = [states] if isinstance(states, State) else list(states)
    parts = []
    for state in states:
        centres = state.centres_of_mass
        types = bead_types(state, species)
        none = np.zeros(len(centres))
        pairs = half_pairs(centres, state.cell, state.periodic, cutoff)
        parts.append(_Part(types, centres, np.arange(len(centres)), state.topology.molecule_masses, none, state.periodic, *pairs))
    return _join(parts, dtype)


def join_graphs(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one."""
    sites = np.concatenate([[0], np.cumsum([len(graph.types) for graph in graphs])]).tolist()
    molecules = np.concatenate([[0], np.cumsum([graph.n_molecules for graph in graphs])]).tolist()
    frames = np.concatenate([[0], np.cumsum([graph.n_frames for graph in graphs])]).tolist()
    charges = [graph.masses.new_zeros(graph.n_molecules) if graph.molecule_charges is None else graph.molecule_charges for graph in graphs]
    isolated = [torch.zeros(graph.n_frames, dtype=torch.bool, device=graph.masses.device) for graph in graphs]
    periodic = [none if graph.periodic is None else graph.periodic for graph, none in zip(graphs, isolated)]
    return Graph(
        types=torch.cat([graph.types for graph in graphs]),
        positions=torch.cat([graph.positions for graph in graphs]),
        pairs=torch.cat([graph.pairs + start for graph, start in zip(graphs, sites)], dim=1),
        shifts=torch.cat([graph.shifts for graph in graphs]),
        frame=torch.cat([graph.frame + start for graph, start in zip(graphs, frames)]),
        molecule=torch.cat([graph.molecule + start for graph, start in zip(graphs, molecules)]),
        n_frames=frames[-1],
        n_molecules=molecules[-1],
        molecule_frame=torch.cat([graph.molecule_frame + start for graph, start in zip(graphs, frames)]),
        masses=torch.cat([graph.masses for graph in graphs]),
        molecule_charges=torch.cat(charges),
        periodic=torch.cat(periodic),
    )


def bead_types(state: State, species: Sequence[str] | None = None) -> IntArray:
    """(n_molecules,) 1 + index of each molecule's species in ``species``."""
    known = list(species) if species is not None else list(state.topology.species)
    missing = set(state.topology.species) - set(known)
    if missing:
        remedy = f"The model knows {', '.join(known)}; train one that knows all species."
        raise UserError(f"no bead of species {', '.join(sorted(missing))}", "bead graph", remedy)
    index = np.array([known.index(name) for name in state.topology.species], dtype=np.int64)
    return 1 + index[state.topology.molecule_species]


class _Part:
    """Arrays of one configuration."""

    def __init__(
        self,
        types: IntArray,
        positions: FloatArray,
        molecule: NDArray[np.int64],
        masses: FloatArray,
        charges: FloatArray,
        periodic: bool,
        i: IntArray,
        j: IntArray,
        shifts: FloatArray,
    ) -> None:
        self.types, self.positions, self.molecule, self.masses, self.charges = types, positions, molecule, masses, charges
        self.periodic = periodic
        self.i, self.j, self.shifts = i, j, shifts


def _molecular_charges(state: State, charges: Mapping[str, float] | None) -> FloatArray:
    if charges is None:
        return np.zeros(state.topology.n_molecules)
    missing = [name for name in state.topology.species if name not in charges]
    if missing:
        raise UserError(f"no molecular charge of {', '.join(missing)}", "graph", "Give the charge of every species.")
    return np.array([charges[name] for name in state.topology.species])[state.topology.molecule_species]


def _join(parts: list[_Part], dtype: torch.dtype) -> Graph:
    if not parts:
        raise UserError("there is no configuration to make a graph of", "graph", "Give at least one.")
    atoms = np.concatenate([[0], np.cumsum([len(part.types) for part in parts])])
    molecules = np.concatenate([[0], np.cumsum([len(part.charges) for part in parts])])
    i = np.concatenate([part.i + start for part, start in zip(parts, atoms)])
    j = np.concatenate([part.j + start for part, start in zip(parts, atoms)])
    shifts = np.concatenate([part.shifts for part in parts])
    frames = np.arange(len(parts))

    def real(array: FloatArray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype)

    return Graph(
        types=torch.as_tensor(np.concatenate([part.types for part in parts])),
        positions=real(np.concatenate([part.positions for part in parts])),
        pairs=torch.as_tensor(np.stack([np.concatenate([i, j]), np.concatenate([j, i])])),
        shifts=real(np.concatenate([shifts, -shifts])),
        frame=torch.as_tensor(np.repeat(frames, np.diff(atoms))),
        molecule=torch.as_tensor(np.concatenate([part.molecule + start for part, start in zip(parts, molecules)])),
        n_frames=len(parts),
        n_molecules=int(molecules[-1]),
        molecule_frame=torch.as_tensor(np.repeat(frames, np.diff(molecules))),
        masses=real(np.concatenate([part.masses for part in parts])),
        molecule_charges=real(np.concatenate([part.charges for part in parts])),
        periodic=torch.as_tensor([part.periodic for part in parts]),
    )
