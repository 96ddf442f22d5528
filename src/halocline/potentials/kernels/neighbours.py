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
from halocline.topology import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
RowArray = NDArray[np.int32]


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
        self.builds = 0
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
            RunFailure: a position is not finite.
        """
        positions = np.ascontiguousarray(positions, dtype=np.float64)
        if selected is None:
            selected = np.ones(len(positions), dtype=np.bool_)
        self._update(positions, selected)
        sites, rows, start = self._sites, self._rows, self._pair_start
        n_rows, n_pairs = _select(
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
            RunFailure: a position is not finite.
        """
        self._update(positions, selected)
        return self._start, self._neighbours

    def _update(self, positions: FloatArray, selected: BoolArray) -> None:
        """Build the list anew where the old one is no longer complete."""
        if not np.isfinite(positions.sum()):
            site = int(np.argmin(np.isfinite(positions).all(axis=1)))
            raise RunFailure(
                f"the position of site {site} is {positions[site]}", "neighbour list", "Look at the forces of the step before."
            )
        if self._candidates is None or len(self._candidates) != len(positions):
            self._build(positions, selected, selected)
        else:
            verdict = _is_stale(positions, self._reference, self.edges, selected, self._candidates, 0.25 * self.skin**2)
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
        capacity = int(len(sites) * (2.5 * density * reach**3 + 8)) + 64
        while True:
            first, second = np.empty(capacity, dtype=np.int32), np.empty(capacity, dtype=np.int32)
            found = _find_pairs(wrapped, sites, self.edges, n_cells, reach, first, second)
            if found < capacity:
                break
            capacity = found + 1
        self._start, self._neighbours = _group_by_first(first[:found], second[:found], n_sites)
        self._reference, self._candidates = positions.copy(), candidates.copy()
        self._wrapped = np.empty((n_sites, 3))
        self._sites = np.empty(n_sites, dtype=np.int64)
        self._rows = np.empty(n_sites, dtype=np.int32)
        self._pair_start = np.empty(n_sites + 1, dtype=np.int64)
        # One place more than candidates: rejected pairs are written too.
        self._pair_neighbours = np.empty(found + 1, dtype=np.int32)
        self._displacements, self._distances = np.empty((found + 1, 3)), np.empty(found + 1)
        self.builds += 1


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
def _is_stale(
    positions: FloatArray, reference: FloatArray, edges: FloatArray, selected: BoolArray, candidates: BoolArray, limit: float
) -> int:
    """0: the list is good; 1: a selected site moved too far; 2: a selected site is no candidate. ``limit`` in Å^2."""
    moved = False
    for i in range(len(positions)):
        if selected[i]:
            if not candidates[i]:
                return 2
            square = 0.0
            for k in range(3):
                step = positions[i, k] - reference[i, k]
                step -= edges[k] * np.rint(step / edges[k])
                square += step * step
            moved = moved or square > limit
    return 1 if moved else 0


@njit(cache=True, error_model="numpy")
def beside(wrapped: FloatArray, selected: BoolArray, edges: FloatArray, margin: float) -> BoolArray:
    """Sites that share a cell of edge ``margin``, or the face, edge or corner of one, with a selected site."""
    shape = np.maximum(1, np.floor(edges / margin)).astype(np.int64)
    cells = np.minimum((wrapped / edges * shape).astype(np.int64), shape - 1)
    near = np.zeros((shape[0], shape[1], shape[2]), dtype=np.bool_)
    for site in range(len(wrapped)):
        if selected[site]:
            for dx in range(-1, 2):
                for dy in range(-1, 2):
                    for dz in range(-1, 2):
                        x, y, z = (cells[site, 0] + dx) % shape[0], (cells[site, 1] + dy) % shape[1], (cells[site, 2] + dz) % shape[2]
                        near[x, y, z] = True
    beside = np.empty(len(wrapped), dtype=np.bool_)
    for site in range(len(wrapped)):
        beside[site] = near[cells[site, 0], cells[site, 1], cells[site, 2]]
    return beside


