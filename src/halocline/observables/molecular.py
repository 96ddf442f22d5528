"""Dipole and polarizability of molecules in AT, through the trained multipole model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from halocline.dynamics.record import Snapshot
from halocline.models.model import Model
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.statistics import Estimate, column_errors, function_of_means
from halocline.results import Figure, Number
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import DEBYE

SAMPLES = 60
"""Configurations evaluated per run, evenly spread: neighbouring ones hardly differ and the network is slow."""
EXTENT = 1.0
"""Room for the atoms of a molecule around its centre of mass, Å."""
WIDTH_FACTOR = 2.5
"""Tolerance on the width of a distribution over that on its mean (5 % against 2 %)."""

_REMEDY = "Widen regions.transition or regions.atomistic: polarisation still feels the change of resolution."


@dataclass(frozen=True)
class _Property:
    key: str
    label: str
    unit: str
    low: float
    high: float

    @property
    def edges(self) -> FloatArray:
        return np.linspace(self.low, self.high, 81)


_PROPERTIES = (
    _Property("dipole", "dipole", "D", 0.0, 8.0),
    _Property("polarizability", "isotropic polarizability", "A3", 0.0, 4.0),
)


class MolecularProperties(Observable):
    """Distributions over molecules in AT; the environment of each is everything that its prediction can see.

    Both runs are cut at the receptive field of AT, the open one at the border of S1 as well: where Δ is thinner than the receptive
    field of the multipole model, the outermost molecules of AT see somewhat less than in the reference.
    """

    name = "molecular"
    summary = "dipole and polarizability of molecules in AT, mean and width, against the reference"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.model = None if setting.multipoles is None else Model.load(setting.multipoles).eval()
        heads = () if self.model is None else tuple(self.model.heads)
        self.properties = [prop for prop in _PROPERTIES if prop.key in heads]
        self.stride = max(1, math.ceil(setting.rows / SAMPLES))
        self._seen = 0

    def update(self, snapshot: Snapshot) -> None:
        due = self._seen % self.stride == 0
        self._seen += 1
        if self.model is None or not due:
            return
        distance = self.setting.place(snapshot).distance(snapshot.centres)
        reach = self.setting.regions.atomistic + self.model.representation.receptive_field + EXTENT
        molecules = np.flatnonzero((distance < reach) & snapshot.inside)
        if len(molecules) == 0:
            return
        state = State(snapshot.positions, snapshot.cell, snapshot.topology).select(molecules)
        chosen = distance[molecules] < self.setting.regions.atomistic
        with torch.no_grad():
            output = self.model(self.model.graph(state))
        for prop in self.properties:
            self._store(prop, _values(prop.key, output)[chosen])

    def _store(self, prop: _Property, values: FloatArray) -> None:
        moments = np.array([len(values), values.sum(), (values**2).sum()])
        inside = np.clip(values, prop.low, prop.high)
        self.store(**{f"{prop.key}_moments": moments, f"{prop.key}_histogram": np.histogram(inside, prop.edges)[0]})

    def mean(self, key: str) -> Estimate:
        """Mean over molecules in AT and time; D or Å^3."""
        return function_of_means(self.series(f"{key}_moments"), lambda m: m[1] / m[0] if m[0] > 0 else math.nan)

    def width(self, key: str) -> Estimate:
        """Standard deviation over molecules in AT and time; D or Å^3."""
        return function_of_means(self.series(f"{key}_moments"), _spread)

    def result(self) -> list[Number]:
        numbers = []
        for prop in self.properties:
            numbers.append(number(f"mean {prop.label} in AT", self.mean(prop.key), prop.unit))
            numbers.append(number(f"width of the {prop.label} distribution in AT", self.width(prop.key), prop.unit))
        return numbers

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, MolecularProperties)
        source, claims = "full-resolution run", list[Comparison | list[Comparison]]()
        share = self.setting.tolerances.dipole
        for prop in self.properties:
            mean, width = reference.mean(prop.key), reference.width(prop.key)
            name = f"mean {prop.label} in AT"
            claims.append(Comparison(name, self.mean(prop.key), mean, share * mean.value, prop.unit, source, _REMEDY))
            name = f"width of the {prop.label} distribution in AT"
            tolerance = WIDTH_FACTOR * share * width.value
            claims.append(Comparison(name, self.width(prop.key), width, tolerance, prop.unit, source, _REMEDY))
        return claims

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, MolecularProperties)
        figures = []
        for prop in self.properties:
            series = []
            shown = self._total(prop.key) + reference._total(prop.key)
            if not shown.any():
                continue
            first, last = np.flatnonzero(shown)[[0, -1]]
            for label, observable in (("open", self), ("full resolution", reference)):
                centres, density, error = observable._distribution(prop)
                window = slice(max(first - 1, 0), last + 2)
                series.append(curve(label, centres[window], density[window], error[window]))
            unit = prop.unit.replace("A3", "A^3")
            caption = (
                f"Distribution over molecules in AT, predicted by the multipole model on {self.sampled} and {reference.sampled} frames."
            )
            title = f"Molecular {prop.label} in AT"
            figures.append(
                Figure(f"molecular_{prop.key}", title, f"{prop.label} ({unit})", f"probability density (1/{unit})", series, caption)
            )
        return figures

    @property
    def sampled(self) -> int:
        """Configurations that were evaluated."""
        return len(self.series(f"{self.properties[0].key}_moments"))

    def _total(self, key: str) -> FloatArray:
        return self.series(f"{key}_histogram").sum(axis=0)

    def _distribution(self, prop: _Property) -> tuple[FloatArray, FloatArray, FloatArray]:
        histogram = self.series(f"{prop.key}_histogram")
        edges = prop.edges
        scale = 1.0 / (histogram.sum(axis=1).mean() * (edges[1] - edges[0]))
        return 0.5 * (edges[1:] + edges[:-1]), histogram.mean(axis=0) * scale, np.nan_to_num(column_errors(histogram)) * scale


def _values(key: str, output: dict[str, torch.Tensor]) -> FloatArray:
    """(n_molecules,) length of the dipole in D, or a third of the trace of the polarizability in Å^3."""
    tensor = output[f"molecular_{key}"].double().numpy()
    if key == "dipole":
        return np.linalg.norm(tensor, axis=1) / DEBYE
    return np.trace(tensor, axis1=1, axis2=2) / 3.0


def _spread(moments: FloatArray) -> float:
    if moments[0] <= 0:
        return math.nan
    return math.sqrt(max(moments[2] / moments[0] - (moments[1] / moments[0]) ** 2, 0.0))
