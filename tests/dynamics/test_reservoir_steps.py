"""Multiple time steps: the reservoir's forces act seldom and strongly, and the books still close."""

import numpy as np
import pytest
from brute_force import ARGON, PairLennardJones, lattice_fluid

from halocline.adress.coupling.base import Coupling
from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Resolution, Slab
from halocline.dynamics.checkpoint import read_checkpoint, write_checkpoint
from halocline.dynamics.integrator import maxwell_boltzmann
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.errors import UserError
from halocline.state import State

TEMPERATURE = 180.0


def fluid() -> State:
    state = lattice_fluid((8, 3, 3), 4.0, 1)
    velocities = maxwell_boltzmann(state.topology.masses, TEMPERATURE, np.random.default_rng(1))
    return State(state.positions, state.cell, state.topology, velocities)


def lennard_jones(scale: float = 1.0) -> PairLennardJones:
    return PairLennardJones(scale * ARGON["epsilon"], ARGON["sigma"], 5.9)


def run(timestep: float, steps: int, friction: float = 0.01, **more) -> Simulation:
    coupling = SubtractiveCoupling(lennard_jones(), lennard_jones(0.5))
    thermostat = Thermostat(timestep, TEMPERATURE, (0.0, friction, friction))
    return Simulation(fluid(), coupling, Slab(16.0, 4.0, 6.0, 0.5, 32.0), thermostat, seed=2, reservoir_steps=steps, **more)


def test_the_parts_add_up_to_the_whole():
    state = fluid()
    coupling = SubtractiveCoupling(lennard_jones(), lennard_jones(0.5))
    coupling.bind(state.topology, state.cell)
    inside = Resolution(np.arange(72) < 30)
    whole = coupling.evaluate(state.positions, inside)
    often, seldom = coupling.evaluate_parts(state.positions, inside, seldom=True)
    assert often.energy + seldom.energy == pytest.approx(whole.energy, rel=1e-12)
    np.testing.assert_allclose(often.forces + seldom.forces, whole.forces, atol=1e-14)


@pytest.mark.parametrize("capped", ["fine", "coarse"])
def test_capped_pairs_of_a_potential_that_is_evaluated_seldom_count_for_the_steps_between(capped):
    def count(steps: int) -> np.ndarray:
        caps = {name: 1e-3 if name == capped else np.inf for name in ("fine", "coarse")}
        pair = {name: PairLennardJones(ARGON["epsilon"], 5.0, 5.9, cap=cap) for name, cap in caps.items()}
        coupling, still = SubtractiveCoupling(pair["fine"], pair["coarse"]), Thermostat(1e-6, TEMPERATURE, (0.0, 0.0, 0.0))
        simulation = Simulation(fluid(), coupling, Slab(16.0, 4.0, 6.0, 0.5, 32.0), still, seed=2, reservoir_steps=steps)
        simulation.run(8)
        return simulation.ledger.capped

    every, fourth = count(1), count(4)
    assert every.sum() > 0
    assert (every[0] > 0) == (capped == "fine")  # pairs in AT are those of the fine potential
    np.testing.assert_array_equal(fourth, every)


def test_the_ledger_closes_at_outer_steps_and_its_error_falls_with_the_square_of_the_step():
    def error(timestep: float) -> float:
        simulation = run(timestep, 4, friction=0.0)
        deviations = []
        for _ in range(round(2400.0 / (4 * timestep))):
            simulation.run(simulation.steps + 4)
            deviations.append(simulation.conserved())
        assert simulation.ledger.flips > 4
        return float(np.std(deviations))

    coarse, fine = error(4.0), error(2.0)
    assert fine < coarse / 2.5
    assert coarse < 0.02 * 72 * 1.5 * 0.0155  # of the kinetic energy


def test_membership_changes_at_outer_steps_alone():
    simulation, changes = run(4.0, 4), []
    before = simulation.inside.copy()
    for _ in range(400):
        simulation.step()
        if not np.array_equal(before, simulation.inside):
            changes.append(simulation.steps)
            before = simulation.inside.copy()
    assert len(changes) > 2
    assert all(step % 4 == 0 for step in changes)


def test_structure_and_energy_do_not_depend_on_the_number_of_steps():
    def energies(steps: int) -> np.ndarray:
        simulation = run(4.0, steps, equilibration=400)
        found = []
        simulation.run(0)
        for _ in range(300):
            simulation.run(simulation.steps + 8)
            found.append(simulation.evaluation.energy)
        return np.array(found)

    one, four = energies(1), energies(4)
    error = np.hypot(*[series.reshape(10, -1).mean(1).std(ddof=1) / np.sqrt(10) for series in (one, four)])
    assert abs(one.mean() - four.mean()) < 4 * error


def test_a_restart_between_outer_steps_is_bit_identical(tmp_path):
    first = run(4.0, 4)
    first.run(42)
    write_checkpoint(first, tmp_path / "checkpoint.npz")
    second = run(4.0, 4)
    read_checkpoint(second, tmp_path / "checkpoint.npz")
    for simulation in (first, second):
        simulation.run(80)
    np.testing.assert_array_equal(first.integrator.coordinates, second.integrator.coordinates)
    assert first.conserved() == second.conserved()


def test_a_coupling_without_parts_is_refused():
    class Whole(SubtractiveCoupling):
        name = "whole"
        evaluate_parts = Coupling.evaluate_parts

    with pytest.raises(UserError, match="no part that can be evaluated less often"):
        Simulation(
            fluid(), Whole(lennard_jones(), lennard_jones(0.5)), Slab(16.0, 4.0, 6.0, 0.5, 32.0),
            Thermostat(4.0, 180.0, (0.0, 0.0, 0.0)), reservoir_steps=2,
        )  # fmt: skip
