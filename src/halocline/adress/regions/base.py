"""Regions: where a molecule is fully resolved, where the resolution changes, and where the reservoir is.

A geometry gives each molecule a distance d from the resolved core. All widths count from there, so the width of a slab is
twice its ``atomistic`` and that of a sphere is its radius. Distances are those of centres of mass, by minimum image, so that
a molecule broken across the boundary counts as whole.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from halocline import registry
from halocline.errors import UserError
from halocline.topology import FloatArray, Topology

BoolArray = NDArray[np.bool_]
LevelArray = NDArray[np.int8]

ATOMISTIC, TRANSITION, RESERVOIR = 0, 1, 2
"""Levels of a molecule: AT, Δ and reservoir."""
LEVEL_NAMES = ("atomistic", "transition", "reservoir")

Weighting = Literal["cosine", "smoothstep", "steep"]
_POWERS = {"cosine": 2, "steep": 7}
"""Powers of the cosine. The seventh stays near zero over the outer half of Δ, where molecules from an ideal gas overlap."""


class Regions(ABC):
    """A geometry of resolution. One file of this package each; a frozen dataclass with the attributes below.

    S1 = AT ∪ Δ is what the fine potential sees. A molecule enters S1 when its distance falls below ``outer`` and leaves it
    when it exceeds ``outer + hysteresis``; which molecules are inside is therefore a state, kept by the caller. Deeper
    stacks have further interfaces within AT (:attr:`inner`), each with the same hysteresis.

    Attributes:
        atomistic: distance at which AT ends, Å.
        transition: width of Δ, Å.
        hysteresis: Å.
        weighting: shape of the smooth weight: "cosine" for cos^2, "steep" for cos^7, "smoothstep" for the quintic polynomial.
        inner: distances of the interfaces of a deeper stack, ascending, Å; empty for two levels.
        name: word used in study files.
        mirrored: whether profiles continue symmetrically beyond distance zero and beyond :attr:`reach`.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    mirrored: ClassVar[tuple[bool, bool]] = (True, False)

    atomistic: float
    transition: float
    hysteresis: float
    weighting: Weighting
    inner: tuple[float, ...]

    @property
    def outer(self) -> float:
        """Distance of the border between Δ and the reservoir, Å."""
        return self.atomistic + self.transition

    @property
    @abstractmethod
    def reach(self) -> float:
        """Largest distance to which profiles make sense: half the box along the direction of change, Å."""

    @abstractmethod
    def distance(self, centres: FloatArray) -> FloatArray:
        """(n,) distances of (n, 3) points, wrapped or not, Å."""

    @abstractmethod
    def direction(self, centres: FloatArray) -> FloatArray:
        """(n, 3) gradient of the distance: unit vectors that point towards lower resolution."""

    @abstractmethod
    def shell_volumes(self, edges: FloatArray, cell: FloatArray) -> FloatArray:
        """(n_bins,) volumes between consecutive distances ``edges`` (n_bins + 1,; Å) in a cell (3, 3; Å), Å^3."""

    @abstractmethod
    def half_width_allowed(self) -> float:
        """Distance at which the resolved region touches its own periodic image, Å."""

    @classmethod
    @abstractmethod
    def of_section(cls, section: Any, edges: FloatArray, topology: Topology) -> Self:
        """From the ``regions`` section of a study, the (3,) edges of the box in Å and its molecules.

        Raises:
            UserError: the section lacks what this geometry needs.
        """

    def follow(self, centres: FloatArray) -> Regions:
        """The regions for (n_molecules, 3) new centres of mass: themselves, unless they move with a molecule."""
        return self

    def shift(self, centres: FloatArray) -> FloatArray:
        """(n,) coordinate of profiles, Å: the distance, or the signed distance where there are two sides."""
        return self.distance(centres)

    def initial_inside(self, distance: FloatArray) -> BoolArray:
        """Members of S1 where no history is known: (n,), or (n_sets, n) from the innermost set outwards for a deeper stack."""
        return self._nested(distance, None)

    def update_inside(self, distance: FloatArray, inside: BoolArray) -> BoolArray:
        """Members of S1 after a move, from (n,) distances and from who was inside before."""
        return self._nested(distance, inside)

    def _nested(self, distance: FloatArray, inside: BoolArray | None) -> BoolArray:
        if not self.inner and (inside is None or self.hysteresis == 0.0):
            return distance < self.outer
        margin = 0.0 if inside is None else np.where(inside, self.hysteresis, 0.0)
        if not self.inner:
            return distance < self.outer + margin
        borders = np.array([*self.inner, self.outer])[:, None]
        return distance < borders + margin

    def levels(self, distance: FloatArray, inside: BoolArray) -> LevelArray:
        """(n,) 0 in AT, 1 for the other members of S1, 2 for the reservoir."""
        return _levels(distance, inside if inside.ndim == 1 else inside[-1], float(self.atomistic))

    def weight(self, distance: FloatArray) -> FloatArray:
        """(n,) smooth resolution: 1 in AT, falling through Δ, 0 beyond (J. Chem. Phys. 123, 224106 (2005))."""
        t = self._reduced(distance)
        if self.weighting in _POWERS:
            return np.where(t < 1.0, np.cos(0.5 * math.pi * t) ** _POWERS[self.weighting], 0.0)
        return 1.0 - t**3 * (10.0 - 15.0 * t + 6.0 * t**2)

    def weight_slope(self, distance: FloatArray) -> FloatArray:
        """(n,) dw/dd, 1/Å."""
        t = self._reduced(distance)
        if self.weighting in _POWERS:
            power, angle = _POWERS[self.weighting], 0.5 * math.pi * t
            slope = -power * 0.5 * math.pi / self.transition * np.cos(angle) ** (power - 1) * np.sin(angle)
            return np.where(t < 1.0, slope, 0.0)
        return -30.0 / self.transition * t**2 * (1.0 - t) ** 2

    def _reduced(self, distance: FloatArray) -> FloatArray:
        return np.clip((np.asarray(distance) - self.atomistic) / self.transition, 0.0, 1.0)

    def volumes(self, cell: FloatArray) -> FloatArray:
        """(3,) volumes of AT, Δ and reservoir in a cell (3, 3; Å), Å^3."""
        inner = self.shell_volumes(np.array([0.0, self.atomistic, self.outer]), cell)
        return np.array([*inner, float(abs(np.linalg.det(cell))) - inner.sum()])

    def check(self, interaction_range: float, where: str = "regions") -> None:
        """Refuse a geometry that cannot give right forces in AT.

        Args:
            interaction_range: of the fine potential, Å; cut-off times number of layers for a message-passing network.
            where: what the error points at.

        Raises:
            UserError: widths that are not positive, S1 wider than the box or touching its own image, Δ too thin.
        """
        self._check_widths(where)
        allowed = self.half_width_allowed()
        needed = 2.0 * self.outer
        if needed >= 2.0 * allowed:
            raise UserError(
                f"the resolved region is {needed:g} A wide (2 x ({self.atomistic:g} + {self.transition:g})) "
                f"but the box is only {2 * allowed:g} A long",
                where,
                "Make system.length longer or regions.atomistic and regions.transition smaller, so that a reservoir remains.",
            )
        if self.outer + self.hysteresis >= allowed:
            raise UserError(
                f"with a hysteresis of {self.hysteresis:g} A the resolved region touches its periodic image "
                f"({2 * (self.outer + self.hysteresis):g} A in a box of {2 * allowed:g} A)",
                where,
                "Make system.length longer or regions.hysteresis smaller.",
            )
        if self.transition < interaction_range - 1e-9:
            raise UserError(
                f"the transition layer is {self.transition:g} A thick but the fine potential reaches {interaction_range:g} A: "
                "molecules in AT would feel the surface",
                where,
                f"Set regions.transition to at least '{interaction_range:g} A', or use fewer layers or a shorter cut-off.",
            )

    def _check_widths(self, where: str) -> None:
        if self.atomistic <= 0 or self.transition <= 0 or self.hysteresis < 0:
            raise UserError(
                f"widths must be positive (atomistic {self.atomistic:g} A, transition {self.transition:g} A, "
                f"hysteresis {self.hysteresis:g} A)",
                where,
                "Give regions.atomistic and regions.transition above zero and regions.hysteresis zero or above.",
            )
        borders = (0.0, *self.inner, self.outer)
        if any(b - a <= self.hysteresis for a, b in itertools.pairwise(borders)):
            raise UserError(
                f"the interfaces at {', '.join(f'{border:g}' for border in borders[1:])} A are not further apart than the hysteresis of "
                f"{self.hysteresis:g} A",
                where,
                "Give regions.inner in ascending order, within regions.atomistic + regions.transition.",
            )

    def to_json(self) -> dict[str, Any]:
        """Plain data that :func:`regions_from_json` reads."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        return {"shape": self.name, **{key: np.asarray(value).tolist() for key, value in values.items()}}


@njit(cache=True, error_model="numpy")
def _levels(distance: FloatArray, members: BoolArray, atomistic: float) -> LevelArray:
    levels = np.empty(len(distance), dtype=np.int8)
    for i in range(len(distance)):
        levels[i] = ATOMISTIC if distance[i] < atomistic else (TRANSITION if members[i] else RESERVOIR)
    return levels


def regions_from_json(data: Mapping[str, Any]) -> Regions:
    """The inverse of :meth:`Regions.to_json`."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "shape"}
    kind: type[Regions] = registry.get("regions", data["shape"], "regions")
    return kind(**values)
