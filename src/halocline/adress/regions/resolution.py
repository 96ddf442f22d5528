"""The resolution of every molecule at one instant: what couplings are given beside the positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from halocline.adress.regions.base import BoolArray, LevelArray, Regions
from halocline.errors import UserError
from halocline.topology import FloatArray, Topology


@dataclass(frozen=True, eq=False)
class Resolution:
    """Members of the nested sets, and what follows from the geometry; computed only where it is asked for.

    Attributes:
        inside: (n_molecules,) members of S1; (n_sets, n_molecules) from the innermost set outwards for a deeper stack.
        regions: geometry, or None for a membership without one (weights are then 1 inside and 0 outside).
        centres: (n_molecules, 3) centres of mass, Å.
        distance: (n_molecules,) Å.
        fixed_levels: (n_molecules,) levels of the last change of membership, for couplings whose energy depends on them: forces of
            a step are those of the resolution that it began with. None where levels follow the distance.
    """

    inside: BoolArray
    regions: Regions | None = None
    centres: FloatArray | None = None
    distance: FloatArray | None = None
    fixed_levels: LevelArray | None = None

    @classmethod
    def of(cls, regions: Regions, topology: Topology, positions: FloatArray, inside: BoolArray | None = None) -> Resolution:
        """For (n_atoms, 3) positions of whole molecules, Å; members by distance unless given."""
        centres = topology.centres_of_mass(positions)
        distance = regions.distance(centres)
        return cls(regions.initial_inside(distance) if inside is None else inside, regions, centres, distance)

    @property
    def members(self) -> BoolArray:
        """(n_molecules,) members of the outermost set S1."""
        return self.inside if self.inside.ndim == 1 else self.inside[-1]

    @cached_property
    def weight(self) -> FloatArray:
        """(n_molecules,) smooth resolution w."""
        if self.regions is None or self.distance is None:
            return self.members.astype(np.float64)
        return self.regions.weight(self.distance)

    @cached_property
    def weight_gradient(self) -> FloatArray:
        """(n_molecules, 3) dw/dR, 1/Å."""
        if self.regions is None or self.distance is None or self.centres is None:
            return np.zeros((len(self.members), 3))
        return self.regions.weight_slope(self.distance)[:, None] * self.regions.direction(self.centres)

    @cached_property
    def levels(self) -> LevelArray:
        """(n_molecules,) 0 AT, 1 Δ, 2 reservoir.

        Raises:
            UserError: there is no geometry.
        """
        if self.fixed_levels is not None:
            return self.fixed_levels
        if self.regions is None or self.distance is None:
            raise UserError("a membership without regions has no levels", "resolution", "Build it with Resolution.of.")
        return self.regions.levels(self.distance, self.inside)
