"""Books of every coupling in moving and fixed regions, crossings by a hair, drift of the energy."""

import numpy as np
import pytest
from brute_force import lattice_fluid
from exact_systems import COUPLINGS, EDGE, SHAPES, bound, coarse, couple, fine, fluid, geometry, largest_imbalance, resolve
from weighted_pairs import WeightedPairs

from halocline.adress.coupling.abrupt import AbruptCoupling
from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Resolution, Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.checkpoint import read_checkpoint, write_checkpoint
from halocline.dynamics.integrator import maxwell_boltzmann
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.state import State

FRICTIONLESS = (0.0, 0.0, 0.0)


def start(seed: int = 1, temperature: float = 180.0) -> State:
    state = fluid(seed)
    velocities = maxwell_boltzmann(state.topology.masses, temperature, np.random.default_rng(seed))
    return State(state.positions, state.cell, state.topology, velocities)


def simulation(name: str, shape: str, timestep: float, friction=FRICTIONLESS, force=None, hysteresis: float = 0.2) -> Simulation:
    state = start()
    regions = geometry(shape, state, hysteresis=hysteresis)
    return Simulation(state, couple(name), regions, Thermostat(timestep, 180.0, friction), force, seed=2)


def ripple() -> ThermodynamicForce:
    force = ThermodynamicForce(("argon",), 8.0, 0.5, (2.0, 7.0))
    force.tables = 0.002 * np.sin(force.centres)[None] * force.in_window()
    return force


