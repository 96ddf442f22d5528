"""Small systems in which every coupling can be checked against plain sums."""

from __future__ import annotations

import numpy as np
from brute_force import lattice_fluid
from weighted_pairs import WeightedPairs

from halocline.adress.coupling.abrupt import AbruptCoupling
from halocline.adress.coupling.base import Coupling
from halocline.adress.coupling.force_interpolation import ForceInterpolationCoupling
from halocline.adress.coupling.hamiltonian import HamiltonianCoupling
from halocline.adress.coupling.site_energy import SiteEnergyCoupling
from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import MovingSphere, Regions, Resolution, Slab, Sphere, Spheres
from halocline.dynamics.simulation import Simulation
from halocline.state import State

EDGE = 16.0
BOX = (EDGE, EDGE, EDGE)
MIDDLE = (8.0, 8.0, 8.0)
COUPLINGS = ("subtractive", "abrupt", "abrupt-half", "force-interpolation", "hamiltonian", "site-energy")
SHAPES = ("slab", "sphere", "moving-sphere", "spheres")


def fluid(seed: int = 1) -> State:
    """64 argon atoms in a cube of 16 Å."""
    return lattice_fluid((4, 4, 4), 4.0, seed, 0.3)


def fine() -> WeightedPairs:
    return WeightedPairs(0.0103, 3.4, 6.0, taper=True)


def coarse() -> WeightedPairs:
    return WeightedPairs(0.006, 3.2, 5.0, taper=True)


def couple(name: str, one=None, other=None) -> Coupling:
    one, other = fine() if one is None else one, coarse() if other is None else other
    if name == "abrupt-half":
        return AbruptCoupling(one, other, 0.5)
    kinds = (SubtractiveCoupling, AbruptCoupling, ForceInterpolationCoupling, HamiltonianCoupling, SiteEnergyCoupling)
    return {kind.name: kind for kind in kinds}[name](one, other)


def bound(name: str, state: State, one=None, other=None) -> Coupling:
    coupling = couple(name, one, other)
    coupling.bind(state.topology, state.cell)
    return coupling


def geometry(shape: str, state: State, weighting: str = "cosine", hysteresis: float = 0.0) -> Regions:
    """All three levels are occupied."""
    widths = (2.5, 3.0, hysteresis)
    regions: Regions
    if shape == "slab":
        regions = Slab(8.0, *widths, EDGE, weighting=weighting)
    elif shape == "sphere":
        regions = Sphere(MIDDLE, *widths, BOX, weighting=weighting)
    elif shape == "moving-sphere":
        regions = MovingSphere(MIDDLE, *widths, BOX, weighting=weighting, molecule=5)
    else:
        regions = Spheres((0.0,) * 6, *widths, BOX, (5, 42), weighting=weighting)
    return regions.follow(state.centres_of_mass)


def resolve(regions: Regions, state: State) -> Resolution:
    return Resolution.of(regions, state.topology, state.positions)


def plain_weight(distance: float, weighting: str, inner: float = 2.5, width: float = 3.0) -> float:
    if distance <= inner:
        return 1.0
    if distance >= inner + width:
        return 0.0
    t = (distance - inner) / width
    return float(np.cos(np.pi * t / 2) ** 2) if weighting == "cosine" else 1 - 10 * t**3 + 15 * t**4 - 6 * t**5


def largest_imbalance(run: Simulation, time: float) -> float:
    """Largest amount of energy that the books leave over until a time in fs, eV."""
    worst = 0.0
    while run.time < time:
        run.step()
        worst = max(worst, abs(run.conserved()))
    return worst
