"""Compiled interpolation of the thermodynamic force: it runs on all molecules in every step."""

from __future__ import annotations

import numba
import numpy as np

from halocline.topology import FloatArray, IntArray

Table = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""Knots (n_knots,), forces there, energies there (n_species, n_knots) and slopes (n_species, n_knots - 1)."""


@numba.njit(cache=True, error_model="numpy")
def outward_force(
    distance: FloatArray, species: IntArray, width: float, knots: FloatArray, values: FloatArray, energies: FloatArray, slopes: FloatArray
) -> tuple[float, FloatArray]:
    """Sum of the energies, and the outward force (n,) of molecules at a distance.

    The knots are the ends of the window and the bin centres between them, ``width`` apart, so that the interval follows from a
    division; a molecule outside the window costs one comparison.
    """
    force = np.zeros(len(distance))
    last = len(knots) - 1
    start, stop, second = knots[0], knots[last], knots[1]
    total = 0.0
    for i in range(len(distance)):
        d = distance[i]
        if d < start:
            continue
        kind = species[i]
        if d > stop:
            total += energies[kind, last]
            continue
        k = min(int((d - second) / width) + 1, last - 1) if d >= second else 0
        offset = d - knots[k]
        slope = slopes[kind, k]
        force[i] = values[kind, k] + slope * offset
        total += energies[kind, k] - offset * (values[kind, k] + 0.5 * slope * offset)
    return total, force
