"""Pair prior fitted to forces: the best pair potential of the data, with walls where there are none.

The force of a pair class is a cubic B-spline of the distance; its coefficients follow from linear least squares of the forces
(multiscale coarse graining, Izvekov and Voth, J. Phys. Chem. B 109, 2469 (2005), doi:10.1021/jp044629q) with a penalty on third
differences (P-splines, Eilers and Marx, Stat. Sci. 11, 89 (1996), doi:10.1214/ss/1038425655).

A network knows nothing about distances it has never seen. The tables therefore go on beyond the data:

* between molecules, below the shortest sampled distances, a steep wall joins with continuous curvature, and value, slope and
  curvature go to zero at the cut-off;
* within molecules, whose distances lie in a window, the force goes on with the slope it has at the edge of the window, or a
  stiffer one, until a plateau, and lets go only near the end of the table: a molecule can neither break nor collapse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import scipy.sparse
import torch
from scipy.interpolate import BSpline

from halocline.errors import RunFailure, UserError
from halocline.models.priors.pair_tables import PairTables
from halocline.models.priors.walls import continue_between, continue_within
from halocline.topology import FloatArray, IntArray


class PairData(Protocol):
    """One configuration: types (n,), pairs i, j once each, displacements (n_pairs, 3), forces (n, 3), same_molecule (n_pairs,)."""

    @property
    def types(self) -> IntArray: ...
    @property
    def i(self) -> IntArray: ...
    @property
    def j(self) -> IntArray: ...
    @property
    def displacements(self) -> FloatArray: ...
    @property
    def same_molecule(self) -> IntArray: ...
    @property
    def forces(self) -> FloatArray: ...


@dataclass(frozen=True)
class PairFitSettings:
    """Resolution and stiffness of the fit.

    Attributes:
        knot_between, knot_within: Å, distance of spline knots between and within molecules.
        spacing: Å, of the final table.
        smoothing: weight of the penalty, relative to the data.
        quantile: share of the pairs below which the fit is not trusted and the wall takes over.
        wall, wall_width: eV and Å: V = wall [exp(x) - 1 - x - x^2/2] with x = (r_wall - r)/wall_width.
    """

    knot_between: float = 0.2
    knot_within: float = 0.05
    spacing: float = 0.02
    smoothing: float = 1e-4
    quantile: float = 3e-5
    wall: float = 0.1
    wall_width: float = 0.1


@dataclass
class PairClass:
    """One pair of types, between or within molecules.

    Attributes:
        types: the two types, the smaller first.
        within: whether within one molecule.
        low, high: Å, range of distances in which the fit is trusted.
        shortest, longest: Å, extreme sampled distances.
        count: pairs seen.
        bounded: whether the sampled distances end well before the cut-off, as within a small molecule.
    """

    types: tuple[int, int]
    within: bool
    low: float
    high: float
    shortest: float
    longest: float
    count: int
    bounded: bool
    knots: FloatArray = field(default_factory=lambda: np.zeros(0))

    @property
    def n_coefficients(self) -> int:
        """B-splines of degree three on the knots, less those that would not vanish smoothly at the cut-off."""
        return len(self.knots) - 4 - (0 if self.bounded else 3)


@dataclass
class PairFit:
    """Result of :func:`fit_pair_prior`.

    Attributes:
        tables: the prior.
        classes: what each row of the tables stands for.
        rms: eV/Å, root mean square of the force components.
        residual: eV/Å, of what the prior leaves, walls included.
    """

    tables: PairTables
    classes: list[PairClass]
    rms: float
    residual: float


def fit_pair_prior(data: Sequence[PairData], types: Sequence[int], cutoff: float, settings: PairFitSettings | None = None) -> PairFit:
    """Fit one table for each pair of types, within and between molecules, to forces.

    Args:
        data: configurations with forces in eV/Å; about 100 are plenty.
        types: all types of the model, in the order of its type index (sorted).
        cutoff: Å, where the tables end.
        settings: resolution; the default suits liquids of small molecules.

    Raises:
        UserError: no data, or no pair within the cut-off.
        RunFailure: the equations have no finite solution.
    """
    settings = settings or PairFitSettings()
    classes = find_classes(data, types, cutoff, settings)
    if not classes:
        raise UserError("there is no pair within the cut-off to fit", "pair prior", "Give labelled configurations, or a longer cut-off.")
    offsets = np.concatenate([[0], np.cumsum([kind.n_coefficients for kind in classes])])
    lookup = class_lookup(classes, types)
    matrix, right, total, n_forces = _normal_equations(data, types, classes, lookup, offsets, cutoff)
    coefficients = _solve(matrix, right, classes, offsets, settings)
    tables = _tables(classes, coefficients, offsets, lookup, cutoff, settings)
    residual = prior_residual(tables, data, types)
    return PairFit(tables, classes, math.sqrt(total / n_forces), residual)


def find_classes(data: Sequence[PairData], types: Sequence[int], cutoff: float, settings: PairFitSettings) -> list[PairClass]:
    """Pair classes that occur in the data, with the range of distances that each is sampled in."""
    distances: dict[tuple[int, int, int], list[FloatArray]] = {}
    for item in data:
        r = np.linalg.norm(item.displacements, axis=1)
        first, second, same = item.types[item.i], item.types[item.j], item.same_molecule
        for a, low in enumerate(types):
            for high in types[a:]:
                pair = ((first == low) & (second == high)) | ((first == high) & (second == low))
                for within in (0, 1):
                    distances.setdefault((low, high, within), []).append(r[pair & (same == within)])
    classes = []
    for (low, high, within), parts in distances.items():
        r = np.sort(np.concatenate(parts))
        if len(r) == 0:
            continue
        bounded = bool(within) and r[-1] < cutoff - 0.7
        # Quantiles keep one odd pair from moving the range; but none may stand so deep in a wall that the network would have to
        # learn the wall away again.
        trim = min(max(4, int(settings.quantile * len(r))), (len(r) - 1) // 2)
        start = min(float(r[trim]), float(r[0]) + settings.wall_width)
        end = max(float(r[-1 - trim]), float(r[-1]) - settings.wall_width) if bounded else cutoff
        kind = PairClass((low, high), bool(within), start, end, float(r[0]), float(r[-1]), len(r), bounded)
        width = settings.knot_within if bounded else settings.knot_between
        n_intervals = max(3, math.ceil((end - start) / width))
        step = (end - start) / n_intervals
        kind.knots = np.linspace(start - 3 * step, end + 3 * step, n_intervals + 7)
        classes.append(kind)
    return classes


def class_lookup(classes: Sequence[PairClass], types: Sequence[int]) -> IntArray:
    """(n_types, n_types, 2) class of a pair of type indices, -1 where there is none."""
    lookup = np.full((len(types), len(types), 2), -1, dtype=np.int64)
    for index, kind in enumerate(classes):
        a, b = (list(types).index(value) for value in kind.types)
        lookup[a, b, int(kind.within)] = lookup[b, a, int(kind.within)] = index
    return lookup


def _design(kind: PairClass, r: FloatArray) -> scipy.sparse.csr_matrix:
    """(n_pairs, n_coefficients) values of the force splines; distances beyond the range count as at its edge."""
    if len(r) == 0:  # a configuration without this pair, such as the two rare ions far apart
        return scipy.sparse.csr_matrix((0, kind.n_coefficients))
    # The knots, not the range: they differ by rounding, and the splines end where their knots do.
    clipped = np.clip(r, kind.knots[3], kind.knots[-4] - 1e-9)
    return BSpline.design_matrix(clipped, kind.knots, 3)[:, : kind.n_coefficients]


def _normal_equations(
    data: Sequence[PairData],
    types: Sequence[int],
    classes: list[PairClass],
    lookup: IntArray,
    offsets: IntArray,
    cutoff: float,
) -> tuple[FloatArray, FloatArray, float, int]:
    """A^T A, A^T F, sum F^2 and the number of force components."""
    n = int(offsets[-1])
    matrix: FloatArray = np.zeros((n, n))
    right: FloatArray = np.zeros(n)
    total, n_forces = 0.0, 0
    index = np.zeros(max(types) + 1, dtype=np.int64)
    index[list(types)] = np.arange(len(types))
    for item in data:
        vectors = item.displacements
        r = np.linalg.norm(vectors, axis=1)
        kinds = lookup[index[item.types[item.i]], index[item.types[item.j]], item.same_molecule]
        columns = []
        for number, kind in enumerate(classes):
            selected = np.flatnonzero((kinds == number) & (r < cutoff))
            design = _design(kind, r[selected])
            columns.append(_scatter(design, item.i[selected], item.j[selected], vectors[selected] / r[selected, None], len(item.types)))
        dense = scipy.sparse.hstack(columns, format="csr")
        matrix[:] += (dense.T @ dense).toarray()
        flat = item.forces.reshape(-1)
        right[:] += dense.T @ flat
        total, n_forces = total + float(flat @ flat), n_forces + len(flat)
    return matrix, right, total, n_forces


def _scatter(design: scipy.sparse.csr_matrix, i: IntArray, j: IntArray, units: FloatArray, n_sites: int) -> scipy.sparse.csr_matrix:
    """(3 n_sites, n_coefficients): a repulsive pair force pushes j along the unit vector and i against it."""
    pairs = np.tile(np.arange(len(i)), 6)
    rows = np.concatenate([3 * j + axis for axis in range(3)] + [3 * i + axis for axis in range(3)])
    values = np.concatenate([units[:, axis] for axis in range(3)] + [-units[:, axis] for axis in range(3)])
    spread = scipy.sparse.csr_matrix((values, (rows, pairs)), shape=(3 * n_sites, len(i)))
    return spread @ design


def _solve(matrix: FloatArray, right: FloatArray, classes: list[PairClass], offsets: IntArray, settings: PairFitSettings) -> FloatArray:
    """Coefficients of all classes, smoothed in proportion to how well each class is sampled."""
    matrix = matrix.copy()
    for number, kind in enumerate(classes):
        part = slice(offsets[number], offsets[number + 1])
        size = kind.n_coefficients
        scale = max(float(np.trace(matrix[part, part])) / size, 1e-12)
        penalty = settings.smoothing * scale
        if size > 3:
            difference = np.diff(np.eye(size), 3, axis=0)
            matrix[part, part] += penalty * difference.T @ difference
        matrix[part, part] += 1e-3 * penalty * np.eye(size)
    solution: FloatArray = np.linalg.lstsq(matrix, right, rcond=1e-12)[0].astype(np.float64)
    if not np.all(np.isfinite(solution)):
        raise RunFailure("the least-squares fit of pair forces has no finite solution", "pair prior", "Check the forces of the data.")
    return solution


def _tables(
    classes: list[PairClass], coefficients: FloatArray, offsets: IntArray, lookup: IntArray, cutoff: float, settings: PairFitSettings
) -> PairTables:
    """Forces with walls on an even grid, integrated from the cut-off inwards."""
    start = min(0.3, 0.5 * min(kind.shortest for kind in classes))
    n_knots = math.ceil((cutoff - start) / settings.spacing) + 1
    grid = np.linspace(start, cutoff, n_knots)
    spacing = float(grid[1] - grid[0])
    values, slopes = np.zeros((len(classes), n_knots)), np.zeros((len(classes), n_knots))
    fine = np.linspace(start, cutoff, 8 * (n_knots - 1) + 1)
    for number, kind in enumerate(classes):
        part = coefficients[offsets[number] : offsets[number + 1]]
        fitted = np.asarray(_design(kind, fine) @ part)
        if kind.bounded:
            force = continue_within(fine, fitted, kind.low, kind.high, cutoff)
        else:
            force = continue_between(fine, fitted, kind.low, settings.wall, settings.wall_width)
        # Simpson's rule on the eight-fold grid: V(r) = integral of the force from r to the cut-off.
        third = (fine[1] - fine[0]) / 3.0
        blocks = third * (force[:-2:2] + 4 * force[1:-1:2] + force[2::2])
        integral = np.concatenate([np.cumsum(blocks[::-1])[::-1], [0.0]])
        values[number], slopes[number] = integral[::4], -force[::8]
    return PairTables(start, spacing, torch.as_tensor(values), torch.as_tensor(slopes), torch.as_tensor(lookup))


def prior_residual(tables: PairTables, data: Sequence[PairData], types: Sequence[int]) -> float:
    """Root mean square of the force components that the tables leave, eV/Å."""
    total, count = 0.0, 0
    for item in data:
        _, forces = prior_energy_and_forces(tables, item, types)
        total += float(((item.forces - forces) ** 2).sum())
        count += forces.size
    return math.sqrt(total / count)


def prior_energy_and_forces(tables: PairTables, item: PairData, types: Sequence[int]) -> tuple[float, FloatArray]:
    """Energy in eV and forces (n, 3) in eV/Å of the tables alone, in double precision."""
    index = np.zeros(max(types) + 1, dtype=np.int64)
    index[list(types)] = np.arange(len(types))
    vectors = item.displacements
    distances = torch.as_tensor(np.linalg.norm(vectors, axis=1)).requires_grad_(True)
    kinds = tables.pair_class[index[item.types[item.i]], index[item.types[item.j]], item.same_molecule]
    energy = torch.where(kinds >= 0, tables.pair_energy(distances, kinds.clamp(min=0)), 0.0).sum()
    (slope,) = torch.autograd.grad(energy, distances)
    pair = slope.numpy()[:, None] * vectors / np.maximum(distances.detach().numpy(), 1e-12)[:, None]
    forces = np.zeros((len(item.types), 3))
    for axis in range(3):
        forces[:, axis] = np.bincount(item.i, pair[:, axis], len(forces)) - np.bincount(item.j, pair[:, axis], len(forces))
    return float(energy.detach()), forces
