"""Free-energy compensation measured during the run that uses it (on the fly)."""

from __future__ import annotations

import numpy as np

from halocline.adress.compensation import FreeEnergyCompensation
from halocline.dynamics.simulation import Hook, Simulation
from halocline.errors import UserError
from halocline.topology import FloatArray


class CompensationHook(Hook):
    """Samples V_a^AT - V_a^CG of molecules in the layer against w, and makes its mean the slope of the table.

    dDH/dw = <V^AT - V^CG>(w), the mean drift force then vanishes. Windows are averaged with the weight 1/k of the k-th one, at least
    1/memory. What a new table changes of the energy is booked as external work.

    Args:
        table: that of the coupling.
        interval: steps between samples.
        update: steps between new tables, a multiple of ``interval``.
        memory: windows that the running average remembers.
        n_bins: of w.

    Raises:
        UserError: an update that is no multiple of the interval.
    """

    name = "compensation"
    during_equilibration = True

    def __init__(self, table: FreeEnergyCompensation, interval: int = 10, update: int = 5000, memory: int = 10, n_bins: int = 20) -> None:
        if interval < 1 or update < interval or update % interval:
            where = "free-energy compensation"
            raise UserError(f"updates every {update} steps do not fit samples every {interval}", where, "Use a multiple of the interval.")
        self.table, self.interval, self.update, self.memory = table, interval, update, memory
        self.centres: FloatArray = (np.arange(n_bins, dtype=np.float64) + 0.5) / n_bins
        shape = (len(table.species), n_bins)
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
        bins = np.minimum((weight[layer] * len(self.centres)).astype(np.int64), len(self.centres) - 1)
        np.add.at(self.sums, (species[layer], bins), simulation.evaluation.sites[layer])
        np.add.at(self.counts, (species[layer], bins), 1.0)
        if simulation.steps % self.update == 0:
            self.renew()
            simulation.take_up_tables()

    def renew(self) -> None:
        """Close the window: running averages, and the slopes of the table from them."""
        seen = self.counts > 0
        self.windows += seen
        share = 1.0 / np.clip(self.windows, 1.0, self.memory)
        found = np.divide(self.sums, self.counts, out=np.zeros_like(self.sums), where=seen)
        self.means = np.where(seen, self.means + share * (found - self.means), self.means)
        self._integrals.append(np.where(seen, found, self.means).mean(axis=1))
        self.sums, self.counts = np.zeros_like(self.sums), np.zeros_like(self.counts)
        self._tabulate()

    def _tabulate(self) -> None:
        slopes = np.zeros_like(self.table.slopes)
        for row, (means, known) in enumerate(zip(self.means, self.windows > 0)):
            if known.any():
                slopes[row] = np.interp(self.table.knots, self.centres[known], means[known])
        self.table.set(slopes)

    def state(self) -> dict[str, np.ndarray]:
        return {"sums": self.sums, "counts": self.counts, "means": self.means, "windows": self.windows, "history": self.history}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        for key in ("sums", "counts", "means", "windows"):
            setattr(self, key, arrays[key].copy())
        self._integrals = list(arrays["history"])
        self._tabulate()
