"""A thermostat that acts in a part of the box leaves the equilibrium of an ideal gas as it is."""

import numpy as np
import pytest

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Slab
from halocline.dynamics.rigid_mover import RigidMover
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.molecules.base import build_topology
from halocline.molecules.ideal import IDEAL
from halocline.potentials.base import Zero
from halocline.state import State

TEMPERATURE, TIMESTEP, N = 180.0, 40.0, 1500
EDGES = np.array([60.0, 25.0, 25.0])


def gas(friction: float) -> Simulation:
    positions = np.random.default_rng(5).uniform(size=(N, 3)) * EDGES
    state = State(positions, np.diag(EDGES), build_topology([(IDEAL, N)]))
    thermostat = Thermostat(TIMESTEP, TEMPERATURE, (0.0, friction, friction))
    mover = RigidMover(state, [IDEAL], TIMESTEP, TEMPERATURE, 2, points=True)
    regions = Slab(30.0, 10.0, 10.0, 0.0, 60.0)
    return Simulation(state, SubtractiveCoupling(Zero(), Zero()), regions, thermostat, None, 1, integrator=mover)


@pytest.mark.parametrize("friction", [0.005])
def test_an_ideal_gas_is_as_dense_and_as_warm_where_no_friction_acts(friction):
    simulation, inside, temperatures = gas(friction), [], []
    for _ in range(30):
        simulation.reset_sums()
        counts = []
        for _ in range(10):
            simulation.run(simulation.steps + 10)
            counts.append((simulation.distance < 10.0).sum())
        inside.append(np.mean(counts) / (N / 3.0))
        temperatures.append(simulation.temperatures(simulation.energy_sums, simulation.degree_sums)[0] / TEMPERATURE)
    inside, temperatures = np.array(inside[5:]), np.array(temperatures[5:])
    # Blocks of 4 ps, of which a molecule needs about two to cross AT: errors of pairs of blocks.
    for values in (inside, temperatures):
        pairs = values[:24].reshape(12, 2).mean(axis=1)
        error = pairs.std(ddof=1) / np.sqrt(12)
        assert error < 0.012
        assert abs(pairs.mean() - 1.0) < 4.0 * error
