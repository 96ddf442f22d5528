"""Training data: frames with their neighbour lists found once, refused if a label is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from halocline import files
from halocline.errors import UserError
from halocline.mapping.centre_of_mass import Beads
from halocline.models.graphs import half_pairs
from halocline.state import State
from halocline.topology import FloatArray, IntArray


class LabelledFrame(Protocol):
    """What training needs of a frame; :class:`halocline.datasets.frame.Frame` is one."""

    @property
    def state(self) -> State: ...

    @property
    def labels(self) -> Mapping[str, FloatArray]: ...


@dataclass(frozen=True, eq=False)
class Sites:
    """Atoms or beads of one configuration with the pairs within the cut-off, each once.

    Attributes:
        types: (n,) atomic numbers or bead types.
        molecule: (n,) molecule of each site.
        positions: (n, 3), Å.
        i, j, shifts: pairs, as in :func:`halocline.models.graphs.half_pairs`.
        forces: (n, 3), eV/Å; NaN where they are not known.
        energy: eV, or None for beads and where it is not known.
        weight: statistical weight.
    """

    types: IntArray
    molecule: IntArray
    positions: FloatArray
    i: IntArray
    j: IntArray
    shifts: FloatArray
    forces: FloatArray
    energy: float | None
    weight: float = 1.0

    @property
    def displacements(self) -> FloatArray:
        """(n_pairs, 3) from i to j, Å."""
        return self.positions[self.j] + self.shifts - self.positions[self.i]

    @property
    def same_molecule(self) -> IntArray:
        """(n_pairs,) 1 within a molecule, 0 between molecules or with an image of the same one."""
        same = (self.molecule[self.i] == self.molecule[self.j]) & (np.abs(self.shifts).max(axis=1, initial=0.0) < 1e-4)
        return same.astype(np.int64)


@dataclass
class Batch:
    """Several configurations as one, what is left to learn after the prior, in single (or double) precision.

    Attributes:
        type_index: (n_sites,) index into the types of the representation.
        frame: (n_sites,) configuration of each site.
        i, j: (n_pairs,) int32, every pair once.
        distances, units: (n_pairs,) Å and (n_pairs, 3) unit vectors from i to j.
        forces: (n_sites, 3), eV/Å; NaN where there is none.
        energies: (n_frames,), eV; NaN where there is none.
        counts: (n_frames,) number of sites.
        weights: (n_frames,).
    """

    type_index: Tensor
    frame: Tensor
    i: Tensor
    j: Tensor
    distances: Tensor
    units: Tensor
    forces: Tensor
    energies: Tensor
    counts: Tensor
    weights: Tensor

    @property
    def n_frames(self) -> int:
        return len(self.counts)


def require_labels(frames: Sequence[LabelledFrame], names: Sequence[str], what: str) -> None:
    """Refuse to train on nothing, or on frames that lack a label.

    Raises:
        UserError: no frame, or the number of frames without a label and the first of them.
    """
    if not frames:
        raise UserError("there is no frame", what, "Label some configurations first, or split so that no part is empty.")
    for name in names:
        missing = [index for index, frame in enumerate(frames) if name not in frame.labels]
        if missing:
            problem = f"{len(missing)} of {len(frames)} frames have no label '{name}', the first is frame {missing[0]}"
            raise UserError(problem, what, f"Label them with an engine that provides '{name}', or leave them out.")
        bad = [index for index, frame in enumerate(frames) if not np.all(np.isfinite(frame.labels[name]))]
        if bad:
            raise UserError(f"label '{name}' holds NaN or infinity, first in frame {bad[0]}", what, "Label this frame again, or remove it.")


def atom_sites(frames: Sequence[LabelledFrame], cutoff: float) -> list[Sites]:
    """Sites of atomistic frames; without a label (or with NaN for it) the energy is None, the forces are NaN."""
    sites = []
    for frame in frames:
        state = frame.state
        i, j, shifts = half_pairs(state.positions, state.cell, state.periodic, cutoff)
        topology = state.topology
        energy = float(frame.labels.get("energy", np.nan))
        forces = np.asarray(frame.labels.get("forces", np.full_like(state.positions, np.nan)), dtype=np.float64)
        weight = float(getattr(frame, "weight", 1.0))
        sites.append(
            Sites(
                topology.atomic_numbers,
                topology.molecule_of_atom,
                state.positions,
                i,
                j,
                shifts,
                forces,
                None if np.isnan(energy) else energy,
                weight,
            )
        )
    return sites


def require_forces(frames: Sequence[Beads], what: str) -> tuple[str, ...]:
    """Species of the beads; refuses empty, unlabelled or non-finite data."""
    if not frames:
        raise UserError("there is no bead configuration", what, "Map labelled configurations first.")
    species = frames[0].species
    for index, beads in enumerate(frames):
        if beads.forces is None:
            raise UserError(f"bead configuration {index} has no forces", what, "Map the forces together with the positions.")
        if not np.all(np.isfinite(beads.forces)):
            raise UserError(f"forces of bead configuration {index} hold NaN or infinity", what, "Remove it.")
        if beads.species != species:
            raise UserError(f"bead configuration {index} has species {beads.species}, the first {species}", what, "Use one list.")
    return species


def bead_sites(frames: Sequence[Beads], cutoff: float, what: str) -> list[Sites]:
    """Sites of mapped configurations, bead type 1 + index of the species; refuses the same as :func:`require_forces`."""
    require_forces(frames, what)
    sites = []
    for beads in frames:
        assert beads.forces is not None
        i, j, shifts = half_pairs(beads.positions, beads.cell, beads.periodic, cutoff)
        molecule = np.arange(len(beads.positions))
        sites.append(Sites(1 + beads.types, molecule, beads.positions, i, j, shifts, beads.forces, None))
    return sites


def make_batch(sites: Sites, type_index: Mapping[int, int], energy: float, forces: FloatArray, dtype: torch.dtype) -> Batch:
    """One configuration as a batch of its own, with the residual energy and forces to learn."""
    displacements = sites.displacements
    distances = np.linalg.norm(displacements, axis=1)
    return Batch(
        type_index=torch.tensor([type_index[int(kind)] for kind in sites.types]),
        frame=torch.zeros(len(sites.types), dtype=torch.long),
        i=torch.as_tensor(sites.i.astype(np.int32)),
        j=torch.as_tensor(sites.j.astype(np.int32)),
        distances=torch.as_tensor(distances, dtype=dtype),
        units=torch.as_tensor(displacements / distances[:, None], dtype=dtype),
        forces=torch.as_tensor(np.ascontiguousarray(forces), dtype=dtype),
        energies=torch.tensor([energy], dtype=torch.float64),
        counts=torch.tensor([float(len(sites.types))], dtype=dtype),
        weights=torch.tensor([sites.weight], dtype=dtype),
    )


def join(batches: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    if len(batches) == 1:
        return batches[0]
    start, shifted_frames, shifted_i, shifted_j, frame = 0, [], [], [], 0
    for batch in batches:
        shifted_frames.append(batch.frame + frame)
        shifted_i.append(batch.i + start)
        shifted_j.append(batch.j + start)
        start, frame = start + len(batch.type_index), frame + batch.n_frames
    return Batch(
        torch.cat([batch.type_index for batch in batches]),
        torch.cat(shifted_frames),
        torch.cat(shifted_i),
        torch.cat(shifted_j),
        torch.cat([batch.distances for batch in batches]),
        torch.cat([batch.units for batch in batches]),
        torch.cat([batch.forces for batch in batches]),
        torch.cat([batch.energies for batch in batches]),
        torch.cat([batch.counts for batch in batches]),
        torch.cat([batch.weights for batch in batches]),
    )


def fingerprint(arrays: Sequence[np.ndarray]) -> str:
    """Content hash of arrays, 24 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        contiguous = np.ascontiguousarray(array)
        digest.update(str((contiguous.shape, contiguous.dtype.str)).encode())
        digest.update(contiguous.tobytes())
    return digest.hexdigest()[:24]


def identity(state: State) -> list[np.ndarray]:
    """Everything of a configuration that a training depends on: elements, molecules, positions, cell and periodicity."""
    topology = state.topology
    whole = [topology.atomic_numbers, topology.molecule_of_atom, state.positions, state.cell]
    return [*whole, np.array([state.periodic], dtype=np.int64)]


def hash_inputs(
    section: BaseModel, arrays: Sequence[np.ndarray], division: tuple[int, int], budget: float, seed: int, steps: int | None, **more: Any
) -> str:
    """Hash of everything that the outcome of a training depends on.

    Args:
        section: of the study. arrays: all data, training first. division: numbers of configurations for training and validation.
        budget: s. seed: of weights and order. steps: instead of a budget, or None. more: what this kind of training has beside these.
    """
    data = {"section": section.model_dump(mode="json"), "data": fingerprint(arrays), "division": list(division)}
    return files.hash_data({**data, "budget": budget, "seed": seed, "steps": steps, **more})
