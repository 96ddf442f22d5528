"""Momentum that drift forces and their compensation carry together, in a coupling whose forces do not obey Newton's third law.

The mean momentum flux of a Hamiltonian coupling changes along the outward direction by the forces that act on one molecule alone,

    P_AT = P_reservoir - INT n F_th dd - INT n f dd,        f = -[<V^AT - V^CG>(d) - dDH/dw] dw/dd

whatever the density does. The second integral vanishes where the compensation is the mean of the same run; a table that was measured
before, in another density or in the bulk, leaves something. Here it is measured: the mean of -sum_a f_a/A(d_a) over the molecules of the
layer, with the area A of the surface at the distance d.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from halocline.adress.coupling.hamiltonian import HamiltonianCoupling
from halocline.dynamics.simulation import Hook, Simulation
from halocline.dynamics.statistics import mean_and_error
from halocline.files import write_arrays

N_SHELLS = 32
"""Of the layer, for the area at a distance."""
AREA_SAMPLES = 40
"""Samples between measurements of the areas: those of a union of spheres take a second, and change slowly if at all."""


class DriftMomentumHook(Hook):
    """Samples -sum f/A of a Hamiltonian coupling, eV/Å^3, and leaves its mean and error in a file at the last step.

    Args:
        interval: steps between samples.
        last: step at which the file is written, with ``mean``, ``error`` and ``samples``; what was sampled after it is left out.
        path: of the file.
    """

    name = "drift momentum"

    def __init__(self, interval: int, last: int, path: Path) -> None:
        self.interval, self.last, self.path = interval, last - last % interval, path
        self.series: list[float] = []
        self._edges, self._areas = np.zeros(0), np.zeros(0)

    def __call__(self, simulation: Simulation) -> None:
        coupling, membership, regions = simulation.coupling, simulation.membership, simulation.regions
        assert isinstance(coupling, HamiltonianCoupling)
        layer = np.flatnonzero((membership.weight > 0) & (membership.weight < 1))
        weight, species = membership.weight[layer], simulation.topology.molecule_species[layer]
        left = simulation.evaluation.sites[layer]
        if coupling.table is not None:
            left = left - coupling.table.evaluate(weight, species)[1]
        distance = simulation.distance[layer]
        if len(self._areas) == 0 or len(self.series) % AREA_SAMPLES == 0:
            self._edges = np.linspace(regions.atomistic, regions.outer, N_SHELLS + 1)
            self._areas = regions.shell_volumes(self._edges, simulation.initial.cell) / np.diff(self._edges)
        area = np.interp(distance, 0.5 * (self._edges[1:] + self._edges[:-1]), self._areas)
        self.series.append(float((left * regions.weight_slope(distance) / area).sum()))
        if simulation.steps == self.last:
            mean, error, samples = mean_and_error(self.series)
            write_arrays(self.path, mean=np.array(mean), error=np.array(error), samples=np.array(samples))

    def state(self) -> dict[str, np.ndarray]:
        return {"series": np.array(self.series)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.series = arrays["series"].tolist()
