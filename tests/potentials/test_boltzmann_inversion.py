"""Boltzmann inversion recovers potentials where theory says what g(r) is, and stays put where nothing is wrong."""

import numpy as np
import pytest

from halocline.errors import RunFailure
from halocline.potentials.boltzmann_inversion import RARE, direct_inversion, iterate, mismatch

KT = 0.02568
R = np.arange(0.05, 8.0001, 0.05)


def morse(r: np.ndarray) -> np.ndarray:
    """A well of 0.8 kT at 3 A with a repulsive core, zero at the end of the range."""
    energy = 0.8 * KT * ((1.0 - np.exp(-2.0 * (r - 3.0))) ** 2 - 1.0)
    return energy - energy[-1]


def test_a_dilute_gas_is_inverted_exactly_where_molecules_are_found() -> None:
    g = np.exp(-morse(R) / KT)
    found = direct_inversion(R, g, KT)
    known = g > RARE
    np.testing.assert_allclose(found[known], morse(R)[known], atol=1e-12)
    assert found[-1] == 0.0


def test_the_core_below_the_known_distances_is_repulsive_and_ever_steeper() -> None:
    g = np.exp(-morse(R) / KT)
    found = direct_inversion(R, g, KT)
    first = int(np.argmax(g > RARE))
    slopes = -np.diff(found[: first + 1])
    assert first > 20
    assert (slopes > 0).all()
    assert (np.diff(slopes) < 0).all(), "steeper inwards"
    assert found[0] > found[first] + 20.0 * KT


def test_a_liquid_that_has_the_structure_asked_for_keeps_its_potential() -> None:
    g = np.exp(-morse(R) / KT)
    potential = direct_inversion(R, g, KT)
    np.testing.assert_allclose(iterate(R, potential, g, g, KT), potential, atol=1e-12)


def test_where_beads_crowd_the_potential_rises() -> None:
    g = np.exp(-morse(R) / KT)
    crowded = g * (1.0 + 0.5 * np.exp(-(((R - 3.0) / 0.5) ** 2)))
    potential = direct_inversion(R, g, KT)
    moved = iterate(R, potential, crowded, g, KT, fraction=0.5) - potential
    at_peak = int(np.argmin(np.abs(R - 3.0)))
    assert moved[at_peak] == pytest.approx(0.5 * KT * np.log(1.5), rel=0.05)
    assert np.abs(moved[R > 5.0]).max() < 1e-3 * KT


def test_iterations_converge_in_a_fluid_with_a_linear_response() -> None:
    # A model fluid: ln g = -U/kT + h with a fixed many-body part h, so that every iteration leaves the fraction 1 - c of the error.
    many_body = 0.3 * np.cos(2 * np.pi * R / 3.0) * np.exp(-R / 4.0)
    target = np.exp(-morse(R) / KT)
    potential, errors = direct_inversion(R, target, KT), []
    for _ in range(8):
        found = np.exp(-potential / KT + many_body - many_body[-1])
        errors.append(mismatch(R, found, target))
        potential = iterate(R, potential, found, target, KT)
    assert errors[-1] < 0.1 * errors[0]


def test_a_run_without_pairs_is_refused() -> None:
    with pytest.raises(RunFailure, match=r"coarse_table\.reference"):
        direct_inversion(R, np.zeros(len(R)), KT)
