"""BAOAB Langevin integrator with a friction per atom.

Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34; J. Chem. Phys. 138, 174102 (2013). One step of length dt:

    B   v <- v + dt/2 F(x)/m
    A   x <- x + dt/2 v
    O   v <- c1 v + c2 xi,    c1 = exp(-gamma dt),  c2 = sqrt((1 - c1^2) kT/m),  xi normal
    A   x <- x + dt/2 v
    B   v <- v + dt/2 F(x)/m

Configurations are sampled exactly for a harmonic force at any stable dt; so is the kinetic energy of the velocities right
after O, which is the one that temperatures are measured from. With gamma = 0 this is velocity Verlet.

    symbol  variable          unit
    x       positions         Å
    v       velocities        Å/fs
    m       masses            amu
    gamma   friction          1/fs
    F       forces            eV/Å
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halocline.state import State
from halocline.topology import FloatArray, IntArray
from halocline.units import ACCELERATION, thermal_energy


@dataclass(frozen=True)
class Thermostat:
    """Time step in fs, temperature in K, frictions of AT, Δ and reservoir in 1/fs."""

    timestep: float
    temperature: float
    friction: tuple[float, float, float]


class Mover(ABC):
    """What a simulation needs of an integrator: the operators B, A and O, and books by level of resolution.

    Attributes:
        points: whether molecules outside S1 are moved as mass points; see :meth:`sleep`.
    """

    points: bool = False

    @property
    @abstractmethod
    def coordinates(self) -> FloatArray:
        """(n_atoms, 3) positions, Å; treat as read-only."""

    @property
    @abstractmethod
    def velocity_array(self) -> FloatArray:
        """(n_atoms, 3) velocities, Å/fs; treat as read-only."""

    @abstractmethod
    def set_levels(self, levels: NDArray[np.int8], friction: FloatArray) -> None:
        """Friction (n_levels,) in 1/fs by level, from the (n_molecules,) level of each molecule; books go by level too."""

    @abstractmethod
    def kick(self, forces: FloatArray) -> None:
        """B: half a step of acceleration by (n_atoms, 3) forces in eV/Å."""

    @abstractmethod
    def drift(self) -> None:
        """A: half a step of free flight."""

    @abstractmethod
    def thermostat_by_level(self) -> FloatArray:
        """O: friction and noise; returns the work on the molecules of each level, (n_levels,) in eV."""

    @abstractmethod
    def kinetic_by_level(self) -> tuple[FloatArray, FloatArray]:
        """(n_levels,) kinetic energies in eV and numbers of degrees of freedom."""

    @property
    @abstractmethod
    def kinetic(self) -> float:
        """Kinetic energy, eV."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Positions, velocities and the state of the random numbers, for checkpoints."""

    @abstractmethod
    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take up what :meth:`arrays` gave."""

    def wake(self, molecules: NDArray[np.bool_]) -> float:
        """Give masked molecules an internal state drawn from its equilibrium; returns the kinetic energy gained, eV."""
        return 0.0

    def sleep(self, molecules: NDArray[np.bool_]) -> float:
        """Move masked molecules as mass points from now on; returns the kinetic energy gained (negative), eV.

        Exact where the energy outside S1 depends on centres of mass alone: orientation and internal momenta are then
        independent of everything else, so they need not be followed and can be drawn anew by :meth:`wake`.
        """
        return 0.0


class Integrator(Mover):
    """Positions and velocities, and the operators that move them.

    All tensors are float64 on ``device``. On the CPU :attr:`coordinates` shares their memory, so that potentials written
    for NumPy read the positions without a copy.

    Args:
        positions: (n_atoms, 3), Å.
        velocities: (n_atoms, 3), Å/fs.
        masses: (n_atoms,), amu.
        timestep: fs.
        temperature: K.
        seed: of the noise.
        molecule_of_atom: (n_atoms,), needed by :meth:`set_levels`; every atom by itself if not given.
    """

    def __init__(
        self,
        positions: FloatArray,
        velocities: FloatArray,
        masses: FloatArray,
        timestep: float,
        temperature: float,
        seed: int,
        device: str = "cpu",
        molecule_of_atom: IntArray | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.positions = torch.tensor(positions, dtype=torch.float64, device=self.device)
        self.velocities = torch.tensor(velocities, dtype=torch.float64, device=self.device)
        self.masses = torch.tensor(masses, dtype=torch.float64, device=self.device)[:, None]
        self.timestep, self.temperature = timestep, temperature
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self._kick = 0.5 * timestep * ACCELERATION / self.masses
        self._thermal_speed = torch.sqrt(thermal_energy(temperature) * ACCELERATION / self.masses)
        self._half_masses = (0.5 / ACCELERATION) * self.masses[:, 0]
        self._molecule_of_atom = np.arange(len(masses)) if molecule_of_atom is None else molecule_of_atom
        self.set_friction(np.zeros(len(masses)))

    @property
    def coordinates(self) -> FloatArray:
        """(n_atoms, 3) positions as a NumPy array; treat as read-only."""
        return self.positions.numpy() if self.device.type == "cpu" else self.positions.cpu().numpy()

    @property
    def velocity_array(self) -> FloatArray:
        return self.velocities.numpy() if self.device.type == "cpu" else self.velocities.cpu().numpy()

    def set_levels(self, levels: NDArray[np.int8], friction: FloatArray) -> None:
        atom_levels = levels[self._molecule_of_atom].astype(np.int64)
        self._levels = torch.from_numpy(atom_levels).to(self.device)
        self._degrees = 3.0 * np.bincount(atom_levels, minlength=len(friction)).astype(np.float64)
        self.set_friction(friction[atom_levels])
        self._damped_levels = self._levels[self.damped]

    def set_friction(self, friction: FloatArray) -> None:
        """Use these (n_atoms,) frictions, 1/fs; atoms without friction draw no noise."""
        gamma = torch.as_tensor(friction, dtype=torch.float64, device=self.device)[:, None]
        self.damped = torch.nonzero(gamma[:, 0] > 0)[:, 0]
        c1 = torch.exp(-gamma[self.damped] * self.timestep)
        self._c1, self._c2 = c1, torch.sqrt(1.0 - c1**2) * self._thermal_speed[self.damped]
        self._damped_half_masses = self._half_masses[self.damped]

    def kick(self, forces: FloatArray) -> None:
        """B: half a step of acceleration by (n_atoms, 3) forces in eV/Å."""
        self.velocities.addcmul_(self._kick, torch.as_tensor(forces, dtype=torch.float64, device=self.device))

    def drift(self) -> None:
        """A: half a step of free flight."""
        self.positions.add_(self.velocities, alpha=0.5 * self.timestep)

    def thermostat(self) -> Tensor:
        """O: friction and noise on the damped atoms; returns their work, (n_damped,) in eV."""
        if len(self.damped) == 0:
            return self.velocities.new_zeros(0)
        before = self.velocities.index_select(0, self.damped)
        noise = torch.randn(before.shape, dtype=torch.float64, device=self.device, generator=self.generator)
        after = (self._c1 * before).addcmul_(self._c2, noise)
        self.velocities.index_copy_(0, self.damped, after)
        return torch.linalg.vecdot(after - before, after + before) * self._damped_half_masses

    def limit(self, speed: float) -> int:
        """Slow down atoms that are faster than ``speed`` (Å/fs); returns how many they were."""
        found = self.velocities.norm(dim=1, keepdim=True)
        self.velocities *= (speed / found.clamp(min=1e-12)).clamp(max=1.0)
        return int((found > speed).sum())

    def thermostat_by_level(self) -> FloatArray:
        work, n_levels = self.thermostat(), len(self._degrees)
        return torch.bincount(self._damped_levels, work, n_levels).cpu().numpy() if len(work) else np.zeros(n_levels)

    def kinetic_by_level(self) -> tuple[FloatArray, FloatArray]:
        energies: FloatArray = torch.bincount(self._levels, self.kinetic_energies(), len(self._degrees)).cpu().numpy()
        return energies, self._degrees

    @property
    def kinetic(self) -> float:
        return float(self.kinetic_energies().sum())

    def arrays(self) -> dict[str, np.ndarray]:
        random = self.generator.get_state().numpy()
        return {"positions": self.coordinates.copy(), "velocities": self.velocity_array.copy(), "random": random}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.positions.copy_(torch.from_numpy(arrays["positions"]))
        self.velocities.copy_(torch.from_numpy(arrays["velocities"]))
        self.generator.set_state(torch.from_numpy(arrays["random"]))

    def kinetic_energies(self) -> Tensor:
        """(n_atoms,) kinetic energies, eV."""
        return torch.linalg.vecdot(self.velocities, self.velocities) * self._half_masses


def maxwell_boltzmann(masses: FloatArray, temperature: float, generator: np.random.Generator) -> FloatArray:
    """(n_atoms, 3) velocities in Å/fs of a temperature in K, without motion of the centre of mass."""
    speeds = np.sqrt(thermal_energy(temperature) * ACCELERATION / masses)
    velocities = generator.normal(size=(len(masses), 3)) * speeds[:, None]
    return velocities - (masses[:, None] * velocities).sum(0) / masses.sum()


def flexible_mover(state: State, thermostat: Thermostat, seed: int, device: str = "cpu") -> Integrator:
    """The integrator of flexible molecules at a configuration; velocities that it lacks are drawn."""
    topology, velocities = state.topology, state.velocities
    if velocities is None:
        velocities = maxwell_boltzmann(topology.masses, thermostat.temperature, np.random.default_rng(seed))
    arguments = (topology.masses, thermostat.timestep, thermostat.temperature, seed, device)
    return Integrator(state.positions, velocities, *arguments, molecule_of_atom=topology.molecule_of_atom)
