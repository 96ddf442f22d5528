"""Streamed time correlations against direct formulae and exact results."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic_records import ideal_gas_positions, ideal_gas_record, water_topology

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Slab
from halocline.config.study import Validation
from halocline.consistency.check import Check
from halocline.dynamics.bulk import full_resolution
from halocline.dynamics.correlation import COUNT, DIPOLE, FOLLOW, INSIDE, TURNING, VELOCITY, WITHIN_S1, CorrelationHook, correlation_path
from halocline.dynamics.rigid_mover import RigidMover
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.files import read_arrays, write_arrays
from halocline.molecules.base import build_topology
from halocline.molecules.charges import dipoles, point_charges
from halocline.molecules.spce import SPCE
from halocline.observables.base import Setting
from halocline.observables.correlation import Correlation
from halocline.potentials.base import Zero
from halocline.state import State
from halocline.units import ACCELERATION, BOLTZMANN

EDGES = np.array([24.0, 16.0, 16.0])
REGIONS = Slab(12.0, 6.0, 3.0, 0.0, 24.0)


class Walkers:
    """Configurations with the face of a simulation: molecules that turn and drift, and enter and leave AT."""

    def __init__(self, count: int, rows: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.topology = water_topology(count)
        self.positions = np.array([ideal_gas_positions(count, generator, EDGES) for _ in range(rows)])
        self.velocities = 1e-3 * generator.normal(size=self.positions.shape)

    def at(self, row: int) -> SimpleNamespace:
        move = SimpleNamespace(coordinates=self.positions[row], velocity_array=self.velocities[row])
        distance = REGIONS.distance(self.topology.centres_of_mass(self.positions[row]))
        levels = REGIONS.levels(distance, distance < REGIONS.outer)
        return SimpleNamespace(topology=self.topology, integrator=move, regions=REGIONS, distance=distance, levels=levels)


def direct(walkers: Walkers, rows: int, origin: int, lags: int, origins: int) -> np.ndarray:
    """(2, lags + 1, 3) sums over origins, from the whole trajectory at once."""
    topology = walkers.topology
    centres = np.array([topology.centres_of_mass(row) for row in walkers.positions[:rows]])
    velocity = np.array([topology.centres_of_mass(row) for row in walkers.velocities[:rows]])
    charges = point_charges(topology)
    dipole = (charges[:, None] * walkers.positions[:rows]).reshape(rows, -1, 3, 3).sum(axis=2)
    inside = np.array([REGIONS.distance(row) < REGIONS.atomistic for row in centres])
    within = np.array([REGIONS.distance(row) < REGIONS.outer for row in centres])
    result = np.zeros((2, lags + 1, 4))
    for start in range(0, origins * origin, origin):
        for lag in range(lags + 1):
            products = [(x[start] * x[start + lag]).sum(axis=1) for x in (velocity, dipole)]
            for leavers, chosen in ((FOLLOW, inside[start]), (INSIDE, inside[start : start + lag + 1].all(axis=0))):
                turning = chosen & within[start : start + lag + 1].all(axis=0)
                result[leavers, lag] += [products[0][chosen].sum(), products[1][turning].sum(), chosen.sum(), turning.sum()]
    return result


def test_streamed_sums_equal_the_direct_formula_for_both_treatments_of_leavers(tmp_path):
    walkers = Walkers(30, 26, 1)
    hook = CorrelationHook(tmp_path / "c.npz", 2, 1.0, origin=3, lags=7, block=3)
    for row in range(26):
        hook(walkers.at(row))
    hook.close()
    arrays = read_arrays(tmp_path / "c.npz")
    assert arrays["time"] == pytest.approx(2.0 * np.arange(8))
    assert len(arrays["sums"]) == 2
    np.testing.assert_allclose(arrays["sums"].sum(axis=0), direct(walkers, 26, 3, 7, 6), atol=1e-12)
    assert arrays["sums"][:, INSIDE, -1, 2].sum() < arrays["sums"][:, FOLLOW, -1, 2].sum()


def test_restart_continues_with_the_same_sums(tmp_path):
    walkers = Walkers(20, 40, 2)

    def hook(name: str) -> CorrelationHook:
        return CorrelationHook(tmp_path / name, 1, 1.0, origin=4, lags=9, block=2)

    whole, first, second = hook("whole.npz"), hook("first.npz"), hook("second.npz")
    for row in range(40):
        whole(walkers.at(row))
        if row < 17:
            first(walkers.at(row))
    second.restore({key: value.copy() for key, value in first.state().items()})
    for row in range(17, 40):
        second(walkers.at(row))
    for key, value in whole.state().items():
        assert np.array_equal(value, second.state()[key]), key
    whole.close()
    second.close()
    one, other = read_arrays(tmp_path / "whole.npz"), read_arrays(tmp_path / "second.npz")
    assert all(np.array_equal(one[key], other[key]) for key in one)


class Watched(RigidMover):
    """Notes who falls asleep, in the order of time."""

    def __init__(self, *arguments: object, **options: object) -> None:
        self.fallen: list[np.ndarray] = []
        super().__init__(*arguments, **options)

    def sleep(self, molecules):
        self.fallen.append(molecules.copy())
        return super().sleep(molecules)


class Watch(Hook):
    """Keeps dipoles, places and who has fallen asleep since the last sample."""

    def __init__(self, interval: int) -> None:
        self.interval, self.dipoles, self.inside, self.fallen = interval, [], [], []

    def __call__(self, simulation: Simulation) -> None:
        move = simulation.integrator
        self.dipoles.append(dipoles(simulation.topology, point_charges(simulation.topology), move.coordinates))
        self.inside.append(simulation.distance < simulation.regions.atomistic)
        self.fallen.append(np.any(move.fallen or [np.zeros(simulation.topology.n_molecules, dtype=bool)], axis=0))
        move.fallen.clear()


def sleepers(count: int, hooks: list[Hook], seed: int = 5) -> Simulation:
    """Rigid water without interactions; thin layers, so that molecules leave and come back."""
    topology = build_topology([(SPCE, count)])
    state = State(ideal_gas_positions(count, np.random.default_rng(seed), EDGES), np.diag(EDGES), topology)
    mover = Watched(state, [SPCE], 4.0, 300.0, seed, points=True)
    thermostat, thin = Thermostat(4.0, 300.0, (0.0, 0.0, 0.02)), Slab(12.0, 2.0, 0.5, 0.0, 24.0)
    return Simulation(state, SubtractiveCoupling(Zero(), Zero()), thin, thermostat, None, seed, hooks=hooks, integrator=mover)


def test_dipoles_are_followed_until_the_molecule_first_falls_asleep(tmp_path):
    watch, origin, lags = Watch(4), 5, 60
    hook = CorrelationHook(tmp_path / "c.npz", 4, 4.0, origin=origin, lags=lags, block=4)
    sleepers(150, [watch, hook]).run(4 * (lags + 8 * origin))
    hook.close()
    expected, came_back = np.zeros((lags + 1, 2)), 0
    for start in range(0, 8 * origin, origin):
        members, turning = watch.inside[start], watch.inside[start].copy()
        for lag in range(lags + 1):
            turning &= ~watch.fallen[start + lag] if lag else True
            products = (watch.dipoles[start] * watch.dipoles[start + lag]).sum(axis=1)
            expected[lag] += [products[turning].sum(), turning.sum()]
        came_back += int((members & ~turning & watch.inside[start + lags]).sum())
    sums = read_arrays(tmp_path / "c.npz")["sums"].sum(axis=0)[FOLLOW]
    assert came_back > 3
    assert expected[-1, 1] < 0.8 * sums[-1, COUNT]
    np.testing.assert_allclose(sums[:, [DIPOLE, TURNING]], expected, atol=1e-9)


@pytest.mark.parametrize("columns", [3, 4])
def test_files_that_do_not_say_how_long_dipoles_were_followed_give_velocities_only(tmp_path, columns):
    old = {"time": np.arange(3.0), "sums": np.random.default_rng(1).uniform(1, 2, (6, 2, 3, columns)), "momentum": np.zeros((6, 3, 3))}
    write_arrays(tmp_path / "record.correlation.npz", **old)
    with ideal_gas_record(tmp_path / "record.h5", 10, 5) as record:
        observable = Correlation(Setting.of(record, Validation()))
        observable.read(record)
    assert [figure.key for figure in observable.figures(observable)] == ["vacf"]
    assert np.isnan(observable.function(DIPOLE)[0]).all()


def test_dipole_of_a_rigid_rotor_turns_as_a_cosine(tmp_path):
    walkers, omega = Walkers(10, 1, 3), 0.05
    topology, start = walkers.topology, np.tile([[0.0, 0, 0], [0.59, 0.76, 0], [0.59, -0.76, 0]], (10, 1))
    start = start - topology.centres_of_mass(start)[topology.molecule_of_atom] + 12.0
    hook = CorrelationHook(tmp_path / "record.correlation.npz", 1, 1.0, origin=5, lags=60, block=2)
    still = np.zeros_like(start)
    rows = []
    for row in range(120):
        angle = omega * row
        turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        rows.append((start - 12.0) @ turn.T + 12.0)
    walkers.positions, walkers.velocities = np.array(rows), np.array([still] * 120)
    for row in range(120):
        hook(walkers.at(row))
    hook.close()
    with ideal_gas_record(tmp_path / "record.h5", 10, 5) as record:
        observable = Correlation(Setting.of(record, Validation()))
        observable.read(record)
    values, _ = observable.function(DIPOLE)
    np.testing.assert_allclose(values, np.cos(omega * observable.times), atol=1e-9)


class Sleeper(RigidMover):
    """Configurations with the face of a mover whose molecules sleep outside S1."""

    def __init__(self, coordinates: np.ndarray, asleep: np.ndarray, wakings: np.ndarray) -> None:
        self.points, self._place = True, coordinates
        self.integrator = SimpleNamespace(points=asleep, wakings=wakings)

    @property
    def coordinates(self) -> np.ndarray:
        return self._place

    @property
    def velocity_array(self) -> np.ndarray:
        return np.zeros_like(self._place)


def leavers_and_stayers(row: int, count: int, slow: float, fast: float, left: int, back: int) -> np.ndarray:
    """Half of the molecules turn slowly in AT; the others turn fast there, and are in the reservoir from one row to another."""
    topology, shape = water_topology(count), np.tile([[0.0, 0, 0], [0.59, 0.76, 0], [0.59, -0.76, 0]], (count, 1))
    shape -= topology.centres_of_mass(shape)[topology.molecule_of_atom]
    leaves = np.arange(count)[topology.molecule_of_atom] % 2 == 1
    angle = np.where(leaves, fast, slow) * row
    turned = np.stack(
        [np.cos(angle) * shape[:, 0] - np.sin(angle) * shape[:, 1], np.sin(angle) * shape[:, 0] + np.cos(angle) * shape[:, 1], shape[:, 2]],
        axis=1,
    )
    return turned + 12.0 + np.where(leaves & (left <= row < back), 11.0, 0.0)[:, None] * [1.0, 0.0, 0.0]


@pytest.mark.parametrize("sleeps", [True, False], ids=["open", "full resolution"])
def test_both_runs_follow_dipoles_of_molecules_that_stay_in_s1(tmp_path, sleeps):
    """One origin: the mean of two cosines until the fast half leaves, the slow cosine from then on, also after they are back."""
    count, slow, fast, left, back, lags = 40, 0.02, 0.3, 12, 20, 30
    topology = water_topology(count)
    hook = CorrelationHook(correlation_path(tmp_path / "record.h5"), 1, 1.0, origin=2 * (lags + 1), lags=lags, block=1)
    for row in range(5 * 2 * (lags + 1)):
        turn = row % (2 * (lags + 1))
        positions = leavers_and_stayers(turn, count, slow, fast, left, back)
        away = (np.arange(count) % 2 == 1) & (left <= turn < back)
        wakings = np.where(np.arange(count) % 2 == 1, row // (2 * (lags + 1)) + (turn >= back), 0)
        move = Sleeper(positions, away, wakings) if sleeps else SimpleNamespace(coordinates=positions, velocity_array=0.0 * positions)
        distance = REGIONS.distance(topology.centres_of_mass(positions))
        levels = REGIONS.levels(distance, distance < REGIONS.outer)
        hook(SimpleNamespace(topology=topology, integrator=move, regions=REGIONS, distance=distance, levels=levels))
    hook.close()
    with ideal_gas_record(tmp_path / "record.h5", 10, 5) as record:
        observable = Correlation(Setting.of(record, Validation()))
        observable.read(record)
    lag = np.arange(lags + 1)
    expected = np.where(lag < left, 0.5 * (np.cos(slow * lag) + np.cos(fast * lag)), np.cos(slow * lag))
    np.testing.assert_allclose(observable.function(DIPOLE, FOLLOW)[0], expected, atol=1e-9)
    assert observable.series("sums")[:, FOLLOW, -1, COUNT] == pytest.approx(count), "velocities are followed wherever molecules go"


def test_langevin_particles_have_the_velocity_correlation_of_ornstein_and_uhlenbeck(tmp_path):
    count, friction, timestep, temperature, lags = 300, 0.02, 2.0, 300.0, 40
    topology = water_topology(count)
    state = State(ideal_gas_positions(count, np.random.default_rng(4), EDGES), np.diag(EDGES), topology)
    hook = CorrelationHook(correlation_path(tmp_path / "record.h5"), 2, timestep, origin=20, lags=lags, block=3)
    run = full_resolution(state, Zero(), Thermostat(timestep, temperature, (friction,) * 3), 5, REGIONS, (hook,))
    run.run(2600)
    hook.close()
    with ideal_gas_record(tmp_path / "record.h5", count, 5) as record:
        observable = Correlation(Setting.of(record, Validation()))
        observable.read(record)
        assert len(observable.series("sums")) == 21
    times = observable.times
    values, errors = observable.function(VELOCITY, FOLLOW, normalised=False)
    thermal = 3 * BOLTZMANN * temperature * ACCELERATION / topology.molecule_masses[0]
    deviation = (values - thermal * np.exp(-friction * times)) / errors
    assert np.abs(deviation).max() < 4.5
    # The integral of the sampled function by the trapezoidal rule, exactly as the observable takes it.
    exact = thermal / 3 * np.trapezoid(np.exp(-friction * times), times)
    diffusion = observable.diffusion()
    assert abs(diffusion.value - exact) < 4 * diffusion.error
    assert diffusion.error < 0.1 * exact
    names = [number.name for number in observable.result()]
    assert names[0] == "diffusion coefficient in AT, velocities to 0.16 ps"
    momenta = observable.series("momentum")[:, :, 0]
    assert np.abs(momenta.mean(axis=0)).max() < 4 * momenta.std(axis=0).max() / math.sqrt(5)


def test_dipoles_do_not_depend_on_the_origin_even_of_ions():
    topology = water_topology(2)
    positions = ideal_gas_positions(2, np.random.default_rng(1))
    charges = point_charges(topology) + 0.3
    np.testing.assert_allclose(dipoles(topology, charges, positions), dipoles(topology, charges, positions + 7.0), atol=1e-12)
    assert point_charges(topology).reshape(2, 3).sum(axis=1) == pytest.approx([0.0, 0.0])


def exact_velocities(folder: Path, name: str, friction: float, frictions, blocks: int = 24):
    """Observable of sums whose blocks scatter about exp(-friction t) kT/m, half of the molecules leaving within the range."""
    generator, lags, topology = np.random.default_rng(int(1e6 * friction)), 60, water_topology(10)
    times = 4.0 * np.arange(lags + 1)
    thermal = 3 * BOLTZMANN * 300.0 * ACCELERATION / topology.molecule_masses[0]
    counts = np.stack([np.full(lags + 1, 1000.0), 1000.0 * np.exp(-times / 200.0)])
    sums = np.zeros((blocks, 2, lags + 1, 4))
    sums[..., COUNT] = sums[..., TURNING] = counts
    sums[..., VELOCITY] = counts * thermal * np.exp(-friction * times) * (1 + 0.01 * generator.normal(size=(blocks, 1, 1)))
    path = folder / f"{name}.h5"
    write_arrays(correlation_path(path), time=times, sums=sums, momentum=np.zeros((blocks, 3, 3)), dipoles=np.array(WITHIN_S1))
    with ideal_gas_record(path, 10, 5) as record:
        observable = Correlation(Setting.of(record, Validation(), frictions=frictions))
        observable.read(record)
    return observable, thermal, times


def test_molecules_that_stay_are_judged_at_other_frictions_and_those_followed_are_not(tmp_path):
    core, layer, closed = 0.0, 0.02, 0.0005
    mine, thermal, times = exact_velocities(tmp_path, "open", core, (core, layer, closed))
    reference, _, _ = exact_velocities(tmp_path, "closed", closed, (core, layer, closed))
    followed, stayers = mine.compare(reference)
    assert "20 /ps" in followed.unjudged
    assert "0.5 /ps" in followed.unjudged
    assert stayers.unjudged == ""
    # Half have left after 200 ln 2 fs; the integral of the reference to there in closed form.
    last = times[times <= 200.0 * math.log(2)][-1]
    assert f"to {last / 1e3:.3g} ps" in stayers.name
    exact = thermal / 3 * (1 - math.exp(-closed * last)) / closed
    assert abs(stayers.reference.value / 1e3 - exact) < 4 * stayers.reference.error / 1e3
    shift = stayers.tolerance / stayers.reference.value - 0.1
    true_shift = (mine.diffusion(INSIDE, int(last / 4)).value - exact) / exact
    assert shift > 0.5 * true_shift > 0
    assert Check.of(stayers).verdict().verdict == "consistent"


def test_a_friction_that_shifts_diffusion_by_more_than_the_tolerance_leaves_nothing_to_judge(tmp_path):
    frictions = (0.0, 0.02, 0.0008)
    mine, _, _ = exact_velocities(tmp_path, "open", 0.0, frictions)
    reference, _, _ = exact_velocities(tmp_path, "closed", 0.0008, frictions)
    assert "friction_reference" in mine.compare(reference)[1].unjudged


def test_other_dynamics_of_molecules_that_stay_are_found(tmp_path):
    frictions = (0.0, 0.02, 0.0001)
    mine, _, _ = exact_velocities(tmp_path, "open", 0.01, frictions)
    reference, _, _ = exact_velocities(tmp_path, "closed", 0.0001, frictions)
    assert Check.of(mine.compare(reference)[1]).verdict().verdict == "inconsistent"


def test_at_the_same_friction_everything_is_judged(tmp_path):
    mine, _, _ = exact_velocities(tmp_path, "open", 0.001, (0.001,) * 3)
    claims = mine.compare(mine)
    assert [claim.unjudged for claim in claims] == ["", ""]
    assert claims[1].tolerance == pytest.approx(0.1 * claims[1].reference.value)
