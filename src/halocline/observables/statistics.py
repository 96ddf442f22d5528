"""Errors of time averages: correlated samples, nonlinear functions of averages, differences.

Every error is one standard error that knows about time correlation, and every estimate carries the number of independent
samples behind it. Intervals use Student's t with the degrees of freedom behind the error itself, since many runs hold only ten
independent samples. See docs/theory/statistics.md.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.fft import dct
from scipy.stats import t as student

from halocline.topology import FloatArray

MAX_GROUPS = 400
"""Jackknife groups; more cost time and no longer change the error."""
MIN_SAMPLES = 4
"""Fewer rows than this give no error at all."""
COSINES = (6, 16)
"""Fewest and most cosines that an error rests on."""
SAMPLES_PER_COSINE = 10.0
"""Independent samples that a further cosine asks for: the spectrum must be flat up to the fastest of them."""


@dataclass(frozen=True)
class Estimate:
    """A value and what is known about it.

    Attributes:
        value: in whatever unit the caller uses.
        error: one standard error; None for an exact number (a target, a count), NaN where the data do not give one.
        n_effective: independent samples behind the value, (spread of one sample / error)^2; infinite for exact numbers.
        freedom: degrees of freedom of the error itself, for Student's t; n_effective - 1 unless the error is known less well.
    """

    value: float
    error: float | None = None
    n_effective: float = math.inf
    freedom: float | None = None

    @property
    def is_exact(self) -> bool:
        return self.error is None

    @property
    def is_usable(self) -> bool:
        """Whether value and error can support a statement: a sampled error of zero or NaN cannot."""
        if not math.isfinite(self.value):
            return False
        return self.error is None or (math.isfinite(self.error) and self.error > 0 and math.isfinite(self.n_effective))

    @property
    def degrees(self) -> float:
        """Degrees of freedom for Student's t."""
        return self.n_effective - 1.0 if self.freedom is None else self.freedom

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit."""
        error = None if self.error is None else abs(factor) * self.error
        return replace(self, value=factor * self.value, error=error)


def statistical_inefficiency(series: FloatArray) -> float:
    """Number of consecutive samples that are worth one independent one, at least 1.

    Args:
        series: (n,) equally spaced samples.

    Returns:
        g = S(0)/sigma^2 of :func:`mean`, or NaN where it cannot be known: fewer than four samples, a constant series, or values
        that are not finite.
    """
    values = np.asarray(series, dtype=np.float64)
    estimate = mean(values)
    return len(values) / estimate.n_effective if estimate.n_effective > 0 else math.nan


def mean(series: FloatArray) -> Estimate:
    """Time average of (n,) correlated samples, with an error that sees slow fluctuations.

    The squared error is S(0)/n, and the spectral density S(0) at zero frequency is the mean square of the B slowest cosine
    components of the series: they are independent and Gaussian, so that mean/error follows Student's t with B degrees of freedom
    (Lazarus, Lewis, Stock and Watson, 10.1080/07350015.2018.1506926). The usual sum of the autocorrelation up to its first zero
    (Chodera et al., 10.1021/ct0502864) alone misses long tails: that of a short series crosses zero too early. It is a lower
    bound, since few cosines can look small by chance. B grows with the number of independent samples, see :data:`COSINES`.

    Returns:
        error NaN and n_effective zero for series that say nothing, see :func:`statistical_inefficiency`.
    """
    values = np.asarray(series, dtype=np.float64)
    count = len(values)
    average = float(values.mean()) if count else math.nan
    spread = float(values.std()) if count else 0.0
    if count < MIN_SAMPLES or not np.all(np.isfinite(values)) or spread <= 1e-13 * float(np.abs(values).max(initial=0.0)):
        return Estimate(average, math.nan, 0.0)
    fast = _sum_to_first_zero(values)
    cosines = min(int(np.clip(count / fast / SAMPLES_PER_COSINE, *COSINES)), count - 1)
    slowest = dct(values, type=2, norm="ortho")[1 : cosines + 1]
    # fast is at least 1: alternating series do not get a smaller error than independent samples.
    square = max(float((slowest**2).mean()), fast * float(values.var(ddof=1))) / count
    # The mean of the series moves with it, which takes square out of the variance seen about that mean.
    n_effective = min((spread**2 + square) / square, float(count))
    return Estimate(average, math.sqrt(square), n_effective, min(float(cosines), n_effective - 1.0))


def _sum_to_first_zero(values: FloatArray) -> float:
    """g = 1 + 2 sum_t C(t) up to the first zero of the autocorrelation C, at least 1."""
    # pymbar writes advice to the log on import, and is slow to import.
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    from pymbar import timeseries

    return max(1.0, float(timeseries.statistical_inefficiency(values)))


def variance(series: FloatArray, known_mean: float | None = None) -> Estimate:
    """Variance of (n,) correlated samples, without the bias of the correlated mean.

    The error comes from the series of squared deviations. It is not allowed below that of a Gaussian variable whose squares
    decorrelate twice as fast as itself, since few excursions in a short run can look deceptively even.

    Args:
        series: (n,).
        known_mean: where the mean is known beforehand (a closed homogeneous box); no bias then.
    """
    values = np.asarray(series, dtype=np.float64)
    independent = mean(values).n_effective
    if independent == 0.0:
        return Estimate(float(values.var()) if len(values) else math.nan, math.nan, 0.0)
    centre = float(values.mean()) if known_mean is None else known_mean
    squares = mean((values - centre) ** 2)
    if independent <= 1.0:
        return Estimate(squares.value, math.nan, 0.0)
    correction = independent / (independent - 1.0) if known_mean is None else 1.0
    value = squares.value * correction
    n_effective = min(squares.n_effective, 2.0 * independent)
    gaussian = value * math.sqrt(2.0 / max(n_effective - 1.0, 1.0))
    sampled = (squares.error or math.nan) * correction
    error = max(gaussian, sampled) if math.isfinite(sampled) else math.nan
    return Estimate(value, error, n_effective, min(squares.degrees, n_effective - 1.0))


def function_of_means(columns: FloatArray, function: Callable[[FloatArray], float]) -> Estimate:
    """A smooth function of several time averages, with the error of the whole.

    Jackknife pseudo-values theta_t = N f(all) - (N - 1) f(all but t) turn any function into a time series whose mean it is; that
    series then gets the same treatment of correlation as a plain average (Miller, 10.1093/biomet/61.1.1).

    Args:
        columns: (n, k) samples; row t holds everything measured in frame t.
        function: (k,) averages -> value.
    """
    rows = np.asarray(columns, dtype=np.float64)
    if len(rows) == 0:
        return Estimate(math.nan, math.nan, 0.0)
    value = float(function(rows.mean(axis=0)))
    size = math.ceil(len(rows) / MAX_GROUPS)
    count = len(rows) // size
    if count < MIN_SAMPLES:
        return Estimate(value, math.nan, 0.0)
    groups = rows[: count * size].reshape(count, size, -1).mean(axis=1)
    total = groups.sum(axis=0)
    left_out = np.array([function((total - group) / (count - 1)) for group in groups])
    pseudo = count * float(function(total / count)) - (count - 1) * left_out
    return replace(mean(pseudo), value=value)


def column_errors(columns: FloatArray) -> FloatArray:
    """(k,) standard errors of the averages of (n, k) samples; NaN for constant columns. For error bands of curves."""
    return np.array([np.nan if (error := mean(column).error) is None else error for column in np.asarray(columns).T])


def block_means(series: FloatArray, blocks: int) -> FloatArray:
    """(blocks, ...) averages of equal consecutive parts of (n, ...) samples; a remainder at the start is dropped."""
    values = np.asarray(series, dtype=np.float64)
    size = len(values) // blocks
    return values[len(values) - size * blocks :].reshape(blocks, size, *values.shape[1:]).mean(axis=1)


def block_error(series: FloatArray, blocks: int = 10) -> float:
    """Standard error from block averages: a second opinion that assumes nothing about the correlation function.

    It is only as good as the blocks are long, and itself uncertain by 1/sqrt(2 (blocks - 1)).
    """
    if len(series) < 2 * blocks:
        return math.nan
    return float(block_means(series, blocks).std(ddof=1) / math.sqrt(blocks))


def block_bootstrap(
    series: FloatArray, statistic: Callable[[FloatArray], float], generator: np.random.Generator, samples: int = 200
) -> Estimate:
    """Standard error of any statistic of (n, ...) correlated samples by the circular block bootstrap.

    Blocks are as long as two statistical inefficiencies of the first principal direction of the data (Politis and Romano, 1992).

    Args:
        series: (n,) or (n, k).
        statistic: of an array of that shape.
        generator: source of randomness.
        samples: number of resampled series.
    """
    values = np.asarray(series, dtype=np.float64)
    flat = values.reshape(len(values), -1) if len(values) else np.zeros((0, 1))
    direction = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][0] if len(flat) >= MIN_SAMPLES else np.ones(flat.shape[1])
    g = statistical_inefficiency(flat @ direction)
    if not math.isfinite(g):
        return Estimate(float(statistic(values)) if len(values) else math.nan, math.nan, 0.0)
    count = len(values)
    length = min(count, max(1, round(2 * g)))
    blocks = math.ceil(count / length)
    starts = generator.integers(0, count, size=(samples, blocks))
    rows = ((starts[:, :, None] + np.arange(length)) % count).reshape(samples, -1)[:, :count]
    spread = float(np.std([statistic(values[row]) for row in rows], ddof=1))
    return Estimate(float(statistic(values)), spread, count / g)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second of independent estimates, with Welch-Satterthwaite numbers of samples and degrees of freedom."""
    errors = [estimate for estimate in (first, second) if estimate.error is not None]
    if not errors:
        return Estimate(first.value - second.value)
    terms = [((estimate.error or 0.0) ** 2, estimate) for estimate in errors]
    return _combined(first.value - second.value, terms)


