"""Full-resolution runs, pressures, quench, monitors and trajectories."""

import MDAnalysis
import numpy as np
import pytest
from brute_force import ARGON, PairLennardJones, lattice_fluid, triatomic_fluid

from halocline.adress.regions import Slab
from halocline.dynamics.bulk import bulk_pressure, compressibility_of, full_resolution, half_box_square, molecular_pressure
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.record import Record
from halocline.dynamics.recording import RecordHook
from halocline.dynamics.simulation import Thermostat
from halocline.dynamics.start import quench
from halocline.dynamics.statistics import mean_and_error
from halocline.dynamics.trajectory import write_trajectory
from halocline.errors import RunFailure
from halocline.potentials.base import Zero
from halocline.state import State
from halocline.units import BOLTZMANN, thermal_energy


def test_ideal_gas_has_its_pressure_exactly():
    state = triatomic_fluid((3, 3, 3), 5.0)
    zero = np.zeros((3, 3))
    pressure = molecular_pressure(state, zero, np.zeros_like(state.positions), 300.0)
    assert pressure == pytest.approx(27 * BOLTZMANN * 300.0 / 15.0**3)


def test_pressure_is_minus_the_derivative_of_the_free_energy_of_a_static_lattice():
    state = lattice_fluid((4, 4, 4), 4.0, jitter=0.2)
    potential = PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 7.0)

    def energy(scale: float) -> float:
        potential.bind(state.topology, scale * state.cell)
        return potential.evaluate(scale * state.positions).energy

    step = 1e-5
    slope = (energy(1 + step) - energy(1 - step)) / (2 * step) / (3 * state.volume)
    potential.bind(state.topology, state.cell)
    result = potential.evaluate(state.positions, virial=True)
    assert molecular_pressure(state, result.virial, result.forces, 0.0) == pytest.approx(-slope, rel=1e-6)


def test_forces_within_molecules_do_not_enter_the_molecular_pressure():
    state = triatomic_fluid((3, 3, 3), 5.0)
    forces = np.zeros_like(state.positions)
    bond = state.positions[1::3] - state.positions[0::3]
    forces[1::3], forces[0::3] = bond, -bond
    virial = state.positions.T @ forces
    assert molecular_pressure(state, virial, forces, 0.0) == pytest.approx(0.0, abs=1e-15)


def test_bulk_pressure_of_a_dilute_gas_follows_the_second_virial_coefficient():
    epsilon, sigma, cutoff, temperature = ARGON["epsilon"], ARGON["sigma"], 8.0, 300.0
    state = lattice_fluid((4, 4, 4), 6.5)
    result = bulk_pressure(state, PairLennardJones(epsilon, sigma, cutoff), temperature, 0.005, 10.0, 900, discard=0.25, sample=3, seed=3)
    r = np.linspace(0.5, cutoff, 4000)
    value = PairLennardJones(epsilon, sigma, cutoff)._value(r)
    second = -2 * np.pi * np.trapezoid((np.exp(-value / (BOLTZMANN * temperature)) - 1) * r**2, r)
    density = 64 / state.volume
    expected = density * BOLTZMANN * temperature * (1 + second * density)
    assert abs(result.pressure - expected) < 4 * result.error + 0.02 * expected
    assert 0 < result.error < 0.2 * expected
    assert result.temperature == pytest.approx(temperature, rel=0.1)


def test_bulk_run_continues_from_its_checkpoint(tmp_path):
    def run(steps: int) -> float:
        potential = PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 5.0)
        return bulk_pressure(
            lattice_fluid((3, 3, 3), 4.5), potential, 120.0, 0.01, 4.0, steps, 0.2, 1, 5, (tmp_path / "bulk.npz", 40)
        ).pressure

    first = run(100)
    assert run(100) == first  # the second call takes up the last checkpoint and ends with the same samples


def test_quench_makes_an_overlapping_box_runnable():
    state = lattice_fluid((4, 4, 4), 3.7, seed=2, jitter=0.7)
    potential = PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 7.0)
    relaxed = quench(state, potential, 4.0, 100.0, 1, steps=200)
    assert np.abs(potential.evaluate(relaxed.positions).forces).max() < 1.0
    assert relaxed.velocities is not None
    run = full_resolution(relaxed, potential, Thermostat(4.0, 100.0, (0.01,) * 3), 1, hooks=(Monitor(10),))
    run.run(40)


