"""Free-energy compensation measured during the run that uses it (on the fly)."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from halocline.adress.compensation import FreeEnergyCompensation
from halocline.dynamics.simulation import Hook, Simulation
from halocline.errors import UserError
from halocline.topology import FloatArray


class CompensationHook(Hook):
    """Samples V_a^AT - V_a^CG of molecules in the layer against w, and makes the table cancel the mean drift force.

    Between neighbouring knots of the table the drift force and its compensation carry no momentum together,

        INT n(d) [<V^AT - V^CG>(d) - dDH/dw] (dw/dd) dd = 0,    DH(w_k+1) - DH(w_k) = (w_k+1 - w_k) sum V |grad w| / sum |grad w|

    so that every sample counts with its |grad w|. A mean over molecules alone would be one over d: where w tends to zero and
    <V> goes as w^(-3/4), beside an ideal gas, most molecules of the first interval are at its outer end, and feel no drift force.

    Windows are averaged with the weight 1/k of the k-th one, at least 1/memory. What a new table changes of the energy is booked as
    external work.

    Args:
        table: that of the coupling; its knots are the edges of the bins.
        interval: steps between samples.
        update: steps between new tables, a multiple of ``interval``.
        memory: windows that the running average remembers.

    Raises:
        UserError: an update that is no multiple of the interval.
    """

    name = "compensation"
    during_equilibration = True

    def __init__(self, table: FreeEnergyCompensation, interval: int = 10, update: int = 5000, memory: int = 10) -> None:
        if interval < 1 or update < interval or update % interval:
            where = "free-energy compensation"
            raise UserError(f"updates every {update} steps do not fit samples every {interval}", where, "Use a multiple of the interval.")
        self.table, self.interval, self.update, self.memory = table, interval, update, memory
        self.widths: FloatArray = np.diff(table.knots)
        shape = (len(table.species), len(self.widths))
        self.sums, self.counts = np.zeros(shape), np.zeros(shape)
        self.means, self.windows = np.zeros(shape), np.zeros(shape)
        self._integrals: list[FloatArray] = []

    @property
    def history(self) -> FloatArray:
        """(n_updates, n_species) integral over w of what each window alone saw, eV; a window without samples repeats the average."""
        return np.array(self._integrals).reshape(-1, len(self.table.species))

    def __call__(self, simulation: Simulation) -> None:
        weight, species = simulation.membership.weight, simulation.topology.molecule_species
        layer = np.flatnonzero((weight > 0) & (weight < 1))
        bins = np.clip(np.searchsorted(self.table.knots, weight[layer], side="right") - 1, 0, len(self.widths) - 1)
        steepness = np.linalg.norm(simulation.membership.weight_gradient[layer], axis=1)
        np.add.at(self.sums, (species[layer], bins), steepness * simulation.evaluation.sites[layer])
        np.add.at(self.counts, (species[layer], bins), steepness)
        if simulation.steps % self.update == 0:
            self.renew()
            simulation.take_up_tables()

    def renew(self) -> None:
        """Close the window: running averages, and the table from them."""
        seen = self.counts > 0
        self.windows += seen
        share = 1.0 / np.clip(self.windows, 1.0, self.memory)
        found = np.divide(self.sums, self.counts, out=np.zeros_like(self.sums), where=seen)
        self.means = np.where(seen, self.means + share * (found - self.means), self.means)
        self._integrals.append(np.where(seen, found, self.means) @ self.widths)
        self.sums, self.counts = np.zeros_like(self.sums), np.zeros_like(self.counts)
        self._tabulate()

    def _tabulate(self) -> None:
        knots, values = self.table.knots, np.zeros_like(self.table.values)
        centres = knots[:-1] + 0.5 * self.widths
        for row, (means, known) in enumerate(zip(self.means, self.windows > 0)):
            if known.any():
                values[row, 1:] = np.cumsum(self.widths * np.interp(centres, centres[known], means[known]))
        # Monotone where the means have one sign: the slope of w^(1/4) changes tenfold from one knot to the next.
        self.table.set(PchipInterpolator(knots, values, axis=1)(knots, 1), values)

    def state(self) -> dict[str, np.ndarray]:
        return {"sums": self.sums, "counts": self.counts, "means": self.means, "windows": self.windows, "history": self.history}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        for key in ("sums", "counts", "means", "windows"):
            setattr(self, key, arrays[key].copy())
        self._integrals = list(arrays["history"])
        self._tabulate()