@pytest.mark.parametrize("shape", ["slab", "moving-sphere", "spheres"])
@pytest.mark.parametrize("name", COUPLINGS)
def test_books_close_to_the_square_of_the_time_step(name, shape):
    errors, booked = [], []
    for timestep in (8.0, 4.0):
        run = simulation(name, shape, timestep, force=ripple() if shape == "slab" else None)
        ledger = run.ledger
        errors.append(largest_imbalance(run, 480.0))
        booked.append(abs(ledger.total_heat) + abs(ledger.external))
    assert run.ledger.flips > 0
    assert errors[1] < 0.4 * errors[0]
    assert errors[1] < 6e-4
    if name not in ("hamiltonian", "force-interpolation"):
        # Leaving the booked heat and work out would show.
        assert min(booked) > 2 * errors[1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", COUPLINGS)
def test_books_close_with_a_thermostat(name, shape):
    run = simulation(name, shape, 2.0, (0.0, 0.01, 0.01))
    run.run(150)
    assert np.abs(run.ledger.thermostat).sum() > 0.02
    assert abs(run.conserved()) < 1e-3


def test_missing_work_is_not_the_error_of_the_integrator():
    run = simulation("force-interpolation", "slab", 2.0)
    run.run(240)
    assert abs(run.ledger.external) > 20 * abs(run.conserved())
    assert run.ledger.total_heat == 0.0


def test_hamiltonian_energy_is_conserved_without_any_booking():
    drifts = []
    for timestep in (8.0, 4.0, 2.0):
        run = simulation("hamiltonian", "sphere", timestep)
        total, worst = run.kinetic + run.potential, 0.0
        while run.time < 480.0:
            run.step()
            worst = max(worst, abs(run.kinetic + run.potential - total))
        drifts.append(worst)
        assert run.ledger.external == run.ledger.total_heat == 0.0
        assert run.ledger.flips > 0
    # Halving the time step divides the fluctuation by four.
    assert 2.8 < drifts[0] / drifts[1] < 5.6
    assert 2.8 < drifts[1] / drifts[2] < 5.6


@pytest.mark.parametrize("name", COUPLINGS)
def test_energy_is_conserved_at_fixed_membership(name):
    # Borders halfway between the planes of the lattice: nobody crosses.
    state, regions = lattice_fluid((4, 4, 4), 4.0, 3, 0.1), Slab(6.0, 2.0, 4.0, 0.0, EDGE)
    run = Simulation(state, couple(name), regions, Thermostat(2.0, 60.0, FRICTIONLESS), seed=2)
    levels, kinetic, potential, worst = run.levels.copy(), run.kinetic, run.potential, 0.0
    assert set(levels) == {0, 1, 2}
    for _ in range(80):
        run.step()
        missing = run.ledger.external if name == "force-interpolation" else 0.0
        worst = max(worst, abs(run.kinetic + run.potential - kinetic - potential - missing))
    np.testing.assert_array_equal(run.levels, levels)
    assert abs(run.kinetic - kinetic) > 0.002
    assert worst < 1e-4


@pytest.mark.parametrize("name", ["subtractive", "abrupt", "abrupt-half", "force-interpolation"])
def test_momentum_is_conserved_across_crossings(name):
    run = simulation(name, "moving-sphere", 4.0)
    run.run(150)
    momentum = run.topology.masses[:, None] * run.state.velocities
    assert run.ledger.flips > 0
    assert np.abs(momentum.sum(0)).max() < 1e-12 * np.abs(momentum).sum()


@pytest.mark.parametrize(
    ("name", "border", "share"),
    [("subtractive", 5.5, 1.0), ("abrupt", 5.5, 1.0), ("abrupt-half", 5.5, 0.25), ("abrupt-half", 2.5, 0.5), ("site-energy", 5.5, 0.5)],
)
def test_a_step_of_a_billionth_across_a_border_books_the_energy_of_the_pair(name, border, share):
    state = fluid().select([0, 1])
    x = 8.0 + border - 5e-10
    velocities = np.array([[0.0, 0.0, 0.0], [1e-9, 0.0, 0.0]])
    state = State(np.array([[x - 2.0, 8.0, 8.0], [x, 11.0, 8.0]]), state.cell, state.topology, velocities)
    run = Simulation(state, couple(name), Slab(8.0, 2.5, 3.0, 0.0, EDGE), Thermostat(1.0, 1.0, FRICTIONLESS))
    # With nothing that pulls, the second molecule moves by a billionth of an ångström.
    run.forces = np.zeros_like(run.forces)
    before = run.potential
    run.step()
    r = np.array(np.hypot(2.0, 3.0))
    expected = -share * float(fine().value(r) - coarse().value(r))
    assert run.potential - before == pytest.approx(expected, abs=1e-9)
    assert run.ledger.total_heat == pytest.approx(expected, abs=1e-9)
    assert run.ledger.inner == (run.ledger.total_heat if border == 2.5 else 0.0)
    assert run.ledger.flips == (0 if border == 2.5 else 1)


def test_levels_of_the_forces_are_those_of_the_last_change():
    state = start()
    run = Simulation(state, couple("abrupt-half"), geometry("slab", state), Thermostat(8.0, 180.0, FRICTIONLESS), seed=2)
    seen = []
    evaluate = run.coupling.evaluate
    run.coupling.evaluate = lambda positions, resolution: seen.append(resolution.levels.copy()) or evaluate(positions, resolution)
    crossings = 0
    for _ in range(60):
        before = run.membership.levels.copy()
        seen.clear()
        run.step()
        np.testing.assert_array_equal(seen[0], before)
        np.testing.assert_array_equal(run.membership.levels, run.levels)
        crossings += not np.array_equal(before, run.levels)
        assert len(seen) == 1 + (not np.array_equal(before, run.levels))
    assert crossings > 3


@pytest.mark.parametrize("name", ["abrupt-half", "force-interpolation", "hamiltonian"])
def test_restart_is_bit_identical(name, tmp_path):
    straight = simulation(name, "moving-sphere", 4.0, (0.0, 0.01, 0.01))
    straight.run(20)
    write_checkpoint(straight, tmp_path / "run.npz")
    straight.run(40)
    again = simulation(name, "moving-sphere", 4.0, (0.0, 0.01, 0.01))
    read_checkpoint(again, tmp_path / "run.npz")
    again.run(40)
    np.testing.assert_array_equal(again.state.positions, straight.state.positions)
    assert again.conserved() == straight.conserved()
    assert again.ledger.external == straight.ledger.external


def three_levels() -> tuple[SubtractiveCoupling, Slab, list[WeightedPairs]]:
    potentials = [fine(), coarse(), WeightedPairs(0.003, 3.0, 4.5, taper=True)]
    return SubtractiveCoupling(*potentials), Slab(8.0, 2.5, 3.0, 0.2, EDGE, inner=(2.8,)), potentials


def test_a_stack_of_three_has_the_limits_of_pairs():
    coupling, regions, potentials = three_levels()
    state = fluid()
    coupling.bind(state.topology, state.cell)
    result = coupling.evaluate(state.positions, resolve(regions, state))
    distance = np.abs(state.positions[:, 0] - 8.0)
    shell = np.where(distance < 2.8, 0, np.where(distance < 5.5, 1, 2))
    assert set(shell) == {0, 1, 2}
    energy = 0.0
    for a in range(64):
        for b in range(a + 1, 64):
            delta = state.positions[b] - state.positions[a]
            r = np.linalg.norm(delta - EDGE * np.round(delta / EDGE))
            potential = potentials[max(shell[a], shell[b])]
            energy += float(potential.value(np.array(r))) if r < potential.cutoff else 0.0
    assert result.energy == pytest.approx(energy, rel=1e-11)
    everyone, nobody = np.ones((2, 64), dtype=bool), np.zeros((2, 64), dtype=bool)
    for inside, potential in ((everyone, potentials[0]), (nobody, potentials[2]), (np.array([nobody[0], everyone[0]]), potentials[1])):
        potential.bind(state.topology, state.cell)
        exact, found = potential.evaluate(state.positions), coupling.evaluate(state.positions, Resolution(inside))
        assert found.energy == pytest.approx(exact.energy, abs=1e-14)
        np.testing.assert_allclose(found.forces, exact.forces, atol=1e-14)


def test_books_of_a_stack_of_three_close():
    errors = []
    for timestep in (8.0, 4.0):
        coupling, regions, _ = three_levels()
        run = Simulation(start(), coupling, regions, Thermostat(timestep, 180.0, FRICTIONLESS), seed=2)
        errors.append(largest_imbalance(run, 480.0))
    assert run.ledger.flips > 3
    assert abs(run.ledger.total_heat) > 2 * errors[1]
    assert errors[1] < 0.4 * errors[0]


def test_weights_of_the_layer_beyond_one_are_refused():
    with pytest.raises(Exception, match="from 0 to 1") as caught:
        AbruptCoupling(fine(), coarse(), 1.5)
    assert caught.value.exit_code == 2
    assert bound("abrupt", fluid()).delta_weight == 1.0
