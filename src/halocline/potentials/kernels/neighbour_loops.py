"""Compiled loops of the neighbour list: whether it is stale, pairs by cells, and the pairs within the cut-off."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from halocline.topology import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
RowArray = NDArray[np.int32]


@njit(cache=True, error_model="numpy")
def first_lost(positions: FloatArray, farthest: float) -> int:
    """The first site with a coordinate that is not a number, or not within ``farthest`` (Å); -1 if there is none."""
    for i in range(len(positions)):
        if not (abs(positions[i, 0]) < farthest and abs(positions[i, 1]) < farthest and abs(positions[i, 2]) < farthest):
            return i
    return -1


@njit(cache=True, error_model="numpy")
def is_stale(
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
                if abs(step) > 0.5 * edges[k]:  # by a whole box at once only: a division for each would cost more than all the rest
                    step -= edges[k] * np.rint(step / edges[k])
                square += step * step
            moved = moved or square > limit
    return 1 if moved else 0


@njit(error_model="numpy", inline="always")
def _wrapped(cell, n):  # type: ignore[no-untyped-def]
    """The number of a cell that is at most one beyond either end; a division would cost more than a pair."""
    return cell + n if cell < 0 else (cell - n if cell >= n else cell)


@njit(cache=True, error_model="numpy")
def find_pairs(
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
            row = _wrapped(x + dx - 1, nx) * ny
            for dy in range(min(ny, 3)):
                column = (row + _wrapped(y + dy - 1, ny)) * nz
                for dz in range(min(nz, 3)):
                    other = column + _wrapped(z + dz - 1, nz)
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
def group_by_first(first: RowArray, second: RowArray, n_sites: int) -> tuple[IntArray, RowArray]:
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
def pairs_of(part: BoolArray, selected: BoolArray, start: IntArray, neighbours: RowArray) -> tuple[IntArray, RowArray]:
    """The pairs of selected sites of which at least one belongs to a part, in the order of the list."""
    starts, found = np.zeros(len(start), dtype=np.int64), np.empty(len(neighbours), dtype=np.int32)
    n = 0
    for i in range(len(selected)):
        if selected[i]:
            for pair in range(start[i], start[i + 1]):
                j = neighbours[pair]
                # Written without a branch, as everywhere: a pair that is not kept is overwritten.
                found[n] = j
                n += int(selected[j] & (part[i] | part[j]))
        starts[i + 1] = n
    return starts, found[:n]


@njit(cache=True, error_model="numpy")
def select_pairs(
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
