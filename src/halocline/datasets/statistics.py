"""Counts, units and ranges of labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from halocline.datasets.frame import Frame
from halocline.labels import QUANTITIES
from halocline.topology import FloatArray

OUTLIER = 8.0
"""Robust z-score: distance from the median in units of 1.4826 times the median absolute deviation."""
FEWEST = 8
"""Frames below which outliers are not looked for."""
LARGEST_CLUSTER = 8
"""Molecules; larger isolated systems are droplets, whose sizes vary and are taken together."""


@dataclass(frozen=True)
class Summary:
    """Distribution of one quantity over the frames of one kind.

    Attributes:
        what: quantity, with ``per molecule``, ``component`` or ``norm`` where it applies.
        unit: internal unit.
        kind: boxes or clusters.
        frames: labelled frames of that kind.
        mean, spread, low, high: over all values; spread is the standard deviation.
        outliers: values beyond the robust z-score of :data:`OUTLIER`.
    """

    what: str
    unit: str
    kind: str
    frames: int
    mean: float
    spread: float
    low: float
    high: float
    outliers: int


def summarise(frames: Sequence[Frame]) -> list[Summary]:
    """Counts, units and ranges of every label, by kind of frame."""
    summaries = []
    for kind, group in by_kind(frames).items():
        for what, (unit, values) in distributions(group).items():
            flat = np.concatenate([np.ravel(value) for value in values])
            outliers = int(np.sum(np.abs(robust_z(flat)) > OUTLIER)) if np.ndim(values[0]) == 0 and len(values) >= FEWEST else 0
            numbers = (float(flat.mean()), float(flat.std()), float(flat.min()), float(flat.max()))
            summaries.append(Summary(what, unit, kind, len(values), *numbers, outliers))
    return summaries


def by_kind(frames: Sequence[Frame]) -> dict[str, list[Frame]]:
    """Frames that may be compared: periodic boxes, isolated clusters by their number of molecules, larger ones as droplets."""
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        size = frame.state.topology.n_molecules
        isolated = f"cluster of {size}" if size <= LARGEST_CLUSTER else "droplets"
        groups[f"box of {size}" if frame.state.periodic else isolated].append(frame)
    return dict(sorted(groups.items()))


def robust_z(values: FloatArray | Sequence[float]) -> FloatArray:
    """Distance from the median in units of the scaled median absolute deviation; zero where all values are equal.

    The floor of the deviation is the rounding error of the values, so that equal numbers are never outliers.
    """
    array = np.asarray(values, dtype=np.float64)
    deviation = np.abs(array - np.median(array))
    scale = max(1.4826 * float(np.median(deviation)), 1e-9 * float(np.abs(array).max(initial=0.0)), 1e-12)
    return (array - np.median(array)) / scale


def distributions(frames: Sequence[Frame]) -> dict[str, tuple[str, list[FloatArray]]]:
    """Name -> (unit, one value or array per labelled frame). Single values are those that outliers are looked for in."""
    found: dict[str, tuple[str, list[FloatArray]]] = {}
    for name, what, value in _RULES:
        labelled = [frame for frame in frames if name in frame.labels]
        if labelled:
            found[what] = (QUANTITIES[name].unit, [np.asarray(value(frame), dtype=np.float64) for frame in labelled])
    return found


def _per_molecule(name: str, frame: Frame) -> object:
    value = frame.labels[name]
    return (np.trace(value) / 3 if np.ndim(value) == 2 else value) / frame.state.topology.n_molecules


def _norm(name: str, frame: Frame) -> object:
    return np.linalg.norm(frame.labels[name])


def _third(tensors: FloatArray) -> FloatArray:
    return np.trace(tensors, axis1=-2, axis2=-1) / 3


def _plain(name: str, frame: Frame) -> object:
    return frame.labels[name]


_RULES: tuple[tuple[str, str, Callable[[Frame], object]], ...] = (
    ("energy", "energy per molecule", partial(_per_molecule, "energy")),
    ("dispersion_energy", "dispersion energy per molecule", partial(_per_molecule, "dispersion_energy")),
    ("forces", "force component", partial(_plain, "forces")),
    ("forces", "largest force on an atom", lambda frame: np.linalg.norm(frame.labels["forces"], axis=1).max()),
    ("stress", "mean normal stress", lambda frame: np.trace(frame.labels["stress"]) / 3),
    ("charges", "charge", partial(_plain, "charges")),
    ("dipole", "norm of the dipole", partial(_norm, "dipole")),
    ("quadrupole", "norm of the quadrupole", partial(_norm, "quadrupole")),
    ("polarizability", "polarizability per molecule", partial(_per_molecule, "polarizability")),
    ("molecular_dipole", "norm of a molecular dipole", lambda frame: np.linalg.norm(frame.labels["molecular_dipole"], axis=1)),
    ("molecular_polarizability", "polarizability of a molecule", lambda frame: _third(frame.labels["molecular_polarizability"])),
    ("homo", "highest occupied level", partial(_plain, "homo")),
    ("lumo", "lowest empty level", partial(_plain, "lumo")),
)
"""Quantity, name of what is looked at, and the function that takes it from a frame."""
