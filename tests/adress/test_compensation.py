"""Free-energy compensation: the table, its file, Kirkwood integration, and the one that grows on the fly."""

import numpy as np
import pytest
from exact_systems import coarse, fine, fluid, geometry
from weighted_pairs import WeightedPairs

from halocline.adress.compensation import FreeEnergyCompensation
from halocline.adress.coupling.hamiltonian import HamiltonianCoupling
from halocline.adress.coupling.make import make_coupling
from halocline.adress.regions import Resolution
from halocline.config.study import CouplingSection
from halocline.dynamics.checkpoint import read_checkpoint, write_checkpoint
from halocline.dynamics.compensation_hook import CompensationHook
from halocline.dynamics.integrator import maxwell_boltzmann
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.errors import RunFailure, UserError
from halocline.state import State

GRID = np.linspace(0.0, 1.0, 101)


def test_table_starts_at_zero_and_its_slope_is_its_derivative():
    rng = np.random.default_rng(0)
    table = FreeEnergyCompensation(("a", "b"), np.array([0.0, 0.1, 0.5, 0.6, 1.0]), rng.normal(size=(2, 5)))
    for kind in (0, 1):
        energy, slope = table.evaluate(GRID, kind)
        assert energy[0] == 0.0
        plus, minus = (table.evaluate(np.clip(GRID + sign * 1e-6, 0, 1), kind)[0] for sign in (1, -1))
        np.testing.assert_allclose((plus - minus)[1:-1] / 2e-6, slope[1:-1], atol=1e-5)
        np.testing.assert_allclose(table.evaluate(table.knots, kind)[1], table.slopes[kind], atol=1e-12)
        assert table.total()[kind] == pytest.approx(energy[-1], abs=1e-14)
    both = table.evaluate(np.array([0.3, 0.3]), np.array([0, 1]))[0]
    assert both.tolist() == [table.evaluate(np.array([0.3]), kind)[0][0] for kind in (0, 1)]


def test_kirkwood_integration_of_known_curves():
    # <V_AT - V_CG>_w = 0.2 - 0.6 w + 0.3 w^2 and p = 0.001 + 0.02 w^2, n = 0.05.
    weights = np.linspace(0.0, 1.0, 9)
    mean, pressure = 0.2 - 0.6 * weights + 0.3 * weights**2, 0.001 + 0.02 * weights**2
    helmholtz = FreeEnergyCompensation.from_kirkwood(("argon",), weights, mean)
    gibbs = FreeEnergyCompensation.from_kirkwood(("argon",), weights, mean, pressure, 0.05)
    energy, slope = helmholtz.evaluate(GRID)
    np.testing.assert_allclose(energy, 0.2 * GRID - 0.3 * GRID**2 + 0.1 * GRID**3, atol=1e-12)
    assert helmholtz.total()[0] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(gibbs.evaluate(GRID)[0] - energy, 0.02 * GRID**2 / 0.05, atol=1e-12)
    np.testing.assert_allclose(gibbs.evaluate(GRID)[1] - slope, 0.04 * GRID / 0.05, atol=1e-12)
    with pytest.raises(UserError, match="belong together"):
        FreeEnergyCompensation.from_kirkwood(("argon",), weights, mean, pressure)
    with pytest.raises(UserError, match="do not ascend from 0 to 1"):
        FreeEnergyCompensation.from_kirkwood(("argon",), weights[1:], mean[1:])


def test_kirkwood_gives_the_free_energy_of_a_known_system():
    # Independent molecules, V^AT - V^CG = c x with x normal of variance 1 at w = 0: F(w) - F(0) = -c^2 w^2 / (2 kT).
    c, kT, weights = 0.03, 0.025, np.linspace(0.0, 1.0, 5)
    table = FreeEnergyCompensation.from_kirkwood(("argon",), weights, -(c**2) * weights / kT)
    np.testing.assert_allclose(table.evaluate(GRID)[0], -(c**2) * GRID**2 / (2 * kT), atol=1e-14)


def test_file_keeps_the_table_and_refuses_other_settings(tmp_path):
    table = FreeEnergyCompensation(("argon",), np.array([0.0, 0.4, 1.0]), np.array([[0.1, -0.2, 0.3]]))
    table.save(tmp_path / "fec.json", {"temperature": 300.0})
    again = FreeEnergyCompensation.load(tmp_path / "fec.json", {"temperature": 300.0})
    for one, other in zip(again.evaluate(GRID), table.evaluate(GRID)):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(UserError, match="compensation belongs to other settings"):
        FreeEnergyCompensation.load(tmp_path / "fec.json", {"temperature": 310.0})
    (tmp_path / "other.json").write_text('{"format_version": 1, "force": []}')
    with pytest.raises(RunFailure, match="no free-energy compensation"):
        FreeEnergyCompensation.load(tmp_path / "other.json")


def compensated(table=None, one=None, other=None) -> HamiltonianCoupling:
    coupling = HamiltonianCoupling(one or fine(), other or coarse(), "on-the-fly")
    coupling.table = table
    return coupling


