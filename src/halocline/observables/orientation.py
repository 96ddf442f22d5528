"""Orientation of molecules against distance: a resolution border may order them like a surface does."""

from __future__ import annotations

import math

import numpy as np

from halocline.dynamics.record import Snapshot
from halocline.molecules.charges import point_charges
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.statistics import Estimate, function_of_means
from halocline.results import Figure, Number
from halocline.topology import FloatArray

BIN = 1.0
"""Å."""
TOLERANCE = 0.05
"""Accepted mean cosine in AT; a molecular layer at a free surface of water reaches several times that."""


class Orientation(Observable):
    """Mean cosine between a molecule's dipole and the direction towards lower resolution.

    The dipole is that of the fixed charges of the classical model of the species, of which only the direction matters. Species
    without one are left out. By symmetry the mean vanishes everywhere in a homogeneous liquid.
    """

    name = "orientation"
    version = 2
    summary = "mean cosine between molecular dipoles and the outward direction, in AT and against distance"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        topology = setting.topology
        self.charges = point_charges(topology)
        charged = np.add.reduceat(np.abs(self.charges), topology.offsets[:-1]) > 0
        self.polar = charged & (np.abs(np.add.reduceat(self.charges, topology.offsets[:-1])) < 1e-6)
        bins = max(1, round(setting.regions.reach / BIN))
        self.edges = np.linspace(0.0, setting.regions.reach, bins + 1)

    def update(self, snapshot: Snapshot) -> None:
        if not self.polar.any():
            return
        regions, topology = self.setting.place(snapshot), snapshot.topology
        dipole = np.add.reduceat(self.charges[:, None] * snapshot.positions, topology.offsets[:-1], axis=0)
        distance = regions.distance(snapshot.centres)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = (regions.direction(snapshot.centres) * dipole).sum(axis=1) / np.linalg.norm(dipole, axis=1)
        # A molecule at the very centre of a sphere has no outward direction.
        # Outside S1 a molecule has no orientation that anything depends on.
        chosen = self.polar & np.isfinite(cosine) & (distance > 0) & snapshot.members
        distance, cosine = distance[chosen], cosine[chosen]
        inside = distance < regions.atomistic
        profile = [np.histogram(distance, self.edges)[0], np.histogram(distance, self.edges, weights=cosine)[0]]
        self.store(atomistic=np.array([inside.sum(), cosine[inside].sum()]), profile=np.stack(profile, axis=1))

    def mean(self) -> Estimate:
        """Mean cosine of molecules in AT; positive where dipoles point outwards."""
        return _ratio(self.series("atomistic"))

    def result(self) -> list[Number]:
        return [number("mean orientation in AT", self.mean(), "")] if self.polar.any() else []

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        if not self.polar.any():
            return []
        remedy = "Widen regions.transition: molecules in AT are ordered by the border of the reservoir."
        return [Comparison("mean orientation in AT", self.mean(), Estimate(0.0), TOLERANCE, "", "symmetric value", remedy)]

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, Orientation)
        if not self.polar.any():
            return []
        series = []
        for label, observable in (("open", self), ("full resolution", reference)):
            profile = observable.series("profile")
            values = [_ratio(profile[:, index]) for index in range(profile.shape[1])]
            errors = [value.error if value.error is not None else math.nan for value in values]
            centres = 0.5 * (observable.edges[1:] + observable.edges[:-1])
            series.append(curve(label, centres, [value.value for value in values], errors))
        caption = "Mean cosine between molecular dipoles and the outward direction, all sides together; zero in a homogeneous liquid."
        return [Figure("orientation", "Orientation of molecules", "distance from the centre (A)", "mean cosine", series, caption)]


def _ratio(columns: FloatArray) -> Estimate:
    """Sum of cosines over number of molecules, from (n_frames, 2) counts and sums."""
    return function_of_means(columns, lambda means: means[1] / means[0] if means[0] > 0 else math.nan)
