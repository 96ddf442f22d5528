"""Mean and error of a correlated series."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

# pymbar writes advice to the log on import.
logging.getLogger("pymbar").setLevel(logging.ERROR)


def mean_and_error(series: ArrayLike) -> tuple[float, float, float]:
    """Mean, standard error and effective number of samples of a correlated series.

    The statistical inefficiency is that of pymbar (J. Chem. Theory Comput. 3, 26 (2007)). With fewer than four effective
    samples the correlation time itself is not known, so the error is the standard deviation, as of a single sample. One value,
    or values that never changed, have an infinite error: nothing has been seen of how they fluctuate.
    """
    # pymbar is slow to import.
    from pymbar import timeseries

    values = np.asarray(series, dtype=np.float64)
    if len(values) < 2:
        return float(values.mean()) if len(values) else math.nan, math.inf, float(len(values))
    if np.ptp(values) == 0.0:
        return float(values[0]), math.inf, 1.0
    return _summary(values, float(timeseries.statistical_inefficiency(values)))


def mean_and_error_of_runs(runs: Sequence[ArrayLike]) -> tuple[float, float, float]:
    """As :func:`mean_and_error`, from independent runs of the same system.

    The correlation function is taken about the common mean of all runs, so that runs which differ by more than their own
    fluctuations (correlations longer than a run) make the error larger.
    """
    series = [np.asarray(run, dtype=np.float64) for run in runs]
    values = np.concatenate(series)
    if len(series) == 1 or len(values) < 2 or np.ptp(values) == 0.0:
        return mean_and_error(values)
    from pymbar import timeseries

    # Runs that differ never lose their correlation about the common mean: long ones are summed at growing intervals of the lag.
    return _summary(values, float(timeseries.statistical_inefficiency_multiple(series, fast=len(values) > 2000)))


def _summary(values: np.ndarray, inefficiency: float) -> tuple[float, float, float]:
    effective = len(values) / inefficiency
    spread = float(values.std(ddof=1))
    error = spread / math.sqrt(effective) if effective >= 4 else spread
    return float(values.mean()), error, effective
