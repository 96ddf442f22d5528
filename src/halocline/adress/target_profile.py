"""Density that the thermodynamic force shall hold where AT is not as dense as the box.

A closed box keeps its molecules: what AT and Δ have more than the box, the reservoir has less. The density is n0 up to the border of Δ
and falls to that of the reservoir over the strip in which the force acts,

    n(d) = n_R + (n0 - n_R) s(d),      s = cos^2 of the strip,      n_R = (N - n0 INT s dV) / (V - INT s dV)
"""

from __future__ import annotations

import numpy as np

from halocline.adress.regions import Regions
from halocline.errors import UserError
from halocline.topology import FloatArray


def inner_share(distance: FloatArray, border: float, stop: float) -> FloatArray:
    """(n,) s(d): one up to the border of Δ, zero from ``stop`` on; all in Å."""
    beyond = np.clip((np.asarray(distance) - border) / max(stop - border, 1e-9), 0.0, 1.0)
    return np.asarray(np.cos(0.5 * np.pi * beyond) ** 2)


def target_profile(
    wanted: float, density: float, regions: Regions, distance: FloatArray, stop: float, volumes: FloatArray, volume: float
) -> FloatArray:
    """(n_bins,) target density at the distances of the bins, molecules/Å^3; beyond the last one it is that of the reservoir.

    Args:
        wanted: n0 in AT and Δ, molecules/Å^3.
        density: of the whole box.
        distance: (n_bins,) centres of the bins, Å. volumes: (n_bins,) of the shells, Å^3.
        stop: end of the window of the force, Å.
        volume: of the box, Å^3.

    Raises:
        UserError: the box does not hold enough molecules, or has no reservoir.
    """
    share = inner_share(distance, regions.outer, stop)
    inner = float((share * volumes).sum())
    left, room = density * volume - wanted * inner, volume - inner
    if left <= 0 or room <= 0:
        what = f"AT and the transition layer would need {wanted * inner:.0f} of {density * volume:.0f} molecules"
        raise UserError(what, "target density", "Enlarge the reservoir (system.length, system.molecules).")
    return left / room + (wanted - left / room) * share
