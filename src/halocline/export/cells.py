"""Cells that repeat in some directions only, as cells that repeat in all with a gap that nothing reaches across."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halocline.errors import UserError
from halocline.topology import FloatArray

SLACK = 8.0
"""Å by which atoms may spread before a gap is chosen anew."""


def repeat_everywhere(
    positions: FloatArray, cell: FloatArray, pbc: Sequence[bool], reach: float, before: FloatArray | None = None
) -> tuple[FloatArray, bool]:
    """A cell that repeats in all directions or in none, in which atoms have the same neighbours.

    A vector along which the cell does not repeat is replaced by one at right angles to the others, so long that copies are more
    than ``reach`` apart, and that atoms are nearer to each other than to copies.

    Args:
        positions: (n_atoms, 3), Å.
        cell: (3, 3), Å, rows are lattice vectors; those of directions that do not repeat are ignored.
        pbc: the directions that repeat.
        reach: Å, largest distance of atoms that see each other.
        before: a cell that an earlier call returned; it is kept where it still serves.

    Returns:
        The cell, zeros if nothing repeats; and whether anything does.

    Raises:
        UserError: the vectors of directions that repeat span nothing.
    """
    repeats = np.asarray(pbc, dtype=bool)
    if not repeats.any():
        return np.zeros((3, 3)), False
    kept = np.asarray(cell, dtype=np.float64)[repeats]
    if np.linalg.matrix_rank(kept) < len(kept):
        what = f"the cell {np.asarray(cell).tolist()} repeats along {repeats.tolist()}, but has no extent there"
        raise UserError(what, "cell", "Give a lattice vector for every direction that repeats.")
    if repeats.all():
        return kept, True
    # The rows of the last part of a full decomposition are at right angles to the first vectors, and to each other.
    normals = np.linalg.svd(kept)[2][len(kept) :]
    axes = _along_axes(normals)
    extents = np.ptp(positions @ axes.T, axis=0) if len(positions) else np.zeros(len(axes))
    needed = np.maximum(2 * extents, 0.0) + reach
    full = np.zeros((3, 3))
    full[repeats] = kept
    full[~repeats] = axes * (needed + SLACK)[:, None]
    if before is not None and np.array_equal(before[repeats], kept):
        lengths = np.linalg.norm(before[~repeats], axis=1)
        if (lengths >= needed).all() and np.allclose(before[~repeats], axes * lengths[:, None], atol=1e-12):
            return before, True
    return full, True


def room_around(positions: FloatArray, reach: float, before: FloatArray | None = None) -> FloatArray:
    """(3,) edges of an orthorhombic box in which an isolated cluster sees no copy of itself, Å.

    Args:
        positions: (n_atoms, 3), Å.
        reach: Å.
        before: edges that an earlier call returned; they are kept where they still serve.
    """
    needed = np.maximum(np.ptp(positions, axis=0) if len(positions) else np.zeros(3), reach) + reach
    if before is not None and (before >= needed).all():
        return before
    return np.asarray(needed + SLACK)


def _along_axes(normals: FloatArray) -> FloatArray:
    """The same plane or line spanned by coordinate axes where these span it: the box stays at right angles to the axes."""
    axes = [axis for axis in np.eye(3) if np.linalg.norm(normals @ axis) > 1 - 1e-12]
    return np.array(axes) if len(axes) == len(normals) else normals
