"""A calibration of an ideal gas that takes a second; importable, so that replicas can be built in other processes."""

import os
import signal
from pathlib import Path

import numpy as np
from brute_force import lattice_fluid

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.density_response import DensityResponse
from halocline.adress.regions import Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.calibration_runs import WindowTask
from halocline.dynamics.calibration_windows import CalibrationSettings
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.potentials.base import Zero
from halocline.units import thermal_energy

RESPONSE = DensityResponse(70.0, 70.0, thermal_energy(300.0))
REGIONS = Slab(16.0, 4.0, 6.0, 0.0, 32.0)
START = lattice_fluid((8, 3, 3), 4.0, seed=1)


def settings(**changes) -> CalibrationSettings:
    values = {"steps": 200, "discard": 0.25, "iterations": 2, "tolerance": 0.03, "smoothing": 1.0, "damping": 0.2}
    return CalibrationSettings(**{**values, "response": RESPONSE, "sample": 5, "checkpoint": 20, **changes})


def zero_force() -> ThermodynamicForce:
    return ThermodynamicForce(("argon",), REGIONS.reach, 1.0, (REGIONS.atomistic, 13.0))


def build(task: WindowTask, hooks: list[Hook]) -> Simulation:
    thermostat = Thermostat(5.0, 300.0, (0.01, 0.02, 0.02))
    seed = 100 + task.number + 1000 * task.replica
    coupling = SubtractiveCoupling(Zero(), Zero())
    return Simulation(task.start, coupling, REGIONS, thermostat, task.force, seed, "open", task.inside, hooks, task.discard)


class Dying(Hook):
    """Kills its process at one step, once in the life of the folder."""

    name = "dying"

    def __init__(self, marker: Path, step: int) -> None:
        self.marker, self.step = marker, step

    def __call__(self, simulation: Simulation) -> None:
        if simulation.steps == self.step and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def build_dying(task: WindowTask, hooks: list[Hook]) -> Simulation:
    """As ``build``; the process of the second replica is killed in the middle of the second window."""
    dying = [Dying(task.folder / "killed", 77)] if (task.number, task.replica) == (1, 1) else []
    return build(task, [*dying, *hooks])


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(20.0, shape)
