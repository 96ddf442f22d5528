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
    # The windows scatter by less than they say: their own errors count.
    value, error = best_integral(1.0, 0.1, [2.0, 2.0], [0.2, 0.2])
    assert error**-2 == pytest.approx(0.1**-2 + 2 * 0.2**-2)
    assert value == pytest.approx((1.0 * 100 + 2.0 * 50) / 150)


def test_one_window_far_off_a_known_value_is_taken_for_noise():
    value, error = best_integral(1.0, 0.1, [3.0], [0.05])
    assert value == pytest.approx(1.0 + 0.1**2 / 4.0 * 2.0)
    assert error < 0.1


def test_many_windows_overrule_a_wrong_first_value():
    windows = 2.0 + 0.3 * np.random.default_rng(1).normal(size=400)
    value, error = best_integral(1.0, 0.1, windows, np.full(400, 0.05))
    assert value == pytest.approx(2.0, abs=0.06)
    assert error == pytest.approx(0.3 / 20, rel=0.1)


def test_windows_of_unknown_error_leave_the_first_value_alone():
    assert best_integral(1.0, 0.1, [3.0], [math.inf]) == (1.0, 0.1)
    assert best_integral(1.0, math.inf, [3.0, 5.0], [math.inf, 0.1]) == (4.0, math.inf)


def test_error_bars_hold_the_truth_in_almost_two_thirds_of_cases():
    generator, inside = np.random.default_rng(2), 0
    for _ in range(2000):
        first, windows = generator.normal(0.0, 0.2), generator.normal(0.0, 0.5, size=8)
        value, error = best_integral(first, 0.2, windows, np.full(8, 0.1))
        inside += abs(value) < error
    # Less than 68 %, because the scatter of eight windows is itself uncertain by a quarter; the standard error here is 1 %.
    assert 0.59 < inside / 2000 < 0.70


def test_the_integral_is_set_without_touching_the_profile_away_from_the_border():
    force = zero_force()
    force.tables = np.random.default_rng(3).normal(size=force.tables.shape) * force.in_window()
    changed = with_integral(force, REGIONS, np.array([0.7]))
    assert changed.inward_integral()[0] == pytest.approx(0.7, rel=1e-12)
    reach = force.window[1] - REGIONS.outer
    away = np.abs(force.centres - REGIONS.outer) > reach + force.width
    np.testing.assert_array_equal(changed.tables[:, away], force.tables[:, away])
