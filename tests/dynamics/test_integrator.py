"""BAOAB: configurations, kinetic energy, energy drift and free flight."""

import numpy as np
import pytest

from halocline.dynamics.integrator import Integrator, maxwell_boltzmann
from halocline.units import ACCELERATION, BOLTZMANN

TEMPERATURE = 300.0
KT = BOLTZMANN * TEMPERATURE


def oscillators(n: int, timestep: float, friction: float, steps: int, seed: int = 1) -> tuple[float, float]:
    """Mean potential and kinetic energy per degree of freedom of harmonic oscillators, in units of kT/2."""
    mass, stiffness = 10.0, 2.0  # omega = 0.0439/fs
    generator = np.random.default_rng(seed)
    masses = np.full(n, mass)
    start = generator.normal(size=(n, 3)) * np.sqrt(KT / stiffness)
    move = Integrator(start, maxwell_boltzmann(masses, TEMPERATURE, generator), masses, timestep, TEMPERATURE, seed)
    move.set_friction(np.full(n, friction))
    potential, kinetic = 0.0, 0.0
    for _ in range(steps):
        move.kick(-stiffness * move.coordinates)
        move.drift()
        move.thermostat()
        kinetic += float(move.kinetic_energies().sum())
        move.drift()
        move.kick(-stiffness * move.coordinates)
        potential += 0.5 * stiffness * float((move.coordinates**2).sum())
    scale = 0.5 * KT * 3 * n * steps
    return potential / scale, kinetic / scale


@pytest.mark.parametrize("timestep", [2.0, 25.0])
def test_harmonic_oscillator_has_exact_averages_at_any_time_step(timestep):
    # omega dt = 1.1 at 25 fs: velocity Verlet with end-of-step velocities would be 30 % off in the kinetic energy.
    potential, kinetic = oscillators(2000, timestep, 0.02, 400)
    assert potential == pytest.approx(1.0, abs=0.012)
    assert kinetic == pytest.approx(1.0, abs=0.012)


def test_without_friction_energy_does_not_drift_and_its_error_scales_as_the_step_squared():
    def spread(timestep: float) -> float:
        masses = np.array([10.0])
        move = Integrator(np.array([[1.0, 0.5, -0.3]]), np.array([[0.0, 0.01, 0.0]]), masses, timestep, TEMPERATURE, 0)
        energies = []
        for _ in range(int(4000 / timestep)):
            move.kick(-2.0 * move.coordinates)
            move.drift()
            assert len(move.thermostat()) == 0
            move.drift()
            move.kick(-2.0 * move.coordinates)
            energies.append(float(move.kinetic_energies().sum()) + float((move.coordinates**2).sum()))
        first, last = np.mean(energies[: len(energies) // 4]), np.mean(energies[-len(energies) // 4 :])
        assert abs(last - first) < 0.05 * np.ptp(energies)
        return float(np.ptp(energies))

    assert spread(4.0) / spread(2.0) == pytest.approx(4.0, rel=0.1)


def test_friction_acts_on_its_own_atoms():
    masses = np.full(6, 12.0)
    start = np.tile([[0.01, 0.0, 0.0]], (6, 1))
    move = Integrator(np.zeros((6, 3)), start, masses, 1.0, TEMPERATURE, 3)
    move.set_friction(np.array([0.0, 0.1, 0.0, 0.1, 0.0, 0.0]))
    assert len(move.thermostat()) == 2
    velocities = move.velocities.numpy()
    np.testing.assert_array_equal(velocities[[0, 2, 4, 5]], start[:4])
    assert np.all(velocities[[1, 3]] != start[:2])


def test_thermostat_reports_its_work():
    masses = np.array([1.0, 16.0, 12.0])
    move = Integrator(np.zeros((3, 3)), np.full((3, 3), 0.01), masses, 1.0, TEMPERATURE, 3)
    move.set_friction(np.array([0.05, 0.0, 0.1]))
    before = move.kinetic_energies().sum()
    work = move.thermostat()
    assert float(work.sum()) == pytest.approx(float(move.kinetic_energies().sum() - before), rel=1e-12)


def test_coordinates_share_the_memory_of_the_positions():
    move = Integrator(np.zeros((2, 3)), np.ones((2, 3)), np.ones(2), 1.0, TEMPERATURE, 0)
    view = move.coordinates
    move.drift()
    np.testing.assert_array_equal(view, 0.5)


def test_initial_velocities_have_the_temperature_and_no_momentum():
    masses = np.random.default_rng(0).uniform(1, 20, 4000)
    velocities = maxwell_boltzmann(masses, TEMPERATURE, np.random.default_rng(1))
    assert np.abs((masses[:, None] * velocities).sum(0)).max() < 1e-12 * masses.sum()
    kinetic = 0.5 * (masses[:, None] * velocities**2).sum() / ACCELERATION
    assert kinetic == pytest.approx(1.5 * 4000 * KT, rel=0.03)
