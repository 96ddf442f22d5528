"""Heating stops a run, noise does not; the friction that heat asks for."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_calibration import REGIONS, START

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.dynamics import monitors
from halocline.dynamics.checkpoint import CheckpointHook, has_checkpoint, read_checkpoint
from halocline.dynamics.heat_ledger import needed_friction
from halocline.dynamics.monitors import PIECES, HeatingMonitor
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.errors import RunFailure, UserError
from halocline.potentials.base import Zero
from halocline.units import BOLTZMANN

TARGET = 300.0


class Fluctuating:
    """Sums of kinetic energies of regions with f degrees of freedom, whose temperature fluctuates with a correlation time."""

    def __init__(self, degrees, relative, correlation: float, seed: int) -> None:
        self.degrees, self.relative = np.array(degrees, dtype=float), np.array(relative)
        self.thermostat = SimpleNamespace(temperature=TARGET, timestep=1.0)
        self.steps, self.resolution = 0, "open"
        self.energy_sums, self.degree_sums = np.zeros(3), np.zeros(3)
        self.memory, self.generator = np.exp(-1.0 / correlation), np.random.default_rng(seed)
        self.noise = self.generator.normal(size=3)

    @property
    def time(self) -> float:
        return float(self.steps)

    temperatures = Simulation.temperatures

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self.noise = self.memory * self.noise + np.sqrt(1 - self.memory**2) * self.generator.normal(size=3)
            temperature = TARGET * (self.relative + np.sqrt(2.0 / self.degrees) * self.noise)
            self.energy_sums = self.energy_sums + 0.5 * BOLTZMANN * self.degrees * temperature
            self.degree_sums = self.degree_sums + self.degrees
        self.steps += steps


def watch(system: Fluctuating, length: int, checks: int) -> None:
    monitor = HeatingMonitor(0.05, length)
    for _ in range(checks):
        system.advance(monitor.interval)
        monitor(system)


@pytest.mark.parametrize("degrees", [(9, 30, 90), (300, 900, 3000)])
@pytest.mark.parametrize("correlation", [1.0, 15.0])
def test_noise_does_not_stop_a_run(degrees, correlation):
    # Fifty times the heating time, at temperatures that are right on average.
    watch(Fluctuating(degrees, (1.0, 1.0, 1.0), correlation, 1), 200, 50 * PIECES)


@pytest.mark.parametrize("relative", [1.12, 0.88])
def test_lasting_deviation_stops_a_run_and_says_where(relative):
    system = Fluctuating((600, 900, 900), (1.0, relative, 1.0), 5.0, 2)
    with pytest.raises(RunFailure, match="the transition region had") as error:
        watch(system, 200, 3 * PIECES)
    measured = float(error.value.what.split("had ")[1].split()[0])
    assert measured == pytest.approx(relative * TARGET, abs=10.0)
    assert system.steps <= 260
    assert "instead of 300 K" in error.value.what
    assert "friction_transition" in error.value.remedy


def test_deviation_within_the_tolerance_is_accepted():
    watch(Fluctuating((6000, 9000, 9000), (1.03, 0.97, 1.03), 1.0, 3), 200, 20 * PIECES)


def test_heating_shorter_than_the_heating_time_is_accepted():
    system, monitor = Fluctuating((600, 900, 900), (1.0, 1.0, 1.0), 1.0, 4), HeatingMonitor(0.05, 200)
    for check in range(5 * PIECES):
        system.relative[1] = 1.2 if check % PIECES < PIECES // 4 else 1.0
        system.advance(monitor.interval)
        monitor(system)


def test_state_at_the_moment_of_heating_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(monitors, "mean_and_error", lambda pieces: (float(np.mean(pieces)), 1e-9, 20.0))
    hot = Thermostat(2.0, 300.0, (0.05, 0.05, 0.05))
    velocities = np.random.default_rng(0).normal(scale=0.01, size=START.positions.shape)
    start = type(START)(START.positions, START.cell, START.topology, velocities)

    def make() -> Simulation:
        path = tmp_path / "run.npz"
        hooks = [HeatingMonitor(0.05, 40, path), CheckpointHook(path, 10_000)]
        return Simulation(start, SubtractiveCoupling(Zero(), Zero()), REGIONS, hot, None, 1, hooks=hooks)

    run = make()
    with pytest.raises(RunFailure, match=r"run\.npz"):
        run.run(200)
    assert has_checkpoint(tmp_path / "run.npz")
    again = make()
    read_checkpoint(again, tmp_path / "run.npz")
    assert again.steps == run.steps > 0
    np.testing.assert_array_equal(again.state.positions, run.state.positions)


def test_friction_removes_the_power_at_the_accepted_rise():
    power, molecules, rise = 1e-3, 150.0, 15.0
    friction = needed_friction(power, molecules, rise)
    # Langevin: dE/dt = -2 gamma (E - E0), with E = 3/2 N k T.
    excess = 1.5 * molecules * BOLTZMANN * rise
    assert 2.0 * friction * excess == pytest.approx(power, rel=1e-12)
    assert needed_friction(-power, molecules, rise) == 0.0


@pytest.mark.parametrize("bad", [(np.inf, 10.0, 5.0), (1e-3, 0.0, 5.0), (1e-3, 10.0, 0.0)])
def test_friction_from_nothing_is_refused(bad):
    with pytest.raises(UserError, match="no friction follows"):
        needed_friction(*bad)
