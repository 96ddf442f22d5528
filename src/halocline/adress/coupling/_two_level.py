"""What couplings of two potentials by weights of molecules share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halocline.adress.coupling.base import Coupling
from halocline.adress.regions import BoolArray, Resolution
from halocline.errors import UserError
from halocline.potentials.base import Evaluation, Potential, Rule, SumPotential, Zero
from halocline.topology import FloatArray, Topology

Term = tuple[float, Potential]
Part = tuple[float, Evaluation]


def flat(potential: Potential, factor: float = 1.0) -> list[Term]:
    """Terms of a sum of sums with their factors, without those that are nothing."""
    if isinstance(potential, SumPotential):
        return [item for inner, term in potential.terms for item in flat(term, factor * inner)]
    return [] if isinstance(potential, Zero) else [(factor, potential)]


def add(parts: Sequence[Part]) -> Evaluation:
    """Sum of evaluations with factors; a capped pair that is subtracted counts as taken away."""
    factor, first = parts[0]
    if len(parts) == 1 and factor == 1.0:
        return first
    energy, forces, capped = factor * first.energy, factor * first.forces, np.sign(factor).astype(np.int64) * first.capped
    sites = factor * first.sites
    for factor, part in parts[1:]:
        energy += factor * part.energy
        if factor == 1.0:
            forces += part.forces
        elif factor == -1.0:
            forces -= part.forces
        else:
            forces += factor * part.forces
        capped += part.capped if factor > 0 else -part.capped
        if len(part.sites):
            sites = factor * part.sites + (sites if len(sites) else 0.0)
    return Evaluation(energy, forces, None, capped, sites)


class TwoLevelCoupling(Coupling):
    """Terms between molecules are weighted; sums over molecules are those of ``fine`` for members of S1 and of ``coarse`` for the rest.

    Sums over molecules (bonds, angles) are never interpolated: a molecule is whole in every resolution.

    Raises:
        UserError: a term between molecules that cannot be scaled by the rule of this coupling.
    """

    _fine_rule: Rule
    _coarse_rule: Rule

    def __init__(self, fine: Potential, coarse: Potential) -> None:
        super().__init__(fine, coarse)
        self._fine_within, self._fine_between = _split(fine)
        self._coarse_within, self._coarse_between = _split(coarse)
        self._require(self._fine_between, self._fine_rule)
        self._require(self._coarse_between, self._coarse_rule)

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._topology = topology
        self._last_weight = np.zeros(0)
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        for potential in (self.fine, self.coarse):
            potential.bind(topology, cell)

    def change(self, positions: FloatArray, old: Evaluation, resolution: Resolution) -> tuple[Evaluation, float]:
        # Smooth weights do not know the membership: only sums over molecules do.
        switches = bool(self._fine_within or self._coarse_within)
        # Molecules that wake at the border turn, unless the coupling keeps all of them awake.
        if self.is_weighted and self.sees_outside and not switches and np.array_equal(resolution.weight, self._last_weight):
            return old, 0.0
        return super().change(positions, old, resolution)

    def reset(self) -> None:
        self.fine.reset()
        self.coarse.reset()

    def _nothing(self) -> Part:
        n_molecules = self._topology.n_molecules
        forces, capped = np.zeros((self._topology.n_atoms, 3)), np.zeros(n_molecules, dtype=np.int64)
        return 1.0, Evaluation(0.0, forces, None, capped, np.zeros(n_molecules))

    def _within(self, positions: FloatArray, members: BoolArray) -> list[Part]:
        """Sums over molecules."""
        fine = [(factor, term.evaluate(positions, members)) for factor, term in self._fine_within]
        return fine + [(factor, term.evaluate(positions, ~members)) for factor, term in self._coarse_within]

    def _fine_parts(self, positions: FloatArray, weights: FloatArray) -> list[Part]:
        """Terms between molecules of the fine potential, scaled by the rule of this coupling."""
        return _weighted(self._fine_between, positions, weights, self._fine_rule)

    def _coarse_parts(self, positions: FloatArray, weights: FloatArray) -> list[Part]:
        return _weighted(self._coarse_between, positions, weights, self._coarse_rule)

    def _require(self, terms: list[Term], rule: Rule) -> None:
        lacking = sorted({type(term).__name__ for _, term in terms if rule not in term.rules})
        if lacking:
            raise UserError(
                f"the coupling '{self.name}' scales energies by the rule '{rule}', which {', '.join(lacking)} does not support",
                "study file: coupling.name",
                "Use coupling.name: subtractive, or potentials with such energies.",
            )


def _split(potential: Potential) -> tuple[list[Term], list[Term]]:
    terms = flat(potential)
    return [item for item in terms if item[1].additive_over_molecules], [item for item in terms if not item[1].additive_over_molecules]


def _weighted(terms: list[Term], positions: FloatArray, weights: FloatArray, rule: Rule) -> list[Part]:
    # Where no weight lies between, the potential alone is the limit to the last bit.
    everything, nothing = bool((weights == 1.0).all()), bool((weights == 0.0).all())
    if rule == "complement":
        everything, nothing = nothing, everything
    if nothing:
        return []
    if everything:
        return [(factor, term.evaluate(positions)) for factor, term in terms]
    return [(factor, term.evaluate_weighted(positions, weights, rule)) for factor, term in terms]
