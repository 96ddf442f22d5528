import math

import numpy as np
import pytest
from scipy.signal import lfilter

from halocline.observables.statistics import (
    Estimate,
    block_bootstrap,
    block_error,
    difference,
    function_of_means,
    half_width,
    mean,
    propagate,
    statistical_inefficiency,
    variance,
)


def ar1(n, tau, generator):
    """Stationary unit-variance series with correlation exp(-t/tau)."""
    phi = math.exp(-1.0 / tau)
    noise = generator.normal(size=n + int(20 * tau))
    return (lfilter([1], [1, -phi], noise) * math.sqrt(1 - phi**2))[-n:]


def test_statistical_inefficiency_of_an_exponential_correlation_errs_on_the_side_of_large():
    phi = math.exp(-1.0 / 5)
    expected = (1 + phi) / (1 - phi)
    measured = np.mean([statistical_inefficiency(ar1(2000, 5, np.random.default_rng(seed))) for seed in range(20)])
    # The larger of two estimates, one of them from 16 cosines: 1/sqrt(8) = 35 % of scatter make it larger by a seventh on average.
    assert expected < measured < 1.2 * expected


@pytest.mark.parametrize("series", [np.full(50, 3.7), np.array([1.0, 2.0]), np.array([1.0, np.nan, 2.0, 3.0, 1.0]), np.zeros(0)])
def test_series_without_information_has_no_error(series):
    assert math.isnan(statistical_inefficiency(series))
    estimate = mean(series)
    assert not estimate.is_usable
    assert math.isnan(estimate.error)
    assert math.isnan(half_width(estimate))


@pytest.mark.parametrize(("n", "tau"), [(200, 1), (400, 8), (1200, 40)])
def test_interval_of_a_correlated_mean_covers_the_truth(n, tau):
    generator = np.random.default_rng(3)
    covered = []
    for _ in range(200):
        estimate = mean(ar1(n, tau, generator))
        if estimate.n_effective >= 8:
            covered.append(abs(estimate.value) < half_width(estimate))
    assert 0.88 < np.mean(covered) <= 1.0


def brownian_counts(generator, molecules=60, frames=800, step=0.035):
    """Molecules inside 30 % of a periodic box of length one while they diffuse: modes of many lifetimes, as every N(t) has."""
    positions = generator.random(molecules) + np.cumsum(step * generator.normal(size=(frames, molecules)), axis=0)
    return ((positions % 1.0) < 0.3).sum(axis=1) - 0.3 * molecules


def fast_and_slow(generator):
    """Four fifths of the variance forget within a sample; the rest lives for 50, which decides the error of the mean."""
    return math.sqrt(0.8) * ar1(1000, 0.5, generator) + math.sqrt(0.2) * ar1(1000, 50, generator)


@pytest.mark.parametrize("series", [brownian_counts, fast_and_slow])
def test_interval_of_a_mean_with_a_long_tail_covers_the_truth(series):
    generator = np.random.default_rng(8)
    estimates = [mean(series(generator)) for _ in range(200)]
    covered = np.mean([abs(estimate.value) < half_width(estimate) for estimate in estimates])
    # Three standard errors of a fraction of 0.95 among 200 are 0.046.
    assert covered > 0.95 - 0.046
    # And not by being too wide to be of use: the true scatter of the mean is known from the replicas.
    scatter = np.std([estimate.value for estimate in estimates])
    assert 0.7 * scatter < np.mean([estimate.error for estimate in estimates]) < 1.3 * scatter


def test_error_of_independent_samples_is_that_of_the_textbook():
    generator = np.random.default_rng(9)
    estimates = [mean(generator.normal(size=400)) for _ in range(100)]
    assert np.mean([estimate.error for estimate in estimates]) == pytest.approx(1 / math.sqrt(400), rel=0.12)
    assert np.mean([estimate.n_effective for estimate in estimates]) > 300
    assert all(estimate.degrees <= 16 for estimate in estimates)


def test_interval_of_a_correlated_variance_covers_the_truth():
    generator = np.random.default_rng(4)
    estimates = [variance(ar1(800, 8, generator)) for _ in range(200)]
    covered = [abs(estimate.value - 1.0) < half_width(estimate) for estimate in estimates]
    assert np.mean([estimate.value for estimate in estimates]) == pytest.approx(1.0, abs=0.03)
    assert 0.88 < np.mean(covered) <= 1.0


def test_function_of_means_agrees_with_the_delta_method_of_a_ratio():
    generator = np.random.default_rng(5)
    top, bottom = 2.0 + 0.1 * generator.normal(size=2000), 4.0 + 0.1 * generator.normal(size=2000)
    estimate = function_of_means(np.stack([top, bottom], axis=1), lambda m: m[0] / m[1])
    expected = 0.5 * math.hypot(0.1 / 2, 0.1 / 4) / math.sqrt(2000)
    assert estimate.value == pytest.approx(0.5, abs=4 * expected)
    assert estimate.error == pytest.approx(expected, rel=0.15)


def test_bootstrap_and_blocks_agree_with_the_autocorrelation_error():
    generator = np.random.default_rng(6)
    series = ar1(4000, 5, generator)
    expected = math.sqrt(10.0 / 4000)
    assert mean(series).error == pytest.approx(expected, rel=0.25)
    assert block_error(series, 20) == pytest.approx(expected, rel=0.5)
    assert block_bootstrap(series, np.mean, np.random.default_rng(1)).error == pytest.approx(expected, rel=0.3)


def test_difference_and_propagation_add_errors_in_squares():
    a, b = Estimate(3.0, 0.3, 20.0), Estimate(1.0, 0.4, 30.0)
    gap = difference(a, b)
    assert (gap.value, gap.error) == (2.0, pytest.approx(0.5))
    assert 20 < gap.n_effective < 49
    same = propagate(lambda x, y: x - y, [a, b])
    assert same.error == pytest.approx(gap.error)
    assert same.n_effective == pytest.approx(gap.n_effective)
    assert difference(a, Estimate(1.0)).n_effective == pytest.approx(20.0)
    assert propagate(lambda x: 2 * x, [Estimate(1.5)]).is_exact


def test_interval_of_few_samples_is_wider_than_two_errors():
    assert half_width(Estimate(0.0, 1.0, 10.0)) == pytest.approx(2.262, abs=1e-3)
    assert half_width(Estimate(0.0, 1.0, 10.0), 0.99) > half_width(Estimate(0.0, 1.0, 10.0))
    assert half_width(Estimate(5.0)) == 0.0


def test_derived_estimates_keep_the_samples_and_the_freedom_of_their_error_apart():
    estimate = mean(np.random.default_rng(10).normal(size=60))
    assert estimate.degrees == 6
    for derived in (difference(estimate, Estimate(0.0)), propagate(lambda x: 3.0 * x, [estimate])):
        assert derived.n_effective == pytest.approx(estimate.n_effective)
        assert derived.degrees == pytest.approx(6)
