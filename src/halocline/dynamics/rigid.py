"""BAOAB Langevin integrator for rigid molecules, flexible ones and points.

g-BAOAB of Leimkuhler and Matthews, Proc. R. Soc. A 472, 20160138 (2016), doi 10.1098/rspa.2016.0138: the operators of
:mod:`halocline.dynamics.integrator`, with velocities projected onto the constraints after B and O, and A a RATTLE step
(:mod:`halocline.dynamics.constraints`). One step of length dt:

    B   v <- P(x) (v + dt/2 F/m)
    A   (x, v) <- RATTLE flight of dt/2
    O   v <- P(x) (c1 v + c2 xi),    c1 = exp(-gamma dt),  c2 = sqrt((1 - c1^2) kT/m)
    A, B once more

The projection is orthogonal in the metric of the masses, so O leaves the Maxwell-Boltzmann distribution of the rigid body
unchanged. With gamma = 0 two flights of dt/2 follow each other: symplectic and reversible.

**Points.** Where the energy depends on the centre of mass of a molecule alone, its orientation and its internal momenta are
independent of everything else and Boltzmann-distributed. Such a molecule may move as a mass point and draw both anew when they
are needed: it *sleeps* and *wakes*. Kinetic energies that change in doing so are returned, for the books.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halocline.dynamics import rigid_modes as modes
from halocline.dynamics import rigid_moves as moves
from halocline.dynamics.rigid_bodies import Lengths, species_tables
from halocline.errors import RunFailure, UserError
from halocline.topology import FloatArray, IntArray, Topology
from halocline.units import ACCELERATION, thermal_energy

WHERE = "rigid dynamics"
THREADED = 4096
"""Molecules from which on several threads share the work."""


class RigidIntegrator:
    """Positions and velocities, and the operators that move them.

    Molecules of rigid species are put into their shape where they start off it, and velocities onto the constraints.

    Args:
        positions: (n_atoms, 3), Å; molecules whole.
        velocities: (n_atoms, 3), Å/fs.
        topology: molecules.
        rigid: (n_species,) which species are rigid; single atoms are free either way.
        lengths: (n_species,) lists of (i, j, Å), all pairs of sites of a rigid species, ignored for the others.
        timestep: fs.
        temperature: K.
        seed: of the noise.

    Attributes:
        points: (n_molecules,) which of them sleep.
        wakings: (n_molecules,) how often each has woken: its orientation has a history only while this number stays the same.

    Raises:
        UserError: a rigid species is linear, its lengths are incomplete or impossible, or a molecule starts far off its shape.
    """

    def __init__(
        self,
        positions: FloatArray,
        velocities: FloatArray,
        topology: Topology,
        rigid: Sequence[bool],
        lengths: Sequence[Lengths],
        timestep: float,
        temperature: float,
        seed: int,
    ) -> None:
        self.topology, self.timestep, self.temperature = topology, timestep, temperature
        self.positions = np.array(positions, dtype=np.float64, order="C")
        self.velocities = np.array(velocities, dtype=np.float64, order="C")
        # The same numbers in one row, for loops over coordinates.
        self._path, self._speed = self.positions.reshape(-1), self.velocities.reshape(-1)
        self._inverse = 1.0 / topology.masses
        self._rate = np.repeat(0.5 * timestep * ACCELERATION * self._inverse, 3)
        self._point_rate = 0.5 * timestep * ACCELERATION / topology.molecule_masses
        self._offsets, self._kinds = topology.offsets.astype(np.int64), topology.molecule_species.astype(np.int64)
        self._masses, self._molecule_masses = topology.masses.astype(np.float64), topology.molecule_masses.astype(np.float64)
        self._species = species_tables(topology, self.positions, rigid, lengths)
        self._natural = self._species.modes[self._kinds]
        self._sizes = np.diff(self._offsets)
        self._modes = self._natural.copy()
        self.points = np.zeros(topology.n_molecules, dtype=bool)
        self.wakings = np.zeros(topology.n_molecules, dtype=np.int64)
        self._set_degrees()
        modes.project(self.positions, self.velocities, self._offsets, self._modes, self._masses)
        self._blocks = -(-topology.n_molecules // moves.BLOCK)
        self._threaded = topology.n_molecules >= THREADED
        self._heat = thermal_energy(temperature) * ACCELERATION
        self._speeds, self._point_speeds = np.sqrt(self._heat / self._masses), np.sqrt(self._heat / self._molecule_masses)
        # Seed, number of thermostat calls, number of wakings: all that the noise depends on.
        self._random = np.array([seed, 0, 0], dtype=np.uint64)
        self._work = np.zeros(topology.n_molecules)
        self.set_friction(np.zeros(topology.n_atoms))

    @property
    def coordinates(self) -> FloatArray:
        """(n_atoms, 3) positions, Å; treat as read-only."""
        return self.positions

    @property
    def velocity_array(self) -> FloatArray:
        """(n_atoms, 3) velocities, Å/fs."""
        return self.velocities

    @property
    def can_be_points(self) -> NDArray[np.bool_]:
        """(n_molecules,) rigid molecules and single atoms."""
        return (self._natural != modes.FREE) | (self._sizes == 1)

    @property
    def degrees(self) -> FloatArray:
        """(n_atoms,) degrees of freedom: those of the molecule, shared equally by its atoms."""
        return (self.molecule_degrees / self._sizes)[self.topology.molecule_of_atom]

    def set_friction(self, friction: FloatArray) -> None:
        """Use these (n_atoms,) frictions, 1/fs; molecules without friction draw no noise.

        Raises:
            UserError: frictions differ within a molecule, for which constraints allow no such noise.
        """
        first = np.asarray(friction, dtype=np.float64)[self._offsets[:-1]]
        if not np.array_equal(first[self.topology.molecule_of_atom], friction):
            molecule = int(self.topology.molecule_of_atom[np.argmax(first[self.topology.molecule_of_atom] != friction)])
            raise UserError(f"frictions differ within molecule {molecule}", WHERE, "Give all atoms of a molecule the same friction.")
        self._decay = np.exp(-first * self.timestep)
        self._noise = np.sqrt(-np.expm1(-2.0 * first * self.timestep))

    def set_level_friction(self, friction: ArrayLike, levels: NDArray[np.integer]) -> None:
        """Use the (n_levels,) frictions, 1/fs, for the (n_molecules,) levels; cheap enough for every step."""
        gamma = np.asarray(friction, dtype=np.float64) * self.timestep
        self._decay = np.exp(-gamma)[levels]
        self._noise = np.sqrt(-np.expm1(-2.0 * gamma))[levels]

    def kick(self, forces: FloatArray) -> None:
        """B: half a step of acceleration by (n_atoms, 3) forces in eV/Å."""
        force = np.ascontiguousarray(forces, dtype=np.float64)
        table, move = self._species, moves.kick_threaded if self._threaded else moves.kick
        move(
            self._blocks, self.positions, self.velocities, force, self._speed, force.reshape(-1), self._rate,
            self._point_rate, self._offsets, self._modes, self._kinds, self._masses, table.corners, table.triangles,
        )  # fmt: skip

    def drift(self) -> None:
        """A: half a step of flight on the constraints.

        Raises:
            RunFailure: a position is not finite any more, or a rigid molecule turned further than the constraints can follow.
        """
        table, move = self._species, moves.fly_threaded if self._threaded else moves.fly
        lost = move(
            self._blocks, self.positions, self.velocities, self._path, self._speed,
            0.5 * self.timestep, self._offsets, self._modes, self._kinds, self._masses, self._inverse,
            table.corners, table.triangles, table.sites, table.lengths, table.starts,
        )  # fmt: skip
        if lost:
            what = f"{lost} molecules have no position any more: forces are not finite, or rigid molecules turned too far in one step"
            raise RunFailure(what, WHERE, "Use a shorter dynamics.timestep, or start from a relaxed configuration.")

    def thermostat(self, levels: NDArray[np.integer] | None = None, n_levels: int = 3) -> FloatArray:
        """O: friction and noise on the molecules with friction.

        Returns:
            Its work in eV: (n_molecules,), or (n_levels,) sums over the molecules of each of the (n_molecules,) ``levels``.
        """
        table, move = self._species, moves.damp_threaded if self._threaded else moves.damp
        self._random[1] += np.uint64(1)
        move(
            self._blocks, self.positions, self.velocities, self._work, self._random[0], self._random[1],
            self._speeds, self._point_speeds,
            self._decay, self._noise, self._offsets, self._modes, self._kinds,
            self._masses, self._molecule_masses, table.corners, table.triangles,
        )  # fmt: skip
        if levels is None:
            return self._work.copy()
        sums = np.zeros(n_levels)
        modes.sum_levels(self._work, levels, sums)
        return sums

    def kinetic_energies(self) -> FloatArray:
        """(n_atoms,) kinetic energies, eV; the atoms of a point share the energy of its centre of mass by mass."""
        return (0.5 / ACCELERATION) * self._masses * np.einsum("ij,ij->i", self.velocities, self.velocities)

    def kinetic_by_level(self, levels: NDArray[np.integer], n_levels: int = 3) -> tuple[FloatArray, FloatArray]:
        """(n_levels,) kinetic energies in eV and degrees of freedom of the molecules of each level."""
        energies, degrees = np.zeros(n_levels), np.zeros(n_levels)
        modes.kinetic(
            self.velocities, self._offsets, self._modes, self._masses, self._molecule_masses,
            levels, self.molecule_degrees, energies, degrees,
        )  # fmt: skip
        return energies, degrees

    def sleep(self, molecules: ArrayLike) -> FloatArray:
        """Turn molecules into points at their centres of mass: their internal velocities are dropped.

        Returns:
            (n,) changes of their kinetic energies, eV.

        Raises:
            UserError: one of them is flexible, or a point already.
        """
        index = np.atleast_1d(np.asarray(molecules, dtype=np.int64))
        flexible = index[(self._natural[index] == modes.FREE) & (self._sizes[index] > 1)]
        if len(flexible):
            name = self.topology.species[self._kinds[flexible[0]]]
            raise UserError(f"{name} is flexible", WHERE, "Only rigid molecules and single atoms can be points.")
        self._require(index, False)
        change = np.zeros(len(index))
        modes.sleep(index, change, self.velocities, self._offsets, self._modes, self._masses, self._molecule_masses)
        self._change_modes(index, True)
        return change

    def wake(self, molecules: ArrayLike) -> FloatArray:
        """Give points back their shape: a uniformly random orientation, and a rotation of the temperature.

        Returns:
            (n,) changes of their kinetic energies, eV.

        Raises:
            UserError: one of them is no point.
        """
        index = np.atleast_1d(np.asarray(molecules, dtype=np.int64))
        self._require(index, True)
        self._change_modes(index, False)
        self.wakings[index] += 1
        change = np.zeros(len(index))
        bodies = self._natural[index] != modes.FREE
        if bodies.any():
            self._random[2] += np.uint64(1)
            found = np.zeros(int(bodies.sum()))
            modes.wake(
                index[bodies], found, self.positions, self.velocities, self._random[0], self._random[2], self._heat,
                self._offsets, self._kinds, self._masses, self._molecule_masses, self._species.reference, self._species.places,
            )  # fmt: skip
            change[bodies] = found
        return change

    def _require(self, index: IntArray, asleep: bool) -> None:
        wrong = index[self.points[index] != asleep]
        if len(wrong) or len(np.unique(index)) != len(index):
            what = f"molecule {wrong[0]} is {'no' if asleep else 'already a'} point" if len(wrong) else "a molecule is named twice"
            raise UserError(what, WHERE, "Change the identity of a molecule once.")

    def _change_modes(self, index: IntArray, asleep: bool) -> None:
        if len(index):
            self.points[index] = asleep
            bodies = index[self._natural[index] != modes.FREE]
            self._modes[bodies] = modes.POINT if asleep else self._natural[bodies]
            self.molecule_degrees[bodies] = 3.0 if asleep else 6.0

    def _set_degrees(self) -> None:
        """(n_molecules,) degrees of freedom: three of a point, six of a rigid body, three of each atom of any other."""
        awake = np.where(self._natural == modes.FREE, 3.0 * self._sizes, 6.0)
        self.molecule_degrees = np.where(self._modes == modes.POINT, 3.0, awake)

    def generator_state(self) -> NDArray[np.uint64]:
        """(3,) all that the noise to come depends on."""
        return self._random.copy()

    def set_generator_state(self, state: NDArray[np.uint64]) -> None:
        """Take up what :meth:`generator_state` gave."""
        self._random[:] = state

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a restart needs."""
        return {
            "positions": self.positions.copy(), "velocities": self.velocities.copy(),
            "points": self.points.copy(), "wakings": self.wakings.copy(), "random": self.generator_state(),
        }  # fmt: skip

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what :meth:`state` gave, bit by bit."""
        self.positions[:], self.velocities[:] = arrays["positions"], arrays["velocities"]
        self.points[:], self.wakings[:] = arrays["points"], arrays["wakings"]
        self._modes = np.where(self.points & (self._natural != modes.FREE), modes.POINT, self._natural).astype(np.int8)
        self._set_degrees()
        self.set_generator_state(arrays["random"])