def _combined(value: float, terms: Sequence[tuple[float, Estimate]]) -> Estimate:
    """An estimate with the sum of the given parts of its variance, each from one independent estimate (Welch and Satterthwaite)."""
    square = sum(part for part, _ in terms)

    def number(of: Callable[[Estimate], float]) -> float:
        weights = sum(part**2 / max(of(estimate), 1e-9) for part, estimate in terms)
        return square**2 / weights if weights > 0 else 0.0

    n_effective = number(lambda estimate: estimate.n_effective - 1.0) + 1.0
    return Estimate(value, math.sqrt(square), n_effective, number(lambda estimate: estimate.degrees))


def half_width(estimate: Estimate, confidence: float = 0.95) -> float:
    """Half the confidence interval by Student's t; zero for an exact number, NaN where nothing is known."""
    if estimate.error is None:
        return 0.0
    if not estimate.is_usable or estimate.degrees <= 0.0:
        return math.nan
    return float(student.ppf(0.5 + 0.5 * confidence, estimate.degrees)) * estimate.error


def propagate(function: Callable[..., float], inputs: Sequence[Estimate]) -> Estimate:
    """A smooth function of independent estimates, to first order; the number of samples is Welch-Satterthwaite's.

    Derivatives are central differences over half an error.
    """
    values = [estimate.value for estimate in inputs]
    value, terms = float(function(*values)), []
    for index, estimate in enumerate(inputs):
        if estimate.error is None:
            continue
        if not estimate.is_usable:
            return Estimate(value, math.nan, 0.0)
        step = 0.5 * estimate.error
        high, low = (function(*values[:index], values[index] + sign * step, *values[index + 1 :]) for sign in (1, -1))
        terms.append((((high - low) / (2 * step) * estimate.error) ** 2, estimate))
    return _combined(value, terms) if terms else Estimate(value)
