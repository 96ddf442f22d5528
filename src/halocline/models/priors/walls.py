"""How pair forces go on beyond the distances that were sampled."""

from __future__ import annotations

import numpy as np

from halocline.topology import FloatArray

LARGEST_FORCE = 60.0
"""eV/Å, end of every wall: a larger one could not be integrated anyway."""


def continue_between(r: FloatArray, force: FloatArray, low: float, wall: float, width: float) -> FloatArray:
    """Force between molecules with a wall below ``low``; repulsion is positive.

    The fit is held at its value at ``low``; the wall adds (wall/width) [exp(x) - 1 - x], x = (low - r)/width, whose value
    and slope vanish at ``low``. The force therefore grows monotonically towards shorter distances.

    Args:
        r: (n,) Å.
        force: (n,) eV/Å, the fit, already constant below ``low``.
        low: Å, shortest distance at which the fit is trusted.
        wall, width: eV and Å.

    Returns:
        (n,) eV/Å, at most :data:`LARGEST_FORCE`.
    """
    x = np.clip((low - r) / width, 0.0, 50.0)
    return np.minimum(force + wall / width * (np.exp(x) - 1.0 - x), max(LARGEST_FORCE, float(force.max())))


def continue_within(r: FloatArray, force: FloatArray, low: float, high: float, cutoff: float) -> FloatArray:
    """Force within a molecule, confining on both sides of the window [low, high]; repulsion is positive.

    Outside the window the force goes on linearly with a spring constant of at least 10 eV/Å^2, up to a plateau that
    exceeds what the window holds, so that stretching costs ever more energy; over the last 0.6 Å before the end of the
    table the force falls smoothly to zero, which no molecule ever reaches.

    Args:
        r: (n,) Å.
        force: (n,) eV/Å, the fit, already constant outside the window.
        low, high: Å, window.
        cutoff: Å, end of the table.
    """
    inside = (r >= low) & (r <= high)
    plateau = max(6.0, 1.5 * float(np.abs(force[inside]).max(initial=0.0)))
    at_low, at_high = float(np.interp(low, r, force)), float(np.interp(high, r, force))
    width = 0.2 * (high - low)
    spring_low = max(10.0, (at_low - float(np.interp(low + width, r, force))) / max(width, 1e-6))
    spring_high = max(10.0, (float(np.interp(high - width, r, force)) - at_high) / max(width, 1e-6))
    result = force.copy()
    below, above = r < low, r > high
    result[below] = np.minimum(at_low + spring_low * (low - r[below]), max(plateau, LARGEST_FORCE))
    result[above] = np.maximum(at_high - spring_high * (r[above] - high), -plateau)
    x = np.clip((cutoff - r) / 0.6, 0.0, 1.0)
    return result * np.where(r > high, x**3 * (10 - 15 * x + 6 * x**2), 1.0)
