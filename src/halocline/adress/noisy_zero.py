"""Zero of a rising function of ln n that is known at a few points with errors, and curved by about as much as chemical potentials are."""

from __future__ import annotations

import math

import numpy as np

IDEAL, DILUTE, DENSE = 0.0, 1.0, 4.0
"""Relative change of d mu/d ln n with ln n: of kT ln n; of a second virial coefficient; of liquids, where it is 3 to 6. Hard spheres of
packing 0.4 have 3.6; where a bulk modulus rises by 5 to 7 times the pressure, as in most liquids, it is 4 to 6."""
CURVATURE = 5.0
"""Error of an evaluation far from the zero for what is not known of that, generously: y dx times this."""
REFINEMENTS = 3
"""Of the zero of a line through points that are made straight around it."""
SIGNIFICANT = 2.0
"""Standard errors by which a function must rise, or leave a target on one side, to be believed."""
Point = tuple[float, float, float]
"""ln n, a residual that rises with ln n and shall be zero, and its error."""


def crossing(known: list[Point], lower: Point, upper: Point, curvature: float) -> float:
    """Where to look next: the zero of the line, kept within the bracket; of the bracket's own line where the fit leaves it."""
    root = line(known, curvature)[1]
    if lower[0] < root < upper[0]:
        return root
    fraction = min(0.9, max(0.1, -lower[1] / (upper[1] - lower[1]))) if upper[1] > lower[1] else 0.5
    return lower[0] + fraction * (upper[0] - lower[0])


def line(known: list[Point], curvature: float) -> tuple[float, float, float]:
    """Slope, zero and error of the zero of a line through all points, weighted by their errors, after these were made straight.

    The function curves upwards, so both ends of a bracket lie above its tangent; a line through the points as they are has its zero too
    low, by up to half its error. What a curve y = s [exp(c dx) - 1]/c with the zero x0, slope s and curvature c gives at dx = x - x0 is
    s dx after multiplication by c dx/[exp(c dx) - 1]. What is not known of c is an error y dx times :data:`CURVATURE` on top.
    """
    x, y, _ = (np.array(column) for column in zip(*known))
    root = float(x[np.argmin(np.abs(y))])
    for _ in range(REFINEMENTS):
        slope, root, error = _fit(known, root, curvature)
    return slope, root, error


def _fit(known: list[Point], root: float, curvature: float) -> tuple[float, float, float]:
    """Slope, zero and its error, from points that are made straight around a first guess of the zero."""
    x, y, error = (np.array(column) for column in zip(*known))
    bent = curvature * (x - root)
    bent = np.where(np.abs(bent) < 1e-9, 1e-9, bent)
    y, error = y * bent / np.expm1(bent), np.hypot(error, CURVATURE * np.abs(y * (x - root)))
    middle = float(np.average(x, weights=error**-2))
    design = np.column_stack([np.ones(len(x)), x - middle]) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    offset, slope = covariance @ design.T @ (y / error)
    slope_error, correlation = math.sqrt(covariance[1, 1]), covariance[0, 1]
    if not slope > SIGNIFICANT * slope_error:
        # Points closer to each other than their noise: the ends of the bracket, between which it rises, know better.
        (start, low, low_error), (end, high, high_error) = known[:2]
        slope, slope_error, correlation = (high - low) / (end - start), math.hypot(low_error, high_error) / (end - start), 0.0
    ratio = offset / slope
    variance = covariance[0, 0] - 2 * ratio * correlation + (ratio * slope_error) ** 2
    return float(slope), middle - float(ratio), math.sqrt(max(float(variance), 0.0)) / float(slope)
