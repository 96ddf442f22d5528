"""Subtractive coupling: which pairs interact, jumps, momentum, and what is evaluated."""

import numpy as np
import pytest
from brute_force import ARGON, HarmonicWell, PairLennardJones, lattice_fluid, monatomic

from halocline.adress.coupling.base import Coupling
from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Resolution, Slab
from halocline.adress.surface_error import surface_error
from halocline.molecules.base import Nonbonded
from halocline.potentials.base import Zero
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.pair_table import PairTable
from halocline.registry import available, get
from halocline.state import State

CELL = np.diag([60.0, 20.0, 20.0])
SLAB = Slab(30.0, 5.0, 5.0, 0.0, 60.0)


def fine(cutoff: float = 8.0) -> PairLennardJones:
    return PairLennardJones(ARGON["epsilon"], ARGON["sigma"], cutoff)


def bound(fine_potential, coarse, state: State) -> SubtractiveCoupling:
    coupling = SubtractiveCoupling(fine_potential, coarse)
    coupling.bind(state.topology, state.cell)
    return coupling


def pair(x: float, y: float) -> State:
    return State(np.array([[x, 5.0, 5.0], [y, 5.0, 5.0]]), CELL, monatomic(2))


def members(state: State) -> Resolution:
    return Resolution.of(SLAB, state.topology, state.positions)


@pytest.mark.parametrize(
    ("x", "y", "interacts"),
    [(33.0, 36.8, True), (35.5, 39.3, True), (36.0, 40.5, False), (38.0, 42.0, False), (45.0, 49.0, False)],
    ids=["AT-transition", "transition-transition", "AT side-tracer", "transition-tracer", "tracer-tracer"],
)
def test_abrupt_rule_with_tracers(x, y, interacts):
    state = pair(x, y)
    result = bound(fine(), Zero(), state).evaluate(state.positions, members(state))
    assert bool(result.energy != 0.0) is interacts
    assert bool(np.any(result.forces != 0.0)) is interacts


def test_crossing_makes_the_energy_jump_by_the_pair_energy():
    state = pair(36.2, 40.0 - 5e-10)
    coupling = bound(fine(), Zero(), state)
    before = coupling.evaluate(state.positions, members(state))
    moved = state.with_positions(state.positions + np.array([[0.0, 0, 0], [1e-9, 0, 0]]))
    after, jump = coupling.change(moved.positions, before, members(moved))
    exact = fine()._value(np.array([40.0 - 36.2]))[0]
    assert before.energy == pytest.approx(exact, rel=1e-6)
    assert jump == pytest.approx(-exact, rel=1e-6)
    np.testing.assert_array_equal(after.forces, 0.0)


def test_pairs_outside_are_coarse_and_pairs_inside_are_fine():
    state = lattice_fluid((12, 4, 4), 4.0)
    coarse = PairLennardJones(0.5 * ARGON["epsilon"], ARGON["sigma"], 7.5)
    regions = Slab(24.0, 6.0, 6.0, 0.0, 48.0)
    inside = regions.initial_inside(regions.distance(state.centres_of_mass))
    total = bound(fine(7.5), coarse, state).evaluate(state.positions, Resolution(inside))
    strong, weak = fine(7.5), PairLennardJones(0.5 * ARGON["epsilon"], ARGON["sigma"], 7.5)
    strong.bind(state.topology, state.cell), weak.bind(state.topology, state.cell)
    # eps 0.5 everywhere plus another eps 0.5 between members of S1.
    expected = weak.evaluate(state.positions).energy + 0.5 * strong.evaluate(state.positions, inside).energy
    assert total.energy == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("reservoir", ["tracer", "weaker", "wells"])