@njit(cache=True, error_model="numpy")
def _find_pairs(
    wrapped: FloatArray, sites: IntArray, edges: FloatArray, n_cells: IntArray, reach: float, first: RowArray, second: RowArray
) -> int:
    """Pairs first < second closer than ``reach``, ascending in second; returns how many there are, stored or not.

    They are all stored if there are fewer than places: the last place is scratch.
    """
    nx, ny, nz = n_cells
    cell_of = np.empty(len(wrapped), dtype=np.int64)
    head = np.zeros(nx * ny * nz + 1, dtype=np.int64)
    for site in sites:
        x = min(int(wrapped[site, 0] / edges[0] * nx), nx - 1)
        y = min(int(wrapped[site, 1] / edges[1] * ny), ny - 1)
        z = min(int(wrapped[site, 2] / edges[2] * nz), nz - 1)
        cell_of[site] = (x * ny + y) * nz + z
        head[cell_of[site] + 1] += 1
    head = np.cumsum(head)
    fill = head[:-1].copy()
    members, places = np.empty(len(sites), dtype=np.int64), np.empty((len(sites), 3))
    for site in sites:
        place = fill[cell_of[site]]
        members[place] = site
        for k in range(3):
            places[place, k] = wrapped[site, k]
        fill[cell_of[site]] += 1
    found, square_reach, last = 0, reach * reach, len(first) - 1
    lx, ly, lz = edges
    for j in sites:
        z, y, x = cell_of[j] % nz, cell_of[j] // nz % ny, cell_of[j] // (ny * nz)
        px, py, pz = wrapped[j]
        # With one or two cells along an axis every cell is a neighbour, and must be visited once.
        for dx in range(min(nx, 3)):
            for dy in range(min(ny, 3)):
                for dz in range(min(nz, 3)):
                    other = (((x + dx + nx - 1) % nx) * ny + (y + dy + ny - 1) % ny) * nz + (z + dz + nz - 1) % nz
                    for member in range(np.uint64(head[other]), np.uint64(head[other + 1])):
                        i = members[member]
                        if i >= j:
                            break
                        ax, ay, az = abs(px - places[member, 0]), abs(py - places[member, 1]), abs(pz - places[member, 2])
                        ax, ay, az = min(ax, lx - ax), min(ay, ly - ay), min(az, lz - az)
                        # Written without a branch, which the processor could not predict: the next pair overwrites this one.
                        place = np.uint64(min(found, last))
                        first[place], second[place] = i, j
                        found += int(ax * ax + ay * ay + az * az < square_reach)
    return found


@njit(cache=True, error_model="numpy")
def _group_by_first(first: RowArray, second: RowArray, n_sites: int) -> tuple[IntArray, RowArray]:
    """Counting sort: (n_sites + 1,) starts and (n_pairs,) second sites, ascending for each first site."""
    start = np.zeros(n_sites + 1, dtype=np.int64)
    for i in first:
        start[i + 1] += 1
    start = np.cumsum(start)
    fill = start[:-1].copy()
    neighbours = np.empty(len(first), dtype=np.int32)
    for pair in range(len(first)):
        neighbours[fill[first[pair]]] = second[pair]
        fill[first[pair]] += 1
    return start, neighbours


@njit(cache=True, error_model="numpy")
def _select(
    positions: FloatArray, edges: FloatArray, cutoff: float, selected: BoolArray, start: IntArray, neighbours: RowArray,
    wrapped: FloatArray, sites: IntArray, rows: RowArray, pair_start: IntArray, pair_neighbours: RowArray,
    displacements: FloatArray, distances: FloatArray,
) -> tuple[int, int]:  # fmt: skip
    """Fill the arrays of a PairList from the candidates; returns the number of rows and of pairs."""
    lx, ly, lz = edges
    hx, hy, hz = 0.5 * lx, 0.5 * ly, 0.5 * lz
    n_rows = 0
    for i in range(len(positions)):
        rows[i] = -1
        if selected[i]:
            sites[n_rows] = i
            rows[i] = n_rows
            n_rows += 1
            for k in range(3):
                wrapped[i, k] = positions[i, k] - edges[k] * np.floor(positions[i, k] / edges[k])
    found, square_cutoff = 0, cutoff * cutoff
    pair_start[0] = 0
    for row in range(n_rows):
        i = sites[row]
        x, y, z = wrapped[i]
        for candidate in range(start[i], start[i + 1]):
            j = neighbours[candidate]
            dx, dy, dz = wrapped[j, 0] - x, wrapped[j, 1] - y, wrapped[j, 2] - z
            dx = dx - lx if dx > hx else (dx + lx if dx < -hx else dx)
            dy = dy - ly if dy > hy else (dy + ly if dy < -hy else dy)
            dz = dz - lz if dz > hz else (dz + lz if dz < -hz else dz)
            square = dx * dx + dy * dy + dz * dz
            # Written without a branch, which the processor could not predict: the next pair overwrites a rejected one.
            pair_neighbours[found] = rows[j]
            displacements[found, 0], displacements[found, 1], displacements[found, 2] = dx, dy, dz
            distances[found] = np.sqrt(square)
            found += int((square < square_cutoff) & (rows[j] >= 0))
        pair_start[row + 1] = found
    return n_rows, found
