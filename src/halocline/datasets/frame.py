"""One configuration with its labels, and where both come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from halocline.errors import RunFailure
from halocline.files import hash_data
from halocline.labels import Labels, check_labels
from halocline.state import State

KEY_LENGTH = 24
"""Hexadecimal digits of a frame key; 96 bits, so that a million frames never collide."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A State with Labels and provenance.

    Attributes:
        state: positions, cell, whole molecules; velocities are optional.
        labels: quantity -> array in internal units; empty for a configuration that waits for labels.
        key: content hash, see :func:`frame_key`; computed when left empty.
        trajectory: name of the trajectory it was taken from; splits never cut one.
        level: level of theory of the labels as a plain dictionary; None without labels.
        source: what made the configuration, in words.
        weight: statistical weight in training.
    """

    state: State
    labels: Labels = field(default_factory=dict)
    key: str = ""
    trajectory: str = ""
    level: dict[str, Any] | None = None
    source: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", frame_key(self.state, self.level))

    def with_labels(self, labels: Labels, level: Mapping[str, Any]) -> Frame:
        """The same configuration with labels at a level of theory, under a key of its own."""
        level = dict(level)
        return replace(self, labels=labels, level=level, key=frame_key(self.state, level))

    def check(self, where: str) -> None:
        """Refuse a frame that must not enter a dataset.

        Raises:
            RunFailure: non-finite positions, wrong shapes, labels without a level of theory, unknown or non-finite labels.
        """
        n_atoms = self.state.topology.n_atoms
        if self.state.positions.shape != (n_atoms, 3) or n_atoms == 0:
            shape = self.state.positions.shape
            raise RunFailure(f"positions have shape {shape}, the topology has {n_atoms} atoms", where, "Remove this frame.")
        if not np.all(np.isfinite(self.state.positions)):
            raise RunFailure("positions hold NaN or infinity", where, "Remove this frame: the run it comes from blew up.")
        if self.labels and self.level is None:
            remedy = "State the level of theory: labels of different levels never mix."
            raise RunFailure("labels without a level of theory", where, remedy)
        check_labels(self.labels, n_atoms, where, self.state.topology.n_molecules)


def configuration_key(state: State) -> str:
    """Content hash of atomic numbers, molecules, cell, periodicity and positions (exact, bit for bit)."""
    return _digest(state)


def frame_key(state: State, level: Mapping[str, Any] | None = None) -> str:
    """Content hash of a configuration and, once it is labelled, of its level of theory."""
    return _digest(state, "" if level is None else level_hash(level))


def level_hash(level: Mapping[str, Any]) -> str:
    """Content hash of a level of theory."""
    return hash_data(dict(level))


def _digest(state: State, extra: str = "") -> str:
    digest = hashlib.sha256()
    topology = state.topology
    for array, kind in (
        (topology.atomic_numbers, "<i8"),
        (topology.offsets, "<i8"),
        (state.cell, "<f8"),
        (state.positions, "<f8"),
    ):
        digest.update((np.ascontiguousarray(array, dtype=kind) + 0).tobytes())  # + 0 turns -0.0 into 0.0
    digest.update(b"periodic" if state.periodic else b"isolated")
    digest.update(extra.encode())
    return digest.hexdigest()[:KEY_LENGTH]
