"""The heat ledger closes, momentum is conserved, ideal gases are ideal."""

import numpy as np
import pytest
from brute_force import ARGON, HarmonicWell, PairLennardJones, lattice_fluid, monatomic, triatomic_fluid

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Regions, Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.bulk import full_resolution
from halocline.dynamics.heat_ledger import HeatLedger
from halocline.dynamics.integrator import maxwell_boltzmann
from halocline.dynamics.recording import ProfileHook
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.errors import RunFailure
from halocline.potentials.base import Zero
from halocline.state import State

TEMPERATURE = 180.0
SHAPE, SPACING = (8, 3, 3), 4.0  # Å; n* = 0.61 at sigma 3.4 Å


def lennard_jones(scale: float = 1.0, cutoff: float = 5.9) -> PairLennardJones:
    return PairLennardJones(scale * ARGON["epsilon"], ARGON["sigma"], cutoff)


def fluid(seed: int = 1) -> State:
    state = lattice_fluid(SHAPE, SPACING, seed)
    velocities = maxwell_boltzmann(state.topology.masses, TEMPERATURE, np.random.default_rng(seed))
    return State(state.positions, state.cell, state.topology, velocities)


def regions(hysteresis: float = 0.0) -> Regions:
    return Slab(16.0, 4.0, 6.0, hysteresis, 32.0)


def open_run(coarse, timestep: float, friction: float, hysteresis: float = 0.0, **more) -> Simulation:
    coupling = SubtractiveCoupling(lennard_jones(), coarse)
    thermostat = Thermostat(timestep, TEMPERATURE, (0.0, friction, friction))
    return Simulation(fluid(), coupling, regions(hysteresis), thermostat, seed=2, **more)


@pytest.mark.parametrize("hysteresis", [0.0, 1.0])
@pytest.mark.parametrize("reservoir", ["tracer", "weaker"])
def test_heat_ledger_closes_across_flips(reservoir, hysteresis):
    force = ThermodynamicForce(("argon",), 16.0, 0.5, (4.0, 14.0))
    force.tables = 0.002 * np.sin(force.centres)[None] * force.in_window()
    soft = PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 5.9, cap=0.3)
    coupling = SubtractiveCoupling(soft, Zero() if reservoir == "tracer" else lennard_jones(0.5))
    run = Simulation(fluid(), coupling, regions(hysteresis), Thermostat(2.0, TEMPERATURE, (0.0, 0.01, 0.01)), force, seed=3)
    run.run(600)
    assert run.ledger.flips > 4
    assert abs(run.ledger.total_heat) > 0.001
    scale = np.abs(run.ledger.heat).sum()
    # What is left is the error of the integrator, two orders below what was booked.
    assert abs(run.conserved()) < 0.02 * max(scale, 0.3)


def test_heat_of_a_crossing_is_free_of_the_zeros_of_the_energies_and_has_its_error():
    generator = np.random.default_rng(4)

    def ledger(zero: float, crossings: int) -> HeatLedger:
        books = HeatLedger()
        for jump in generator.normal(size=(crossings, 2)):
            books.book_jump(zero + 0.1 + 0.02 * jump[0], 1, 0)
            books.book_jump(2 * (-zero + 0.3) + 0.05 * jump[1], 0, 2)
        return books

    for zero in (0.0, -107.8):
        heat, error = ledger(zero, 400).heat_per_crossing()
        # One molecule in with a spread of 0.02 eV, two out at once with 0.05 eV: 0.025 eV for each.
        assert error == pytest.approx(np.hypot(0.02, 0.025) / np.sqrt(400), rel=0.1)
        assert abs(heat - 0.4) < 4 * error
    inwards = HeatLedger()
    inwards.book_jump(-107.7, 1, 0)
    assert np.isnan(inwards.heat_per_crossing()[0])


def test_ledger_error_is_that_of_the_integrator():
    def error(timestep: float) -> float:
        run = open_run(lennard_jones(0.5), timestep, 0.0)
        run.run(round(400 / timestep))
        assert run.ledger.flips > 0
        return abs(run.conserved())

    assert error(1.0) < 0.5 * error(4.0) + 1e-5
    assert error(1.0) < 1e-3


def test_identical_potentials_exchange_no_heat():
    run = open_run(lennard_jones(), 4.0, 0.01)
    run.run(150)
    assert run.ledger.flips > 0
    assert abs(run.ledger.total_heat) < 1e-10
    everywhere = full_resolution(fluid(), lennard_jones(), run.thermostat, 2, regions())
    everywhere.run(150)
    # Levels decide the friction and hence the noise: with equal friction everywhere both would be the same trajectory.
    same_open = Simulation(
        fluid(), SubtractiveCoupling(lennard_jones(), lennard_jones()), regions(), Thermostat(4.0, TEMPERATURE, (0.01,) * 3), seed=2
    )
    same_full = full_resolution(fluid(), lennard_jones(), same_open.thermostat, 2, regions())
    same_open.run(60)
    same_full.run(60)
    np.testing.assert_allclose(same_open.state.positions, same_full.state.positions, atol=1e-9)


def test_momentum_is_conserved_without_thermostat():
    run = open_run(lennard_jones(0.5), 4.0, 0.0)
    run.run(100)
    masses = run.topology.masses[:, None]
    momentum = np.abs((masses * run.state.velocities).sum(0)).max()
    assert run.ledger.flips > 0
    assert momentum < 1e-12 * np.abs(masses * run.state.velocities).sum()


