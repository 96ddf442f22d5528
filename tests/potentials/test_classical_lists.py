"""Classical molecules: precision, threads, subsets and age of the neighbour list change nothing."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from classical_systems import ELECTROSTATICS, SALT, make
from site_sums import random_box

from halocline.molecules.spce import SPCE


def test_single_precision_agrees_with_double_to_a_hundred_thousandth() -> None:
    state = random_box([(SPCE, 125)], 15.6, 7)
    shifted = state.positions + 80.0
    for name, options in ELECTROSTATICS.items():
        single, double = (make(state, 5.5, precision, **options).evaluate(shifted) for precision in ("single", "double"))
        scale = np.sqrt((double.forces**2).mean())
        assert np.abs(single.forces - double.forces).max() < 1e-5 * max(scale, np.abs(double.forces).max()), name
        assert np.sqrt(((single.forces - double.forces) ** 2).mean()) < 1e-5 * scale, name
        assert single.energy == pytest.approx(double.energy, abs=1e-5 * np.abs(double.sites).sum()), name


def test_two_threads_agree_with_one_and_each_repeats_itself_whatever_the_age_of_the_list() -> None:
    state = random_box([(SPCE, 216)], 18.7, 8)
    before = numba.get_num_threads()
    counts = [1, min(2, numba.config.NUMBA_NUM_THREADS)]
    try:
        results = []
        for n_threads in counts:
            numba.set_num_threads(n_threads)
            aged, fresh = make(state, 7.0, "single", skin=1.5), make(state, 7.0, "single", skin=0.5)
            step = np.random.default_rng(9).normal(scale=0.05, size=(216, 3)).repeat(3, axis=0)
            for k in range(4):
                old = aged.evaluate(state.positions + k * step)
            new = fresh.evaluate(state.positions + 3 * step)
            assert old.energy == new.energy
            assert (old.forces == new.forces).all()
            assert (old.sites == new.sites).all()
            results.append(new)
        assert results[0].forces == pytest.approx(results[-1].forces, abs=2e-6 * np.abs(results[0].forces).max())
        assert results[0].energy == pytest.approx(results[-1].energy, rel=1e-10)
    finally:
        numba.set_num_threads(before)


def test_a_subset_feels_only_itself_and_border_crossings_seldom_rebuild_the_list() -> None:
    state = random_box([(SPCE, 216)], 18.7, 10)
    topology = state.topology
    x = topology.centres_of_mass(state.positions)[:, 0] % 18.7
    chosen = (x > 2) & (x < 9)
    potential = make(state, 7.0)
    part = potential.evaluate(state.positions, chosen, virial=True)
    index = np.flatnonzero(chosen)
    alone = state.select(index)
    expected = make(alone, 7.0).evaluate(alone.positions, virial=True)
    assert part.energy == pytest.approx(expected.energy, rel=1e-12)
    assert part.forces[topology.atom_mask(chosen)] == pytest.approx(expected.forces, abs=1e-12)
    assert part.virial == pytest.approx(expected.virial, abs=1e-12)
    assert (part.forces[~topology.atom_mask(chosen)] == 0).all()
    builds = potential.builds
    assert builds == 1
    for border in (9.3, 8.7, 9.8, 1.5):
        subset = (x > 2) & (x < border)
        moved = state.positions + np.where(topology.atom_mask(x > 14), 3.0, 0.0)[:, None]
        expected = make(state, 7.0).evaluate(moved, subset)
        assert potential.evaluate(moved, subset).energy == pytest.approx(expected.energy, rel=1e-12, abs=1e-12)
    assert potential.builds == builds, "neither fast molecules outside nor molecules that step in rebuild the list"


def test_molecules_wider_than_the_list_expected_are_still_seen() -> None:
    state = random_box([(SALT, 27)], 24.0, 12)
    potential = make(state, 6.0)
    potential.evaluate(state.positions)
    topology = state.topology
    centres = topology.centres_of_mass(state.positions)[topology.molecule_of_atom]
    stretched = centres + 1.6 * (state.positions - centres)
    assert potential.evaluate(stretched).energy == make(state, 6.0).evaluate(stretched).energy
