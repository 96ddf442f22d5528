"""What a few molecules add to a subset: E(members) - E(members without them), by their pairs alone or by two evaluations."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import HarmonicWell, PairLennardJones
from site_sums import random_box

from halocline.molecules.base import Molecule, Nonbonded
from halocline.molecules.spce import SPCE
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.kernels.neighbour_loops import pairs_of
from halocline.potentials.kernels.neighbours import NeighbourList
from halocline.potentials.pair_table import PairTable

ATOM = Molecule("atom", "one site", ("Ar",), ((0.0, 0, 0),))
SITES = {"spce": SPCE.nonbonded, "atom": (Nonbonded(0.0, 3.4, 0.0104),)}
MIXTURE, ATOMS = random_box([(SPCE, 60), (ATOM, 60)], 17.0, 1), random_box([(ATOM, 120)], 17.0, 2)


def table() -> PairTable:
    return PairTable.from_functions({("atom", "atom"): lambda r: 0.04 * ((3.0 / r) ** 12 - (3.0 / r) ** 6)}, 2.0, 7.0, 400, force_cap=1.0)


POTENTIALS = {
    "molecules": (MIXTURE, lambda: ClassicalMolecules(6.0, force_cap=0.5, precision="double", parameters=SITES)),
    "single sites": (ATOMS, lambda: ClassicalMolecules(7.0, "none", force_cap=0.5, precision="double", parameters=SITES)),
    "table": (ATOMS, table),
    "pairs by two evaluations": (ATOMS, lambda: PairLennardJones(0.0104, 3.4, 7.0)),
    "sum over molecules": (ATOMS, lambda: HarmonicWell(0.1, ATOMS.positions + 0.3)),
}


@pytest.mark.parametrize("name", POTENTIALS)
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_part_adds_the_difference_of_the_energies_with_and_without_it(name: str, share: float) -> None:
    state, potential = POTENTIALS[name][0], POTENTIALS[name][1]()
    potential.bind(state.topology, state.cell)
    rng, n = np.random.default_rng(3), state.topology.n_molecules
    members = rng.random(n) < share
    for size in (1, 5, 0):
        part = np.zeros(n, dtype=bool)
        part[rng.choice(np.flatnonzero(members), size, replace=False)] = True
        found = potential.of_part(state.positions, members, part)
        whole, rest = potential.evaluate(state.positions, members), potential.evaluate(state.positions, members & ~part)
        assert found.energy == pytest.approx(whole.energy - rest.energy, abs=1e-11 * max(1.0, abs(whole.energy)))
        assert found.forces == pytest.approx(whole.forces - rest.forces, abs=1e-11 * np.abs(whole.forces).max())
        assert (found.capped == whole.capped - rest.capped).all()
        if len(found.sites):
            assert found.sites == pytest.approx(whole.sites - rest.sites, abs=1e-11 * np.abs(whole.sites).max())


def test_the_pairs_of_a_part_are_those_with_a_site_in_it() -> None:
    rng = np.random.default_rng(4)
    points, selected, part = rng.uniform(0, 12, (90, 3)), rng.random(90) < 0.7, rng.random(90) < 0.1
    start, neighbours = NeighbourList(4.0, np.full(3, 12.0)).candidates(points, np.ones(90, dtype=bool))
    pairs = [(i, int(j)) for i in range(90) for j in neighbours[start[i] : start[i + 1]]]
    expected = [(i, j) for i, j in pairs if selected[i] and selected[j] and (part[i] or part[j])]
    starts, found = pairs_of(part, selected, start, neighbours)
    assert [(i, int(j)) for i in range(90) for j in found[starts[i] : starts[i + 1]]] == expected
    assert 0 < len(expected) < len(pairs)
