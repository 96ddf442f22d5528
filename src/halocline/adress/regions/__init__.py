"""Geometries of resolution, and the resolution of molecules at one instant."""

from halocline.adress.regions.base import (
    ATOMISTIC,
    LEVEL_NAMES,
    RESERVOIR,
    TRANSITION,
    BoolArray,
    LevelArray,
    Regions,
    Weighting,
    regions_from_json,
)
from halocline.adress.regions.resolution import Resolution
from halocline.adress.regions.slab import Slab
from halocline.adress.regions.sphere import MovingSphere, Sphere, Spheres

__all__ = [
    "ATOMISTIC",
    "LEVEL_NAMES",
    "RESERVOIR",
    "TRANSITION",
    "BoolArray",
    "LevelArray",
    "MovingSphere",
    "Regions",
    "Resolution",
    "Slab",
    "Sphere",
    "Spheres",
    "Weighting",
    "regions_from_json",
]
