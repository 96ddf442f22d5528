"""Half neighbour lists with a skin for orthorhombic periodic cells, on a subset of the sites.

A pair belongs to the list when the distance of its nearest images at build time is below cut-off + skin. That distance
changes by at most the sum of both displacements, so the list stays complete until a site has moved by half the skin.
The pairs handed out are in lexicographic order of the site numbers whatever the age of the list: sums over them are
the same to the last bit, whether or not the list was rebuilt in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from halocline.errors import RunFailure, UserError
from halocline.potentials.kernels.neighbour_loops import BoolArray, RowArray, find_pairs, first_lost, group_by_first, is_stale, select_pairs
from halocline.topology import FloatArray, IntArray

FARTHEST = 1e7
"""Å from the origin, where an atom gets by an explosion only; nearest images lose their meaning further out."""


@dataclass(frozen=True)
class PairList:
    """Pairs within the cut-off among the selected sites, each once.

    The arrays are views of buffers that the next call overwrites.

    Attributes:
        sites: (n_rows,) selected sites, ascending; a *row* is a position in this array.
        start: (n_rows + 1,) pairs of row i are ``start[i]:start[i + 1]``.
        neighbours: (n_pairs,) row of the second site, larger than that of the first.
        displacements: (n_pairs, 3) from the first to the second site, nearest image, Å.
        distances: (n_pairs,), Å.
    """

    sites: IntArray
    start: IntArray
    neighbours: RowArray
    displacements: FloatArray
    distances: FloatArray


class NeighbourList:
    """Verlet list that looks after itself.

    It is rebuilt when a selected site has moved by more than half the skin since the last build, or when a site is
    selected that was not a candidate at the last build. Sites that leave the selection are only masked.

    Args:
        cutoff: Å.
        edges: (3,) edges of the cell, Å.
        skin: Å.
        margin: Å; sites about this near to a selected one are candidates as well, so that the coming and going at the
            border of the selection does not cause a rebuild each time.

    Raises:
        UserError: an edge is shorter than twice the cut-off, so that the nearest image is not the only one.
    """

    def __init__(self, cutoff: float, edges: FloatArray, skin: float = 1.0, margin: float = 0.0) -> None:
        edges = np.ascontiguousarray(edges, dtype=np.float64)
        require_room(cutoff, edges)
        self.cutoff, self.edges, self.skin, self.margin = float(cutoff), edges, float(skin), float(margin)
        self.builds, self.longest = 0, 0
        # Places for pairs, kept from one build to the next.
        self._found = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
        self.reset()

    def reset(self) -> None:
        """Forget the list: the next call builds a new one."""
        self._candidates: BoolArray | None = None

    def pairs(self, positions: FloatArray, selected: BoolArray | None = None) -> PairList:
        """Pairs within the cut-off.

        Args:
            positions: (n_sites, 3), Å, wrapped or not.
            selected: (n_sites,) mask, or None for all.

        Raises:
            RunFailure: a position is not finite, or beyond :data:`FARTHEST`.
        """
        positions = np.ascontiguousarray(positions, dtype=np.float64)
        if selected is None:
            selected = np.ones(len(positions), dtype=np.bool_)
        self._update(positions, selected)
        if not self._has_room:
            self._make_room()
        sites, rows, start = self._sites, self._rows, self._pair_start
        n_rows, n_pairs = select_pairs(
            positions, self.edges, self.cutoff, selected, self._start, self._neighbours,
            self._wrapped, sites, rows, start, self._pair_neighbours, self._displacements, self._distances,
        )  # fmt: skip
        return PairList(
            sites[:n_rows], start[: n_rows + 1], self._pair_neighbours[:n_pairs], self._displacements[:n_pairs], self._distances[:n_pairs]
        )

    def candidates(self, positions: FloatArray, selected: BoolArray) -> tuple[IntArray, RowArray]:
        """Pairs of candidates, of which some are further apart than the cut-off and some are not selected.

        Args:
            positions: (n_sites, 3), Å, wrapped or not.
            selected: (n_sites,) mask.

        Returns:
            (n_sites + 1,) starts, and the second sites of the pairs of site i in ``start[i]:start[i + 1]``, ascending and
            larger than i.

        Raises:
            RunFailure: a position is not finite, or beyond :data:`FARTHEST`.
        """
        self._update(positions, selected)
        return self._start, self._neighbours

    def _update(self, positions: FloatArray, selected: BoolArray) -> None:
        """Build the list anew where the old one is no longer complete."""
        site = first_lost(positions, FARTHEST)
        if site >= 0:
            what = f"the position of site {site} is {positions[site]} A, outside any box"
            raise RunFailure(what, "neighbour list", "Look at the forces of the step before; use a shorter time step, or a relaxed start.")
        if self._candidates is None or len(self._candidates) != len(positions):
            self._build(positions, selected, selected)
        else:
            verdict = is_stale(positions, self._reference, self.edges, selected, self._candidates, 0.25 * self.skin**2)
            if verdict:
                # A molecule that hovers at the border must not cause a rebuild each time it comes back.
                self._build(positions, selected, selected | self._candidates if verdict == 2 else selected)

    def _build(self, positions: FloatArray, selected: BoolArray, candidates: BoolArray) -> None:
        n_sites = len(positions)
        reach = self.cutoff + self.skin
        wrapped = positions - np.floor(positions / self.edges) * self.edges
        if self.margin > 0 and not candidates.all():
            candidates = candidates | beside(wrapped, selected, self.edges, self.margin)
        sites = np.flatnonzero(candidates)
        n_cells = np.maximum(1, np.floor(self.edges / reach)).astype(np.int64)
        density = len(sites) / self.edges.prod()
        # A subset is denser than its share of the box: what the last list took is the better guess.
        places = max(len(self._found[0]), int(len(sites) * (2.5 * density * reach**3 + 8)) + 64)
        while True:
            if len(self._found[0]) < places:
                self._found = np.empty(places, dtype=np.int32), np.empty(places, dtype=np.int32)
            first, second = self._found
            found = find_pairs(wrapped, sites, self.edges, n_cells, reach, first, second)
            if found < places:
                break
            places = found + found // 8 + 1
        self._start, self._neighbours = group_by_first(first[:found], second[:found], n_sites)
        self.longest = int(np.diff(self._start).max(initial=0))
        self._reference, self._candidates = positions.copy(), candidates.copy()
        self._has_room = False
        self.builds += 1

    def _make_room(self) -> None:
        """Buffers of a PairList, which those who take candidates do not need."""
        n_sites, n_pairs = len(self._reference), len(self._neighbours)
        self._wrapped = np.empty((n_sites, 3))
        self._sites = np.empty(n_sites, dtype=np.int64)
        self._rows = np.empty(n_sites, dtype=np.int32)
        self._pair_start = np.empty(n_sites + 1, dtype=np.int64)
        # One place more than candidates: rejected pairs are written too.
        self._pair_neighbours = np.empty(n_pairs + 1, dtype=np.int32)
        self._displacements, self._distances = np.empty((n_pairs + 1, 3)), np.empty(n_pairs + 1)
        self._has_room = True


def require_room(cutoff: float, edges: FloatArray) -> None:
    """Refuse a box in which the nearest image is not the only one within the cut-off.

    Raises:
        UserError: an edge is shorter than twice the cut-off.
    """
    if edges.min() < 2 * cutoff:
        raise UserError(
            f"the shortest edge is {edges.min():.2f} A, less than twice the cut-off of {cutoff:.2f} A",
            "cell",
            "Make the box larger, or use a model with a shorter cut-off.",
        )


@njit(cache=True, error_model="numpy")
def beside(wrapped: FloatArray, selected: BoolArray, edges: FloatArray, margin: float) -> BoolArray:
    """Sites that share a cell of edge ``margin``, or the face, edge or corner of one, with a selected site."""
    shape = np.maximum(1, np.floor(edges / margin)).astype(np.int64)
    # Coordinates that are none, which the list refuses, must not leave the grid.
    cells = np.maximum(np.minimum((wrapped / edges * shape).astype(np.int64), shape - 1), 0)
    near = np.zeros((shape[0], shape[1], shape[2]), dtype=np.bool_)
    for site in range(len(wrapped)):
        x, y, z = cells[site]
        near[x, y, z] |= selected[site]
    # One axis after the other: what lies next to what lies next to a selected site.
    for axis in range(3):
        near = _with_neighbours(near, axis)
    beside = np.empty(len(wrapped), dtype=np.bool_)
    for site in range(len(wrapped)):
        beside[site] = near[cells[site, 0], cells[site, 1], cells[site, 2]]
    return beside


@njit(error_model="numpy", cache=True)
def _with_neighbours(near: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Marked cells of a periodic grid, and those before and after them along one axis."""
    nx, ny, nz = near.shape
    result = near.copy()
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                if near[x, y, z]:
                    if axis == 0:
                        result[x - 1, y, z] = result[x + 1 if x + 1 < nx else 0, y, z] = True
                    elif axis == 1:
                        result[x, y - 1, z] = result[x, y + 1 if y + 1 < ny else 0, z] = True
                    else:
                        result[x, y, z - 1] = result[x, y, z + 1 if z + 1 < nz else 0] = True
    return result
