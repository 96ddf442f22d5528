"""Iterative Boltzmann inversion: a pair potential of beads whose liquid has a given g(r).

Reith, Pütz and Müller-Plathe, J. Comput. Chem. 24, 1624 (2003), doi 10.1002/jcc.10307:

    U_0(r) = -kT ln g(r)
    U_{i+1}(r) = U_i(r) + c kT ln(g_i(r) / g(r))

Both are known only where molecules are found. Inside, U goes on from the slope where g ends and grows steeper, so that beads keep
the distance at which the molecules repel each other: the contact of molecules matters more to a reservoir than their attraction.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from halocline.errors import RunFailure
from halocline.topology import FloatArray

RARE = 0.02
"""g below which its logarithm is noise."""
STEEPENING = 0.2
"""Å over which the slope doubles inside the core."""
LARGEST_STEP = 2.0
"""Largest |ln(g_i/g)| that one iteration acts upon."""
SMOOTHING = 1.0
"""Bins, standard deviation of the Gaussian that smooths a correction."""


def direct_inversion(r: FloatArray, g: FloatArray, kT: float) -> FloatArray:
    """(n,) potential of mean force in eV, zero at the last distance, with a core where g vanishes.

    Args:
        r: (n,) distances, Å, evenly spaced.
        g: (n,) target.
        kT: eV.

    Raises:
        RunFailure: g vanishes everywhere.
    """
    potential = np.zeros(len(r))
    known = g > RARE
    potential[known] = -kT * np.log(g[known])
    return finish(r, potential, g, kT)


def iterate(r: FloatArray, potential: FloatArray, found: FloatArray, target: FloatArray, kT: float, fraction: float = 0.7) -> FloatArray:
    """The next potential, (n,) in eV.

    Args:
        r: (n,) Å.
        potential: (n,) that gave ``found``, eV.
        found, target: (n,) radial distributions.
        kT: eV.
        fraction: c, damping.
    """
    known = target > RARE
    logarithm = np.zeros(len(r))
    logarithm[known] = np.log(np.maximum(found[known], 1e-6) / target[known])
    correction = gaussian_filter1d(np.clip(logarithm, -LARGEST_STEP, LARGEST_STEP), SMOOTHING, mode="nearest")
    # A purely repulsive core must not be smeared outwards: correct only what is known.
    return finish(r, potential + np.where(known, fraction * kT * correction, 0.0), target, kT)


def finish(r: FloatArray, potential: FloatArray, target: FloatArray, kT: float) -> FloatArray:
    """The same potential with a core below the first distance at which the target is known, and zero at the last distance."""
    known = np.flatnonzero(target > RARE)
    if len(known) < 4:
        raise RunFailure(
            f"g(r) is above {RARE:g} in {len(known)} bins only", "iterative Boltzmann inversion", "Lengthen coarse_table.reference."
        )
    result, first, width = potential.copy(), known[0], float(r[1] - r[0])
    ends = result[first : first + 3]
    slope = max(float(ends[0] - ends[-1]) / (width * (len(ends) - 1)), kT / width / 10.0)
    depth = r[first] - r[:first]
    result[:first] = result[first] + slope * depth * (1.0 + 0.5 * depth / STEEPENING)
    return result - result[-1]


def mismatch(r: FloatArray, found: FloatArray, target: FloatArray) -> float:
    """Mean |g_i - g| over the distances."""
    return float(np.trapezoid(np.abs(found - target), r) / (r[-1] - r[0]))
