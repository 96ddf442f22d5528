"""Tabulated pair potentials between centres of mass: coarse-grained molecules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline

from halocline.errors import UserError
from halocline.files import read_arrays, write_arrays
from halocline.potentials.base import BoolArray, Evaluation, Potential, Rule
from halocline.potentials.kernels import beads
from halocline.potentials.kernels.frame import fractions_of
from halocline.potentials.kernels.neighbour_loops import pairs_of
from halocline.potentials.kernels.neighbours import NeighbourList
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
    pairwise = True
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

    def of_part(self, positions: FloatArray, members: BoolArray, part: BoolArray) -> Evaluation:
        return self._evaluate(positions, members.astype(np.float64), "product", False, only=part)

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        if rule not in RULES:
            return super().evaluate_weighted(positions, weights, rule)
        return self._evaluate(positions, np.asarray(weights, dtype=np.float64), rule, False, SLOPES[rule])

    def _evaluate(
        self, positions: FloatArray, weights: FloatArray, rule: Rule, virial: bool, slope: tuple[float, float] = HALVES,
        only: BoolArray | None = None,
    ) -> Evaluation:  # fmt: skip
        """All pairs, or those of the molecules of ``only``."""
        topology = self._topology
        n, n_threads = topology.n_molecules, threads_for(topology.n_molecules, 256)
        centres = centres_of_mass(np.ascontiguousarray(positions, dtype=np.float64), topology.offsets, self._share)
        selected = selected_by(weights, rule)
        start, neighbours = self._list.candidates(centres, selected)
        if only is not None:
            start, neighbours = pairs_of(only, selected, start, neighbours)
        fractions, unit = fractions_of(centres, self._edges, np.float64)
        frame = beads.Beads(
            fractions, unit.astype(np.float64), weights, np.array(RULES[rule]), np.array(slope), self._species, start, neighbours
        )
        work = beads.work_for(n_threads, n, self._list.longest)
        if n_threads == 1:
            beads.run(0, 1, self._table, frame, work, virial)
        else:
            with one_caller:
                beads.run_parallel(n_threads, self._table, frame, work, virial)
        sums = work.sums[0] if n_threads == 1 else work.sums.sum(axis=0)
        energy, forces = float(work.energy.sum()), spread_forces(sums[:, :3], topology.offsets, self._share)
        require_finite(energy, forces, topology)
        tensor = work.virial.sum(axis=0) if virial else None
        return Evaluation(energy, forces, tensor, work.capped.sum(axis=0), sums[:, 3])


def _spline_slopes(values: FloatArray, spacing: float) -> FloatArray:
    return np.asarray(CubicSpline(spacing * np.arange(len(values)), values)(spacing * np.arange(len(values)), 1))


def _tables(potential: PairTable, pairs: list[Pair], kinds: IntArray) -> beads.Table:
    start, spacing = potential.start, potential.spacing
    coefficients, core = [], []
    for pair in pairs:
        values, slopes = potential.values[pair], potential.slopes[pair]
        v0, v1, s0, s1 = values[:-1], values[1:], slopes[:-1] * spacing, slopes[1:] * spacing
        cubic = np.stack([v0, s0, 3 * (v1 - v0) - 2 * s0 - s1, 2 * (v0 - v1) + s0 + s1], axis=1)
        end = [[v1[-1], s1[-1], 0.0, 0.0]]
        coefficients.append(np.concatenate([cubic, end]))
        core.append(_core(cubic, start, spacing, potential.force_cap))
    return beads.Table(start, spacing, potential.cutoff, np.array(coefficients), kinds, np.array(core))


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


def pair_energies(potential: PairTable, first: str, second: str, r: FloatArray) -> FloatArray:
    """(n,) energies, eV, of two beads at the distances r, Å, as the potential has them: linear in its core, zero from the cut-off on.

    Raises:
        UserError: no table for this pair of species.
    """
    pair = (first, second) if (first, second) in potential.values else (second, first)
    if pair not in potential.values:
        known = ", ".join(f"{a}-{b}" for a, b in potential.values)
        raise UserError(f"no table for the pair {first}-{second}", "PairTable", f"Known: {known}.")
    table = _tables(potential, [pair], np.zeros((1, 1), dtype=np.int64))
    place = np.maximum(r - potential.start, 0.0) / potential.spacing
    knot = np.minimum(place.astype(np.int64), len(table.coefficients[0]) - 1)
    t, (a, b, c, d) = place - knot, table.coefficients[0, knot].T
    edge, energy, slope = table.core[0]
    values = np.where(r < edge, energy + slope * (r - edge), a + t * (b + t * (c + t * d)))
    return np.where(r < potential.cutoff, values, 0.0)
