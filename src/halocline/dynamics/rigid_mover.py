"""The integrator of rigid molecules as a simulation wants it: frictions and books by level of resolution, points outside S1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from halocline.dynamics.integrator import Mover
from halocline.dynamics.rigid import RigidIntegrator, rigid_velocities
from halocline.dynamics.rigid_bodies import Lengths
from halocline.state import State
from halocline.topology import FloatArray

MoverFactory = Callable[[State, float, float, int], "RigidMover"]
"""(state, time step in fs, temperature in K, seed) -> what moves its atoms."""


class RigidMover(Mover):
    """:class:`RigidIntegrator` with books by level.

    Args:
        state: starting configuration; without velocities they are drawn.
        rigid: (n_species,) which species are rigid.
        lengths: (n_species,) of each rigid species all pairs of its sites, (i, j, Å).
        timestep: fs.
        temperature: K.
        seed: of velocities and noise.
        points: whether rigid molecules outside S1 move as mass points.

    Raises:
        UserError: see :class:`RigidIntegrator`.
    """

    def __init__(
        self, state: State, rigid: Sequence[bool], lengths: Sequence[Lengths], timestep: float, temperature: float, seed: int,
        points: bool = False,
    ) -> None:  # fmt: skip
        topology, velocities = state.topology, state.velocities
        if velocities is None:
            velocities = rigid_velocities(topology, state.positions, rigid, temperature, np.random.default_rng(seed))
        self.points = points
        self.integrator = RigidIntegrator(state.positions, velocities, topology, rigid, lengths, timestep, temperature, seed)
        self._bodies = np.array(rigid, dtype=bool)[topology.molecule_species] & (np.diff(topology.offsets) > 1)
        self._levels: NDArray[np.integer] = np.zeros(topology.n_molecules, dtype=np.int8)
        self._n_levels = 1

    @property
    def coordinates(self) -> FloatArray:
        return self.integrator.coordinates

    @property
    def velocity_array(self) -> FloatArray:
        return self.integrator.velocity_array

    def set_levels(self, levels: NDArray[np.int8], friction: FloatArray) -> None:
        self._levels, self._n_levels = levels, len(friction)
        self.integrator.set_level_friction(friction, levels)

    def kick(self, forces: FloatArray) -> None:
        self.integrator.kick(forces)

    def drift(self) -> None:
        self.integrator.drift()

    def thermostat_by_level(self) -> FloatArray:
        return self.integrator.thermostat(self._levels, self._n_levels)

    def kinetic_by_level(self) -> tuple[FloatArray, FloatArray]:
        return self.integrator.kinetic_by_level(self._levels, self._n_levels)

    @property
    def kinetic(self) -> float:
        return float(self.integrator.kinetic_energies().sum())

    def arrays(self) -> dict[str, np.ndarray]:
        return self.integrator.state()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.integrator.restore(arrays)

    def wake(self, molecules: NDArray[np.bool_]) -> float:
        return float(self.integrator.wake(np.flatnonzero(molecules & self._bodies)).sum())

    def sleep(self, molecules: NDArray[np.bool_]) -> float:
        return float(self.integrator.sleep(np.flatnonzero(molecules & self._bodies)).sum())

    def limit(self, speed: float) -> int:
        """Slow down whole molecules so that no atom is faster than ``speed`` (Å/fs); returns the number of such atoms."""
        velocities, topology = self.integrator.velocities, self.integrator.topology
        speeds = np.linalg.norm(velocities, axis=1)
        fastest = np.maximum.reduceat(speeds, topology.offsets[:-1])
        velocities *= np.minimum(1.0, speed / np.maximum(fastest, 1e-12))[topology.molecule_of_atom][:, None]
        return int((speeds > speed).sum())
