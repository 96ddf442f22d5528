"""Subtractive coupling: in each set the finer potential replaces the coarser one."""

from __future__ import annotations

import copy

import numpy as np

from halocline.adress.coupling._two_level import Part, Term, add, flat
from halocline.adress.coupling.base import Coupling
from halocline.adress.regions import BoolArray, Resolution
from halocline.errors import UserError
from halocline.potentials.base import Evaluation, Potential
from halocline.topology import FloatArray, Topology


class _Level:
    """One potential E_k of the stack from the second one on: what it adds is E_k(S_k) - E_k(S_{k-1})."""

    def __init__(self, potential: Potential) -> None:
        terms = flat(potential)
        self.shell = [(factor, term) for factor, term in terms if term.additive_over_molecules]
        self.whole = [(factor, term) for factor, term in terms if not term.additive_over_molecules]
        # A second instance for the inner set: each keeps a neighbour list of its own molecules instead of throwing it away twice a step.
        self.removed = [(factor, copy.deepcopy(term)) for factor, term in self.whole]

    def potentials(self) -> list[Potential]:
        return [term for _, term in [*self.shell, *self.whole, *self.removed]]

    def of_set(self, positions: FloatArray, members: BoolArray | None) -> list[Part]:
        """E_k(S_k) of what is not a sum over molecules; ``members`` of S_k, None for everything."""
        return [(factor, term.evaluate(positions, members)) for factor, term in self.whole]

    def of_removed(self, positions: FloatArray, inner: BoolArray) -> list[Part]:
        """- E_k(S_{k-1}) of what is not a sum over molecules."""
        return [(-factor, term.evaluate(positions, inner)) for factor, term in self.removed]

    def of_shell(self, positions: FloatArray, members: BoolArray, inner: BoolArray) -> list[Part]:
        """Sums over molecules, of the molecules of S_k outside S_{k-1}."""
        return [(factor, term.evaluate(positions, members & ~inner)) for factor, term in self.shell]


def _difference(positions: FloatArray, terms: list[Term], before: BoolArray, after: BoolArray) -> list[Part]:
    """E(after) - E(before): what those who entered add to the new subset, less what those who left added to the old one."""
    if not terms:
        return []
    entered, left = after & ~before, before & ~after
    parts = [(factor, term.of_part(positions, after, entered)) for factor, term in terms] if entered.any() else []
    return parts + ([(-factor, term.of_part(positions, before, left)) for factor, term in terms] if left.any() else [])


