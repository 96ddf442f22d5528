"""The integral of a thermodynamic force, from all that is known of it.

The number of molecules in AT fluctuates slowly: in a Lennard-Jones fluid by 2 % from one window of 240 ps to the next, with errors
within a window that are many times smaller. A table that follows each window follows this noise. But every window also says which
integral would have put its own density right,

    z_k = I_k + sum_j M_ij dn_j, reservoir less AT,

and the balance of momentum may have said it before the first one (docs/theory/thermodynamic-force.md). The best integral is the mean of all
of them, weighted by their errors. A window has three: what it sees itself, e_k; a part of its own correction, because M is not exactly
known; and what windows scatter beyond that, s^2 L_0/L_k for a window of length L_k. s^2 is the moment estimate of DerSimonian and Laird
(Controlled Clinical Trials 7, 177 (1986)), with the first guess as one more observation. A guess that two or more windows exclude by three
standard errors is dropped: something that it did not know of acts at the border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from halocline.adress.regions import Regions
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.topology import FloatArray

UNCERTAIN = 0.5
"""Relative error of M, and so of a window's correction z_k - I_k."""
EXCLUDED = 3.0
"""Standard errors at which windows show that a first guess was wrong."""
SMALLEST = 1e-30
"""Variance of what is said to be exact, eV^2."""
CORRELATED = 4
"""Windows from which on their correlation can be told."""

Values = Sequence[float] | FloatArray


def best_integral(
    first: float, first_error: float, asked: Values, errors: Values, corrections: Values | None = None, lengths: Values | None = None
) -> tuple[float, float]:
    """Weighted mean of a first guess and of what windows ask for, with its error, eV.

    Args:
        first, first_error: before the first window; infinite error where it is a guess.
        asked: (n_windows,) z_k. errors: standard errors as the windows see them. Windows of unknown error take no part.
        corrections: z_k - I_k; zero if not given. lengths: of the windows, in any unit; equal ones if not given.
    """
    values = np.asarray(asked, dtype=np.float64)
    known = np.isfinite(np.asarray(errors)) & np.isfinite(values)
    if not known.any():
        return (first, first_error) if math.isfinite(first_error) else (float(values.mean()), math.inf)
    length = (np.ones(len(values)) if lengths is None else np.asarray(lengths) / lengths[0])[known]
    moved = (np.zeros(len(values)) if corrections is None else np.asarray(corrections))[known]
    values, own = values[known], np.asarray(errors)[known] ** 2 + (UNCERTAIN * moved) ** 2 + SMALLEST
    prior = 0.0 if not math.isfinite(first_error) else 1.0 / (first_error**2 + SMALLEST)
    if prior and _contradicted(first, first_error, values, np.asarray(errors)[known], length):
        prior = 0.0
    weights = 1.0 / (own + _scatter(first, prior, values, own, length) / length)
    weights = weights / _inflation(values, weights)
    weight = prior + float(weights.sum())
    return float(prior * first + weights @ values) / weight, 1.0 / math.sqrt(weight)


def _contradicted(first: float, first_error: float, values: FloatArray, errors: FloatArray, length: FloatArray) -> bool:
    """Whether at least two windows agree among themselves on a value that the first guess and its error exclude."""
    if len(values) < 2:
        return False
    own = errors**2 + SMALLEST
    weights = 1.0 / (own + _scatter(0.0, 0.0, values, own, length) / length)
    distance = abs(float(weights @ values) / float(weights.sum()) - first)
    return distance > EXCLUDED * math.hypot(first_error, 1.0 / math.sqrt(float(weights.sum())))


def _scatter(first: float, prior: float, values: FloatArray, own: FloatArray, length: FloatArray) -> float:
    """s^2: what the windows scatter beyond their own errors, for one of the first length."""
    weights = 1.0 / own
    weight = prior + float(weights.sum())
    mean = (prior * first + float(weights @ values)) / weight
    observed = prior * (first - mean) ** 2 + float(weights @ (values - mean) ** 2)
    freedom = len(values) - (1 if prior == 0.0 else 0)
    scale = float((weights / length * (1.0 - weights / weight)).sum())
    return max(0.0, (observed - freedom) / scale) if scale > 0.0 else 0.0


def _inflation(values: FloatArray, weights: FloatArray) -> float:
    """(1 + r)/(1 - r) for the correlation r of neighbouring windows, if they are many enough to tell and r is positive."""
    if len(values) < CORRELATED:
        return 1.0
    residuals = (values - weights @ values / weights.sum()) * np.sqrt(weights)
    square = float(residuals @ residuals)
    # The mean was taken from the same windows, which makes r too small by about 1/n.
    correlation = float(residuals[1:] @ residuals[:-1]) / square + 1.0 / len(values) if square > 0 else 0.0
    correlation = min(max(correlation, 0.0), 0.8)
    return (1.0 + correlation) / (1.0 - correlation)


def with_integral(force: ThermodynamicForce, regions: Regions, integral: FloatArray, weight_power: int = 0) -> ThermodynamicForce:
    """The same profile with another integral (n_species,), eV; the difference acts where the interactions change."""
    strip = force.copy(np.zeros_like(force.tables))
    strip.start_about(regions, np.ones(len(force.species)), weight_power)
    missing = integral - force.inward_integral()
    return force.copy(force.tables + missing[:, None] * strip.tables)