def test_forces_are_the_gradient_at_fixed_membership(reservoir):
    state = lattice_fluid((6, 3, 3), 4.0, seed=4, jitter=0.3)
    regions = Slab(12.0, 3.0, 4.0, 0.0, 24.0)
    inside = regions.initial_inside(regions.distance(state.centres_of_mass))
    wells = HarmonicWell(0.1, state.positions + 0.2)
    coarse = {"tracer": Zero(), "weaker": PairLennardJones(0.005, 3.2, 5.5), "wells": wells + PairLennardJones(0.005, 3.2, 5.5)}[reservoir]
    coupling = bound(fine(5.9), coarse, state)
    forces = np.array(coupling.evaluate(state.positions, Resolution(inside)).forces)
    generator, step = np.random.default_rng(5), 1e-5
    for _ in range(3):
        direction = generator.normal(size=forces.shape)
        plus = coupling.evaluate(state.positions + step * direction, Resolution(inside)).energy
        minus = coupling.evaluate(state.positions - step * direction, Resolution(inside)).energy
        assert -(plus - minus) / (2 * step) == pytest.approx(float((forces * direction).sum()), rel=1e-6, abs=1e-9)
    if reservoir != "wells":
        assert np.abs(forces.sum(0)).max() < 1e-12 * np.abs(forces).sum()


def test_identical_potentials_never_jump_and_forces_ignore_membership():
    state = lattice_fluid((8, 3, 3), 4.0, seed=6, jitter=0.3)
    coupling = bound(fine(5.9), fine(5.9), state)
    reference = coupling.evaluate(state.positions, Resolution(np.ones(72, dtype=bool)))
    generator = np.random.default_rng(7)
    for _ in range(5):
        inside = generator.random(72) < 0.5
        result, jump = coupling.change(state.positions, reference, Resolution(inside))
        assert jump == pytest.approx(0.0, abs=1e-12)
        np.testing.assert_allclose(result.forces, reference.forces, atol=1e-12)


def test_everything_inside_is_the_fine_potential_alone():
    state = lattice_fluid((6, 3, 3), 4.0)
    coarse = PairLennardJones(0.3, 3.0, 5.9)
    coupling, plain = bound(fine(5.9), coarse, state), fine(5.9)
    plain.bind(state.topology, state.cell)
    result, exact = coupling.evaluate(state.positions, Resolution(np.ones(54, dtype=bool))), plain.evaluate(state.positions)
    assert result.energy == exact.energy
    np.testing.assert_array_equal(result.forces, exact.forces)
    assert coarse.calls == []


def test_sums_over_molecules_are_evaluated_outside_alone():
    state = lattice_fluid((6, 3, 3), 4.0)
    wells = HarmonicWell(0.1, state.positions)
    coupling = bound(fine(5.9), wells, state)
    inside = np.arange(54) < 20
    coupling.evaluate(state.positions, Resolution(inside))
    assert wells.calls == [34]


def test_a_crossing_does_not_evaluate_the_whole_box_again():
    state = lattice_fluid((6, 3, 3), 4.0)
    coarse = PairLennardJones(0.005, 3.2, 5.9)
    coupling = bound(fine(5.9), coarse, state)
    inside = np.arange(54) < 20
    old = coupling.evaluate(state.positions, Resolution(inside))
    coupling.change(state.positions, old, Resolution(np.arange(54) < 21))
    assert coarse.calls == [54]


def test_a_crossing_of_pairwise_potentials_evaluates_nothing_but_its_pairs(monkeypatch):
    state, calls = lattice_fluid((6, 3, 3), 4.0), []
    table = PairTable.from_functions({("argon", "argon"): lambda r: 0.04 * ((3.2 / r) ** 12 - (3.2 / r) ** 6)}, 2.0, 5.9, 400)
    coupling = SubtractiveCoupling(table, Zero())
    coupling.bind(state.topology, state.cell)
    inside = np.arange(54) < 20
    old, whole = coupling.evaluate(state.positions, Resolution(inside)), PairTable.evaluate
    monkeypatch.setattr(PairTable, "evaluate", lambda self, *arguments: calls.append(1) or whole(self, *arguments))
    new, jump = coupling.change(state.positions, old, Resolution(np.arange(54) < 21))
    assert not calls
    again = coupling.evaluate(state.positions, Resolution(np.arange(54) < 21))
    assert calls
    assert new.forces == pytest.approx(again.forces, abs=1e-12)
    assert jump == pytest.approx(again.energy - old.energy, abs=1e-12)


