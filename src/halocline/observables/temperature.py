"""Kinetic temperature of each region, and the closure of the heat ledger."""

from __future__ import annotations

import math

import numpy as np

from halocline.adress.regions import LEVEL_NAMES
from halocline.dynamics.record import Record, Snapshot
from halocline.observables.base import Comparison, Observable, curve, number
from halocline.observables.statistics import Estimate, function_of_means
from halocline.results import Figure, Number


class Temperature(Observable):
    """Temperatures from kinetic energies of every step, averaged between recorded rows."""

    name = "temperature"
    summary = "kinetic temperature of AT, of the transition layers and of the reservoir"

    def update(self, snapshot: Snapshot) -> None:
        """Configurations carry no velocities; see :meth:`read`."""

    def read(self, record: Record) -> None:
        for temperature, degrees, time in zip(record.column("temperature"), record.column("degrees"), record.column("time")):
            self.store(temperature=temperature, degrees=degrees, time=time)

    def regions(self) -> list[Estimate]:
        """Temperature of AT, Δ and reservoir, K: mean kinetic energy over mean number of degrees of freedom."""
        return [self._mean(np.array([level])) for level in range(3)]

    def whole(self) -> Estimate:
        """Temperature of all atoms, K."""
        return self._mean(np.arange(3))

    def _mean(self, levels: np.ndarray) -> Estimate:
        weights = self.series("degrees")[:, levels]
        # A region that was empty between two rows has no temperature then and no weight.
        heat = np.where(weights > 0, weights * np.nan_to_num(self.series("temperature")[:, levels]), 0.0)
        columns = np.stack([heat.sum(axis=1), weights.sum(axis=1)], axis=1)
        return function_of_means(columns, lambda means: means[0] / means[1] if means[1] > 0 else math.nan)

    def result(self) -> list[Number]:
        regions = [number(f"temperature of the {name} region", value, "K") for name, value in zip(LEVEL_NAMES, self.regions())]
        return [*regions, number("temperature of all atoms", self.whole(), "K")]

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, Temperature)
        target = Estimate(self.setting.temperature)
        tolerance = self.setting.tolerances.temperature * target.value
        remedies = (
            "Lower the heat that enters AT: widen regions.transition, or raise dynamics.friction_transition.",
            "Raise dynamics.friction_transition: the thermostat cannot carry away the heat of resolution changes.",
            "Raise dynamics.friction_reservoir, or use coupling.reservoir: model with some regions.hysteresis.",
        )
        claims: list[Comparison | list[Comparison]] = [
            Comparison(f"temperature of the {name} region", value, target, tolerance, "K", "target", remedy)
            for name, value, remedy in zip(LEVEL_NAMES, self.regions(), remedies)
        ]
        remedy = "The reference run is not at its temperature: lower dynamics.timestep or raise dynamics.friction_reference."
        claims.append(Comparison("temperature of the full-resolution run", reference.whole(), target, tolerance, "K", "target", remedy))
        return claims

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, Temperature)
        regions, values, whole = self.setting.regions, self.regions(), reference.whole()
        borders = np.array([0.0, regions.atomistic, regions.outer, regions.reach])
        centres = 0.5 * (borders[1:] + borders[:-1])
        ends = [0.0, float(borders[-1])]
        series = [
            curve("open", centres, [v.value for v in values], [v.error or math.nan for v in values], style="points"),
            curve("full resolution", ends, [whole.value] * 2, style="line"),
            curve("target", ends, [self.setting.temperature] * 2, style="dashed"),
        ]
        caption = "Temperature of each region from whole-run kinetic energies, drawn at the middle of the region, with one standard error."
        return [Figure("temperature", "Temperature of each region", "distance from the centre (A)", "temperature (K)", series, caption)]
