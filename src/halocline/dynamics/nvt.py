"""Plain canonical runs of one potential: every molecule fully resolved, no regions and no books."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from halocline.dynamics.integrator import Integrator, maxwell_boltzmann
from halocline.dynamics.rigid import RigidIntegrator
from halocline.dynamics.rigid_bodies import Lengths, reference_lengths, rigid_velocities
from halocline.errors import RunFailure
from halocline.molecules.base import Molecule
from halocline.potentials.base import Potential
from halocline.potentials.kernels.neighbours import FARTHEST
from halocline.progress import Task
from halocline.state import State
from halocline.topology import FloatArray

Moves = Integrator | RigidIntegrator
"""What moves the atoms: both have the operators of BAOAB."""


def rigid_lengths(molecule: Molecule) -> Lengths:
    """All distances of the atoms of a molecule in its geometry: what keeps it rigid; Å."""
    return reference_lengths(np.array(molecule.geometry))


def make_mover(
    state: State, timestep: float, temperature: float, friction: float, seed: int, rigid: Mapping[str, Lengths] | None = None
) -> Moves:
    """An integrator with one friction for all molecules.

    Args:
        state: without velocities they are drawn.
        timestep: fs. temperature: K. friction: 1/fs.
        rigid: distances of rigid species, see :func:`rigid_lengths`; species without are flexible.
    """
    topology, velocities, generator = state.topology, state.velocities, np.random.default_rng(seed)
    gamma = np.full(topology.n_atoms, friction)
    if rigid:
        bodies = [name in rigid for name in topology.species]
        if velocities is None:
            velocities = rigid_velocities(topology, state.positions, bodies, temperature, generator)
        lengths = [rigid.get(name, []) for name in topology.species]
        body_mover = RigidIntegrator(state.positions, velocities, topology, bodies, lengths, timestep, temperature, seed)
        body_mover.set_friction(gamma)
        return body_mover
    if velocities is None:
        velocities = maxwell_boltzmann(topology.masses, temperature, generator)
    mover = Integrator(
        state.positions, velocities, topology.masses, timestep, temperature, seed, molecule_of_atom=topology.molecule_of_atom
    )
    mover.set_friction(gamma)
    return mover


def run(
    mover: Moves,
    potential: Potential,
    steps: int,
    interval: int = 0,
    look: Callable[[FloatArray], None] | None = None,
    task: Task | None = None,
) -> None:
    """BAOAB steps.

    Args:
        mover: moves the atoms.
        potential: bound already.
        steps: how many.
        interval, look: called with the (n_atoms, 3) positions after every ``interval`` steps.
        task: advanced by one each step.

    Raises:
        RunFailure: the energy is not finite, or an atom has left for good.
    """
    forces = potential.evaluate(mover.coordinates).forces
    for step in range(1, steps + 1):
        mover.kick(forces)
        mover.drift()
        mover.thermostat()
        mover.drift()
        if not np.abs(mover.coordinates).max() < FARTHEST:
            raise RunFailure("an atom has flown away", f"step {step}", "Use a shorter time step, or a relaxed start.")
        evaluation = potential.evaluate(mover.coordinates)
        if not np.isfinite(evaluation.energy):
            raise RunFailure("the potential energy is not finite", f"step {step}", "Use a shorter time step, or a relaxed start.")
        forces = evaluation.forces
        mover.kick(forces)
        if look is not None and interval and step % interval == 0:
            look(mover.coordinates)
        if task is not None:
            task.advance()
