"""The rigid integrator as a simulation drives it: by levels of resolution, with molecules that sleep in the reservoir."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from halocline.dynamics.integrator import Mover
from halocline.dynamics.rigid import RigidIntegrator
from halocline.dynamics.rigid_bodies import Lengths, reference_lengths, rigid_velocities
from halocline.molecules.base import Molecule
from halocline.state import State
from halocline.topology import FloatArray

MoverFactory = Callable[[State, float, float, int], "RigidMover"]
"""(state, time step in fs, temperature in K, seed) -> what moves its atoms."""


class RigidMover(Mover):
    """:class:`RigidIntegrator` with books by level of resolution.

    Args:
        state: starting configuration; without velocities they are drawn from the Maxwell-Boltzmann distribution.
        species: in the order of the topology; the rigid ones are held in the geometry of their definition.
        timestep: fs.
        temperature: K.
        seed: of velocities and noise.
        points: whether rigid molecules outside S1 sleep, that is, move as mass points.

    Raises:
        UserError: see :class:`RigidIntegrator`.
    """

    def __init__(
        self, state: State, species: Sequence[Molecule], timestep: float, temperature: float, seed: int, points: bool = False
    ) -> None:
        topology, velocities, rigid = state.topology, state.velocities, [molecule.rigid for molecule in species]
        if velocities is None:
            velocities = rigid_velocities(topology, state.positions, rigid, temperature, np.random.default_rng(seed))
        self.points = points
        lengths: list[Lengths] = [reference_lengths(np.array(molecule.geometry)) if molecule.rigid else [] for molecule in species]
        self.integrator = RigidIntegrator(state.positions, velocities, topology, rigid, lengths, timestep, temperature, seed)
        # A flexible molecule keeps its internal motion; only rigid ones and single atoms can sleep.
        self._can_sleep = self.integrator.can_be_points
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
        return float(self.integrator.kinetic_by_level(np.zeros_like(self._levels), 1)[0][0])

    def arrays(self) -> dict[str, np.ndarray]:
        return self.integrator.state()

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.integrator.restore(arrays)

    def wake(self, molecules: NDArray[np.bool_]) -> float:
        waking = np.flatnonzero(molecules & self.integrator.points)
        return float(self.integrator.wake(waking).sum()) if len(waking) else 0.0

    def sleep(self, molecules: NDArray[np.bool_]) -> float:
        tired = np.flatnonzero(molecules & self._can_sleep & ~self.integrator.points)
        return float(self.integrator.sleep(tired).sum()) if len(tired) else 0.0

    def limit(self, speed: float) -> int:
        """Slow down whole molecules so that no atom is faster than ``speed`` (Å/fs); returns the number of such atoms."""
        velocities, topology = self.integrator.velocities, self.integrator.topology
        speeds = np.linalg.norm(velocities, axis=1)
        fastest = np.maximum.reduceat(speeds, topology.offsets[:-1])
        velocities *= np.minimum(1.0, speed / np.maximum(fastest, 1e-12))[topology.molecule_of_atom][:, None]
        return int((speeds > speed).sum())
