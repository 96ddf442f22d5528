"""The simulation: integrator, coupling, thermodynamic force, books and hooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from halocline.adress.coupling.base import Coupling
from halocline.adress.regions import RESERVOIR, BoolArray, LevelArray, Regions, Resolution
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.heat_ledger import HeatLedger
from halocline.dynamics.hook import Hook
from halocline.dynamics.integrator import Mover, Thermostat, flexible_mover
from halocline.errors import RunFailure
from halocline.potentials.base import Evaluation
from halocline.potentials.learned import add_to_atoms, centres_of_mass
from halocline.progress import Task
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import BOLTZMANN

__all__ = ["Hook", "Simulation", "Thermostat"]


class Simulation:
    """Dynamics of resolved molecules in their reservoir.

    A step that changes membership closes with the forces of the old membership, books the jump of the energy and opens
    the next step with the new forces; otherwise the books do not close. Regions that follow a molecule move at the same
    point of the step, and the work that this does is booked beside the jumps.

    Steps are counted from ``-equilibration``; at zero all sums start again, and most hooks are called from then on only.

    Args:
        state: starting configuration, periodic and orthorhombic; without velocities they are drawn.
        coupling: not yet bound.
        regions: where the resolution changes.
        thermostat: time step, temperature, frictions.
        force: thermodynamic force, or None.
        seed: of velocities and noise.
        resolution: "open", or "full" for everything inside S1 at all times (levels then follow from the distance alone).
        inside: members of S1 to start with (of all sets, for a deeper stack); by distance if not given.
        equilibration: steps before the sums start.
        integrator: what moves the atoms, at the positions and velocities of ``state``; by default that of
            flexible molecules, :func:`~halocline.dynamics.integrator.flexible_mover`.
        reservoir_steps: the reservoir's interactions are evaluated, and membership changes, every so many steps only (impulse
            multiple time stepping: Tuckerman, Berne and Martyna, J. Chem. Phys. 97, 1990 (1992), doi 10.1063/1.463137). Energies
            and books are complete at those steps.
    """

    def __init__(
        self,
        state: State,
        coupling: Coupling,
        regions: Regions,
        thermostat: Thermostat,
        force: ThermodynamicForce | None = None,
        seed: int = 0,
        resolution: str = "open",
        inside: BoolArray | None = None,
        hooks: Sequence[Hook] = (),
        equilibration: int = 0,
        device: str = "cpu",
        integrator: Mover | None = None,
        reservoir_steps: int = 1,
    ) -> None:
        topology = state.topology
        self.initial, self.topology = state, topology
        self.coupling, self.force, self.thermostat = coupling, force, thermostat
        self.resolution, self.hooks, self.seed = resolution, list(hooks), seed
        self.integrator: Mover = integrator or flexible_mover(state, thermostat, seed, device)
        coupling.bind(topology, state.cell)
        self._share = topology.masses / topology.molecule_masses[topology.molecule_of_atom]
        if equilibration % reservoir_steps:
            equilibration += reservoir_steps - equilibration % reservoir_steps
        self.reservoir_steps, self.reservoir_energy = reservoir_steps, 0.0
        self.steps, self.ledger = -equilibration, HeatLedger()
        self.energy_sums, self.degree_sums = np.zeros(3), np.zeros(3)
        self._damped_levels: LevelArray | None = None
        self.centres = self._find_centres()
        self.regions = regions.follow(self.centres)
        distance = self.regions.distance(self.centres)
        self._place(distance, self._members(distance, self.regions.initial_inside(distance) if inside is None else inside.copy()))
        self.evaluation: Evaluation
        if self.integrator.points:
            self.integrator.sleep(~self.membership.members)
        self._evaluate(True)
        if self.steps == 0:
            self.reset_sums()

    @property
    def time(self) -> float:
        """fs since the sums started; negative during equilibration."""
        return self.steps * self.thermostat.timestep

    @property
    def inside(self) -> BoolArray:
        """Members of S1, (n_molecules,); of all sets, (n_sets, n_molecules), for a deeper stack."""
        return self.membership.inside

    @property
    def kinetic(self) -> float:
        """Kinetic energy of the velocities at the end of the step, eV."""
        return self.integrator.kinetic

    @property
    def potential(self) -> float:
        """Energy of the coupling and of the thermodynamic force, eV."""
        return self.evaluation.energy + self.force_energy

    @property
    def state(self) -> State:
        """Positions and velocities now."""
        return replace(self.initial, positions=self.integrator.coordinates.copy(), velocities=self.integrator.velocity_array.copy())

    def conserved(self) -> float:
        """What the heat ledger says should be zero, eV."""
        return self.ledger.conserved(self.kinetic, self.potential)

    def temperatures(self, energy: FloatArray, degrees: FloatArray) -> FloatArray:
        """(3,) temperatures in K from sums of kinetic energy and of degrees of freedom over steps; NaN for a region without any."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 2.0 * energy / (BOLTZMANN * degrees)

    def reset_sums(self) -> None:
        """Begin the books here."""
        self.ledger = HeatLedger(start=self.kinetic + self.potential)
        self.energy_sums, self.degree_sums = np.zeros(3), np.zeros(3)

    def take_up_tables(self) -> None:
        """New forces after a change of tables of the coupling; what the energy changes by is external work."""
        before = self.potential
        self.evaluation = self.coupling.evaluate(self.integrator.coordinates, self.membership)
        self.ledger.external += self.potential - before
        self._add_force()

    def restore(self, evaluation: Evaluation, force_energy: float, forces: FloatArray, inside: BoolArray) -> None:
        """Take up the forces and the membership that belong to the integrator's positions, from a checkpoint."""
        self.evaluation, self.force_energy, self.forces = evaluation, force_energy, forces
        self.centres = self._find_centres()
        self.regions = self.regions.follow(self.centres)
        distance = self.regions.distance(self.centres)
        self._place(distance, inside)
        # Within a step the coupling's forces do not change with the next membership: only the last ones are needed.
        self._outward = None if self.force is None else self.force.evaluate(distance, self.topology.molecule_species)[1]

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
        move, before = self.integrator, (self.membership, self.evaluation)
        move.kick(self.forces)
        move.drift()
        self._set_friction()
        self.ledger.thermostat += move.thermostat_by_level()
        # Right after the thermostat BAOAB samples the kinetic energy best.
        energies, degrees = move.kinetic_by_level()
        self.energy_sums += energies
        self.degree_sums += degrees
        move.drift()
        self.centres = self._find_centres()
        self._place(self.regions.distance(self.centres), self.membership.inside, self._fixed_levels())
        is_outer = (self.steps + 1) % self.reservoir_steps == 0
        self._evaluate(is_outer)
        if not self.coupling.is_hamiltonian:
            self.ledger.external += self.coupling.missing_work(before, (self.membership, self.evaluation))
        move.kick(self.forces)
        self.steps += 1
        if is_outer:
            self._change_membership()

    def _find_centres(self) -> FloatArray:
        return centres_of_mass(self.integrator.coordinates, self.topology.offsets, self._share)

    def _evaluate(self, is_outer: bool) -> None:
        """Forces at the current positions and membership."""
        if self.reservoir_steps == 1:
            self.evaluation = self.coupling.evaluate(self.integrator.coordinates, self.membership)
        else:
            self.evaluation = self._in_parts(is_outer)
        if not np.isfinite(self.evaluation.energy):
            where = f"step {self.steps + 1} ({self.resolution} run)"
            remedy = "Use a shorter dynamics.timestep, or give the model more training data around such configurations."
            raise RunFailure("the potential energy is not finite", where, remedy)
        self._apply_thermodynamic_force()
        if self.evaluation.capped.any():
            self.ledger.capped += np.bincount(self.levels, 0.5 * self.evaluation.capped, 3)

    def _in_parts(self, is_outer: bool, moved: bool = True) -> Evaluation:
        """The reservoir's forces act as impulses, as many times stronger as they act more seldom; its capped pairs count as often."""
        often, seldom = self.coupling.evaluate_parts(self.integrator.coordinates, self.membership, is_outer, moved)
        if seldom is None:
            return Evaluation(often.energy + self.reservoir_energy, often.forces, None, often.capped)
        self.reservoir_energy = seldom.energy
        forces = often.forces + self.reservoir_steps * seldom.forces
        return Evaluation(often.energy + seldom.energy, forces, None, often.capped + self.reservoir_steps * seldom.capped)

    def _apply_thermodynamic_force(self) -> None:
        """Its energy, and the total forces at the present regions."""
        self.force_energy, self._outward = 0.0, None
        if self.force is not None:
            self.force_energy, self._outward = self.force.evaluate(self.distance, self.topology.molecule_species)
        self._add_force()

    def _add_force(self) -> None:
        """Total forces: those of the coupling, and on atom i the share m_i/M of the thermodynamic force."""
        self.forces = self.evaluation.forces
        if self._outward is None:
            return
        # Few molecules are in the window of the force, in a large reservoir.
        acting = self._outward.nonzero()[0]
        if len(acting):
            direction, self.forces = self.regions.direction(self.centres[acting]), self.forces.copy()
            add_to_atoms(self.forces, acting, self._outward, direction, self.topology.offsets, self._share)

    def _members(self, distance: FloatArray, inside: BoolArray) -> BoolArray:
        if self.resolution == "full":
            return np.ones(len(distance), dtype=bool)
        return self.regions.update_inside(distance, inside)

    def _fixed_levels(self) -> LevelArray | None:
        """Levels that the coupling's forces belong to within a step, or None where they do not depend on levels."""
        return self.membership.levels if self.coupling.depends_on_levels and self.membership.regions is not None else None

    def _place(self, distance: FloatArray, inside: BoolArray, fixed_levels: LevelArray | None = None) -> None:
        """Membership and weights at a distance from the core, and levels that follow."""
        self.distance = distance
        if self.resolution == "full":
            self.membership, levels_of = Resolution(inside), distance < self.regions.outer
        else:
            self.membership = Resolution(inside, self.regions, self.centres, distance, fixed_levels)
            levels_of = inside
        self.levels: LevelArray = self.regions.levels(distance, levels_of)

    def _set_friction(self) -> None:
        """Friction, and the books by region, follow from where molecules are at the moment of the thermostat.

        Friction by the region of the start of the step would depend on the velocity: it would fall on those that come from Δ into
        AT and not on those that go back. An ideal gas was 7 % denser and 5 % colder in AT for it, at a friction of 0.04 per step.
        """
        distance = self.regions.distance(self._find_centres())
        levels = self.regions.levels(distance, distance < self.regions.outer)
        if self._damped_levels is None or not np.array_equal(levels, self._damped_levels):
            self._damped_levels = levels
            self.integrator.set_levels(levels, np.array(self.thermostat.friction))

    def _change_membership(self) -> None:
        regions = self.regions.follow(self.centres)
        moved, self.regions = regions is not self.regions, regions
        distance = regions.distance(self.centres) if moved else self.distance
        old = self.membership.inside
        inside = self._members(distance, old)
        changed, fixed = inside != old, self._fixed_levels()
        relabelled = fixed is not None and not np.array_equal(regions.levels(distance, inside), fixed)
        if not moved and not changed.any() and not relabelled:
            return
        if self.integrator.points:
            self._change_representation(Resolution(inside).members, self.membership.members)
        self._place(distance, inside)
        if changed.any() or relabelled or self.coupling.is_weighted:
            old_evaluation = self.evaluation
            if self.reservoir_steps == 1:
                self.evaluation, jump = self.coupling.change(self.integrator.coordinates, old_evaluation, self.membership)
            else:
                self.evaluation = self._in_parts(True, moved=False)
                jump = self.evaluation.energy - old_evaluation.energy
            self.ledger.book_jump(jump, int((changed & inside).sum()), int((changed & ~inside).sum()), relabelled and not moved)
        if moved:
            force_energy = self.force_energy
            self._apply_thermodynamic_force()
            self.ledger.external += self.force_energy - force_energy
        else:
            self._add_force()

    def _change_representation(self, members: BoolArray, before: BoolArray) -> None:
        """Molecules that enter S1 take a thermal orientation and rotation, those that leave it become points."""
        gained = self.integrator.wake(members & ~before) + self.integrator.sleep(before & ~members)
        self.ledger.thermostat[RESERVOIR] += gained
