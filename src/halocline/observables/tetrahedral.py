"""Tetrahedral order of molecules in AT (Errington and Debenedetti, 10.1038/35053024)."""

from __future__ import annotations

import itertools
import math

import numpy as np

from halocline.dynamics.record import Snapshot
from halocline.models.graphs import half_pairs
from halocline.observables.base import Observable, Setting, curve, number
from halocline.observables.statistics import Estimate, column_errors, function_of_means
from halocline.results import Figure, Number
from halocline.topology import FloatArray

SEARCH = 6.0
"""Distance within which the four nearest neighbours are looked for, Å."""
BIN = 1.0
"""Width of a bin of the profile, Å."""
_EDGES = np.linspace(-1.0, 1.0, 51)


class TetrahedralOrder(Observable):
    """q = 1 - 3/8 sum over pairs of the four nearest neighbours of (cos psi + 1/3)^2; centres of mass stand for molecules.

    One for a perfect tetrahedron, zero on average for random neighbours. Molecules with fewer than four neighbours within
    6 Å have none.
    """

    name = "tetrahedral"
    summary = "tetrahedral order of the four nearest neighbours of molecules, in AT and against distance"
    version = 2

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.search = min(SEARCH, setting.regions.transition)
        self.edges = np.linspace(0.0, setting.regions.reach, max(1, round(setting.regions.reach / BIN)) + 1)

    def update(self, snapshot: Snapshot) -> None:
        regions = self.setting.place(snapshot)
        distance = regions.distance(snapshot.centres)
        order = tetrahedral_order(snapshot.centres, snapshot.cell, np.ones(len(distance), dtype=bool), self.search)
        known = np.isfinite(order)
        inside = order[known & (distance < regions.atomistic)]
        place = distance[known]
        profile = [np.histogram(place, self.edges)[0], np.histogram(place, self.edges, weights=order[known])[0]]
        self.store(
            moments=np.array([len(inside), inside.sum()]),
            histogram=np.histogram(inside, _EDGES)[0],
            profile=np.stack(profile, axis=1),
        )

    def mean(self) -> Estimate:
        """Mean q of molecules in AT."""
        return function_of_means(self.series("moments"), lambda means: means[1] / means[0] if means[0] > 0 else math.nan)

    def result(self) -> list[Number]:
        return [number("mean tetrahedral order in AT", self.mean(), "")]

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, TetrahedralOrder)
        centres = 0.5 * (_EDGES[1:] + _EDGES[:-1])
        series = []
        for label, observable in (("open", self), ("full resolution", reference)):
            histogram = observable.series("histogram")
            scale = 1.0 / max(histogram.sum(axis=1).mean() * (_EDGES[1] - _EDGES[0]), 1e-300)
            series.append(curve(label, centres, histogram.mean(axis=0) * scale, np.nan_to_num(column_errors(histogram)) * scale))
        caption = "Order parameter q of the four nearest neighbours of each molecule in AT: 1 is a perfect tetrahedron, 0 is random."
        distribution = Figure("tetrahedral", "Tetrahedral order in AT", "q", "probability density", series, caption)
        return [distribution, self._profile_figure(reference)]

    def _profile_figure(self, reference: TetrahedralOrder) -> Figure:
        series = []
        for label, observable in (("open", self), ("full resolution", reference)):
            profile = observable.series("profile")
            values = [
                function_of_means(profile[:, k], lambda means: means[1] / means[0] if means[0] > 0 else math.nan)
                for k in range(profile.shape[1])
            ]
            errors = [math.nan if value.error is None else value.error for value in values]
            middles = 0.5 * (observable.edges[1:] + observable.edges[:-1])
            series.append(curve(label, middles, [value.value for value in values], errors))
        caption = (
            f"Mean q against distance; the border of AT is at {self.setting.regions.atomistic:g} A. The reservoir has the structure "
            "of its own model."
        )
        title = "Tetrahedral order against distance"
        return Figure("tetrahedral_profile", title, "distance from the centre (A)", "mean q", series, caption)


def tetrahedral_order(points: FloatArray, cell: FloatArray, chosen: np.ndarray, search: float) -> FloatArray:
    """(n_chosen,) order parameter of the chosen points; NaN for those without four neighbours.

    Args:
        points: (n, 3), Å, in a periodic cell.
        cell: (3, 3), Å.
        chosen: (n,) mask of those whose order is wanted.
        search: Å.
    """
    i, j, shifts = half_pairs(points, cell, True, search)
    vectors = points[j] + shifts - points[i]
    centre = np.concatenate([i, j])
    vectors = np.concatenate([vectors, -vectors])
    distances = np.linalg.norm(vectors, axis=1)
    ranked = np.lexsort((distances, centre))
    starts = np.searchsorted(centre[ranked], np.arange(len(points)))
    enough = np.bincount(centre, minlength=len(points)) >= 4
    wanted = chosen & enough
    first = starts[wanted]
    units = (vectors / distances[:, None])[ranked[first[:, None] + np.arange(4)]]
    total = np.zeros(len(first))
    for a, b in itertools.combinations(range(4), 2):
        total += ((units[:, a] * units[:, b]).sum(axis=1) + 1.0 / 3.0) ** 2
    order = np.full(len(points), math.nan)
    order[wanted] = 1.0 - 0.375 * total
    return order[chosen]
