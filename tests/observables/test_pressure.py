"""Pressure in AT and the balance of momentum, against whole-box virials and barometric profiles."""

import math

import numpy as np
import pytest
from brute_force import ARGON, lattice_fluid
from synthetic_records import EDGES, SLAB, ideal_gas_positions, random_rotations, water_topology, write_record

from halocline.adress.regions import Slab, Sphere
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Validation
from halocline.consistency.check import Check
from halocline.dynamics.bulk import molecular_pressure
from halocline.dynamics.record import Record, Snapshot
from halocline.molecules.water import WATER
from halocline.observables.base import Setting
from halocline.observables.momentum_balance import MomentumBalance
from halocline.observables.pressure import MEGAPASCAL, Pressure, pressure_diagonal
from halocline.observables.statistics import Estimate
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.lennard_jones import LennardJones
from halocline.state import State
from halocline.units import BOLTZMANN

TEMPERATURE = 180.0


def snapshot_of(state: State, regions) -> Snapshot:
    count = state.topology.n_molecules
    return Snapshot(0.0, state.positions, np.zeros(count, np.int8), np.ones(count, bool), state.cell, state.topology, regions)


def liquid_of_triatomics(generator) -> State:
    """Rigid molecules on a jittered lattice, so that forces between sites have lever arms about the centres of mass."""
    count, edge = 4, 4.2
    points = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij"), -1).reshape(-1, 3) * edge
    points = points + 0.2 * generator.normal(size=points.shape)
    body = np.array(WATER.geometry) - (WATER.masses[:, None] * np.array(WATER.geometry)).sum(0) / WATER.mass
    positions = (points[:, None] + np.einsum("mij,aj->mai", random_rotations(len(points), generator), body)).reshape(-1, 3)
    return State(positions, np.eye(3) * count * edge, water_topology(len(points)))


def systems():
    generator = np.random.default_rng(1)
    atoms = lattice_fluid((6, 4, 4), 4.0, jitter=0.3)
    return {
        "atoms": (atoms, LennardJones(ARGON["sigma"], ARGON["epsilon"], 7.0)),
        "molecules": (liquid_of_triatomics(generator), LennardJones({8: 3.2, 1: 1.5}, {8: 0.006, 1: 0.001}, 7.0)),
        "reaction field": (liquid_of_triatomics(generator), ClassicalMolecules(6.0, precision="double")),
        "damped": (
            liquid_of_triatomics(generator),
            ClassicalMolecules(6.0, "damped-shifted-force", damping=0.2, force_cap=0.8, precision="double"),
        ),
        "centres": (liquid_of_triatomics(generator), LennardJones(3.2, 0.006, 7.0, centres=True)),
    }


@pytest.mark.parametrize("name", ["atoms", "molecules", "reaction field", "damped", "centres"])
def test_pressure_of_the_whole_box_is_that_of_the_molecular_virial(name):
    state, potential = systems()[name]
    potential.bind(state.topology, state.cell)
    evaluation = potential.evaluate(state.positions, virial=True)
    regions = Slab(0.0, 4.0, 3.0, 0.0, float(state.edges[0]))
    setting = Setting(state.cell, state.topology, regions, TEMPERATURE, 0.01, "full", fine=potential)
    diagonal = pressure_diagonal(setting, potential, snapshot_of(state, regions))
    if name == "centres":  # spread forces have no lever arm; the virial counts centres already
        expected = state.topology.n_molecules * BOLTZMANN * TEMPERATURE / state.volume + np.trace(evaluation.virial) / 3 / state.volume
    else:
        expected = molecular_pressure(state, evaluation.virial, evaluation.forces, TEMPERATURE)
    assert diagonal.mean() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["atoms", "molecules"])
def test_slabs_that_fill_the_box_share_its_pressure(name):
    state, potential = systems()[name]
    potential.bind(state.topology, state.cell)
    length = float(state.edges[0])

    def diagonal(centre: float, half: float, resolution: str) -> np.ndarray:
        regions = Slab(centre, half, 1.0, 0.0, length)
        setting = Setting(state.cell, state.topology, regions, TEMPERATURE, 0.01, resolution, fine=potential)
        return pressure_diagonal(setting, potential, snapshot_of(state, regions))

    whole = diagonal(0.0, 1.0, "full")
    parts = [diagonal((k + 0.5) * length / 4, length / 8, "open") for k in range(4)]
    np.testing.assert_allclose(np.mean(parts, axis=0), whole, rtol=1e-9)
    assert np.std([part.mean() for part in parts]) > 0


def test_spheres_all_over_the_box_have_its_pressure_on_average():
    state, potential = systems()["molecules"]
    potential.bind(state.topology, state.cell)
    x, y, z = (float(edge) for edge in state.edges)
    generator, values = np.random.default_rng(5), []
    for centre in generator.uniform(size=(150, 3)) * state.edges:
        regions = Sphere(tuple(float(value) for value in centre), 4.5, 2.0, 0.0, (x, y, z))
        setting = Setting(state.cell, state.topology, regions, TEMPERATURE, 0.01, "open", fine=potential)
        values.append(pressure_diagonal(setting, potential, snapshot_of(state, regions)).mean())
    whole = pressure_diagonal(
        Setting(state.cell, state.topology, regions, TEMPERATURE, 0.01, "full"), potential, snapshot_of(state, regions)
    )
    assert abs(np.mean(values) - whole.mean()) < 4 * np.std(values) / math.sqrt(len(values))