def test_capped_pairs_are_counted_once():
    state = pair(36.0, 37.5)
    capped = PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 8.0, cap=0.5)
    coupling = bound(capped, PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 8.0, cap=0.5), state)
    for inside in ([True, True], [True, False], [False, False]):
        np.testing.assert_array_equal(coupling.evaluate(state.positions, Resolution(np.array(inside))).capped, [1, 1])


def test_coupling_is_discovered():
    assert issubclass(get("couplings", "subtractive"), Coupling)
    assert available("couplings")["subtractive"].summary


def test_surface_is_felt_within_the_cutoff_and_no_deeper_for_pairs():
    state = lattice_fluid((12, 4, 4), 4.0, seed=8, jitter=0.3)
    regions = Slab(24.0, 6.0, 6.0, 0.0, 48.0)
    inside = regions.initial_inside(regions.distance(state.centres_of_mass))
    coupling = bound(fine(5.5), Zero(), state)
    result = surface_error(coupling, [(state.positions, inside)], state.topology, regions)
    assert result.largest_atomistic == 0.0
    shallow, deep = result.depth < 2.0, result.depth > 5.5
    assert np.nanmax(result.error[shallow]) > 0.01
    assert np.nanmax(result.error[deep]) == 0.0
    assert result.count.sum() == inside.sum()


def classical(epsilon: float, precision: str = "double") -> ClassicalMolecules:
    return ClassicalMolecules(5.9, "none", force_cap=0.5, precision=precision, parameters={"argon": (Nonbonded(0.0, 3.4, epsilon),)})


def beads() -> PairTable:
    return PairTable.from_functions({("argon", "argon"): lambda r: 0.01 * (3.0 / r) ** 9}, 2.0, 5.5, 300, force_cap=1.0)


@pytest.mark.parametrize("stack", ["tracers", "beads", "wells", "three levels"])
def test_a_change_by_the_pairs_of_those_who_change_is_that_of_two_evaluations(stack):
    state = lattice_fluid((6, 4, 4), 3.6, seed=6, jitter=0.4)
    n, rng = state.topology.n_molecules, np.random.default_rng(7)
    coarser = {
        "tracers": [Zero()],
        "beads": [beads()],
        "wells": [HarmonicWell(0.1, state.positions + 0.2)],
        "three levels": [classical(0.004), beads() + HarmonicWell(0.1, state.positions)],
    }[stack]
    coupling, fresh = (SubtractiveCoupling(classical(0.0104), *coarser) for _ in range(2))
    for one in (coupling, fresh):
        one.bind(state.topology, state.cell)
    rank = rng.permutation(n)
    inside = np.stack([rank < 40, rank < 70])[-len(coarser) :]
    old = coupling.evaluate(state.positions, Resolution(inside.squeeze()))
    for flips in (1, 3, 8):  # one change after the other: what was kept must follow
        inside = inside.copy()
        movers = rng.choice(n, flips, replace=False)
        inside[-1, movers] ^= True
        inside[0] = inside[0] & inside[-1] if len(inside) > 1 else inside[0]
        new, jump = coupling.change(state.positions, old, Resolution(inside.squeeze()))
        expected = fresh.evaluate(state.positions, Resolution(inside.squeeze()))
        assert new.energy == pytest.approx(expected.energy, abs=1e-11 * max(1.0, abs(expected.energy)))
        assert jump == pytest.approx(expected.energy - old.energy, abs=1e-11 * max(1.0, abs(expected.energy)))
        assert jump != 0.0
        np.testing.assert_allclose(new.forces, expected.forces, rtol=0, atol=1e-11 * np.abs(expected.forces).max())
        np.testing.assert_array_equal(new.capped, expected.capped)
        old = new


def test_a_change_from_an_evaluation_of_somebody_else_is_evaluated_in_full():
    state = lattice_fluid((6, 4, 4), 3.6, seed=6, jitter=0.4)
    coupling, inside = bound(classical(0.0104), Zero(), state), np.arange(96) < 50
    other = coupling.evaluate(state.positions, Resolution(np.arange(96) < 20))
    coupling.evaluate(state.positions, Resolution(np.arange(96) < 30))
    new, jump = coupling.change(state.positions, other, Resolution(inside))
    expected = coupling.fine.evaluate(state.positions, inside)
    assert new.energy == expected.energy
    assert jump == expected.energy - other.energy
