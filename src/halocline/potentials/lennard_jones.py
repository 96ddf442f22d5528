"""Lennard-Jones, truncated and shifted: the liquid whose properties are known, for tests and null tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numba import njit
from scipy.optimize import brentq

from halocline.errors import UserError
from halocline.potentials.base import PAIR_FACTORS, BoolArray, Evaluation, Potential, Rule
from halocline.potentials.kernels.neighbours import NeighbourList, RowArray
from halocline.potentials.learned import centres_of_mass, orthorhombic_edges, require_finite, spread_forces, sum_by_molecule
from halocline.topology import FloatArray, IntArray, Topology

Parameter = float | Mapping[int, float]
_NONE = np.zeros(0)


class LennardJones(Potential):
    """V(r) = 4 eps [(s/r)^12 - (s/r)^6] - V(r_c) for r < r_c, between the sites of different molecules.

    Unlike sites mix by Lorentz and Berthelot. With a cap the energy goes on linearly below the distance at which the
    repulsion reaches it, so the capped force is still the gradient of an energy.

    Args:
        sigma: Å; one number for all sites, or atomic number -> number.
        epsilon: eV; the same.
        cutoff: Å.
        force_cap: eV/Å, limit of the repulsion of one pair; capped pairs are counted.
        centres: one site at the centre of mass of each molecule instead of one on each atom; needs single numbers.
        skin: Å, of the neighbour list.

    Raises:
        UserError: parameters that are not positive, or given for atoms where sites are centres of mass.
    """

    rules = frozenset(PAIR_FACTORS)

    def __init__(
        self, sigma: Parameter, epsilon: Parameter, cutoff: float, force_cap: float = math.inf, centres: bool = False, skin: float = 1.0
    ) -> None:
        if centres and (isinstance(sigma, Mapping) or isinstance(epsilon, Mapping)):
            raise UserError("sites at centres of mass have no atomic number", "LennardJones", "Give one sigma and one epsilon.")
        for name, parameter, least in (("sigma", sigma, 1e-9), ("epsilon", epsilon, 0.0), ("force_cap", force_cap, 1e-9)):
            smallest = min(parameter.values()) if isinstance(parameter, Mapping) else parameter
            if smallest < least:
                raise UserError(f"{name} is {smallest}", "LennardJones", "Give a positive number.")
        self.sigma, self.epsilon, self.cutoff, self.force_cap = sigma, epsilon, float(cutoff), float(force_cap)
        self.centres, self.skin, self.interaction_range = centres, skin, float(cutoff)

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._topology = topology
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        self._molecules = np.arange(topology.n_molecules) if self.centres else topology.molecule_of_atom.astype(np.int64)
        numbers = np.zeros(topology.n_molecules, dtype=np.int64) if self.centres else topology.atomic_numbers
        kinds, self._kinds = np.unique(numbers, return_inverse=True)
        sigma, epsilon = (_values(x, kinds, name) for x, name in ((self.sigma, "sigma"), (self.epsilon, "epsilon")))
        mixed_sigma, mixed_epsilon = 0.5 * (sigma[:, None] + sigma), np.sqrt(epsilon[:, None] * epsilon)
        self._table = _pair_table(mixed_sigma, mixed_epsilon, self.cutoff, self.force_cap)
        self._list = NeighbourList(self.cutoff, orthorhombic_edges(cell), self.skin)
        self._ones = np.ones(topology.n_molecules)

    def reset(self) -> None:
        self._list.reset()

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        result = self._evaluate(positions, subset, virial, self._ones, PAIR_FACTORS["product"])
        return replace(result, sites=_NONE)

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        subset = weights > 0 if rule == "product" else None
        return self._evaluate(positions, subset, False, np.asarray(weights, dtype=np.float64), PAIR_FACTORS[rule])

    def _evaluate(
        self, positions: FloatArray, subset: BoolArray | None, virial: bool, weights: FloatArray, factors: tuple[float, float, float]
    ) -> Evaluation:
        topology = self._topology
        own = np.zeros(topology.n_molecules)
        points = np.ascontiguousarray(positions, dtype=np.float64)
        if self.centres:
            points = centres_of_mass(points, topology.offsets, self._share)
        pairs = self._list.pairs(points, None if subset is None else subset[self._molecules])
        forces, capped, tensor = np.zeros_like(points), np.zeros(len(points), dtype=np.int64), np.zeros((3, 3))
        energy = _pair_forces(
            pairs.sites, pairs.start, pairs.neighbours, pairs.displacements, pairs.distances,
            self._kinds, self._molecules, self._table, weights, factors, forces, capped, tensor, own,
        )  # fmt: skip
        if self.centres:
            forces = spread_forces(forces, topology.offsets, self._share)
        require_finite(energy, forces, topology)
        counts = sum_by_molecule(capped, self._molecules, topology.n_molecules)
        return Evaluation(energy, forces, tensor if virial else None, counts, own)

    def pair_force(self, first: IntArray, second: IntArray, distance: FloatArray) -> FloatArray:
        """(n,) repulsion between pairs of sites (indices of atoms, or of molecules with ``centres``) at distances in Å, eV/Å."""
        sigma, epsilon, _, inner, _ = np.moveaxis(self._table[self._kinds[first], self._kinds[second]], -1, 0)
        r = np.maximum(distance, inner)
        power = (sigma / r) ** 6
        return np.where(distance < self.cutoff, 24 * epsilon / r * (2 * power**2 - power), 0.0)


def _values(parameter: Parameter, kinds: IntArray, name: str) -> FloatArray:
    if not isinstance(parameter, Mapping):
        return np.full(len(kinds), float(parameter))
    missing = [int(kind) for kind in kinds if int(kind) not in parameter]
    if missing:
        raise UserError(f"no {name} for atomic numbers {missing}", "LennardJones", "Give one for each element of the system.")
    return np.array([float(parameter[int(kind)]) for kind in kinds])


def _pair_table(sigma: FloatArray, epsilon: FloatArray, cutoff: float, force_cap: float) -> FloatArray:
    """(n_kinds, n_kinds, 5): sigma, epsilon, V(r_c), distance below which the force is capped, and V there, unshifted."""
    table = np.zeros((*sigma.shape, 5))
    for index in np.ndindex(*sigma.shape):
        s, e = float(sigma[index]), float(epsilon[index])
        table[index][:3] = s, e, _energy(cutoff, s, e)
        if e > 0 and math.isfinite(force_cap):
            # A tiny distance stands for zero; the force at the minimum is zero.
            inner = float(brentq(lambda r, s=s, e=e: math.log(max(_repulsion(r, s, e), 1e-300) / force_cap), 1e-3 * s, 2 ** (1 / 6) * s))
            table[index][3:] = inner, _energy(inner, s, e)
    return table


def _energy(r: float, sigma: float, epsilon: float) -> float:
    return 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)


def _repulsion(r: float, sigma: float, epsilon: float) -> float:
    return 24 * epsilon / r * (2 * (sigma / r) ** 12 - (sigma / r) ** 6)


@njit(cache=True, error_model="numpy")
def _pair_forces(
    sites: IntArray, start: IntArray, neighbours: RowArray, displacements: FloatArray, distances: FloatArray,
    kinds: IntArray, molecules: IntArray, table: FloatArray, weights: FloatArray, factors: tuple[float, float, float],
    forces: FloatArray, capped: IntArray, virial: FloatArray, own: FloatArray,
) -> float:  # fmt: skip
    energy = 0.0
    for row in range(len(sites)):
        i = sites[row]
        for pair in range(start[row], start[row + 1]):
            j = sites[neighbours[pair]]
            a, b = molecules[i], molecules[j]
            if a == b:
                continue
            scale = factors[0] + factors[1] * (weights[a] + weights[b]) + factors[2] * weights[a] * weights[b]
            sigma, epsilon, shift, inner, inner_energy = table[kinds[i], kinds[j]]
            distance = distances[pair]
            r = max(distance, inner)
            power = (sigma / r) ** 6
            repulsion = 24 * epsilon / r * (2 * power * power - power)
            if distance < inner:
                value = inner_energy + repulsion * (inner - distance) - shift
                if scale != 0.0:
                    capped[i] += 1
                    capped[j] += 1
            else:
                value = 4 * epsilon * (power * power - power) - shift
            energy += scale * value
            own[a] += (factors[1] + factors[2] * weights[b]) * value
            own[b] += (factors[1] + factors[2] * weights[a]) * value
            for k in range(3):
                force = scale * repulsion * displacements[pair, k] / distance
                forces[j, k] += force
                forces[i, k] -= force
                for m in range(3):
                    virial[m, k] += displacements[pair, m] * force
    return energy