def test_many_body_potentials_give_no_pressure():
    state, _ = systems()["molecules"]
    setting = Setting(state.cell, state.topology, Slab(0.0, 4.0, 3.0, 0.0, float(state.edges[0])), TEMPERATURE, 0.01, fine=None)
    pressure = Pressure(setting)
    pressure.update(snapshot_of(state, setting.regions))
    assert pressure.result() == []
    assert pressure.compare(pressure) == []


@pytest.fixture(scope="module")
def barometric(tmp_path_factory):
    """Ideal gas at equilibrium in a thermodynamic force: n(d) ~ exp(-phi/kT), and its force."""
    force = ThermodynamicForce(("water",), 24.0, 0.5, (6.0, 20.0))
    force.tables = -0.006 * np.exp(-0.5 * ((force.centres - 12.0) / 3.0) ** 2)[None] * force.in_window()
    generator, count, frames = np.random.default_rng(3), 200, 500
    body = np.array(WATER.geometry) - (WATER.masses[:, None] * np.array(WATER.geometry)).sum(0) / WATER.mass
    rows = []
    for _ in range(frames):
        x = generator.uniform(-24, 24, 20 * count)
        energy = force.energy(np.abs(x))
        keep = generator.uniform(size=len(x)) < np.exp(-(energy - min(0.0, energy.min())) / (BOLTZMANN * 300.0))
        centres = np.column_stack([24.0 + x[keep][:count], generator.uniform(0, 16, (count, 2))])
        assert len(centres) == count
        rows.append((centres[:, None] + body).reshape(-1, 3))
    path = write_record(tmp_path_factory.mktemp("gas") / "record.h5", rows, water_topology(count))
    with Record.open(path) as record:
        yield record, force


def test_thermodynamic_force_carries_the_pressure_difference_of_a_barometric_gas(barometric):
    record, force = barometric
    balance = MomentumBalance(Setting.of(record, Validation(), True, force=force))
    inner = []
    for snapshot in record:
        balance.update(snapshot)
        inner.append((snapshot.distance < SLAB.atomistic).sum() / (2 * SLAB.atomistic * 256.0))
    # An ideal gas has P = n kT everywhere: the density in AT says what its pressure must be.
    density, error = np.mean(inner), np.std(inner) / math.sqrt(len(inner))
    estimate = balance.atomistic()
    gap = estimate.value - density * BOLTZMANN * 300.0
    assert abs(gap) < 4 * math.hypot(estimate.error, error * BOLTZMANN * 300.0)
    assert balance.carried().value > 10 * balance.carried().error
    assert abs(balance.net()[0].value) < 4 * balance.net()[0].error
    names = [number.name for number in balance.result()]
    assert names[:2] == ["pressure difference carried by the thermodynamic force", "pressure in AT from the balance of momentum"]
    assert balance.result()[1].value == pytest.approx(estimate.value * MEGAPASCAL)


def test_force_times_mean_density_is_not_the_balance(barometric):
    """INT n F is: with n taken as constant the pressure of this gas would come out wrong by many errors."""
    record, force = barometric
    balance = MomentumBalance(Setting.of(record, Validation(), True, force=force))
    for snapshot in record:
        balance.update(snapshot)
    constant = record.density * float(force.inward_integral()[0])
    assert abs(balance.carried().value - constant) > 8 * balance.carried().error


def test_sphere_has_no_pressure_from_the_balance_alone(barometric):
    record, force = barometric
    sphere = Sphere((24.0, 8.0, 8.0), 3.0, 2.0, 0.0, tuple(EDGES))
    balance = MomentumBalance(Setting.of(record, Validation(), True, regions=sphere, force=force))
    for row in range(20):
        balance.update(record[row])
    names = [number.name for number in balance.result()]
    assert names[0].endswith("without the surface term")
    assert not any("pressure in AT" in name for name in names)


def ideal_setting(resolution: str, force=None, potential=None) -> Setting:
    topology = water_topology(50)
    potential = potential or LennardJones(3.0, 0.0, 5.0)
    density = 50 / float(np.prod(EDGES))
    return Setting(np.diag(EDGES), topology, SLAB, 300.0, density, resolution, fine=potential, force=force, tracers=True, interacts=False)


def observed(kind, setting: Setting, rows: int = 30):
    setting.fine.bind(setting.topology, setting.cell)
    observable, generator = kind(setting), np.random.default_rng(2)
    for _ in range(rows):
        observable.update(snapshot_of(State(ideal_gas_positions(50, generator), setting.cell, setting.topology), SLAB))
    return observable


def test_pressure_of_a_closed_ideal_gas_is_exact_and_decides():
    reference, mine = observed(Pressure, ideal_setting("full")), observed(Pressure, ideal_setting("open"))
    exact = 50 / float(np.prod(EDGES)) * BOLTZMANN * 300.0
    assert reference.pressure().is_exact
    assert reference.pressure().value == pytest.approx(exact)
    assert not mine.pressure().is_exact, "the number in AT fluctuates"
    (claim,) = mine.compare(reference)
    assert "no error bar" not in Check.of(claim).verdict().explanation
    balance = observed(MomentumBalance, ideal_setting("full"))
    assert balance.closed().is_exact
    assert balance.result()[0].value == pytest.approx(exact * MEGAPASCAL)


def test_a_force_that_is_nowhere_carries_exactly_nothing():
    empty = ThermodynamicForce(("water",), 24.0, 0.5, (6.0, 20.0))
    balance = observed(MomentumBalance, ideal_setting("open", empty))
    assert balance.carried() == Estimate(0.0)
    ((net,), pressure) = balance.compare(observed(MomentumBalance, ideal_setting("full")))
    assert Check.of(net).verdict().verdict == "consistent"
    assert "no error bar" not in Check.of(pressure).verdict().explanation
