"""Tabulated pair potentials between centres of mass: coarse-grained molecules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit, prange
from scipy.interpolate import CubicSpline

from halocline.errors import UserError
from halocline.files import read_arrays, write_arrays
from halocline.potentials.base import BoolArray, Evaluation, Potential, Rule
from halocline.potentials.kernels.neighbours import NeighbourList, RowArray
from halocline.potentials.kernels.threads import one_caller, threads_for
from halocline.potentials.learned import centres_of_mass, orthorhombic_edges, require_finite, spread_forces
from halocline.potentials.weighting import HALVES, MARGIN, RULES, SLOPES, selected_by
from halocline.topology import FloatArray, IntArray, Topology

Pair = tuple[str, str]


class PairTable(Potential):
    """U(R) of the distance of two centres of mass, by species: cubic Hermite polynomials on a uniform grid.

    The force is the exact derivative of the interpolated energy. Below the first knot the energy goes on linearly with
    the slope there; where the repulsion exceeds the cap, so it does below the outermost distance with that repulsion.
    Both count as capped. Beyond the last knot, the cut-off, there is no interaction; make the energy end at zero there.

    Args:
        start: Å, distance of the first knot.
        spacing: Å, of the knots.
        values: pair of species -> (n_knots,) energies, eV; either order of the two names.
        slopes: pair of species -> (n_knots,) dU/dR, eV/Å; by default of a cubic spline through the values.
        force_cap: eV/Å, limit of the repulsion of a pair.
        skin: Å, of the neighbour list.

    Raises:
        UserError: tables of unequal length, too short, not finite, or a pair given twice.
    """

    rules = frozenset(RULES)
    centres_only = True

    def __init__(
        self, start: float, spacing: float, values: Mapping[Pair, FloatArray], slopes: Mapping[Pair, FloatArray] | None = None,
        force_cap: float = math.inf, skin: float = 1.0,
    ) -> None:  # fmt: skip
        self.start, self.spacing, self.force_cap, self.skin = float(start), float(spacing), float(force_cap), float(skin)
        if not (start >= 0 and spacing > 0 and force_cap > 0 and skin >= 0):
            found = f"start is {start}, spacing {spacing}, force_cap {force_cap}, skin {skin}"
            raise UserError(found, "PairTable", "Give a positive spacing and cap, and no negative number.")
        self.values = {pair: np.array(table, dtype=np.float64) for pair, table in values.items()}
        lengths = {len(table) for table in self.values.values()}
        if len(lengths) != 1 or min(lengths) < 4:
            raise UserError(f"the tables have {sorted(lengths)} knots", "PairTable", "Give tables of one length, at least 4 knots.")
        given = slopes or {}
        self.slopes = {
            pair: np.array(given[pair], dtype=np.float64) if pair in given else _spline_slopes(table, self.spacing)
            for pair, table in self.values.items()
        }
        for pair, table in self.values.items():
            if self.slopes[pair].shape != table.shape or not (np.isfinite(table).all() and np.isfinite(self.slopes[pair]).all()):
                raise UserError(f"the table of {pair} holds NaN or is not one number for each knot", "PairTable", "Mend the table.")
            if pair[0] != pair[1] and (pair[1], pair[0]) in self.values:
                raise UserError(f"the pair {pair} is given in both orders", "PairTable", "Give it once.")
        self.cutoff = self.start + self.spacing * (lengths.pop() - 1)
        self.interaction_range = self.cutoff

    @classmethod
    def from_functions(
        cls, functions: Mapping[Pair, Callable[[FloatArray], FloatArray]], start: float, cutoff: float, n_knots: int = 512,
        force_cap: float = math.inf, skin: float = 1.0,
    ) -> PairTable:  # fmt: skip
        """Tables of functions of the distance (Å -> eV), shifted to zero at the cut-off."""
        r = np.linspace(start, cutoff, n_knots)
        values = {pair: np.asarray(function(r), dtype=np.float64) for pair, function in functions.items()}
        shifted = {pair: table - table[-1] for pair, table in values.items()}
        return cls(start, (cutoff - start) / (n_knots - 1), shifted, force_cap=force_cap, skin=skin)

    def save(self, file: Path) -> None:
        """Write an ``.npz`` file; the cap and the skin belong to a simulation and are not in it."""
        pairs = list(self.values)
        write_arrays(
            file, format=np.array("halocline pair table 1"), pairs=np.array(pairs), grid=np.array([self.start, self.spacing]),
            values=np.stack([self.values[pair] for pair in pairs]), slopes=np.stack([self.slopes[pair] for pair in pairs]),
        )  # fmt: skip

    @classmethod
    def load(cls, file: Path, force_cap: float = math.inf, skin: float = 1.0) -> PairTable:
        """Read what :meth:`save` wrote.

        Raises:
            RunFailure: missing or corrupt.
            UserError: a file of another kind.
        """
        data = read_arrays(file)
        if str(data.get("format", "")) != "halocline pair table 1":
            raise UserError("this is not a pair table", str(file), "Give a file written by PairTable.save.")
        pairs = [(str(a), str(b)) for a, b in data["pairs"]]
        values, slopes = dict(zip(pairs, data["values"])), dict(zip(pairs, data["slopes"]))
        return cls(float(data["grid"][0]), float(data["grid"][1]), values, slopes, force_cap, skin)

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        present = np.unique(topology.molecule_species)
        names, n_species = topology.species, len(topology.species)
        chosen: list[Pair] = []
        kinds = np.zeros((n_species, n_species), dtype=np.int64)
        for s in present:
            for t in present[present >= s]:
                pair = (names[s], names[t]) if (names[s], names[t]) in self.values else (names[t], names[s])
                if pair not in self.values:
                    known = ", ".join(f"{a}-{b}" for a, b in self.values)
                    raise UserError(f"no table for the pair {names[s]}-{names[t]}", "PairTable", f"Known: {known}.")
                kinds[s, t] = kinds[t, s] = len(chosen)
                chosen.append(pair)
        self._topology = topology
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        self._table = _tables(self, chosen, kinds)
        self._species = topology.molecule_species.astype(np.int64)
        self._edges = orthorhombic_edges(cell)
        self._list = NeighbourList(self.cutoff, self._edges, self.skin, MARGIN)

    def reset(self) -> None:
        self._list.reset()

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        weights = np.ones(self._topology.n_molecules) if subset is None else subset.astype(np.float64)
        return self._evaluate(positions, weights, "product", virial)

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        if rule not in RULES:
            return super().evaluate_weighted(positions, weights, rule)
        return self._evaluate(positions, np.asarray(weights, dtype=np.float64), rule, False, SLOPES[rule])

    def _evaluate(
        self, positions: FloatArray, weights: FloatArray, rule: Rule, virial: bool, slope: tuple[float, float] = HALVES
    ) -> Evaluation:
        topology = self._topology
        n, n_threads = topology.n_molecules, threads_for(topology.n_molecules, 256)
        centres = centres_of_mass(np.ascontiguousarray(positions, dtype=np.float64), topology.offsets, self._share)
        start, neighbours = self._list.candidates(centres, selected_by(weights, rule))
        centres -= self._edges * np.floor(centres / self._edges)
        beads = _Beads(centres, weights, np.array(RULES[rule]), np.array(slope), self._edges, self._species, start, neighbours)
        longest = int(np.diff(start).max(initial=0)) + 1
        work = _Work(
            np.empty((n_threads, longest), dtype=np.int32), np.empty((n_threads, longest, 5)), np.zeros((n_threads, n, 3)),
            np.zeros((n_threads, n)), np.zeros((n_threads, n), dtype=np.int64), np.zeros(n_threads), np.zeros((n_threads, 3, 3)),
        )  # fmt: skip
        if n_threads == 1:
            _run(0, 1, self._table, beads, work, virial)
        else:
            with one_caller:
                _run_parallel(n_threads, self._table, beads, work, virial)
        energy, forces = float(work.energy.sum()), spread_forces(work.forces.sum(axis=0), topology.offsets, self._share)
        require_finite(energy, forces, topology)
        tensor = work.virial.sum(axis=0) if virial else None
        return Evaluation(energy, forces, tensor, work.capped.sum(axis=0), work.energies.sum(axis=0))


class _Table(NamedTuple):
    """Cubic polynomials a + t (b + t (c + t d)), t from 0 to 1, of each interval (n_pairs, n_intervals, 4), eV.

    ``kinds`` (n_species, n_species) is the pair, ``core`` (n_pairs, 3) where the linear core begins (Å), the energy (eV)
    and dU/dR (eV/Å) there.
    """

    start: float
    spacing: float
    cutoff: float
    coefficients: FloatArray
    kinds: IntArray
    core: FloatArray


class _Beads(NamedTuple):
    """One configuration; see :class:`halocline.potentials.kernels.molecular.Frame`."""

    centres: FloatArray
    weights: FloatArray
    rule: FloatArray
    slope: FloatArray
    edges: FloatArray
    species: IntArray
    start: IntArray
    neighbours: RowArray


class _Work(NamedTuple):
    """Buffers of each thread: first axis."""

    near: RowArray
    shift: FloatArray
    forces: FloatArray
    energies: FloatArray
    capped: IntArray
    energy: FloatArray
    virial: FloatArray


def _spline_slopes(values: FloatArray, spacing: float) -> FloatArray:
    return np.asarray(CubicSpline(spacing * np.arange(len(values)), values)(spacing * np.arange(len(values)), 1))


def _tables(potential: PairTable, pairs: list[Pair], kinds: IntArray) -> _Table:
    start, spacing = potential.start, potential.spacing
    coefficients, core = [], []
    for pair in pairs:
        values, slopes = potential.values[pair], potential.slopes[pair]
        v0, v1, s0, s1 = values[:-1], values[1:], slopes[:-1] * spacing, slopes[1:] * spacing
        cubic = np.stack([v0, s0, 3 * (v1 - v0) - 2 * s0 - s1, 2 * (v0 - v1) + s0 + s1], axis=1)
        coefficients.append(cubic)
        core.append(_core(cubic, start, spacing, potential.force_cap))
    return _Table(start, spacing, potential.cutoff, np.array(coefficients), kinds, np.array(core))


def _core(cubic: FloatArray, start: float, spacing: float, cap: float) -> tuple[float, float, float]:
    """Outermost distance with a repulsion of the cap, else the first knot, and the energy and its slope there.

    Where the repulsion at the first knot is beyond the cap, there is such a distance, or the slope is the cap itself.
    """
    for knot in range(len(cubic) - 1, -1, -1) if math.isfinite(cap) else ():
        a, b, c, d = (float(x) for x in cubic[knot])
        excess = np.array([3 * d, 2 * c, b + cap * spacing])
        roots = np.roots(excess)
        inside = roots.real[(np.abs(roots.imag) < 1e-12) & (roots.real >= 0) & (roots.real <= 1)]
        if len(inside):
            t = float(inside.max())
            return start + (knot + t) * spacing, a + t * (b + t * (c + t * d)), -cap
    return start, float(cubic[0, 0]), float(cubic[0, 1]) / spacing


@njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def _run(thread: int, n_threads: int, table: _Table, beads: _Beads, work: _Work, with_virial: bool) -> None:
    """The rows of one thread: pick neighbours in ascending order, then add up their energies and forces."""
    near, shift, forces, energies = work.near[thread], work.shift[thread], work.forces[thread], work.energies[thread]
    capped, virial, inverse = work.capped[thread], work.virial[thread], 1.0 / table.spacing
    # Arrays that are looked up in a tuple within a loop cost a counted reference each time.
    kinds, species, cores, cubics = table.kinds, beads.species, table.core, table.coefficients
    weights, slope_0, slope_1 = beads.weights, beads.slope[0], beads.slope[1]
    last, begin, start = cubics.shape[1] - 1, table.start, beads.start
    total = 0.0
    for i in range(thread, len(beads.centres), n_threads):
        if start[i] == start[i + 1]:
            continue
        fx, fy, fz, own, hits = 0.0, 0.0, 0.0, 0.0, 0
        found, mine, theirs = _pick(i, table.cutoff, beads, near, shift), species[i], slope_0 + slope_1 * weights[i]
        for pair in range(np.uint64(found)):
            j = np.uint64(near[pair])
            dx, dy, dz, square, factor = shift[pair, 0], shift[pair, 1], shift[pair, 2], shift[pair, 3], shift[pair, 4]
            kind = np.uint64(kinds[mine, np.uint64(species[j])])
            r = np.sqrt(square)
            if r < cores[kind, 0]:
                slope = cores[kind, 2]
                energy = cores[kind, 1] + slope * (r - cores[kind, 0])
                hits += 1
                capped[j] += 1
            else:
                position = (r - begin) * inverse
                knot = np.uint64(min(np.int64(position), last))
                t = position - knot
                a, b, c, d = cubics[kind, knot, 0], cubics[kind, knot, 1], cubics[kind, knot, 2], cubics[kind, knot, 3]
                energy = a + t * (b + t * (c + t * d))
                slope = (b + t * (2.0 * c + t * 3.0 * d)) * inverse
            pull = -factor * slope / r if r > 0 else 0.0
            dx, dy, dz = pull * dx, pull * dy, pull * dz
            forces[j, 0] += dx
            forces[j, 1] += dy
            forces[j, 2] += dz
            fx += dx
            fy += dy
            fz += dz
            energies[j] += theirs * energy
            own += (slope_0 + slope_1 * weights[j]) * energy
            total += factor * energy
            shift[pair, 3] = pull
        forces[i, 0] -= fx
        forces[i, 1] -= fy
        forces[i, 2] -= fz
        energies[i] += own
        capped[i] += hits
        if with_virial:
            _add_virial(shift, found, virial)
    work.energy[thread] = total


@njit(error_model="numpy", cache=True)
def _add_virial(shift: FloatArray, found: int, virial: FloatArray) -> None:
    for c in range(3):
        for d in range(3):
            for pair in range(found):
                virial[c, d] += shift[pair, 3] * shift[pair, c] * shift[pair, d]


@njit(error_model="numpy", cache=True)
def _pick(i: int, cutoff: float, beads: _Beads, near: RowArray, shift: FloatArray) -> int:
    """Neighbours of molecule i within the cut-off whose factor is not zero: number, index, (n, 5) displacement, square, factor."""
    centres, weights, neighbours = beads.centres, beads.weights, beads.neighbours
    x, y, z = centres[i, 0], centres[i, 1], centres[i, 2]
    lx, ly, lz = beads.edges
    hx, hy, hz = 0.5 * lx, 0.5 * ly, 0.5 * lz
    constant, linear = beads.rule[0] + beads.rule[1] * weights[i], beads.rule[1] + beads.rule[2] * weights[i]
    n, limit = np.uint64(0), cutoff * cutoff
    for k in range(np.uint64(beads.start[i]), np.uint64(beads.start[i + 1])):
        j = np.uint64(neighbours[k])
        dx, dy, dz = centres[j, 0] - x, centres[j, 1] - y, centres[j, 2] - z
        dx = dx - lx if dx > hx else (dx + lx if dx < -hx else dx)
        dy = dy - ly if dy > hy else (dy + ly if dy < -hy else dy)
        dz = dz - lz if dz > hz else (dz + lz if dz < -hz else dz)
        square = dx * dx + dy * dy + dz * dz
        factor = constant + linear * weights[j]
        # Written without a branch, which the processor could not predict: the next pair overwrites a rejected one.
        near[n] = neighbours[k]
        shift[n, 0], shift[n, 1], shift[n, 2], shift[n, 3], shift[n, 4] = dx, dy, dz, square, factor
        n += np.uint64((square < limit) & (factor != 0.0))
    return int(n)


@njit(parallel=True, error_model="numpy", cache=True)
def _run_parallel(n_threads: int, table: _Table, beads: _Beads, work: _Work, with_virial: bool) -> None:
    for thread in prange(n_threads):
        _run(thread, n_threads, table, beads, work, with_virial)
