"""Mean and error of a correlated series."""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import ArrayLike


def mean_and_error(series: ArrayLike) -> tuple[float, float, float]:
    """Mean, standard error and effective number of samples of a correlated series.

    The statistical inefficiency is that of pymbar (J. Chem. Theory Comput. 3, 26 (2007)). With fewer than four effective
    samples the correlation time itself is not known, so the error is the standard deviation, as of a single sample. One value,
    or values that never changed, have an infinite error: nothing has been seen of how they fluctuate.
    """
    # pymbar writes advice to the log on import, and is slow to import.
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    from pymbar import timeseries

    values = np.asarray(series, dtype=np.float64)
    if len(values) < 2:
        return float(values.mean()) if len(values) else math.nan, math.inf, float(len(values))
    if np.ptp(values) == 0.0:
        return float(values[0]), math.inf, 1.0
    effective = len(values) / float(timeseries.statistical_inefficiency(values))
    spread = float(values.std(ddof=1))
    error = spread / math.sqrt(effective) if effective >= 4 else spread
    return float(values.mean()), error, effective
