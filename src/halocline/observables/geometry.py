"""What observables need of regions of any shape: bins and their volumes, areas, and shares of pairs that a finite region keeps."""

from __future__ import annotations

import math

import numpy as np

from halocline.adress.regions import Regions, Slab, Sphere
from halocline.dynamics.record import Record
from halocline.topology import FloatArray

_PLACES = 30
_STEP = 0.5
"""Half the thickness of the shell that stands for a surface without a formula, Å."""


def two_sided(regions: Regions) -> bool:
    """Whether the profile coordinate has a sign: geometries without sides keep the distance itself."""
    return type(regions).shift is not Regions.shift


def profile_edges(regions: Regions, width: float, reach: float | None = None) -> FloatArray:
    """(n_bins + 1,) edges of about equal bins of the profile coordinate, Å; an even number of bins where it has two sides.

    Args:
        width: about that of a bin, Å. reach: distance of the last edge, Å; as far as profiles of the regions make sense if not given.
    """
    reach = regions.reach if reach is None else reach
    half = max(1, round(reach / width))
    return np.linspace(-reach, reach, 2 * half + 1) if two_sided(regions) else np.linspace(0.0, reach, half + 1)


class Shells:
    """Bins of the profile coordinate or of the distance, and their volumes.

    Args:
        regions: where they are at the start.
        cell: (3, 3), Å.
        edges: (n_bins + 1,), Å; distances, or symmetric about zero for the signed coordinate.
    """

    def __init__(self, regions: Regions, cell: FloatArray, edges: FloatArray) -> None:
        self.edges, self._cell, self._start = np.asarray(edges, dtype=np.float64), cell, regions
        self._volumes: FloatArray | None = None

    @property
    def centres(self) -> FloatArray:
        """(n_bins,) middles, Å."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def volumes(self, regions: Regions) -> FloatArray:
        """(n_bins,) Å^3, for regions at their present place; those of a union change with it."""
        rigid = isinstance(regions, (Slab, Sphere)) or regions is self._start
        if self._volumes is None or not rigid:
            self._volumes = self._measure(regions)
        return self._volumes

    def density(self, regions: Regions, coordinate: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """(n_bins,) sum of weights (or points) per volume; zero in a bin without volume."""
        totals = np.histogram(coordinate, self.edges, weights=weights)[0].astype(np.float64)
        volumes = self.volumes(regions)
        return np.divide(totals, volumes, out=np.zeros_like(totals), where=volumes > 0)

    def _measure(self, regions: Regions) -> FloatArray:
        if self.edges[0] >= 0:
            return regions.shell_volumes(self.edges, self._cell)
        half = 0.5 * regions.shell_volumes(self.edges[len(self.edges) // 2 :], self._cell)
        return np.concatenate([half[::-1], half])


def mean_shell_volumes(record: Record, edges: FloatArray) -> FloatArray:
    """(n_bins,) volumes between distances, averaged over where the regions were; Å^3."""
    shells = Shells(record.regions, record.cell, edges)
    rows = range(0, len(record), max(1, len(record) // _PLACES))
    return np.mean([shells.volumes(record[row].regions) for row in rows], axis=0)


def surface_area(regions: Regions, cell: FloatArray, distance: float) -> float:
    """Area of the surface at a distance from the core, all sides together, Å^2: the derivative of the volume within."""
    step = 1e-4 if isinstance(regions, (Slab, Sphere)) else min(_STEP, 0.5 * distance)
    shell = regions.shell_volumes(np.array([distance - step, distance + step]), cell)
    return float(shell[0]) / (2.0 * step)


def slab_fraction(distance: FloatArray, width: float, offset_square: float = 0.0) -> FloatArray:
    """Share of the pairs at a distance that a uniform slab keeps when both ends must be inside it.

    Args:
        distance: Å.
        width: of the slab, Å.
        offset_square: mean square x-distance between atoms and the points that decide membership, both ends added, Å^2.
    """
    r = np.asarray(distance, dtype=np.float64)
    inside = 1.0 - (r**2 + offset_square) / (2.0 * r * width)
    return np.where(r <= width, inside, width / (2.0 * r))


def sphere_fraction(distance: FloatArray, radius: float, offset_square: float = 0.0) -> FloatArray:
    """Share of the pairs at a distance that a uniform sphere keeps when both ends must be inside it.

        f(r) = 1 - 3r/(4R) + r^3/(16R^3),    zero beyond 2R

    Offsets of the atoms from the points that decide membership average f over a small ball: f + (s^2/2) nabla^2 f, with s^2
    along one direction and nabla^2 f = 3r/(4R^3) - 3/(2Rr).

    Args:
        distance: Å.
        radius: of the sphere, Å.
        offset_square: mean square distance along one direction, both ends added, Å^2.
    """
    r = np.asarray(distance, dtype=np.float64)
    value = 1.0 - 0.75 * r / radius + r**3 / (16.0 * radius**3)
    curvature = 0.75 * r / radius**3 - 1.5 / (radius * r)
    return np.where(r < 2.0 * radius, np.maximum(value + 0.5 * offset_square * curvature, 0.0), 0.0)


def pair_fraction(regions: Regions, distance: FloatArray, offset_square: float = 0.0) -> FloatArray:
    """(n,) share of pairs with both ends in AT; NaN for shapes without a formula (unions)."""
    if isinstance(regions, Slab):
        return slab_fraction(distance, 2.0 * regions.atomistic, offset_square)
    if isinstance(regions, Sphere):
        return sphere_fraction(distance, regions.atomistic, offset_square)
    return np.full(len(distance), math.nan)


def segment_fraction(regions: Regions, start: FloatArray, vector: FloatArray) -> FloatArray:
    """(n,) share of straight lines from ``start`` along ``vector`` that lies in AT; periodic images of AT count.

    Args:
        regions: a slab or a sphere.
        start: (n, 3), Å. vector: (n, 3), Å, shorter than half the box.
    """
    if isinstance(regions, Slab):
        first = regions.shift(start)
        second = first + vector[:, 0]
        low, high = np.minimum(first, second), np.maximum(first, second)
        length = np.maximum(high - low, 1e-12)
        low, high = 0.5 * (low + high) - 0.5 * length, 0.5 * (low + high) + 0.5 * length
        share = np.zeros(len(start))
        for image in (-regions.length, 0.0, regions.length):
            overlap = np.minimum(high, image + regions.atomistic) - np.maximum(low, image - regions.atomistic)
            share += np.clip(overlap, 0.0, None)
        return share / length
    assert isinstance(regions, Sphere)
    box = np.asarray(regions.edges)
    middle = start + 0.5 * vector - np.asarray(regions.centre)
    offset = middle - box * np.floor(middle / box + 0.5) - 0.5 * vector
    # |offset + t vector| < R between the roots of a quadratic in t.
    a = np.maximum((vector**2).sum(axis=1), 1e-24)
    b, c = (offset * vector).sum(axis=1), (offset**2).sum(axis=1) - regions.atomistic**2
    root = np.sqrt(np.clip(b**2 - a * c, 0.0, None))
    return np.where(b**2 > a * c, np.clip((-b + root) / a, 0.0, 1.0) - np.clip((-b - root) / a, 0.0, 1.0), 0.0)
