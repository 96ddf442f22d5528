"""A density in AT that is not that of the box: the force must hold the ratio by Boltzmann's law."""

import numpy as np
import pytest
from brute_force import lattice_fluid

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.density_response import DensityResponse
from halocline.adress.regions import Slab
from halocline.adress.target_profile import target_profile
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.calibration import calibrate
from halocline.dynamics.calibration_runs import WindowTask
from halocline.dynamics.calibration_windows import CalibrationSettings
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.potentials.base import Zero
from halocline.units import thermal_energy

REGIONS = Slab(16.0, 3.0, 4.0, 0.0, 32.0)
START = lattice_fluid((8, 12, 12), 4.0, seed=1)


def build(task: WindowTask, hooks: list[Hook]) -> Simulation:
    thermostat, coupling = Thermostat(20.0, 300.0, (0.002, 0.002, 0.002)), SubtractiveCoupling(Zero(), Zero())
    return Simulation(task.start, coupling, REGIONS, thermostat, task.force, 100 + task.number, "open", task.inside, hooks, task.discard)


@pytest.mark.slow
def test_force_of_an_ideal_gas_that_is_denser_in_at_integrates_to_kt_ln_of_the_ratio(tmp_path) -> None:
    """From no force at all to kT ln(n_AT/n_reservoir), where the reservoir has what the closed box leaves to it."""
    kT, density = thermal_energy(300.0), START.topology.n_molecules / START.volume
    force = ThermodynamicForce(("argon",), REGIONS.reach, 0.5, (REGIONS.atomistic, 12.0))
    settings = CalibrationSettings(
        6000, 0.2, 12, 0.01, 0.5, 0.6, DensityResponse(1 / (density * kT), None, kT), 10, 10**6, density=1.08 * density
    )
    found = calibrate(build, START, REGIONS, force, settings, tmp_path, may_overlap=True)
    volumes = REGIONS.shell_volumes(force.edges, START.cell)
    target = target_profile(1.08 * density, density, REGIONS, force.centres, 12.0, volumes, START.volume)
    assert target @ volumes == pytest.approx(START.topology.n_molecules, rel=1e-12)
    exact = kT * float(np.log(target[0] / target[-1]))
    assert found.integral_error[0] < 0.1 * exact
    assert abs(found.integral[0] - exact) < 3 * found.integral_error[0]
