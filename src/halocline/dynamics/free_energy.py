"""Free energies from samples of a chain of potentials: MBAR and BAR on samples that are independent of each other.

Shirts and Chodera, J. Chem. Phys. 129, 124105 (2008), doi 10.1063/1.2978177; Bennett, J. Comput. Phys. 22, 245 (1976), doi
10.1016/0021-9991(76)90078-4. Correlated samples are thinned by their statistical inefficiency (10.1021/ct0502864).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halocline.errors import UserError
from halocline.topology import FloatArray

LEAST_OVERLAP = 0.03
"""Of neighbouring windows, below which errors are not to be trusted (Klimovich, Shirts and Mobley, 10.1007/s10822-015-9840-9)."""
FEWEST_SAMPLES = 20
"""Independent samples of a window, below which its error is not known."""


@dataclass(frozen=True)
class FreeEnergyChain:
    """Free energies along a chain of windows; everything in the unit of kT.

    Attributes:
        values: (n,) of each window relative to the first, by MBAR.
        errors: (n,) standard errors of the values.
        steps: (n - 1,) differences of neighbours by BAR, which uses neighbouring windows alone.
        step_errors: (n - 1,) of these.
        overlap: (n - 1,) of neighbouring windows, 0 to about 0.5.
        n_samples: (n,) independent samples.
        warning: what makes the result doubtful, or nothing.
    """

    values: FloatArray
    errors: FloatArray
    steps: FloatArray
    step_errors: FloatArray
    overlap: FloatArray
    n_samples: FloatArray
    warning: str


def free_energy_chain(energies: Sequence[FloatArray]) -> FreeEnergyChain:
    """Free energies of windows from samples of all of them.

    Args:
        energies: one (n_samples, n_windows) array for each window, equally spaced in time: energies over kT of its samples in
            the potentials of all windows. What all potentials have in common may be left out.

    Raises:
        UserError: fewer than two windows, an array of another width, or energies that are not numbers.
    """
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    from pymbar import MBAR

    n = len(energies)
    if n < 2 or any(block.ndim != 2 or block.shape[1] != n or len(block) < 2 for block in energies):
        shapes = ", ".join(str(block.shape) for block in energies)
        raise UserError(f"{n} windows with energies of shape {shapes}", "free energies", "Give (n_samples, n_windows) for each window.")
    if not all(np.isfinite(block).all() for block in energies):
        raise UserError("energies are not finite", "free energies", "Look for overlapping sites in the samples.")
    thinned = [block[_independent(block, k)] for k, block in enumerate(energies)]
    counts = np.array([len(block) for block in thinned])
    mbar = MBAR(np.concatenate(thinned).T, counts)
    result = mbar.compute_free_energy_differences()
    matrix = mbar.compute_overlap()["matrix"]
    # The smaller of both directions: windows differ in their number of samples.
    overlap = np.array([min(matrix[k, k + 1], matrix[k + 1, k]) for k in range(n - 1)])
    steps = np.array([_bar(thinned[k], thinned[k + 1], k) for k in range(n - 1)])
    # Windows without any overlap have no error: nothing is known, and no NaN is passed on.
    errors = np.nan_to_num(result["dDelta_f"][0], nan=np.inf)
    return FreeEnergyChain(
        result["Delta_f"][0],
        errors,
        steps[:, 0],
        np.nan_to_num(steps[:, 1], nan=np.inf),
        overlap,
        counts.astype(np.float64),
        _warning(overlap, counts),
    )


def _independent(block: FloatArray, window: int) -> list[int]:
    """Rows of samples that are independent in what tells the window from its neighbours."""
    from pymbar import timeseries

    neighbours = [k for k in (window - 1, window + 1) if 0 <= k < block.shape[1]]
    inefficiency = 1.0
    for k in neighbours:
        # Bounded: one overlap of 1e10 kT would hide every correlation of the others.
        series = np.clip(block[:, k] - block[:, window], -100.0, 100.0)
        if np.ptp(series) > 0:
            inefficiency = max(inefficiency, float(timeseries.statistical_inefficiency(series)))
    return list(timeseries.subsample_correlated_data(block[:, window], g=inefficiency))


def _bar(first: FloatArray, second: FloatArray, k: int) -> tuple[float, float]:
    from pymbar import bar

    result = bar(first[:, k + 1] - first[:, k], second[:, k] - second[:, k + 1])
    return float(result["Delta_f"]), float(result["dDelta_f"])


def _warning(overlap: FloatArray, counts: FloatArray) -> str:
    if overlap.min() < LEAST_OVERLAP:
        k = int(overlap.argmin())
        return f"windows {k} and {k + 1} overlap by {overlap[k]:.3f}, less than {LEAST_OVERLAP}: put another one between them"
    if counts.min() < FEWEST_SAMPLES:
        k = int(counts.argmin())
        return f"window {k} has {counts[k]} independent samples, fewer than {FEWEST_SAMPLES}: sample longer"
    return ""


def sum_with_error(values: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Sum of independent numbers and its standard error."""
    return float(np.sum(values)), math.sqrt(float(np.sum(np.square(errors))))
