"""Time correlations of molecules that start in AT, gathered while the run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numba import njit

from halocline.dynamics.blocks import Blocks
from halocline.dynamics.rigid_mover import RigidMover
from halocline.dynamics.simulation import Hook, Simulation
from halocline.files import write_arrays
from halocline.molecules.charges import dipoles, point_charges
from halocline.topology import FloatArray, IntArray

FOLLOW, INSIDE = 0, 1
"""What is done about molecules that leave AT: followed wherever they go, or counted only until they first leave."""
VELOCITY, DIPOLE, COUNT, TURNING = 0, 1, 2, 3
"""Columns of the sums: v.v, mu.mu, molecules, and molecules whose dipole is followed since the origin."""
WITHIN_S1 = "S1"
"""How long dipoles are followed, as written to the file."""


class _Origin:
    """Velocities and dipoles at one time origin, of the molecules then in AT, and sums over them at later times."""

    def __init__(self, molecules: IntArray, velocities: FloatArray, moments: FloatArray, stays: IntArray, lags: int) -> None:
        self.molecules, self.velocities, self.moments, self.stays = molecules, velocities, moments, stays
        self.inside = np.ones(len(molecules), dtype=bool)
        self.sums, self.lag = np.zeros((2, lags + 1, 4)), 0

    def add(self, velocities: FloatArray, moments: FloatArray, stays: IntArray, in_core: np.ndarray) -> None:
        """The next lag; ``stays`` tells stays in S1 from each other, and is negative outside."""
        _add_products(
            self.molecules, self.velocities, self.moments, self.stays, self.inside, velocities, moments, stays, in_core,
            self.sums[FOLLOW, self.lag], self.sums[INSIDE, self.lag],
        )  # fmt: skip
        self.lag += 1


@njit(cache=True, error_model="numpy")
def _add_products(  # type: ignore[no-untyped-def]
    molecules, velocities, moments, stays, inside, new_velocities, new_moments, new_stays, in_core, followed, within
):
    """Adds to the four columns of ``followed``, and to those of ``within`` for molecules that never left; updates ``inside``."""
    for row in range(len(molecules)):
        i = molecules[row]
        inside[row] &= in_core[i]
        along, turned = 0.0, 0.0
        for k in range(3):
            along += velocities[row, k] * new_velocities[i, k]
            turned += moments[row, k] * new_moments[i, k]
        turning = stays[row] == new_stays[i] and stays[row] >= 0
        for column, value in enumerate((along, turned if turning else 0.0, 1.0, 1.0 if turning else 0.0)):
            followed[column] += value
            if inside[row]:
                within[column] += value


class CorrelationHook(Hook):
    """Correlations of centre-of-mass velocities and of dipoles over a range of lags, for two treatments of leavers.

        C_v(t) = <v_i(0) . v_i(t)>,    C_mu(t) = <mu_i(0) . mu_i(t)>    over molecules i in AT at time 0

    Velocities are those at the end of a step. Dipoles are those of the point charges of the species. Where the reservoir moves
    molecules as mass points, a molecule that leaves S1 has no orientation any more, and takes one from the equilibrium when it
    comes back. A dipole is therefore followed only until its molecule first leaves S1, in every run: also where molecules keep
    their orientation, and at full resolution, where S1 is a place like any other. Both then speak of the same molecules, those that
    stayed. Leaving is noticed at samples, and falling asleep at once.

    Memory holds the open origins alone: (lags / origin) copies of the velocities and dipoles of the molecules in AT. Sums of
    consecutive origins form blocks, from which errors come; there are never more than :data:`~halocline.dynamics.blocks.LIMIT`.

    Args:
        path: of the ``.npz`` file with ``time`` (n_lags,) fs and ``sums`` (n_blocks, 2, n_lags, 4): sums of v.v (Å^2/fs^2), of
            mu.mu (e^2 Å^2), number of molecules, and number of those that were in S1 all the time; first index :data:`FOLLOW` or
            :data:`INSIDE`. ``momentum`` (n_blocks, 3, 3) mean momentum of AT, Δ and reservoir, amu Å/fs.
        interval: steps between samples.
        timestep: fs.
        origin: samples between time origins.
        lags: longest time in samples.
        block: origins of a block at the start of a run.
    """

    name = "correlation"

    def __init__(self, path: Path, interval: int, timestep: float, origin: int = 20, lags: int = 250, block: int = 20) -> None:
        self.path, self.interval, self.timestep = path, interval, timestep
        self.origin, self.lags, self.block = origin, lags, block
        self._samples = 0
        self._open: list[_Origin] = []
        self._sums, self._momenta = Blocks((2, lags + 1, 4), block), Blocks((3, 3), block * origin)
        self._charges: FloatArray | None = None
        self._members, self._entries = np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)

    def __call__(self, simulation: Simulation) -> None:
        topology, move = simulation.topology, simulation.integrator
        if self._charges is None:
            self._charges = point_charges(topology)
        velocities = topology.centres_of_mass(move.velocity_array)
        moments = dipoles(topology, self._charges, move.coordinates)
        stays = self._stays(simulation)
        in_core = simulation.distance < simulation.regions.atomistic
        momenta = topology.molecule_masses[:, None] * velocities
        self._momenta.add(np.stack([np.bincount(simulation.levels, momenta[:, k], 3)[:3] for k in range(3)], axis=1))
        if self._samples % self.origin == 0:
            chosen = np.flatnonzero(in_core)
            self._open.append(_Origin(chosen, velocities[chosen], moments[chosen], stays[chosen], self.lags))
        self._samples += 1
        for item in self._open:
            item.add(velocities, moments, stays, in_core)
        if self._open and self._open[0].lag == self.lags + 1:
            self._sums.add(self._open.pop(0).sums)

    def _stays(self, simulation: Simulation) -> IntArray:
        """(n_molecules,) a number for each stay in S1, as seen at samples, which also changes when a molecule wakes; -1 outside."""
        regions, move = simulation.regions, simulation.integrator
        if not len(self._members):
            n = simulation.topology.n_molecules
            self._members, self._entries = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
        members = simulation.distance < regions.outer + np.where(self._members, regions.hysteresis, 0.0)
        self._entries += members & ~self._members
        self._members = members
        if not isinstance(move, RigidMover):
            return np.where(members, self._entries, -1)
        return np.where(members & ~move.integrator.points, self._entries + move.integrator.wakings, -1)

    @property
    def times(self) -> FloatArray:
        """(n_lags + 1,) fs."""
        return np.arange(self.lags + 1, dtype=np.float64) * (self.interval * self.timestep)

    def close(self) -> None:
        """Write what has been gathered; an unfinished block is left out."""
        momentum = self._momenta.sums / self._momenta.length
        write_arrays(self.path, time=self.times, sums=self._sums.sums, momentum=momentum, dipoles=np.array(WITHIN_S1))

    def state(self) -> dict[str, np.ndarray]:
        empty, none = np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
        return {
            "samples": np.array(self._samples),
            **{f"blocks.{key}": value for key, value in self._sums.state().items()},
            **{f"momenta.{key}": value for key, value in self._momenta.state().items()},
            "sizes": np.array([[len(item.molecules), item.lag] for item in self._open]).reshape(-1, 2),
            "molecules": np.concatenate([item.molecules for item in self._open] or [none]),
            "stays": np.concatenate([item.stays for item in self._open] or [none]),
            "members": self._members,
            "entries": self._entries,
            "inside": np.concatenate([item.inside for item in self._open] or [np.zeros(0, dtype=bool)]),
            "velocities": np.concatenate([item.velocities for item in self._open] or [empty]),
            "moments": np.concatenate([item.moments for item in self._open] or [empty]),
            "sums": np.array([item.sums for item in self._open]).reshape(-1, 2, self.lags + 1, 4),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self._samples = int(arrays["samples"])
        self._members, self._entries = arrays["members"].copy(), arrays["entries"].copy()
        for blocks, name in ((self._sums, "blocks."), (self._momenta, "momenta.")):
            blocks.restore({key.removeprefix(name): value for key, value in arrays.items() if key.startswith(name)})
        self._open, first = [], 0
        for (size, lag), sums in zip(arrays["sizes"], arrays["sums"]):
            part = slice(first, first + int(size))
            velocities, moments = arrays["velocities"][part], arrays["moments"][part]
            item = _Origin(arrays["molecules"][part], velocities, moments, arrays["stays"][part], self.lags)
            item.inside, item.sums, item.lag = arrays["inside"][part].copy(), sums.copy(), int(lag)
            self._open.append(item)
            first += int(size)


def correlation_path(record: Path) -> Path:
    """Where the correlations of a run lie, beside its record."""
    return record.with_suffix(".correlation.npz")
