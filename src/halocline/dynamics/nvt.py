"""Plain canonical runs of one potential: every molecule fully resolved, no regions and no books."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halocline.dynamics.integrator import Integrator, Mover, maxwell_boltzmann
from halocline.errors import RunFailure
from halocline.potentials.base import Potential
from halocline.progress import Task
from halocline.state import State
from halocline.topology import FloatArray


def make_mover(state: State, timestep: float, temperature: float, friction: float, seed: int) -> Mover:
    """An integrator with one friction for all molecules.

    Args:
        state: without velocities they are drawn.
        timestep: fs. temperature: K. friction: 1/fs.
    """
    topology, velocities = state.topology, state.velocities
    if velocities is None:
        velocities = maxwell_boltzmann(topology.masses, temperature, np.random.default_rng(seed))
    mover = Integrator(
        state.positions, velocities, topology.masses, timestep, temperature, seed, molecule_of_atom=topology.molecule_of_atom
    )
    mover.set_levels(np.zeros(topology.n_molecules, dtype=np.int8), np.array([friction]))
    return mover


def run(
    mover: Mover,
    potential: Potential,
    steps: int,
    interval: int = 0,
    look: Callable[[FloatArray], None] | None = None,
    task: Task | None = None,
    forces: FloatArray | None = None,
) -> FloatArray:
    """BAOAB steps.

    Args:
        mover: moves the atoms.
        potential: bound already.
        steps: how many.
        interval, look: called with the (n_atoms, 3) positions after every ``interval`` steps.
        task: advanced by one each step.
        forces: (n_atoms, 3), of the present positions, if known.

    Returns:
        (n_atoms, 3) forces at the last positions, eV/Å.

    Raises:
        RunFailure: the energy is not finite.
    """
    if forces is None:
        forces = potential.evaluate(mover.coordinates).forces
    for step in range(1, steps + 1):
        mover.kick(forces)
        mover.drift()
        mover.thermostat_by_level()
        mover.drift()
        evaluation = potential.evaluate(mover.coordinates)
        if not np.isfinite(evaluation.energy):
            raise RunFailure("the potential energy is not finite", f"step {step}", "Use a shorter time step, or a relaxed start.")
        forces = evaluation.forces
        mover.kick(forces)
        if look is not None and interval and step % interval == 0:
            look(mover.coordinates)
        if task is not None:
            task.advance()
    return forces
