"""Tabulated pair potentials of centres of mass against the functions they were made of and against explicit sums."""

from __future__ import annotations

import math
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline
from site_sums import pair_factors, random_box, slope_along

from halocline.errors import UserError
from halocline.molecules.base import Molecule, build_topology
from halocline.molecules.lj import LJ
from halocline.molecules.spce import SPCE
from halocline.potentials.pair_table import PairTable, pair_energies
from halocline.state import State

ATOM = Molecule("atom", "one site", ("Ar",), ((0.0, 0, 0),))
FUNCTIONS = {
    ("spce", "spce"): lambda r: 0.3 * np.exp(-2 * (r - 2.5)) - 0.02 * np.exp(-((r - 4.0) ** 2)),
    ("atom", "spce"): lambda r: 0.5 * (2.8 / r) ** 9,
    ("atom", "atom"): lambda r: 0.04 * ((3.0 / r) ** 12 - (3.0 / r) ** 6),
}


def box(seed: int = 0) -> State:
    return random_box([(SPCE, 40), (ATOM, 40)], 16.0, seed)


def make(state: State, **options) -> PairTable:
    potential = PairTable.from_functions(FUNCTIONS, 2.0, 7.0, 400, **options)
    potential.bind(state.topology, state.cell)
    return potential


def explicit(state: State, table: PairTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, n) energies, (n, n, 3) forces on the second molecule and (n, n) capped pairs, from splines through the same knots."""
    knots = table.start + table.spacing * np.arange(400)
    splines = {pair: CubicHermiteSpline(knots, table.values[pair], table.slopes[pair]) for pair in FUNCTIONS}
    topology, edges = state.topology, np.diag(state.cell)
    centres = topology.centres_of_mass(state.positions)
    n = topology.n_molecules
    energies, forces, capped = np.zeros((n, n)), np.zeros((n, n, 3)), np.zeros((n, n), dtype=int)
    for a in range(n):
        for b in range(a + 1, n):
            delta = centres[b] - centres[a]
            delta -= edges * np.round(delta / edges)
            r = float(np.linalg.norm(delta))
            if r < 7.0:
                names = [topology.species[topology.molecule_species[m]] for m in (a, b)]
                spline = splines[tuple(sorted(names))]
                inner = max(r, 2.0)
                slope = float(spline(inner, 1))
                energies[a, b] = float(spline(inner)) + slope * (r - inner)
                forces[a, b] = -slope * delta / r
                capped[a, b] = r < 2.0
    return energies, forces, capped


def test_the_table_is_its_function_and_ends_at_zero() -> None:
    topology = random_box([(ATOM, 2)], 16.0, 0).topology
    function = FUNCTIONS[("atom", "atom")]
    table = PairTable.from_functions({("atom", "atom"): function}, 2.0, 7.0, 800)
    table.bind(topology, np.eye(3) * 16)
    for r in np.linspace(2.3, 6.99, 37):
        result = table.evaluate(np.array([[15.5, 1.0, 0.0], [15.5 + r, 1.0, 0.0]]))
        assert result.energy == pytest.approx(function(r) - function(7.0), abs=1e-7)
        assert -result.forces[1, 0] == pytest.approx((function(r + 1e-5) - function(r - 1e-5)) / 2e-5, abs=1e-5)
    assert table.evaluate(np.array([[0.0, 0, 0], [7.01, 0, 0]])).energy == 0
    inside = table.evaluate(np.array([[0.0, 0, 0], [1.0, 0, 0]]))
    rim = table.evaluate(np.array([[0.0, 0, 0], [2.0, 0, 0]]))
    assert inside.forces[1, 0] == pytest.approx(rim.forces[1, 0], rel=1e-12)
    assert inside.energy == pytest.approx(rim.energy + rim.forces[1, 0], rel=1e-12)
    assert inside.capped.tolist() == [1, 1]
    assert rim.capped.tolist() == [0, 0]


@pytest.mark.parametrize("cap", [math.inf, 0.05])
def test_forces_are_the_gradient_add_up_to_zero_and_act_on_centres(cap: float) -> None:
    state = box(1)
    potential = make(state, force_cap=cap)
    result = potential.evaluate(state.positions, virial=True)
    direction = np.random.default_rng(2).normal(size=state.positions.shape)
    slope = slope_along(lambda x: potential.evaluate(x).energy, state.positions, direction, 1e-6)
    assert slope == pytest.approx(-float((result.forces * direction).sum()), rel=1e-6)
    assert np.abs(result.forces.sum(axis=0)).max() < 1e-11
    assert (result.capped.sum() > 0) == math.isfinite(cap) or result.capped.sum() > 0
    accelerations = result.forces / state.topology.masses[:, None]
    for first, last in zip(state.topology.offsets[:-1], state.topology.offsets[1:]):
        assert accelerations[first:last] == pytest.approx(np.tile(accelerations[first], (last - first, 1)))
    h, energies = 1e-6, []
    centres = state.topology.centres_of_mass(state.positions)[state.topology.molecule_of_atom]
    for factor in (1 + h, 1 - h):
        strained = PairTable.from_functions(FUNCTIONS, 2.0, 7.0, 400, force_cap=cap)
        strained.bind(state.topology, state.cell * factor)
        energies.append(strained.evaluate(state.positions + (factor - 1) * centres).energy)
    assert result.virial is not None
    assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(float(np.trace(result.virial)), rel=1e-5)


def test_the_repulsion_of_a_pair_never_exceeds_the_cap() -> None:
    topology = random_box([(ATOM, 2)], 16.0, 0).topology
    table = PairTable.from_functions({("atom", "atom"): FUNCTIONS[("atom", "atom")]}, 2.0, 7.0, 400, force_cap=0.2)
    table.bind(topology, np.eye(3) * 16)
    for r in np.linspace(0.05, 6.9, 80):
        result = table.evaluate(np.array([[0.0, 0, 0], [0, r, 0]]))
        assert result.forces[1, 1] <= 0.2 * (1 + 1e-12)
        assert (result.capped > 0).all() == (result.forces[1, 1] > 0.2 * (1 - 1e-9))


def test_weighted_energies_are_those_of_an_explicit_sum() -> None:
    state = box(3)
    potential = make(state)
    pairs, pair_forces, hits = explicit(state, potential)
    weights = np.random.default_rng(4).uniform(size=80)
    weights[:25], weights[25:40] = 0.0, 1.0
    centres = state.topology.molecule_of_atom
    share = state.topology.masses / state.topology.molecule_masses[centres]
    for rule in ("site", "product", "complement"):
        factor = np.triu(pair_factors(weights, rule), 1)
        result = potential.evaluate_weighted(state.positions, weights, rule)
        scaled = factor[:, :, None] * pair_forces
        on_molecules = scaled.sum(axis=0) - scaled.sum(axis=1)
        assert result.energy == pytest.approx(float((factor * pairs).sum()), rel=1e-10)
        assert result.forces == pytest.approx(share[:, None] * on_molecules[centres], abs=1e-10 * np.abs(on_molecules).max())
        counted = np.where(factor != 0, hits, 0)
        assert (result.capped == counted.sum(axis=0) + counted.sum(axis=1)).all()
        if rule == "site":
            assert result.energy == pytest.approx(float(weights @ result.sites), rel=1e-12)
    ones, zeros = np.ones(80), np.zeros(80)
    whole = potential.evaluate(state.positions)
    assert potential.evaluate_weighted(state.positions, ones, "product").energy == whole.energy
    assert potential.evaluate_weighted(state.positions, zeros, "complement").energy == pytest.approx(whole.energy, rel=1e-12)
    assert potential.evaluate_weighted(state.positions, ones, "complement").energy == 0.0
    assert whole.sites.sum() == pytest.approx(whole.energy, rel=1e-12)


def test_a_subset_is_the_box_of_its_molecules_and_threads_and_lists_agree() -> None:
    state = box(5)
    chosen = state.topology.centres_of_mass(state.positions)[:, 0] % 16 < 9
    part = make(state).evaluate(state.positions, chosen)
    alone = state.select(np.flatnonzero(chosen))
    expected = make(alone).evaluate(alone.positions)
    assert part.energy == pytest.approx(expected.energy, rel=1e-12)
    assert part.forces[state.topology.atom_mask(chosen)] == pytest.approx(expected.forces, abs=1e-13)
    aged = make(state)
    for k in range(4):
        old = aged.evaluate(state.positions * (1 + 0.002 * k))
    new = make(state).evaluate(state.positions * (1 + 0.002 * 3))
    assert old.energy == new.energy
    assert (old.forces == new.forces).all()
    before = numba.get_num_threads()
    large = random_box([(SPCE, 600)], 28.0, 6)
    results = []
    for n_threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(n_threads)
        results.append(make(large).evaluate(large.positions))
    numba.set_num_threads(before)
    assert results[0].energy == pytest.approx(results[1].energy, rel=1e-12)
    assert results[0].forces == pytest.approx(results[1].forces, abs=1e-12)


def test_a_table_survives_its_file_and_wrong_tables_are_refused(tmp_path: Path) -> None:
    state = box(7)
    table = make(state)
    table.save(tmp_path / "table.npz")
    again = PairTable.load(tmp_path / "table.npz")
    again.bind(state.topology, state.cell)
    assert again.evaluate(state.positions).energy == table.evaluate(state.positions).energy
    with pytest.raises(UserError, match="no table for the pair"):
        PairTable(2.0, 0.1, {("spce", "spce"): np.zeros(50)}).bind(state.topology, state.cell)
    with pytest.raises(UserError, match="both orders"):
        PairTable(2.0, 0.1, {("a", "b"): np.zeros(50), ("b", "a"): np.zeros(50)})
    with pytest.raises(UserError, match="holds NaN"):
        PairTable(2.0, 0.1, {("a", "b"): np.full(50, np.nan)}, {("a", "b"): np.zeros(50)})


@pytest.mark.parametrize("cap", [math.inf, 0.4])
def test_energies_of_a_pair_are_those_of_two_beads(cap: float) -> None:
    pairs = [("lj", "lj"), ("lj", "spce"), ("spce", "spce")]
    made = PairTable.from_functions({pair: lambda r: 2.0 * np.exp(-r) - 0.5 * np.exp(-r / 2) for pair in pairs}, 0.5, 7.0)
    table = PairTable(made.start, made.spacing, {**made.values, pairs[1]: 2.0 * made.values[pairs[1]]}, force_cap=cap)
    table.bind(build_topology([(LJ, 1), (SPCE, 1)]), 20.0 * np.eye(3))
    distances = np.array([0.1, 0.45, 0.5, 0.8, 1.3, 3.33, 6.999, 7.5])
    geometry = np.array(SPCE.geometry) - SPCE.masses @ np.array(SPCE.geometry) / SPCE.mass
    moved = geometry + np.array([5.0, 5.0, 5.0]) + distances[:, None, None] * np.array([1.0, 0.0, 0.0])
    found = [table.evaluate(np.concatenate([np.full((1, 3), 5.0), place])).energy for place in moved]
    assert pair_energies(table, "spce", "lj", distances) == pytest.approx(np.array(found), abs=1e-12)
    with pytest.raises(UserError, match="no table for the pair lj-ion"):
        pair_energies(table, "lj", "ion", distances)
