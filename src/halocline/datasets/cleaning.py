"""What published labels need before a model that conserves momentum is trained on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from halocline.datasets.frame import Frame


def remove_net_force(frame: Frame) -> Frame:
    """The frame with the mean force subtracted from every atom; without forces, the frame itself.

    Forces of a periodic grid code do not sum to zero. No model whose energy depends on distances alone can follow the rest.
    """
    if "forces" not in frame.labels:
        return frame
    forces = frame.labels["forces"]
    return replace(frame, labels={**frame.labels, "forces": forces - forces.mean(axis=0)})


def largest_force(frame: Frame) -> float:
    """Largest magnitude of a force component, eV/Å; zero without forces."""
    return float(np.abs(frame.labels["forces"]).max()) if "forces" in frame.labels else 0.0


def without_large_forces(frames: Iterable[Frame], limit: float) -> list[Frame]:
    """Frames all of whose force components stay within ``limit``, eV/Å: query by committee also selects torn configurations."""
    return [frame for frame in frames if largest_force(frame) <= limit]


def without_repeats(frames: Iterable[Frame], tolerance: float = 1e-3) -> list[Frame]:
    """The first of all clusters of one shape, up to rotation, reflection and exchange of equal atoms of equal surroundings.

    Two clusters count as one where their sorted distances within and between elements agree within ``tolerance``, Å,
    rounded to a grid: a repetition on the edge of a cell of that grid may stay. Periodic frames are kept.
    """
    kept, seen = [], set()
    for frame in frames:
        if not frame.state.periodic:
            shape = _shape(frame, tolerance)
            if shape in seen:
                continue
            seen.add(shape)
        kept.append(frame)
    return kept


def _shape(frame: Frame, tolerance: float) -> tuple[tuple[int, int, int], ...]:
    numbers, positions = frame.state.topology.atomic_numbers, frame.state.positions
    i, j = np.triu_indices(len(numbers), 1)
    distances = np.round(np.linalg.norm(positions[i] - positions[j], axis=1) / tolerance).astype(int)
    low, high = np.minimum(numbers[i], numbers[j]), np.maximum(numbers[i], numbers[j])
    return tuple(sorted(zip(low.tolist(), high.tolist(), distances.tolist())))