class SubtractiveCoupling(Coupling):
    """E = E_0(S_0) + sum_{k>=1} [E_k(S_k) - E_k(S_{k-1})], with S_0 within S_1 ... within everything.

    With two levels: E_fine(S1) + E_coarse(all) - E_coarse(S1). For pair potentials: both partners in S1 -> fine, any other
    pair -> coarse. A coarse potential that is a sum over molecules (tracers with their intramolecular terms) reduces to the
    molecules outside S1 and is evaluated there only.

    Args:
        fine, coarse: potentials of the innermost set and of the one around it.
        further: potentials of the sets around those, outwards; the last one is that of everything.
    """

    name = "subtractive"
    summary = "E_fine(S1) + E_coarse(all) - E_coarse(S1); abrupt, energy and momentum conserved between crossings"

    def __init__(self, fine: Potential, coarse: Potential, *further: Potential) -> None:
        super().__init__(fine, coarse)
        self._levels = [_Level(potential) for potential in (coarse, *further)]
        self._fine = flat(fine)
        between = [term for _, term in self._fine if not term.additive_over_molecules] + [term for k in self._levels for _, term in k.whole]
        self._pairwise = all(term.pairwise for term in between)
        self._last: tuple[Evaluation, list[BoolArray]] | None = None

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self._everything = np.ones(topology.n_molecules, dtype=bool)
        for potential in self._potentials():
            potential.bind(topology, cell)

    def evaluate(self, positions: FloatArray, resolution: Resolution) -> Evaluation:
        self._outermost: list[Part] | None = None
        sets = self._sets(resolution)
        self._last = self._combine(positions, sets), sets
        return self._last[0]

    def change(self, positions: FloatArray, old: Evaluation, resolution: Resolution) -> tuple[Evaluation, float]:
        # The energy of everything does not know the membership: keep what evaluate() found at these positions.
        sets = self._sets(resolution)
        if self._pairwise and self._last is not None and self._last[0] is old:
            new = add([(1.0, old), *self._changes(positions, self._last[1], sets)])
        else:
            new = self._combine(positions, sets)
        self._last = new, sets
        return new, new.energy - old.energy

    def evaluate_parts(
        self, positions: FloatArray, resolution: Resolution, seldom: bool, moved: bool = True
    ) -> tuple[Evaluation, Evaluation | None]:
        """The rest is what the outermost potential adds, other than sums over molecules: the interactions of the reservoir."""
        if moved:
            self._outermost = None
        sets = self._sets(resolution)
        often = add(self._inner_levels(positions, sets))
        if not seldom:
            return often, None
        parts = self._reservoir(positions, sets)
        nothing = Evaluation(0.0, np.zeros_like(often.forces), None, np.zeros_like(often.capped))
        return often, add([(1.0, nothing), *parts])

    def reset(self) -> None:
        for potential in self._potentials():
            potential.reset()

    def _potentials(self) -> list[Potential]:
        return [self.fine, *(potential for level in self._levels for potential in level.potentials())]

    def _combine(self, positions: FloatArray, sets: list[BoolArray]) -> Evaluation:
        return add([*self._inner_levels(positions, sets), *self._reservoir(positions, sets)])

    def _changes(self, positions: FloatArray, before: list[BoolArray], after: list[BoolArray]) -> list[Part]:
        """What other members of the sets change, where all interactions are between pairs: those of the molecules that changed.

        A molecule that leaves the shell of a level may have been turned by waking; the potential of that level then does not know
        orientations.
        """
        parts, last = _difference(positions, self._fine, before[0], after[0]), len(self._levels) - 1
        for k, level in enumerate(self._levels):
            members = (before[k + 1], after[k + 1]) if k < last else (self._everything, self._everything)
            parts += _difference(positions, level.shell, members[0] & ~before[k], members[1] & ~after[k])
            parts += _difference(positions, level.whole, *members)
            parts += _difference(positions, [(-factor, term) for factor, term in level.removed], before[k], after[k])
        return parts

    def _sets(self, resolution: Resolution) -> list[BoolArray]:
        """Members of S_0, S_1, ... from the innermost outwards, the last but one level included."""
        inside = resolution.inside
        sets = [inside] if inside.ndim == 1 else list(inside)
        if len(sets) != len(self._levels):
            raise UserError(
                f"{len(sets)} nested sets do not fit {len(self._levels) + 1} potentials",
                "regions.inner",
                f"Give {len(self._levels) - 1} interfaces in regions.inner.",
            )
        return sets

    def _inner_levels(self, positions: FloatArray, sets: list[BoolArray]) -> list[Part]:
        """Every level but the outermost, and the sums over molecules of that one."""
        parts = [(1.0, self.fine.evaluate(positions, None if sets[0].all() else sets[0]))]
        for level, inner, members in zip(self._levels, sets, [*sets[1:], self._everything]):
            if inner.all():
                break
            parts += level.of_shell(positions, members, inner)
            if level is not self._levels[-1]:
                parts += level.of_set(positions, members) + level.of_removed(positions, inner)
        return parts

    def _reservoir(self, positions: FloatArray, sets: list[BoolArray]) -> list[Part]:
        """Interactions of the outermost level: of everything, less those within the set it surrounds."""
        if sets[-1].all():
            return []
        if self._outermost is None:
            self._outermost = self._levels[-1].of_set(positions, None)
        return self._outermost + self._levels[-1].of_removed(positions, sets[-1])
