"""Spheres: one at a fixed place, one that moves with a molecule, and the union of several."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

import numpy as np
from numba import njit
from scipy.stats import qmc

from halocline.adress.regions.base import Regions, Weighting
from halocline.errors import UserError
from halocline.topology import FloatArray, IntArray, Topology

Point = tuple[float, float, float]


@njit(cache=True, error_model="numpy")
def _offsets(centres: FloatArray, origin: FloatArray, edges: FloatArray) -> FloatArray:
    """(n, 3) vectors from ``origin`` by minimum image, Å."""
    offset = np.empty(centres.shape)
    for i in range(len(centres)):
        for k in range(3):
            step = centres[i, k] - origin[k]
            offset[i, k] = step - edges[k] * np.floor(step / edges[k] + 0.5)
    return offset


@njit(cache=True, error_model="numpy")
def _lengths(centres: FloatArray, origin: FloatArray, edges: FloatArray) -> FloatArray:
    """(n,) distances from ``origin`` by minimum image, Å."""
    length = np.empty(len(centres))
    for i in range(len(centres)):
        square = 0.0
        for k in range(3):
            step = centres[i, k] - origin[k]
            step -= edges[k] * np.floor(step / edges[k] + 0.5)
            square += step * step
        length[i] = np.sqrt(square)
    return length


def _unit(offset: FloatArray) -> FloatArray:
    """(n, 3) unit vectors; a point at the origin has none, and no force acts there."""
    length = np.linalg.norm(offset, axis=1)
    return np.divide(offset, length[:, None], out=np.zeros_like(offset), where=length[:, None] > 0)


class _Round:
    """Regions that may grow in all directions until they touch their images."""

    edges: Point

    @property
    def reach(self) -> float:
        return 0.5 * min(self.edges)

    def half_width_allowed(self) -> float:
        return 0.5 * min(self.edges)


def _sizes(section: Any, edges: FloatArray) -> tuple[float, float, float, Point]:
    """AT, Δ, hysteresis and edges of the box, Å: what all these shapes take from a study, in the order of their fields."""
    x, y, z = (float(edge) for edge in edges)
    return section.atomistic, section.transition, section.hysteresis, (x, y, z)


@dataclass(frozen=True)
class Sphere(_Round, Regions):
    """AT within the radius ``atomistic`` of a point, Δ a shell around it, the reservoir the rest of the box.

    Attributes:
        centre: (3,) Å.
        edges: (3,) edges of the periodic box, Å.
    """

    name = "sphere"
    summary = "a sphere at the middle of the box; widths are radii"

    centre: Point
    atomistic: float
    transition: float
    hysteresis: float
    edges: Point
    _: KW_ONLY
    weighting: Weighting = "cosine"
    inner: tuple[float, ...] = ()

    @classmethod
    def of_section(cls, section: Any, edges: FloatArray, topology: Topology) -> Self:
        x, y, z = (0.5 * float(edge) for edge in edges)
        return cls((x, y, z), *_sizes(section, edges), weighting=section.weighting, inner=tuple(section.inner))

    def distance(self, centres: FloatArray) -> FloatArray:
        return _lengths(centres, np.array(self.centre, dtype=float), np.array(self.edges, dtype=float))

    def direction(self, centres: FloatArray) -> FloatArray:
        return _unit(_offsets(centres, np.array(self.centre, dtype=float), np.array(self.edges, dtype=float)))

    def shell_volumes(self, edges: FloatArray, cell: FloatArray) -> FloatArray:
        """Exact up to half the shortest edge; :attr:`reach` ends there."""
        return 4.0 / 3.0 * math.pi * np.diff(np.asarray(edges) ** 3)


@dataclass(frozen=True)
class MovingSphere(Sphere):
    """A sphere that follows the centre of mass of one molecule.

    It moves once a step, after the forces; what the energy changes by is work done by the moving region, and is booked.

    Attributes:
        molecule: index of the molecule at its centre.
    """

    name = "moving-sphere"
    summary = "a sphere that moves with the first molecule of the species regions.follow"

    molecule: int = 0

    @classmethod
    def of_section(cls, section: Any, edges: FloatArray, topology: Topology) -> Self:
        molecule = int(_followed(section, topology)[0])
        return replace(super().of_section(section, edges, topology), molecule=molecule)

    def follow(self, centres: FloatArray) -> MovingSphere:
        x, y, z = (float(value) for value in centres[self.molecule])
        return replace(self, centre=(x, y, z))


@dataclass(frozen=True)
class Spheres(_Round, Regions):
    """The union of spheres: the distance is that of the nearest centre. With ``molecules`` each centre follows a molecule.

    Attributes:
        centres: (n_spheres, 3) flattened by rows, Å.
        edges: (3,) edges of the periodic box, Å.
        molecules: (n_spheres,) molecules that the centres follow, or empty.
    """

    name = "spheres"
    summary = "the union of spheres that move with the molecules of the species regions.follow"

    centres: tuple[float, ...]
    atomistic: float
    transition: float
    hysteresis: float
    edges: Point
    molecules: tuple[int, ...] = ()
    _: KW_ONLY
    weighting: Weighting = "cosine"
    inner: tuple[float, ...] = ()

    @classmethod
    def of_section(cls, section: Any, edges: FloatArray, topology: Topology) -> Self:
        followed = tuple(int(molecule) for molecule in _followed(section, topology))
        start = (0.0,) * (3 * len(followed))
        return cls(start, *_sizes(section, edges), followed, weighting=section.weighting, inner=tuple(section.inner))

    def follow(self, centres: FloatArray) -> Spheres:
        if not self.molecules:
            return self
        return replace(self, centres=tuple(float(value) for value in centres[list(self.molecules)].ravel()))

    def distance(self, centres: FloatArray) -> FloatArray:
        return self._nearest(centres)[0]

    def direction(self, centres: FloatArray) -> FloatArray:
        return _unit(self._nearest(centres)[1])

    def shell_volumes(self, edges: FloatArray, cell: FloatArray) -> FloatArray:
        """By quasi-random points (Sobol sequence): overlapping balls in a periodic box have no simple formula."""
        points = qmc.Sobol(3, seed=1).random_base2(17) * np.diag(cell)
        counts = np.histogram(self.distance(points), np.asarray(edges))[0]
        return counts * (float(abs(np.linalg.det(cell))) / len(points))

    def _nearest(self, centres: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n,) distance and (n, 3) offset from the nearest centre."""
        rows = np.array(self.centres, dtype=float).reshape(-1, 3)
        offsets = np.array([_offsets(centres, row, np.array(self.edges, dtype=float)) for row in rows])
        squares = (offsets**2).sum(axis=2)
        nearest, every = squares.argmin(axis=0), np.arange(len(centres))
        return np.sqrt(squares[nearest, every]), offsets[nearest, every]


def _followed(section: Any, topology: Topology) -> IntArray:
    """Molecules of the species that the regions follow."""
    if section.follow not in topology.species:
        known = ", ".join(topology.species)
        raise UserError(
            f"regions.shape is '{section.shape}' but regions.follow is {section.follow!r}",
            "study file: regions.follow",
            f"Name the species that the region moves with: {known}.",
        )
    return np.flatnonzero(topology.molecule_species == topology.species.index(section.follow))
