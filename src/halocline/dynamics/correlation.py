"""Time correlations of molecules that start in AT, gathered while the run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from halocline.dynamics.simulation import Hook, Simulation
from halocline.files import write_arrays
from halocline.molecules.charges import dipoles, point_charges
from halocline.topology import FloatArray, IntArray

FOLLOW, INSIDE = 0, 1
"""What is done about molecules that leave AT: followed wherever they go, or counted only until they first leave."""


class _Origin:
    """Velocities and dipoles at one time origin, of the molecules then in AT, and sums over them at later times."""

    def __init__(self, molecules: IntArray, velocities: FloatArray, moments: FloatArray, lags: int) -> None:
        self.molecules, self.velocities, self.moments = molecules, velocities, moments
        self.inside = np.ones(len(molecules), dtype=bool)
        self.sums, self.lag = np.zeros((2, lags + 1, 3)), 0

    def add(self, velocities: FloatArray, moments: FloatArray, in_core: np.ndarray) -> None:
        """The next lag."""
        index = self.molecules
        self.inside &= in_core[index]
        products = np.stack(
            [(self.velocities * velocities[index]).sum(axis=1), (self.moments * moments[index]).sum(axis=1), np.ones(len(index))], axis=1
        )
        self.sums[FOLLOW, self.lag] = products.sum(axis=0)
        self.sums[INSIDE, self.lag] = products[self.inside].sum(axis=0)
        self.lag += 1


class CorrelationHook(Hook):
    """Correlations of centre-of-mass velocities and of dipoles over a range of lags, for two treatments of leavers.

        C_v(t) = <v_i(0) . v_i(t)>,    C_mu(t) = <mu_i(0) . mu_i(t)>    over molecules i in AT at time 0

    Velocities are those at the end of a step. Dipoles are those of the point charges of the species; a reservoir that moves
    molecules as mass points does not turn them, so that followed dipoles are right only until molecules reach it.

    Memory holds the open origins alone: (lags / origin) copies of the velocities and dipoles of the molecules in AT. Sums of
    consecutive origins form blocks, from which errors come.

    Args:
        path: of the ``.npz`` file with ``time`` (n_lags,) fs and ``sums`` (n_blocks, 2, n_lags, 3): sums of v.v (Å^2/fs^2), of
            mu.mu (e^2 Å^2), and number of molecules; first index :data:`FOLLOW` or :data:`INSIDE`. ``momentum``
            (n_blocks, 3, 3) mean momentum of AT, Δ and reservoir, amu Å/fs.
        interval: steps between samples.
        timestep: fs.
        origin: samples between time origins.
        lags: longest time in samples.
        block: origins that are summed before they are stored.
    """

    name = "correlation"

    def __init__(self, path: Path, interval: int, timestep: float, origin: int = 20, lags: int = 250, block: int = 20) -> None:
        self.path, self.interval, self.timestep = path, interval, timestep
        self.origin, self.lags, self.block = origin, lags, block
        self._samples, self._finished = 0, 0
        self._open: list[_Origin] = []
        self._blocks: list[FloatArray] = []
        self._momenta: list[FloatArray] = []
        self._current, self._momentum = np.zeros((2, lags + 1, 3)), np.zeros((3, 3))
        self._charges: FloatArray | None = None

    def __call__(self, simulation: Simulation) -> None:
        topology, move = simulation.topology, simulation.integrator
        if self._charges is None:
            self._charges = point_charges(topology)
        velocities = topology.centres_of_mass(move.velocity_array)
        moments = dipoles(topology, self._charges, move.coordinates)
        in_core = simulation.distance < simulation.regions.atomistic
        momenta = topology.molecule_masses[:, None] * velocities
        self._momentum += np.stack([np.bincount(simulation.levels, momenta[:, k], 3)[:3] for k in range(3)], axis=1)
        if self._samples % self.origin == 0:
            chosen = np.flatnonzero(in_core)
            self._open.append(_Origin(chosen, velocities[chosen], moments[chosen], self.lags))
        self._samples += 1
        for item in self._open:
            item.add(velocities, moments, in_core)
        if self._samples % (self.origin * self.block) == 0:
            self._momenta.append(self._momentum / (self.origin * self.block))
            self._momentum = np.zeros((3, 3))
        if self._open and self._open[0].lag == self.lags + 1:
            self._finish(self._open.pop(0))

    def _finish(self, item: _Origin) -> None:
        self._current = self._current + item.sums
        self._finished += 1
        if self._finished % self.block == 0:
            self._blocks.append(self._current)
            self._current = np.zeros_like(self._current)

    @property
    def times(self) -> FloatArray:
        """(n_lags + 1,) fs."""
        return np.arange(self.lags + 1, dtype=np.float64) * (self.interval * self.timestep)

    def close(self) -> None:
        """Write what has been gathered; an unfinished block is left out."""
        sums = np.array(self._blocks).reshape(-1, 2, self.lags + 1, 3)
        write_arrays(self.path, time=self.times, sums=sums, momentum=np.array(self._momenta).reshape(-1, 3, 3))

    def state(self) -> dict[str, np.ndarray]:
        empty = np.zeros((0, 3))
        return {
            "counters": np.array([self._samples, self._finished]),
            "blocks": np.array(self._blocks).reshape(-1, 2, self.lags + 1, 3),
            "momenta": np.array(self._momenta).reshape(-1, 3, 3),
            "current": self._current,
            "momentum": self._momentum,
            "sizes": np.array([[len(item.molecules), item.lag] for item in self._open]).reshape(-1, 2),
            "molecules": np.concatenate([item.molecules for item in self._open] or [np.zeros(0, dtype=np.int64)]),
            "inside": np.concatenate([item.inside for item in self._open] or [np.zeros(0, dtype=bool)]),
            "velocities": np.concatenate([item.velocities for item in self._open] or [empty]),
            "moments": np.concatenate([item.moments for item in self._open] or [empty]),
            "sums": np.array([item.sums for item in self._open]).reshape(-1, 2, self.lags + 1, 3),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self._samples, self._finished = (int(value) for value in arrays["counters"])
        self._blocks, self._momenta = list(arrays["blocks"]), list(arrays["momenta"])
        self._current, self._momentum = arrays["current"].copy(), arrays["momentum"].copy()
        self._open, first = [], 0
        for (size, lag), sums in zip(arrays["sizes"], arrays["sums"]):
            part = slice(first, first + int(size))
            item = _Origin(arrays["molecules"][part], arrays["velocities"][part], arrays["moments"][part], self.lags)
            item.inside, item.sums, item.lag = arrays["inside"][part].copy(), sums.copy(), int(lag)
            self._open.append(item)
            first += int(size)


def correlation_path(record: Path) -> Path:
    """Where the correlations of a run lie, beside its record."""
    return record.with_suffix(".correlation.npz")