def test_compensated_forces_are_the_gradient_of_the_compensated_energy():
    state = fluid()
    regions = geometry("sphere", state)
    coupling = compensated(FreeEnergyCompensation(("argon",), np.linspace(0, 1, 7), np.random.default_rng(1).normal(size=(1, 7))))
    coupling.bind(state.topology, state.cell)
    resolution = Resolution.of(regions, state.topology, state.positions)
    result, h = coupling.evaluate(state.positions, resolution), 1e-5
    bare = HamiltonianCoupling(fine(), coarse())
    bare.bind(state.topology, state.cell)
    assert result.energy == pytest.approx(
        bare.evaluate(state.positions, resolution).energy - coupling.table.evaluate(resolution.weight)[0].sum()
    )
    for direction in np.random.default_rng(2).normal(size=(3, 64, 3)):
        moved = [state.positions + sign * h * direction for sign in (1, -1)]
        energies = [coupling.evaluate(x, Resolution.of(regions, state.topology, x)).energy for x in moved]
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(float((result.forces * direction).sum()), rel=1e-6)


def growing(update: int = 40, friction: float = 0.005) -> tuple[Simulation, CompensationHook]:
    state = fluid()
    state = State(state.positions, state.cell, state.topology, maxwell_boltzmann(state.topology.masses, 150.0, np.random.default_rng(3)))
    table = FreeEnergyCompensation(("argon",), np.linspace(0.0, 1.0, 9))
    hook = CompensationHook(table, 10, update)
    thermostat = Thermostat(4.0, 150.0, (friction,) * 3)
    return Simulation(state, compensated(table), geometry("slab", state), thermostat, seed=5, hooks=[hook]), hook


def test_what_the_table_takes_back_is_the_momentum_of_the_drift_forces_between_two_knots():
    run, hook = growing(update=40)
    samples: list[tuple[float, float, float]] = []
    for step in range(10, 50, 10):
        run.run(step if step < 40 else 39)
        if step == 40:
            run.step()
        weight, sites, gradient = run.membership.weight, run.evaluation.sites, run.membership.weight_gradient
        samples += [(w, abs(g), v) for w, g, v in zip(weight.tolist(), gradient[:, 0].tolist(), sites.tolist()) if 0 < w < 1]
    hook(run)
    table = run.coupling.table
    for index, (low, high) in enumerate(zip(table.knots[:-1], table.knots[1:])):
        chosen = [(g, v) for w, g, v in samples if low <= w < high]
        assert hook.windows[0, index] == (1 if chosen else 0)
        if chosen:
            drift, steepness = sum(g * v for g, v in chosen), sum(g for g, _ in chosen)
            assert (table.values[0, index + 1] - table.values[0, index]) / (high - low) * steepness == pytest.approx(drift, abs=1e-12)


def test_new_tables_are_external_work_and_the_books_close():
    run, hook = growing(update=40)
    run.run(200)
    assert hook.windows.max() == 5
    assert abs(run.ledger.external) > 1e-3
    assert abs(run.conserved()) < 1e-3
    assert np.abs(run.coupling.table.slopes).max() > 1e-3


def test_restart_continues_the_table_bit_by_bit(tmp_path):
    straight, _ = growing(update=20)
    straight.run(50)
    write_checkpoint(straight, tmp_path / "run.npz")
    straight.run(90)
    again, _ = growing(update=20)
    read_checkpoint(again, tmp_path / "run.npz")
    again.run(90)
    np.testing.assert_array_equal(again.coupling.table.slopes, straight.coupling.table.slopes)
    np.testing.assert_array_equal(again.state.positions, straight.state.positions)
    assert again.ledger.external == straight.ledger.external


def test_identical_potentials_need_no_compensation():
    state = fluid()
    table = FreeEnergyCompensation(("argon",))
    run = Simulation(
        state,
        compensated(table, fine(), fine()),
        geometry("slab", state),
        Thermostat(4.0, 150.0, (0.01,) * 3),
        hooks=[CompensationHook(table, 5, 20)],
    )
    run.run(60)
    np.testing.assert_allclose(table.slopes, 0.0, atol=1e-14)


def test_kirkwood_without_a_table_and_unknown_words_are_refused():
    state = fluid()
    coupling = HamiltonianCoupling(fine(), coarse(), "kirkwood")
    with pytest.raises(UserError, match="has no table"):
        coupling.bind(state.topology, state.cell)
    with pytest.raises(UserError, match="Use one of: none, kirkwood, on-the-fly"):
        HamiltonianCoupling(fine(), coarse(), "gibbs")
    coupling.table = FreeEnergyCompensation(("water",))
    with pytest.raises(UserError, match="is for water, the system has argon"):
        coupling.bind(state.topology, state.cell)
    with pytest.raises(UserError, match="multiple of the interval"):
        CompensationHook(FreeEnergyCompensation(("argon",)), 10, 45)


@pytest.mark.parametrize("name", ["subtractive", "abrupt", "force-interpolation", "hamiltonian", "site-energy"])
def test_a_study_names_a_coupling_and_its_options(name):
    section = CouplingSection.model_validate({"name": name, "delta_weight": 0.5, "compensation": "none"})
    coupling = make_coupling(section, fine(), coarse())
    assert coupling.name == name
    assert getattr(coupling, "delta_weight", 0.5) == 0.5
    assert getattr(coupling, "compensation", "none") == "none"
    if name == "subtractive":
        assert len(make_coupling(section, fine(), coarse(), WeightedPairs(0.1, 3.0, 4.0))._levels) == 2


def test_an_unknown_coupling_lists_those_that_exist():
    with pytest.raises(UserError, match="Did you mean 'abrupt'"):
        make_coupling(CouplingSection.model_validate({"name": "abrup"}), fine(), coarse())