def test_thermodynamic_force_moves_molecules_as_wholes():
    state = triatomic_fluid((8, 2, 2), 4.0)
    still = State(state.positions, state.cell, state.topology, np.zeros_like(state.positions))
    force = ThermodynamicForce(("water",), 16.0, 0.5, (4.0, 14.0))
    force.tables = np.full_like(force.tables, 0.01)
    coupling = SubtractiveCoupling(Zero(), Zero())
    run = Simulation(still, coupling, regions(), Thermostat(1.0, 300.0, (0.0, 0.0, 0.0)), force)
    forces = run.forces
    accelerations = (forces / state.topology.masses[:, None]).reshape(-1, 3, 3)
    np.testing.assert_allclose(accelerations, accelerations[:, :1].repeat(3, axis=1), atol=1e-15)
    total = forces.reshape(-1, 3, 3).sum(1)[:, 0]
    distance = regions().distance(state.centres_of_mass)
    sign = np.sign(regions().shift(state.centres_of_mass))
    inner = (distance > 4.5) & (distance < 13.5)
    np.testing.assert_allclose(total[inner], 0.01 * sign[inner], rtol=1e-12)
    np.testing.assert_array_equal(total[distance < 4.0], 0.0)


def test_without_friction_there_is_no_noise_in_the_atomistic_region():
    run = open_run(Zero(), 2.0, 0.02)
    run.run(1)
    damped = run.topology.atom_mask(run.levels != 0)
    np.testing.assert_array_equal(np.sort(run.integrator.damped.numpy()), np.flatnonzero(damped))


def ideal_gas(n: int, timestep: float, steps: int, force: ThermodynamicForce | None = None) -> ProfileHook:
    generator = np.random.default_rng(5)
    cell = np.diag([32.0, 10.0, 10.0])
    state = State(generator.uniform(0, 1, (n, 3)) * np.diag(cell), cell, monatomic(n, 4.0))
    profile = ProfileHook(np.linspace(0, 16, 33), 1, 10)
    run = Simulation(
        state,
        SubtractiveCoupling(Zero(), Zero()),
        regions(),
        Thermostat(timestep, 300.0, (0.002,) * 3),
        force,
        seed=6,
        hooks=[profile],
        equilibration=200,
    )
    run.run(steps)
    return profile


def test_ideal_gas_is_uniform_and_its_numbers_binomial():
    counts = ideal_gas(2000, 200.0, 3000).counts[:, 0]
    density = counts.mean(0) / counts.mean()
    assert np.abs(density - 1.0).max() < 0.03
    inside = counts[:, :8].sum(1)  # the atomistic region: a quarter of the box
    assert inside.mean() == pytest.approx(500, abs=8)
    assert inside.var() == pytest.approx(2000 * 0.25 * 0.75, rel=0.3)


def test_ideal_gas_follows_the_boltzmann_factor_of_the_thermodynamic_force():
    force = ThermodynamicForce(("argon",), 16.0, 0.5, (4.0, 12.0))
    force.tables = np.full_like(force.tables, 0.004)
    counts = ideal_gas(3000, 50.0, 2000, force).counts[:, 0].mean(0)
    boltzmann = np.exp(-force.energy(force.centres) / (8.617333e-5 * 300.0))
    expected = 3000 * boltzmann / boltzmann.sum()
    assert expected.max() / expected.min() > 2
    np.testing.assert_allclose(counts, expected, rtol=0.06)


def test_temperature_of_every_region_is_that_of_the_thermostat():
    run = open_run(lennard_jones(0.5), 4.0, 0.02, hysteresis=1.0, equilibration=200)
    blocks = []
    for _ in range(6):
        run.run(max(run.steps, 0) + 800)
        blocks.append(run.temperatures(run.energy_sums, run.degree_sums))
        run.reset_sums()
    mean, error = np.mean(blocks, axis=0), np.std(blocks, axis=0, ddof=1) / np.sqrt(len(blocks))
    # Eighteen atoms without friction exchange energy with the rest by collisions alone.
    assert (error < np.array([0.06, 0.02, 0.02]) * TEMPERATURE).all()
    assert (np.abs(mean - TEMPERATURE) < 4.0 * error).all()


def test_infinite_energy_stops_the_run():
    class Broken(Zero):
        additive_over_molecules = False

        def evaluate(self, positions, subset=None, virial=False):
            result = super().evaluate(positions, subset, virial)
            result.energy = float("nan")
            return result

    with pytest.raises(RunFailure, match="not finite") as caught:
        Simulation(fluid(), SubtractiveCoupling(Broken(), Zero()), regions(), Thermostat(1.0, 300.0, (0.0,) * 3))
    assert caught.value.remedy


def test_wells_hold_the_configurational_temperature():
    state = fluid()
    well = HarmonicWell(0.5, state.positions.copy())
    run = full_resolution(state, well, Thermostat(10.0, TEMPERATURE, (0.02,) * 3), 1, regions(), equilibration=200)
    total = 0.0
    for _ in range(800):
        run.step()
        total += run.evaluation.energy if run.steps > 0 else 0.0
    assert total / 600 == pytest.approx(1.5 * 72 * 8.617333e-5 * TEMPERATURE, rel=0.06)
