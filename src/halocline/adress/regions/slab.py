"""A slab perpendicular to x, with two transition layers and two reservoirs."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from numba import njit

from halocline.adress.regions.base import Regions, Weighting
from halocline.topology import FloatArray, Topology


@njit(cache=True, error_model="numpy")
def _shift(centres: FloatArray, centre: float, length: float) -> FloatArray:
    """(n,) x - centre by minimum image, Å."""
    shift = np.empty(len(centres))
    for i in range(len(centres)):
        offset = centres[i, 0] - centre
        shift[i] = offset - length * np.floor(offset / length + 0.5)
    return shift


@dataclass(frozen=True)
class Slab(Regions):
    """AT for |x - centre| < atomistic, Δ for the next ``transition`` on both sides, the reservoir beyond.

    Attributes:
        centre: x of the centre, Å.
        length: edge of the periodic box along x, Å.
    """

    name = "slab"
    summary = "a slab perpendicular to x; widths are half-widths from its centre"
    mirrored = (True, True)

    centre: float
    atomistic: float
    transition: float
    hysteresis: float
    length: float
    _: KW_ONLY
    weighting: Weighting = "cosine"
    inner: tuple[float, ...] = ()

    @classmethod
    def of_section(cls, section: Any, edges: FloatArray, topology: Topology) -> Self:
        length = float(edges[0])
        widths = (section.atomistic, section.transition, section.hysteresis)
        return cls(0.5 * length, *widths, length, weighting=section.weighting, inner=tuple(section.inner))

    @property
    def reach(self) -> float:
        return 0.5 * self.length

    def half_width_allowed(self) -> float:
        return 0.5 * self.length

    def shift(self, centres: FloatArray) -> FloatArray:
        """(n,) x - centre by minimum image, in [-length/2, length/2)."""
        return _shift(centres, float(self.centre), float(self.length))

    def distance(self, centres: FloatArray) -> FloatArray:
        distance = self.shift(centres)
        return np.abs(distance, out=distance)

    def direction(self, centres: FloatArray) -> FloatArray:
        result = np.zeros((len(centres), 3))
        np.copysign(1.0, self.shift(centres), out=result[:, 0])
        return result

    def shell_volumes(self, edges: FloatArray, cell: FloatArray) -> FloatArray:
        return 2.0 * float(cell[1, 1] * cell[2, 2]) * np.diff(np.minimum(edges, 0.5 * self.length))
