"""Molecules of one neutral site: their kernel against the general one, against a formula, and against itself."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from site_sums import random_box

from halocline.molecules.base import Molecule, Nonbonded
from halocline.potentials.base import Evaluation
from halocline.potentials.classical import ClassicalMolecules
from halocline.state import State

LARGE, SMALL, GHOST = (Molecule(name, "one site", (element,), ((0.0, 0, 0),)) for name, element in (("l", "Ar"), ("s", "Ne"), ("g", "He")))
SITES = {"l": (Nonbonded(0.0, 3.4, 0.0104),), "s": (Nonbonded(0.0, 2.8, 0.005),), "g": (Nonbonded(0.0, 0.0, 0.0),)}


def mixture(seed: int = 1) -> State:
    return random_box([(LARGE, 60), (SMALL, 50), (GHOST, 15)], 19.0, seed, jitter=0.6)


def make(state: State, precision: str = "double", **options) -> ClassicalMolecules:
    potential = ClassicalMolecules(7.0, "none", precision=precision, parameters=SITES, **options)
    potential.bind(state.topology, state.cell)
    assert potential._single_sites
    return potential


@pytest.mark.parametrize(("precision", "tolerance"), [("double", 1e-13), ("single", 2e-6)])
@pytest.mark.parametrize("cap", [math.inf, 0.2])
def test_the_kernel_of_single_sites_agrees_with_the_general_one(precision: str, tolerance: float, cap: float) -> None:
    state = mixture()
    one, general = make(state, precision, force_cap=cap), make(state, precision, force_cap=cap)
    general._single_sites = False
    weights = np.clip(np.random.default_rng(2).uniform(-0.4, 1.4, state.topology.n_molecules), 0, 1)
    subsets = [None, weights > 0.2, weights > 0.9]
    pairs = [(one.evaluate(state.positions, s, True), general.evaluate(state.positions, s, True)) for s in subsets]
    pairs += [tuple(p.evaluate_weighted(state.positions, weights, rule) for p in (one, general)) for rule in sorted(one.rules)]
    for found, expected in pairs:
        scale = np.abs(expected.forces).max()
        assert found.energy == pytest.approx(expected.energy, abs=tolerance * np.abs(expected.sites).sum())
        assert found.forces == pytest.approx(expected.forces, abs=tolerance * scale)
        assert found.sites == pytest.approx(expected.sites, abs=tolerance * np.abs(expected.sites).max())
        assert (found.capped == expected.capped).all()
        if expected.virial is not None:
            assert found.virial == pytest.approx(expected.virial, abs=tolerance * 19.0 * scale)
    assert bool(pairs[0][1].capped.any()) is math.isfinite(cap)
    assert (pairs[0][0].forces != 0).any()


def test_two_molecules_have_the_energy_and_the_force_of_the_formula_across_a_face() -> None:
    state = random_box([(LARGE, 1), (SMALL, 1)], 20.0, 3)
    positions = np.array([[0.4, 5.0, 5.0], [16.9 + 20.0, 5.0, 5.0]])
    found = make(state).evaluate(positions)
    r, s, e = 3.5, 3.1, math.sqrt(0.0104 * 0.005)
    x, y = (s / r) ** 6, (s / 7.0) ** 6
    assert found.energy == pytest.approx(4 * e * (x * x - x - y * y + y), rel=1e-12)
    assert found.forces[0] == pytest.approx([24 * e / r * (2 * x * x - x), 0, 0], abs=1e-14)
    assert (found.forces[1] == -found.forces[0]).all()
    assert found.sites == pytest.approx([0.5 * found.energy] * 2, rel=1e-12)


def test_two_sites_at_one_point_push_each_other_in_no_direction() -> None:
    state = random_box([(LARGE, 2)], 20.0, 3)
    found = make(state, force_cap=0.5).evaluate(np.full((2, 3), 4.0))
    assert (found.forces == 0).all()
    assert (found.capped == 1).all()
    assert math.isfinite(found.energy)


def test_more_neighbours_than_a_batch_holds_are_all_seen() -> None:
    state = random_box([(LARGE, 1800)], 14.1, 5, jitter=0.1)
    one, general = make(state, force_cap=0.2), make(state, force_cap=0.2)
    general._single_sites = False
    found, expected = one.evaluate(state.positions), general.evaluate(state.positions)
    assert one._list.longest > 1040
    assert found.forces == pytest.approx(expected.forces, abs=1e-12 * np.abs(expected.forces).max())
    assert found.energy == pytest.approx(expected.energy, rel=1e-12)
    assert (found.capped == expected.capped).all()


def of_threads(n_threads: int) -> Evaluation:
    """Single precision on so many threads, the same bits from an aged list and a fresh one."""
    state, before = mixture(8), numba.get_num_threads()
    step = np.random.default_rng(9).normal(scale=0.05, size=state.positions.shape)
    try:
        numba.set_num_threads(n_threads)
        aged, fresh = make(state, "single", skin=1.9), make(state, "single", skin=0.4)
        for k in range(4):
            old = aged.evaluate(state.positions + k * step)
        new = fresh.evaluate(state.positions + 3 * step)
    finally:
        numba.set_num_threads(before)
    assert aged.builds == 1
    assert old.energy == new.energy
    assert (old.forces == new.forces).all()
    assert (old.sites == new.sites).all()
    return new


def test_bits_do_not_depend_on_the_age_of_the_list() -> None:
    of_threads(1)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba has one thread")
def test_two_threads_agree_with_one() -> None:
    one, two = of_threads(1), of_threads(2)
    assert two.forces == pytest.approx(one.forces, abs=2e-6 * np.abs(one.forces).max())
    assert two.energy == pytest.approx(one.energy, rel=1e-9)


def test_a_charge_calls_for_the_general_kernel() -> None:
    state = mixture()
    potential = ClassicalMolecules(7.0, "reaction-field", parameters={**SITES, "g": (Nonbonded(0.1, 3.0, 0.001),)})
    potential.bind(state.topology, state.cell)
    assert not potential._single_sites
