"""The simulation: integrator, coupling, thermodynamic force, books and hooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from halocline.adress.coupling.base import Coupling
from halocline.adress.regions import BoolArray, LevelArray, Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.heat_ledger import HeatLedger
from halocline.dynamics.integrator import Integrator, maxwell_boltzmann
from halocline.errors import RunFailure
from halocline.potentials.base import Evaluation
from halocline.progress import Task
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import BOLTZMANN


@dataclass(frozen=True)
class Thermostat:
    """Time step in fs, temperature in K, frictions of AT, Δ and reservoir in 1/fs."""

    timestep: float
    temperature: float
    friction: tuple[float, float, float]


class Hook(ABC):
    """Something that looks at a simulation every ``interval`` steps.

    What it remembers between calls goes through :meth:`state` into checkpoints.

    Attributes:
        name: unique among the hooks of a simulation.
        during_equilibration: whether it is also called before the sums start.
    """

    name: str = ""
    interval: int = 1
    during_equilibration: bool = False

    @abstractmethod
    def __call__(self, simulation: Simulation) -> None:
        """Look; called after a step whose number is a multiple of the interval."""

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that a restart needs."""
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:  # noqa: B027 - many hooks remember nothing
        """Take up what :meth:`state` gave."""


class Simulation:
    """Dynamics of a slab of resolved molecules in its reservoir.

    A step that changes membership closes with the forces of the old membership, books the jump of the energy and opens
    the next step with the new forces; otherwise the books do not close.

    Steps are counted from ``-equilibration``; at zero all sums start again, and most hooks are called from then on only.

    Args:
        state: starting configuration, periodic and orthorhombic; without velocities they are drawn.
        coupling: not yet bound.
        slab: regions.
        thermostat: time step, temperature, frictions.
        force: thermodynamic force, or None.
        seed: of velocities and noise.
        resolution: "open", or "full" for everything inside S1 at all times (levels then follow from the distance alone).
        inside: (n_molecules,) members of S1 to start with; by distance if not given.
        equilibration: steps before the sums start.
    """

    def __init__(
        self,
        state: State,
        coupling: Coupling,
        slab: Slab,
        thermostat: Thermostat,
        force: ThermodynamicForce | None = None,
        seed: int = 0,
        resolution: str = "open",
        inside: BoolArray | None = None,
        hooks: Sequence[Hook] = (),
        equilibration: int = 0,
        device: str = "cpu",
    ) -> None:
        topology = state.topology
        self.initial, self.topology, self.slab = state, topology, slab
        self.coupling, self.force, self.thermostat = coupling, force, thermostat
        self.resolution, self.hooks, self.seed = resolution, list(hooks), seed
        velocities = state.velocities
        if velocities is None:
            velocities = maxwell_boltzmann(topology.masses, thermostat.temperature, np.random.default_rng(seed))
        self.integrator = Integrator(
            state.positions, velocities, topology.masses, thermostat.timestep, thermostat.temperature, seed, device
        )
        coupling.bind(topology, state.cell)
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        self.steps, self.ledger = -equilibration, HeatLedger()
        self.energy_sums, self.atom_sums = np.zeros(3), np.zeros(3)
        distance = slab.distance(topology.centres_of_mass(self.integrator.coordinates))
        self.inside = self._members(distance, slab.initial_inside(distance) if inside is None else inside.copy())
        self._set_levels(self._levels(distance))
        self._evaluate()
        if self.steps == 0:
            self.reset_sums()

    @property
    def time(self) -> float:
        """fs since the sums started; negative during equilibration."""
        return self.steps * self.thermostat.timestep

    @property
    def kinetic(self) -> float:
        """Kinetic energy of the velocities at the end of the step, eV."""
        return float(self.integrator.kinetic_energies().sum())

    @property
    def potential(self) -> float:
        """Energy of the coupling and of the thermodynamic force, eV."""
        return self.evaluation.energy + self.force_energy

    @property
    def state(self) -> State:
        """Positions and velocities now."""
        positions, velocities = self.integrator.coordinates.copy(), self.integrator.velocities.cpu().numpy().copy()
        return replace(self.initial, positions=positions, velocities=velocities)

    def conserved(self) -> float:
        """What the heat ledger says should be zero, eV."""
        return self.ledger.conserved(self.kinetic, self.potential)

    def temperatures(self, energy: FloatArray, atoms: FloatArray) -> FloatArray:
        """(3,) temperatures in K from sums of kinetic energy and of atoms over steps; NaN for a region without atoms."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 2.0 * energy / (3.0 * BOLTZMANN * atoms)

    def reset_sums(self) -> None:
        """Begin the books here."""
        self.ledger = HeatLedger(start=self.kinetic + self.potential)
        self.energy_sums, self.atom_sums = np.zeros(3), np.zeros(3)

    def restore(self, evaluation: Evaluation, force_energy: float, forces: FloatArray, inside: BoolArray) -> None:
        """Take up the forces and the membership that belong to the integrator's positions, from a checkpoint."""
        self.evaluation, self.force_energy, self.forces, self.inside = evaluation, force_energy, forces, inside
        self.centres = self.topology.centres_of_mass(self.integrator.coordinates)
        self._set_levels(self._levels(self.slab.distance(self.centres)))

    def run(self, until: int, task: Task | None = None) -> None:
        """Advance to a step number, calling hooks.

        Raises:
            RunFailure: from a monitor, or the disk.
        """
        while self.steps < until:
            self.step()
            if self.steps == 0:
                self.reset_sums()
            for hook in self.hooks:
                if self.steps % hook.interval == 0 and (self.steps > 0 or hook.during_equilibration):
                    hook(self)
            if task is not None:
                task.advance()

    def step(self) -> None:
        """One BAOAB step, and the change of membership that follows from it."""
        move = self.integrator
        move.kick(self.forces)
        move.drift()
        work = move.thermostat()
        self._add_sums(work)
        move.drift()
        self._evaluate()
        move.kick(self.forces)
        self.steps += 1
        self._change_membership()

    def _add_sums(self, work: torch.Tensor) -> None:
        """Kinetic energies right after the thermostat, which BAOAB samples best, and the work of the thermostat."""
        energies = torch.bincount(self._atom_levels, self.integrator.kinetic_energies(), 3)
        self.energy_sums += energies.cpu().numpy()
        self.atom_sums += self._level_atoms
        if len(work):
            self.ledger.thermostat += torch.bincount(self._damped_levels, work, 3).cpu().numpy()

    def _evaluate(self) -> None:
        """Forces at the current positions and membership."""
        positions = self.integrator.coordinates
        self.centres = self.topology.centres_of_mass(positions)
        self.evaluation = self.coupling.evaluate(positions, self.inside)
        if not np.isfinite(self.evaluation.energy):
            where = f"step {self.steps + 1} ({self.resolution} run)"
            remedy = "Use a shorter dynamics.timestep, or give the model more training data around such configurations."
            raise RunFailure("the potential energy is not finite", where, remedy)
        self.force_energy, along_x = 0.0, np.zeros(0)
        if self.force is not None:
            self.force_energy, along_x = self.force.evaluate(self.slab, self.centres, self.topology.molecule_species)
        self._add_force(along_x)
        if self.evaluation.capped.any():
            self.ledger.capped += np.bincount(self.levels, 0.5 * self.evaluation.capped, 3)

    def _add_force(self, along_x: FloatArray) -> None:
        """Total forces: those of the coupling, and on atom i the share m_i/M of the thermodynamic force."""
        self.forces = self.evaluation.forces
        if len(along_x):
            self.forces = self.forces.copy()
            self.forces[:, 0] += self._share * along_x[self.topology.molecule_of_atom]
        self._along_x = along_x

    def _members(self, distance: FloatArray, inside: BoolArray) -> BoolArray:
        if self.resolution == "full":
            return np.ones(len(distance), dtype=bool)
        return self.slab.update_inside(distance, inside)

    def _levels(self, distance: FloatArray) -> LevelArray:
        inside = distance < self.slab.outer if self.resolution == "full" else self.inside
        return self.slab.levels(distance, inside)

    def _change_membership(self) -> None:
        distance = self.slab.distance(self.centres)
        inside = self._members(distance, self.inside)
        changed = inside != self.inside
        if changed.any():
            self.evaluation, jump = self.coupling.change(self.integrator.coordinates, self.evaluation, inside)
            self.ledger.book_jump(jump, int((changed & inside).sum()), int((changed & ~inside).sum()))
            self.inside = inside
            self._add_force(self._along_x)
        levels = self._levels(distance)
        if not np.array_equal(levels, self.levels):
            self._set_levels(levels)

    def _set_levels(self, levels: LevelArray) -> None:
        """Regions decide friction and the books."""
        self.levels = levels
        atom_levels = levels[self.topology.molecule_of_atom].astype(np.int64)
        self._atom_levels = torch.from_numpy(atom_levels).to(self.integrator.device)
        self._level_atoms = np.bincount(atom_levels, minlength=3).astype(np.float64)
        self.integrator.set_friction(np.array(self.thermostat.friction)[atom_levels])
        self._damped_levels = self._atom_levels[self.integrator.damped]