def small_run(hooks) -> None:
    state = triatomic_fluid((6, 2, 2), 5.0)
    run = full_resolution(state, Zero(), Thermostat(1.0, 300.0, (0.02,) * 3), 1, Slab(15.0, 4.0, 5.0, 0.0, 30.0), hooks)
    run.run(400)


def test_monitor_finds_molecules_that_fall_apart():
    # Without any bond the atoms of a molecule fly apart.
    with pytest.raises(RunFailure, match=r"molecules are broken.*A across"):
        small_run((Monitor(10),))


def test_monitor_finds_a_hot_region():
    state = lattice_fluid((8, 4, 4), 4.0, jitter=0.0)
    hot = State(state.positions, state.cell, state.topology, np.full_like(state.positions, 0.02))
    potential = PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 5.0)
    run = full_resolution(hot, potential, Thermostat(4.0, 100.0, (0.0,) * 3), 1, hooks=(Monitor(10),))
    with pytest.raises(RunFailure, match=r"region has .* K instead of 100 K") as caught:
        run.run(50)
    assert "timestep" in caught.value.remedy


def test_monitor_finds_infinite_forces():
    class Broken(Zero):
        def evaluate(self, positions, subset=None, virial=False):
            result = super().evaluate(positions, subset, virial)
            result.forces[7, 1] = np.inf
            return result

    state = lattice_fluid((4, 2, 2), 5.0)
    run = full_resolution(state, Broken(), Thermostat(1.0, 300.0, (0.0,) * 3), 1, hooks=(Monitor(1),))
    with pytest.raises(RunFailure, match="first in molecule 7"):
        run.run(3)


@pytest.mark.parametrize("suffix", ["xtc", "dcd"])
def test_trajectory_opens_in_another_program(tmp_path, suffix):
    small_run((RecordHook(tmp_path / "record.h5", 100, 0.033, 4),))
    with Record.open(tmp_path / "record.h5") as record:
        assert record.resolution == "full"
        assert record[0].inside.all()
        assert set(np.unique(record[0].level)) == {0, 1, 2}
        write_trajectory(record, tmp_path / f"open.{suffix}", tmp_path / "open.pdb")
        universe = MDAnalysis.Universe(str(tmp_path / "open.pdb"), str(tmp_path / f"open.{suffix}"))
        assert len(universe.trajectory) == 4
        assert len(universe.residues) == 24
        np.testing.assert_allclose(universe.dimensions[:3], [30.0, 10.0, 10.0], atol=1e-4)
        difference = universe.trajectory[3].positions - record[3].positions
        np.testing.assert_allclose(difference - np.round(difference / np.diag(record.cell)) * np.diag(record.cell), 0.0, atol=0.01)
        levels = universe.atoms.tempfactors
    np.testing.assert_array_equal(levels[::3], levels[1::3])
    assert {0.0, 1.0, 2.0} == set(levels)


def test_error_of_a_correlated_series_counts_independent_samples():
    generator = np.random.default_rng(0)
    noise, series = generator.normal(size=20000), np.zeros(20000)
    for step in range(1, 20000):
        series[step] = 0.9 * series[step - 1] + noise[step]
    mean, error, effective = mean_and_error(series)
    assert effective == pytest.approx(20000 / 19, rel=0.3)  # (1 + 0.9)/(1 - 0.9) = 19
    assert abs(mean) < 4 * error
    assert mean_and_error([1.0, 2.0])[1] == pytest.approx(np.sqrt(0.5))  # too short to know more
    assert mean_and_error([1.0])[1] == np.inf
    assert mean_and_error([28, 28, 28, 28, 28]) == (28.0, np.inf, 1.0)  # a count that never changed is not an exact one


def test_compressibility_of_an_ideal_gas_is_that_of_its_pressure():
    generator, volume = np.random.default_rng(3), 8000.0
    squares = [half_box_square(generator.random(200)) for _ in range(4000)]
    value, error = compressibility_of(squares, 200, volume, 300.0)
    assert error < 0.02 * value
    # kappa_T = 1/p = V/(N kT); a closed box leaves the variance N/4 to half of it.
    assert abs(value - volume / (200 * thermal_energy(300.0))) < 4 * error


def test_a_box_whose_halves_hold_the_same_number_is_incompressible():
    assert half_box_square(np.arange(64) / 64 + 1e-3) == 0.0
