"""Regions: where a molecule is fully resolved, where the resolution changes, and where the reservoir is.

A slab is symmetric about its centre and has two transition layers; every width is a half-width counted from the centre.
Distances are those of centres of mass, by minimum image, so that a molecule broken across the boundary counts as whole.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halocline.errors import UserError
from halocline.topology import FloatArray

BoolArray = NDArray[np.bool_]
LevelArray = NDArray[np.int8]

ATOMISTIC, TRANSITION, RESERVOIR = 0, 1, 2
"""Levels of a molecule: AT, Δ and reservoir."""
LEVEL_NAMES = ("atomistic", "transition", "reservoir")


@dataclass(frozen=True)
class Slab:
    """A slab perpendicular to x: AT for d < atomistic, Δ for the next ``transition``, the reservoir beyond.

    S1 = AT ∪ Δ is what the fine potential sees. A molecule enters S1 when d falls below ``outer`` and leaves it when d
    exceeds ``outer + hysteresis``; which molecules are inside is therefore a state, kept by the caller as a mask.

    Attributes:
        centre: x of the centre, Å.
        atomistic: half-width of AT, Å.
        transition: width of each transition layer, Å.
        hysteresis: Å.
        length: edge of the periodic box along x, Å.
    """

    centre: float
    atomistic: float
    transition: float
    hysteresis: float
    length: float

    @property
    def outer(self) -> float:
        """Distance of the border between Δ and the reservoir from the centre, Å."""
        return self.atomistic + self.transition

    def signed_distance(self, centres: FloatArray) -> FloatArray:
        """(n_molecules,) x - centre by minimum image, in [-length/2, length/2): the coordinate of density profiles.

        Args:
            centres: (n_molecules, 3) centres of mass, Å, wrapped or not.
        """
        offset = centres[:, 0] - self.centre
        return offset - self.length * np.floor(offset / self.length + 0.5)

    def distance(self, centres: FloatArray) -> FloatArray:
        """(n_molecules,) distance to the centre plane, Å."""
        return np.abs(self.signed_distance(centres))

    def direction(self, centres: FloatArray) -> FloatArray:
        """(n_molecules, 3) gradient of the distance: unit vectors that point away from the centre."""
        result = np.zeros((len(centres), 3))
        result[:, 0] = np.where(self.signed_distance(centres) < 0, -1.0, 1.0)
        return result

    def initial_inside(self, distance: FloatArray) -> BoolArray:
        """(n_molecules,) members of S1 where no history is known."""
        return distance < self.outer

    def update_inside(self, distance: FloatArray, inside: BoolArray) -> BoolArray:
        """(n_molecules,) members of S1 after a move, from distances and from who was inside before."""
        return distance < np.where(inside, self.outer + self.hysteresis, self.outer)

    def levels(self, distance: FloatArray, inside: BoolArray) -> LevelArray:
        """(n_molecules,) 0 in AT, 1 for the other members of S1, 2 for the reservoir."""
        return np.where(distance < self.atomistic, ATOMISTIC, np.where(inside, TRANSITION, RESERVOIR)).astype(np.int8)

    def weight(self, distance: FloatArray) -> FloatArray:
        """(n_molecules,) smooth resolution: 1 in AT, cos^2 through Δ, 0 beyond (J. Chem. Phys. 123, 224106 (2005))."""
        reduced = np.clip((np.asarray(distance) - self.atomistic) / self.transition, 0.0, 1.0)
        return np.where(reduced < 1.0, np.cos(0.5 * math.pi * reduced) ** 2, 0.0)

    def weight_slope(self, distance: FloatArray) -> FloatArray:
        """(n_molecules,) dw/dd, 1/Å."""
        reduced = np.clip((np.asarray(distance) - self.atomistic) / self.transition, 0.0, 1.0)
        return np.where(reduced < 1.0, -0.5 * math.pi / self.transition * np.sin(math.pi * reduced), 0.0)

    def volumes(self, cross_section: float) -> FloatArray:
        """(3,) volumes of AT, Δ and reservoir, Å^3, from the area of the box perpendicular to x."""
        widths = np.array([self.atomistic, self.transition, 0.5 * self.length - self.outer])
        return 2.0 * cross_section * widths

    def check(self, interaction_range: float, where: str = "regions") -> None:
        """Refuse a geometry that cannot give right forces in AT.

        Args:
            interaction_range: of the fine potential, Å; cut-off times number of layers for a message-passing network.
            where: what the error points at.

        Raises:
            UserError: widths that are not positive, S1 wider than the box or touching its own image, Δ too thin.
        """
        if self.atomistic <= 0 or self.transition <= 0 or self.hysteresis < 0:
            raise UserError(
                f"widths must be positive (atomistic {self.atomistic:g} A, transition {self.transition:g} A, "
                f"hysteresis {self.hysteresis:g} A)",
                where,
                "Give regions.atomistic and regions.transition above zero and regions.hysteresis zero or above.",
            )
        needed = 2.0 * self.outer
        if needed >= self.length:
            raise UserError(
                f"the resolved region is {needed:g} A wide (2 x ({self.atomistic:g} + {self.transition:g})) "
                f"but the box is only {self.length:g} A long",
                where,
                "Make system.length longer or regions.atomistic and regions.transition smaller, so that a reservoir remains.",
            )
        if self.outer + self.hysteresis >= 0.5 * self.length:
            raise UserError(
                f"with a hysteresis of {self.hysteresis:g} A the resolved region touches its periodic image "
                f"({2 * (self.outer + self.hysteresis):g} A in a box of {self.length:g} A)",
                where,
                "Make system.length longer or regions.hysteresis smaller.",
            )
        if self.transition < interaction_range - 1e-9:
            raise UserError(
                f"the transition layer is {self.transition:g} A thick but the fine potential reaches {interaction_range:g} A: "
                "molecules in AT would feel the surface",
                where,
                f"Set regions.transition to at least '{interaction_range:g} A', or use fewer layers or a shorter model.cutoff.",
            )

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Slab:
        return cls(**{key: float(data[key]) for key in ("centre", "atomistic", "transition", "hysteresis", "length")})
