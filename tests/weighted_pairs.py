"""Pair potentials whose energies can be scaled by weights of molecules, over all pairs, written for clarity."""

from __future__ import annotations

import numpy as np

from halocline.potentials.base import Evaluation, Potential


class WeightedPairs(Potential):
    """Lennard-Jones between atoms, or centres of mass, of different molecules.

    Truncated and shifted or, with ``taper``, times (1 - (r/r_c)^2)^3, so that forces have no jump at the cut-off.
    """

    rules = frozenset({"site", "product", "complement"})

    def __init__(self, epsilon: float, sigma: float, cutoff: float, centres: bool = False, taper: bool = False) -> None:
        self.epsilon, self.sigma, self.cutoff, self.centres, self.taper = epsilon, sigma, cutoff, centres, taper
        self.interaction_range = cutoff

    def value(self, r: np.ndarray) -> np.ndarray:
        x = (self.sigma / r) ** 6
        y = (self.sigma / self.cutoff) ** 6
        plain = 4 * self.epsilon * (x * x - x)
        return plain * (1 - (r / self.cutoff) ** 2) ** 3 if self.taper else plain - 4 * self.epsilon * (y * y - y)

    def slope(self, r: np.ndarray) -> np.ndarray:
        x = (self.sigma / r) ** 6
        plain, slope = 4 * self.epsilon * (x * x - x), -24 * self.epsilon * (2 * x * x - x) / r
        s = 1 - (r / self.cutoff) ** 2
        return slope * s**3 - 6 * r / self.cutoff**2 * s**2 * plain if self.taper else slope

    def bind(self, topology, cell) -> None:
        self.topology, self.edges = topology, np.diag(cell)

    def evaluate(self, positions, subset=None, virial=False) -> Evaluation:
        chosen = np.ones(self.topology.n_molecules, dtype=bool) if subset is None else subset
        factor = np.outer(chosen, chosen).astype(float)
        return self._sum(positions, factor, np.zeros_like(factor))

    def evaluate_weighted(self, positions, weights, rule) -> Evaluation:
        product, total, ones = np.outer(weights, weights), np.add.outer(weights, weights), np.ones((len(weights), len(weights)))
        factor, derivative = {
            "site": (0.5 * total, 0.5 * ones),
            "product": (product, ones * weights[None, :]),
            "complement": (1 - product, -ones * weights[None, :]),
        }[rule]
        return self._sum(positions, factor, derivative)

    def _sum(self, positions, factor, derivative) -> Evaluation:
        """sum_{a<b} factor[a, b] U_ab, and derivative[a, b] U_ab summed over b."""
        topology = self.topology
        sites = topology.centres_of_mass(positions) if self.centres else positions
        molecule = np.arange(topology.n_molecules) if self.centres else topology.molecule_of_atom
        i, j = np.triu_indices(len(sites), 1)
        delta = sites[j] - sites[i]
        delta = delta - self.edges * np.round(delta / self.edges)
        r = np.linalg.norm(delta, axis=1)
        near = (r < self.cutoff) & (molecule[i] != molecule[j])
        i, j, delta, r = i[near], j[near], delta[near], r[near]
        a, b = molecule[i], molecule[j]
        pull = (factor[a, b] * self.slope(r) / r)[:, None] * delta
        forces, own, value = np.zeros_like(sites), np.zeros(topology.n_molecules), self.value(r)
        np.add.at(forces, i, pull)
        np.add.at(forces, j, -pull)
        np.add.at(own, a, derivative[a, b] * value)
        np.add.at(own, b, derivative[b, a] * value)
        if self.centres:
            forces = forces[topology.molecule_of_atom] * (topology.masses / topology.molecule_masses[topology.molecule_of_atom])[:, None]
        capped = np.zeros(topology.n_molecules, dtype=np.int64)
        return Evaluation(float((factor[a, b] * value).sum()), forces, None, capped, own)
