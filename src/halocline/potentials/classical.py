"""Classical molecules: Lennard-Jones and point charges on the sites of different molecules, with a cut-off."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from halocline import registry
from halocline.errors import UserError
from halocline.molecules.base import Nonbonded
from halocline.potentials.base import BoolArray, Evaluation, Potential, Rule
from halocline.potentials.kernels import molecular, single_sites
from halocline.potentials.kernels.frame import INTEGERS, Frame, Molecules, Work, collect, grid_of, place
from halocline.potentials.kernels.neighbour_loops import pairs_of
from halocline.potentials.kernels.neighbours import NeighbourList, beside, require_room
from halocline.potentials.kernels.site_pairs import LENGTH, ROWS, RealArray
from halocline.potentials.kernels.threads import one_caller, threads_for
from halocline.potentials.learned import centres_of_mass, orthorhombic_edges, require_finite
from halocline.potentials.site_tables import Coulomb, PairForces, site_charges, site_table
from halocline.potentials.weighting import HALVES, MARGIN, RULES, SLOPES
from halocline.topology import FloatArray, IntArray, Topology


class ClassicalMolecules(Potential):
    """Lennard-Jones and Coulomb energy between the sites of different molecules, each pair of sites within the cut-off.

        V = 4 eps [(s/r)^12 - (s/r)^6] - V_LJ(r_c) + k q q g(r)

    with g = 1/r + k_rf r^2 - c_rf of a reaction field (zero at the cut-off), or the damped shifted force of Fennell and
    Gezelter, J. Chem. Phys. 124, 234104 (2006), doi 10.1063/1.2206581, whose force is zero there too. The energy that a
    reaction field adds within a molecule is left out: it is a constant for rigid molecules.

    With a cap, the force between two sites, Lennard-Jones and Coulomb together, has the size of the cap below the
    outermost distance at which it reaches it, and the energy goes on linearly: it is still the gradient of an energy.

    Args:
        cutoff: Å, between sites.
        electrostatics: "reaction-field", "damped-shifted-force" or "none".
        dielectric: relative permittivity beyond the cut-off, of the reaction field; infinity is allowed.
        damping: 1/Å, of the damped shifted force.
        force_cap: eV/Å, limit of the force between two sites; capped pairs of sites are counted.
        skin: Å, of the neighbour list.
        precision: "single" or "double", of distances within a pair and of forces; sums are double.
        parameters: species -> charge, sigma and epsilon of its sites; by default those of the named molecules.
        mixing: of unlike sigmas, "lorentz-berthelot" (arithmetic) or "geometric".

    Raises:
        UserError: a word that is not one of these, or a number that is not positive.
    """

    rules = frozenset(RULES)
    pairwise = True
    centres = False

    def __init__(
        self,
        cutoff: float,
        electrostatics: Literal["reaction-field", "damped-shifted-force", "none"] = "reaction-field",
        dielectric: float = 80.0,
        damping: float = 0.0,
        force_cap: float = math.inf,
        skin: float = 1.0,
        precision: Literal["single", "double"] = "single",
        parameters: Mapping[str, Sequence[Nonbonded]] | None = None,
        mixing: Literal["lorentz-berthelot", "geometric"] = "lorentz-berthelot",
    ) -> None:
        where = type(self).__name__
        for name, number, least in (("cutoff", cutoff, 1e-9), ("dielectric", dielectric, 1.0), ("damping", damping, 0.0),
                                    ("force_cap", force_cap, 1e-9), ("skin", skin, 0.0)):  # fmt: skip
            if not number >= least:
                raise UserError(f"{name} is {number}", where, f"Give a number of at least {least:g}.")
        for name, word, known in (("precision", precision, ("single", "double")), ("mixing", mixing, ("lorentz-berthelot", "geometric"))):
            if word not in known:
                raise UserError(f"{name} is '{word}'", where, f"Use one of: {', '.join(known)}.")
        self.coulomb = Coulomb.make(electrostatics, float(cutoff), dielectric, damping)
        self.cutoff, self.force_cap, self.skin, self.mixing = float(cutoff), float(force_cap), float(skin), mixing
        self.precision, self.parameters = precision, parameters
        self._real = np.float32 if precision == "single" else np.float64
        self.interaction_range = self.cutoff

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._edges = orthorhombic_edges(cell)
        require_room(self.cutoff, self._edges)
        sets = [self.sites_of(name) for name in topology.species]
        n_sites, sizes = np.array([len(sites) for sites in sets], dtype=np.int64), np.diff(topology.offsets)
        wrong = np.flatnonzero(sizes != n_sites[topology.molecule_species])
        if len(wrong):
            kind = topology.molecule_species[wrong[0]]
            found = f"species '{topology.species[kind]}' has {n_sites[kind]} sites but molecules of {sizes[wrong[0]]} atoms"
            raise UserError(found, type(self).__name__, "Give one set of parameters for each atom.")
        if n_sites.max() > molecular.LARGEST:
            found = f"species '{topology.species[int(n_sites.argmax())]}' has {n_sites.max()} sites, at most {molecular.LARGEST} fit"
            raise UserError(found, type(self).__name__, "Split it into smaller molecules, or leave out sites without interactions.")
        self._grid, self._unit = grid_of(self._edges, self._real)
        self._charges = site_charges(sets, self._real)
        self._table = site_table(sets, self.coulomb, self.force_cap, self.mixing, self._real)
        self._single_sites = bool(n_sites.max() == 1 and not self._charges[0].any())
        self._forces: PairForces | None = None
        self._arrange(topology, n_sites)

    def _arrange(self, topology: Topology, n_sites: IntArray) -> None:
        """Molecules in the order of their species, without lists."""
        self._topology, self._order = topology, np.argsort(topology.molecule_species, kind="stable")
        species = topology.molecule_species[self._order]
        ends = np.cumsum(np.bincount(species, minlength=len(n_sites)))
        self._molecules = Molecules(species, topology.offsets[:-1][self._order], n_sites, ends, *self._charges)
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        self.reset()

    def sites_of(self, name: str) -> Sequence[Nonbonded]:
        """Parameters of the sites of a species, in the order of its atoms."""
        where = type(self).__name__
        if self.parameters is not None:
            if name not in self.parameters:
                raise UserError(f"no parameters of species '{name}'", where, f"Known: {', '.join(self.parameters) or 'none'}.")
            return self.parameters[name]
        sites: Sequence[Nonbonded] = registry.get("molecules", name, where).nonbonded
        if not sites:
            raise UserError(f"the species '{name}' has no charges and Lennard-Jones parameters", where, "Add them to the molecule.")
        return sites

    def pair_force(self, first: IntArray, second: IntArray, distance: FloatArray) -> FloatArray:
        """(n,) repulsion between pairs of atoms of different molecules at distances in Å, eV/Å."""
        if self._forces is None:
            sets = [self.sites_of(name) for name in self._topology.species]
            self._forces = PairForces(sets, self._topology, self.coulomb, self.force_cap, self.mixing)
        return self._forces(first, second, distance)

    @property
    def builds(self) -> int:
        """Neighbour lists built since the last reset; what a small subset was served by is counted from its own start."""
        owner = self if self._small is None else self._small.potential
        return 0 if owner._list is None else owner._list.builds

    def reset(self) -> None:
        self._list: NeighbourList | None = None
        self._kept: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._small: _SmallSubset | None = None

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        if subset is not None and 2 * np.count_nonzero(subset) < len(subset):
            found = self._evaluate_small(positions, subset, virial)
        else:
            weights = np.ones(self._topology.n_molecules) if subset is None else subset.astype(np.float64)
            found = self._evaluate(positions, weights, "product", virial)
        require_finite(found.energy, found.forces, self._topology)
        return found

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        if rule not in RULES:
            return super().evaluate_weighted(positions, weights, rule)
        found = self._evaluate(positions, np.asarray(weights, dtype=np.float64), rule, False, SLOPES[rule])
        require_finite(found.energy, found.forces, self._topology)
        return found

    def of_part(self, positions: FloatArray, members: BoolArray, part: BoolArray) -> Evaluation:
        if 2 * np.count_nonzero(members) < len(members):
            found = self._evaluate_small(positions, members, False, part)
        else:
            found = self._evaluate(positions, members.astype(np.float64), "product", False, only=part)
        require_finite(found.energy, found.forces, self._topology)
        return found

    def _evaluate_small(self, positions: FloatArray, subset: BoolArray, virial: bool, only: BoolArray | None = None) -> Evaluation:
        """A small subset, as a system of its own: molecules far away, of which a reservoir has many, cost nothing."""
        if self._small is None or not self._small.holds(subset):
            self._small = _SmallSubset(self, positions, subset)
        return self._small.evaluate(positions, subset, virial, only)

    def _evaluate(
        self, positions: FloatArray, weights: FloatArray, rule: Rule, virial: bool, slope: tuple[float, float] = HALVES,
        only: BoolArray | None = None,
    ) -> Evaluation:  # fmt: skip
        """All pairs, or those of the molecules of ``only``."""
        topology, molecules, real = self._topology, self._molecules, self._real
        n_molecules, n_atoms, n_threads = topology.n_molecules, topology.n_atoms, threads_for(topology.n_molecules)
        points, sites = np.empty((n_molecules, 3)), np.empty((n_atoms, 3), dtype=real)
        selected = np.empty(n_molecules, dtype=np.bool_)
        ordered: RealArray = np.empty(n_molecules, dtype=real)
        fractions: IntArray = np.empty((n_molecules, 4), dtype=INTEGERS[real])
        square = place(
            np.ascontiguousarray(positions, dtype=np.float64), self._share, molecules, self._order, weights, rule != "product",
            self._grid, points, fractions, sites, selected, ordered,
        )  # fmt: skip
        reach = self.cutoff + 2 * math.sqrt(square) * (1 + 1e-6)
        start, neighbours, longest = self._candidates(points, selected, reach)
        if only is not None:
            start, neighbours = pairs_of(only[self._order], selected, start, neighbours)
        frame = Frame(
            selected.nonzero()[0], fractions, self._unit, ordered, sites, np.array(RULES[rule], dtype=real), np.array(slope),
            real(reach**2), start, neighbours,
        )  # fmt: skip
        work = self._buffers(n_threads, longest + 1)
        kernel = single_sites if self._single_sites else molecular
        if n_threads == 1:
            kernel.run(0, 1, molecules, self._table, frame, work, virial)
        else:
            with one_caller:
                kernel.run_parallel(n_threads, molecules, self._table, frame, work, virial)
        energy, forces, capped, own = collect(work, self._order)
        return Evaluation(energy, forces, work.virial.sum(axis=0) if virial else None, capped, own)

    def _candidates(self, points: FloatArray, selected: BoolArray, reach: float) -> tuple[np.ndarray, np.ndarray, int]:
        """Candidates for pairs of molecules, and most of one molecule; flexible molecules that have grown need a longer list."""
        if self._list is None or reach > self._list.cutoff:
            slack = 0.0 if self._list is None else max(0.0, min(0.2, 0.5 * float(self._edges.min()) - reach))
            self._list = NeighbourList(reach + slack, self._edges, self.skin, MARGIN)
        return *self._list.candidates(points, selected), self._list.longest

    def _buffers(self, n_threads: int, longest: int) -> Work:
        """What the threads write; ``longest`` places for the neighbours of one molecule. What needs no zeros is kept between calls."""
        real, n_molecules, n_atoms = self._real, self._topology.n_molecules, self._topology.n_atoms
        if self._kept is None or self._kept[1].shape[0] != n_threads or self._kept[1].shape[1] < longest:
            rows, places = np.zeros((n_threads, ROWS * LENGTH), dtype=real), longest + longest // 4
            self._kept = rows, np.empty((n_threads, places), dtype=np.int32), np.empty((n_threads, places, 4), dtype=real)
        return Work(
            *self._kept, np.zeros((n_threads, n_atoms, 3), dtype=real), np.zeros((n_threads, n_molecules)),
            np.zeros((n_threads, n_molecules), dtype=np.int64), np.zeros(n_threads), np.zeros((n_threads, 3, 3)),
        )  # fmt: skip


class _SmallSubset:
    """The molecules of a subset and those beside it, bound as a system of their own."""

    def __init__(self, whole: ClassicalMolecules, positions: FloatArray, subset: BoolArray) -> None:
        topology = whole._topology
        centres = centres_of_mass(np.ascontiguousarray(positions, dtype=np.float64), topology.offsets, whole._share)
        wrapped = centres - np.floor(centres / whole._edges) * whole._edges
        self._mask = subset | beside(wrapped, subset, whole._edges, MARGIN)
        self._chosen = np.flatnonzero(self._mask)
        sizes = np.diff(topology.offsets)[self._chosen]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._atoms = np.repeat(topology.offsets[self._chosen] - offsets[:-1], sizes) + np.arange(offsets[-1])
        kinds = topology.molecule_species[self._chosen]
        part = Topology(topology.species, kinds, offsets, topology.atomic_numbers[self._atoms], topology.masses[self._atoms])
        self._n_atoms, self.potential = topology.n_atoms, copy.copy(whole)
        self.potential._arrange(part, whole._molecules.n_sites)

    def holds(self, subset: BoolArray) -> bool:
        return not (subset & ~self._mask).any()

    def evaluate(self, positions: FloatArray, subset: BoolArray, virial: bool, only: BoolArray | None) -> Evaluation:
        weights, part = subset[self._chosen].astype(np.float64), None if only is None else only[self._chosen]
        found = self.potential._evaluate(positions[self._atoms], weights, "product", virial, only=part)
        forces, capped, sites = np.zeros((self._n_atoms, 3)), np.zeros(len(subset), dtype=np.int64), np.zeros(len(subset))
        forces[self._atoms], capped[self._chosen], sites[self._chosen] = found.forces, found.capped, found.sites
        return Evaluation(found.energy, forces, found.virial, capped, sites)
