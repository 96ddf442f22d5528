"""The integral of a thermodynamic force from a first guess and from noisy windows: weights, limits, and what it is worth."""

import math

import numpy as np
import pytest
from small_calibration import REGIONS, zero_force

from halocline.dynamics.calibration_integral import best_integral, with_integral


def test_a_guess_without_error_bar_gives_the_mean_of_the_windows():
    value, error = best_integral(9.0, math.inf, [1.0, 2.0, 4.5], [0.1, 0.1, 0.1])
    assert value == pytest.approx(2.5)
    assert error == pytest.approx(np.std([1.0, 2.0, 4.5], ddof=1) / math.sqrt(3))


def test_windows_and_a_first_value_weigh_by_their_errors():
    # They agree within their errors, so nothing scatters beyond them.
    value, error = best_integral(1.0, 0.1, [1.1, 1.1], [0.2, 0.2])
    assert error**-2 == pytest.approx(0.1**-2 + 2 * 0.2**-2)
    assert value == pytest.approx((1.0 * 100 + 1.1 * 50) / 150)


def test_one_window_far_off_a_known_value_is_taken_for_noise():
    value, error = best_integral(1.0, 0.1, [3.0], [0.05])
    assert value == pytest.approx(1.0 + 0.1**2 / 4.0 * 2.0)
    assert error < 0.1


def test_many_windows_overrule_a_wrong_first_value():
    windows = 2.0 + 0.3 * np.random.default_rng(1).normal(size=400)
    value, error = best_integral(1.0, 0.1, windows, np.full(400, 0.05))
    assert value == pytest.approx(2.0, abs=0.06)
    assert error == pytest.approx(0.3 / 20, rel=0.15)


def test_a_first_value_that_windows_exclude_together_is_dropped_even_where_each_asks_for_much():
    """Two windows ask for -1.5 and agree; what each is uncertain by, because its correction is large, does not save the guess."""
    asked, corrections = [-1.5, -1.45], [-1.5, -1.45]
    value, _ = best_integral(0.0, 0.085, asked, [0.03, 0.03], corrections)
    assert value == pytest.approx(-1.475, abs=0.05)
    assert best_integral(0.0, 0.085, asked, [0.03, 0.03], corrections) == best_integral(0.0, math.inf, asked, [0.03, 0.03], corrections)
    # One window alone may be chance, and so may two that disagree.
    assert abs(best_integral(0.0, 0.085, asked[:1], [0.03], corrections[:1])[0]) < 0.05
    assert abs(best_integral(0.0, 0.085, [-0.35, 0.05], [0.03, 0.03], [-0.35, 0.05])[0]) < 0.1


def test_windows_of_unknown_error_take_no_part():
    assert best_integral(1.0, 0.1, [3.0], [math.inf]) == (1.0, 0.1)
    assert best_integral(1.0, math.inf, [3.0, 5.0], [math.inf, math.inf]) == (4.0, math.inf)
    assert best_integral(1.0, 0.1, [9.0, 2.0, 2.1], [math.inf, 0.1, 0.1]) == best_integral(1.0, 0.1, [2.0, 2.1], [0.1, 0.1])


def test_a_window_that_is_longer_weighs_more():
    generator, lengths = np.random.default_rng(4), np.array([1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0])
    weighted, plain = [], []
    for _ in range(400):
        windows = generator.normal(size=7) / np.sqrt(lengths)
        weighted.append(best_integral(0.0, math.inf, windows, np.full(7, 0.01), lengths=lengths)[0])
        plain.append(windows.mean())
    assert np.std(weighted) == pytest.approx(1 / math.sqrt(lengths.sum()), rel=0.25)
    assert np.std(weighted) < 0.8 * np.std(plain)


def test_windows_that_are_far_from_their_own_answer_weigh_less():
    """The response M is taken for half of the truth, so a correction goes half of the way; the last windows are there already."""
    truth, current, asked, corrections = 2.0, 0.0, [], []
    for _ in range(8):
        correction = 0.5 * (truth - current)
        asked.append(current + correction)
        corrections.append(correction)
        current = best_integral(0.0, math.inf, asked, np.full(len(asked), 0.01), corrections)[0]
    assert current == pytest.approx(truth, abs=0.13)
    assert np.mean(asked) < 1.72


@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.59), (0.6, 0.45)])
def test_error_bars_hold_the_truth_in_half_to_two_thirds_of_cases(correlation, least):
    """Less than 68 %, because the scatter of eight windows is itself uncertain by a quarter; about half where neighbours correlate by 0.6.

    A standard error is 1 % here.
    """
    generator, inside = np.random.default_rng(2), 0
    for _ in range(2000):
        first, windows = generator.normal(0.0, 0.2), generator.normal(0.0, 0.5, size=8)
        for k in range(1, 8):
            windows[k] = correlation * windows[k - 1] + math.sqrt(1 - correlation**2) * windows[k]
        value, error = best_integral(first, 0.2, windows, np.full(8, 0.1))
        inside += abs(value) < error
    assert least < inside / 2000 < 0.76


def test_the_integral_is_set_without_touching_the_profile_away_from_the_border():
    force = zero_force()
    force.tables = np.random.default_rng(3).normal(size=force.tables.shape) * force.in_window()
    changed = with_integral(force, REGIONS, np.array([0.7]))
    assert changed.inward_integral()[0] == pytest.approx(0.7, rel=1e-12)
    reach = force.window[1] - REGIONS.outer
    away = np.abs(force.centres - REGIONS.outer) > reach + force.width
    np.testing.assert_array_equal(changed.tables[:, away], force.tables[:, away])


def test_the_integral_of_a_smooth_coupling_acts_all_through_the_layer():
    force = zero_force()
    changed = with_integral(force, REGIONS, np.array([0.7]), 2)
    assert changed.inward_integral()[0] == pytest.approx(0.7, rel=1e-12)
    layer = (force.centres > REGIONS.atomistic + 0.1) & (force.centres < REGIONS.outer - 0.1)
    assert np.all(changed.tables[0, layer] < 0.0)
    energy, weight = changed.energy(force.centres), REGIONS.weight(force.centres) ** 0.5
    np.testing.assert_allclose(energy[layer] / 0.7, 1.0 - weight[layer], atol=0.05)
