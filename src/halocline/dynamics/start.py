"""From a packed box to a configuration that full time steps can take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from halocline.dynamics.integrator import Integrator, maxwell_boltzmann
from halocline.dynamics.rigid_mover import MoverFactory
from halocline.errors import RunFailure
from halocline.potentials.base import Potential
from halocline.progress import Progress, Silent
from halocline.state import State
from halocline.units import ACCELERATION, thermal_energy

LARGEST_MOVE = 0.05
"""Å that an atom may move in one step of the quench."""
QUENCH_STEPS = 400
"""Steps of a quench."""
FASTEST = 5.0
"""Thermal speeds that an atom may always have."""


def quench(
    state: State,
    potential: Potential,
    timestep: float,
    temperature: float,
    seed: int,
    steps: int = QUENCH_STEPS,
    progress: Progress | None = None,
    make_mover: MoverFactory | None = None,
) -> State:
    """Relax with strong friction while the time step grows from a tenth to the whole, capping every move.

    Args:
        state: starting configuration.
        potential: of the whole system; bound here.
        timestep: fs, of the dynamics that follows.
        temperature: K.
        steps: in all.
        make_mover: integrator of systems with rigid molecules, which are put into their shape first.

    Returns:
        The relaxed configuration with velocities of the temperature.

    Raises:
        RunFailure: forces are not finite, or atoms still move at the cap in the last quarter.
    """
    where = "quench of the starting configuration"
    remedy = "Build the box at a lower density, use a shorter dynamics.timestep, or train a learned model on more configurations."
    topology, thermal, late = state.topology, 0.0, 0
    if make_mover is None:
        state = replace(state, velocities=maxwell_boltzmann(topology.masses, temperature, np.random.default_rng(seed)))
    else:
        # Rigid molecules take long time steps, in which light atoms move further than the cap by their thermal motion alone.
        thermal = FASTEST * float(np.sqrt(thermal_energy(temperature) * ACCELERATION / topology.masses.min()))
    potential.bind(topology, state.cell)
    with (progress or Silent()).task("relax", steps) as bar:
        for stage, fraction in enumerate((0.1, 0.25, 0.5, 1.0)):
            step = fraction * timestep
            move = (make_mover or _flexible)(state, step, temperature, seed + stage)
            move.set_levels(np.zeros(topology.n_molecules, dtype=np.int8), np.array([0.05 / step]))
            for _ in range(steps // 4):
                forces = potential.evaluate(move.coordinates).forces
                if not np.isfinite(forces).all():
                    raise RunFailure("forces are NaN or infinite", where, remedy)
                # Leapfrog form of BAOAB: two half kicks of one configuration at once.
                move.kick(forces)
                move.kick(forces)
                capped = move.limit(max(LARGEST_MOVE / step, thermal))
                late += capped if stage == 3 else 0
                move.drift()
                move.thermostat_by_level()
                move.drift()
                bar.advance()
            state = replace(state, positions=move.coordinates.copy(), velocities=move.velocity_array.copy(), info=dict(state.info))
    if late > topology.n_atoms:
        raise RunFailure(f"atoms moved at the limit of {LARGEST_MOVE} A per step {late} times at the end", where, remedy)
    return state


def _flexible(state: State, timestep: float, temperature: float, seed: int) -> Integrator:
    assert state.velocities is not None
    masses, molecules = state.topology.masses, state.topology.molecule_of_atom
    return Integrator(state.positions, state.velocities, masses, timestep, temperature, seed, molecule_of_atom=molecules)
