"""The null test of adaptive resolution: the same potential on both sides changes nothing."""

from pathlib import Path

import numpy as np
import pytest

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.density_response import DensityResponse
from halocline.adress.regions import Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.calibration import calibrate
from halocline.dynamics.calibration_runs import WindowTask
from halocline.dynamics.calibration_windows import CalibrationSettings
from halocline.dynamics.rigid_mover import RigidMover
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.molecules.base import build_topology
from halocline.molecules.lj import LJ
from halocline.potentials.classical import ClassicalMolecules
from halocline.state import State
from halocline.units import thermal_energy

TEMPERATURE, SIGMA = 179.7, 3.405  # T* = 1.5
CUTOFF = 2.5 * SIGMA
EDGES = np.array([16.0, 6.0, 6.0]) * SIGMA


def fluid() -> State:
    """n* = 0.6 on a lattice."""
    points = np.stack(np.meshgrid(np.arange(12), np.arange(6), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 3)
    positions = (points + 0.5) / [12, 6, 5] * EDGES
    return State(positions, np.diag(EDGES), build_topology([(LJ, len(points))]))


def simulation(task: WindowTask, hooks: list[Hook]) -> Simulation:
    potential = ClassicalMolecules(CUTOFF, "none")
    coupling = SubtractiveCoupling(potential, ClassicalMolecules(CUTOFF, "none"))
    regions = Slab(0.5 * EDGES[0], 10.0, CUTOFF + 1.0, 0.5, EDGES[0])
    thermostat = Thermostat(8.0, TEMPERATURE, (0.0, 0.005, 0.005))
    mover = RigidMover(task.start, [LJ], 8.0, TEMPERATURE, 3 + task.number)
    return Simulation(
        task.start, coupling, regions, thermostat, task.force, task.number, "open", task.inside, hooks, task.discard, integrator=mover
    )


@pytest.mark.slow
def test_identical_potentials_need_no_force_and_make_no_heat(tmp_path: Path) -> None:
    regions = Slab(0.5 * EDGES[0], 10.0, CUTOFF + 1.0, 0.5, EDGES[0])
    force = ThermodynamicForce(("lj",), regions.reach, 0.5, (10.0, regions.outer + 4.0))
    settings = CalibrationSettings(12000, 0.3, 6, 0.01, 1.0, 0.2, DensityResponse(850.0, 850.0, thermal_energy(TEMPERATURE)), 10, 100_000)
    outcome = calibrate(simulation, fluid(), regions, force, settings, tmp_path)
    # A few per cent of kT is what the noise of six windows leaves in the table.
    assert abs(outcome.integral[0]) < 0.1 * thermal_energy(TEMPERATURE)
    flips = simulation(WindowTask(force, outcome.state, outcome.inside, 9, 0, 4000, 0, tmp_path, {}), [])
    flips.run(4000)
    assert flips.ledger.flips > 100
    # What single precision leaves of zero, over a hundred crossings.
    assert np.abs(flips.ledger.heat).max() < 1e-4
