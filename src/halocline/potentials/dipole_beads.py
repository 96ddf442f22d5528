"""Point dipoles on beads: a reservoir that knows the orientation of its molecules.

The dipole of a molecule is that of its own point charges about its centre of mass, so it turns with the molecule. Two dipoles
at the distance R of their centres have the energy

    U = k s^2 f(R) [ mu_a . mu_b (1/R^3 - c_rf) - 3 (mu_a . R)(mu_b . R) / R^5 ],    c_rf = 2 (eps - 1) / ((2 eps + 1) r_c^3)

with a reaction field beyond the cut-off r_c (Barker and Watts, Mol. Phys. 26, 789 (1973), doi 10.1080/00268977300102101) and

    f(R) = [1 - exp(-(R/a)^6)] S((R - r_on)/(r_c - r_on)),    S(t) = 1 - t^3 (10 - 15 t + 6 t^2)

which takes the divergence away inside the core and switches off over the last part of the range. Added to a tabulated pair
potential that was inverted together with it, it is the bead of the reservoir "dipole".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numba import njit

from halocline import registry
from halocline.errors import UserError
from halocline.molecules.base import Nonbonded
from halocline.potentials.base import BoolArray, Evaluation, Potential, Rule
from halocline.potentials.kernels.neighbours import NeighbourList, PairList, RowArray
from halocline.potentials.learned import centres_of_mass, orthorhombic_edges, require_finite
from halocline.potentials.weighting import HALVES, RULES, SLOPES
from halocline.topology import FloatArray, IntArray, Topology
from halocline.units import COULOMB

NEUTRAL = 1e-6
"""Largest accepted net charge of a molecule, e."""


class DipoleBeads(Potential):
    """Interaction of point dipoles at centres of mass.

    Args:
        cutoff: Å, between centres of mass.
        scale: factor s of every dipole; below 1 where the beads should be less polar than the molecules.
        core: length a of the damping, Å.
        dielectric: relative permittivity beyond the cut-off; infinity is allowed.
        skin: Å, of the neighbour list.
        parameters: species -> charges of its atoms; by default those of the named molecules.

    Raises:
        UserError: a number that is not positive; on binding, a species with a net charge.
    """

    rules = frozenset({"site", "product", "complement"})

    def __init__(
        self,
        cutoff: float,
        scale: float = 1.0,
        core: float = 2.4,
        dielectric: float = 80.0,
        skin: float = 1.0,
        parameters: Mapping[str, Sequence[Nonbonded]] | None = None,
    ) -> None:
        for name, value in (("cutoff", cutoff), ("scale", scale), ("core", core), ("dielectric", dielectric)):
            if not value > 0:
                raise UserError(f"{name} is {value}", type(self).__name__, "Give a positive number.")
        field = 1.0 if np.isinf(dielectric) else 2.0 * (dielectric - 1.0) / (2.0 * dielectric + 1.0)
        self.cutoff, self.skin, self.parameters = float(cutoff), skin, parameters
        self._shape = np.array([COULOMB * scale**2, field / cutoff**3, core, 0.8 * cutoff, cutoff])
        self.interaction_range = self.cutoff

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._topology = topology
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        self._charges = np.zeros(topology.n_atoms)
        for kind, name in enumerate(topology.species):
            charges = self._charges_of(name)
            for molecule in np.flatnonzero(topology.molecule_species == kind):
                self._charges[topology.offsets[molecule] : topology.offsets[molecule + 1]] = charges
        self._list = NeighbourList(self.cutoff, orthorhombic_edges(cell), self.skin)

    def _charges_of(self, name: str) -> list[float]:
        where = type(self).__name__
        known = self.parameters
        if known is not None and name not in known:
            raise UserError(f"no charges of species '{name}'", where, f"Known: {', '.join(known)}.")
        sites = known[name] if known is not None else registry.get("molecules", name, where).nonbonded
        charges = [site.charge for site in sites]
        if abs(sum(charges)) > NEUTRAL:
            raise UserError(f"species '{name}' has a charge of {sum(charges):g} e", where, "Ions need a bead with a charge.")
        return charges

    def reset(self) -> None:
        self._list.reset()

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        factors = np.array([*RULES["product"], *HALVES])
        return self._evaluate(positions, np.ones(self._topology.n_molecules), factors, subset, virial)

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        return self._evaluate(positions, weights, np.array([*RULES[rule], *SLOPES[rule]]), None, False)

    def _evaluate(
        self, positions: FloatArray, weights: FloatArray, factors: FloatArray, subset: BoolArray | None, virial: bool
    ) -> Evaluation:
        topology, points = self._topology, np.ascontiguousarray(positions, dtype=np.float64)
        centres = centres_of_mass(points, topology.offsets, self._share)
        dipoles = np.add.reduceat(self._charges[:, None] * points, topology.offsets[:-1], axis=0)
        pairs: PairList = self._list.pairs(centres, subset)
        on_centres, on_dipoles, sites, tensor = np.zeros_like(centres), np.zeros_like(centres), np.zeros(len(centres)), np.zeros((3, 3))
        energy = _dipole_pairs(
            pairs.sites, pairs.start, pairs.neighbours, pairs.displacements, pairs.distances, dipoles,
            np.asarray(weights, dtype=np.float64), factors, self._shape, on_centres, on_dipoles, sites, tensor,
        )  # fmt: skip
        forces = _to_atoms(on_centres, on_dipoles, topology.offsets, self._share, self._charges)
        if virial:
            # The forces of charges within their molecules belong to the virial over atoms.
            own = points - centres[topology.molecule_of_atom]
            tensor += (self._charges[:, None] * own).T @ on_dipoles[topology.molecule_of_atom]
        require_finite(energy, forces, topology)
        return Evaluation(energy, forces, tensor if virial else None, np.zeros(topology.n_molecules, dtype=np.int64), sites)


@njit(cache=True, error_model="numpy")
def _radial(r: float, shape: FloatArray) -> tuple[float, float, float, float]:
    """A(R) of mu_a . mu_b and B(R) of (mu_a . R)(mu_b . R), and their derivatives."""
    prefactor, field, core, on, cutoff = shape
    power = (r / core) ** 6
    damp, damp_slope = -np.expm1(-power), 6.0 * power / r * np.exp(-power)
    t = min(max((r - on) / (cutoff - on), 0.0), 1.0)
    switch = 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t * t)
    switch_slope = -30.0 * t * t * (1.0 - t) ** 2 / (cutoff - on)
    f, f_slope = prefactor * damp * switch, prefactor * (damp_slope * switch + damp * switch_slope)
    a, a_slope = 1.0 / r**3 - field, -3.0 / r**4
    b, b_slope = -3.0 / r**5, 15.0 / r**6
    return f * a, f_slope * a + f * a_slope, f * b, f_slope * b + f * b_slope


@njit(cache=True, error_model="numpy")
def _dipole_pairs(
    sites: IntArray, start: IntArray, neighbours: RowArray, displacements: FloatArray, distances: FloatArray, dipoles: FloatArray,
    weights: FloatArray, factors: FloatArray, shape: FloatArray,
    on_centres: FloatArray, on_dipoles: FloatArray, energies: FloatArray, virial: FloatArray,
) -> float:  # fmt: skip
    """Forces on centres at fixed dipoles, and minus the derivative by each dipole (a field, eV/(e Å)).

    ``factors`` (5,): see RULES (first three) and SLOPES of :mod:`halocline.potentials.weighting`.
    """
    total, force = 0.0, np.zeros(3)
    for row in range(len(sites)):
        i = sites[row]
        for pair in range(start[row], start[row + 1]):
            j, r = sites[neighbours[pair]], distances[pair]
            factor = factors[0] + factors[1] * (weights[i] + weights[j]) + factors[2] * weights[i] * weights[j]
            if factor == 0.0 and factors[1] == 0.0:
                continue
            d, own, other = displacements[pair], dipoles[i], dipoles[j]
            a, a_slope, b, b_slope = _radial(r, shape)
            both = own[0] * other[0] + own[1] * other[1] + own[2] * other[2]
            along_i = own[0] * d[0] + own[1] * d[1] + own[2] * d[2]
            along_j = other[0] * d[0] + other[1] * d[1] + other[2] * d[2]
            energy = a * both + b * along_i * along_j
            total += factor * energy
            energies[i] += (factors[3] + factors[4] * weights[j]) * energy
            energies[j] += (factors[3] + factors[4] * weights[i]) * energy
            radial = (a_slope * both + b_slope * along_i * along_j) / r
            for k in range(3):
                force[k] = -factor * (radial * d[k] + b * (own[k] * along_j + other[k] * along_i))
                on_centres[j, k] += force[k]
                on_centres[i, k] -= force[k]
                on_dipoles[i, k] -= factor * (a * other[k] + b * d[k] * along_j)
                on_dipoles[j, k] -= factor * (a * own[k] + b * d[k] * along_i)
            for k in range(3):
                for m in range(3):
                    virial[m, k] += d[m] * force[k]
    return total


@njit(cache=True, error_model="numpy")
def _to_atoms(on_centres: FloatArray, on_dipoles: FloatArray, offsets: IntArray, share: FloatArray, charges: FloatArray) -> FloatArray:
    """(n_atoms, 3) forces: the mass share of the force on the centre, and charge times the field on the dipole."""
    forces = np.empty((offsets[-1], 3))
    for molecule in range(len(on_centres)):
        for atom in range(offsets[molecule], offsets[molecule + 1]):
            for k in range(3):
                forces[atom, k] = share[atom] * on_centres[molecule, k] + charges[atom] * on_dipoles[molecule, k]
    return forces
