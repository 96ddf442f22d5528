"""The integral of a thermodynamic force, from all that is known of it.

The number of molecules in AT fluctuates slowly: in a Lennard-Jones fluid by 2 % from one window of 240 ps to the next, with errors
within a window that are many times smaller. A table that follows each window follows this noise. But every window also says which
integral would have put its own density right,

    z_k = I_k + sum_j M_ij dn_j, AT less reservoir,

and the balance of momentum said it before the first one (docs/theory/thermodynamic-force.md). The best integral is the mean of all of them,
weighted by their errors; that of the z_k is taken from how they scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from halocline.adress.regions import Regions
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.topology import FloatArray


def best_integral(
    first: float, first_error: float, asked: Sequence[float] | FloatArray, errors: Sequence[float] | FloatArray
) -> tuple[float, float]:
    """Weighted mean of a first guess and of what windows ask for, with its error, eV.

    Args:
        first, first_error: before the first window; infinite error where it is a guess.
        asked: (n_windows,) z_k. errors: standard errors as the windows see them, the least that is believed.
    """
    values, count = np.asarray(asked, dtype=np.float64), len(asked)
    seen = float(np.mean(np.square(errors)))
    # One window cannot scatter: what it is off the first guess, beyond the error of that, is its own.
    scatter = float(values.var(ddof=1)) if count > 1 else float((values[0] - first) ** 2) - first_error**2
    variance = max(seen, scatter)
    known = 0.0 if not math.isfinite(first_error) else 1.0 / max(first_error**2, 1e-30)
    if not math.isfinite(variance):
        return (first, first_error) if known else (float(values.mean()), math.inf)
    weight = known + count / max(variance, 1e-30)
    return (known * first + count / max(variance, 1e-30) * float(values.mean())) / weight, 1.0 / math.sqrt(weight)


def with_integral(force: ThermodynamicForce, regions: Regions, integral: FloatArray) -> ThermodynamicForce:
    """The same profile with another integral (n_species,), eV; the difference is a constant force about the border."""
    strip = force.copy(np.zeros_like(force.tables))
    strip.start_about(regions, np.ones(len(force.species)))
    missing = integral - force.inward_integral()
    return force.copy(force.tables + missing[:, None] * strip.tables)
