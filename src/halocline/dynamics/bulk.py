"""Full-resolution runs: everything inside, no reservoir. Pressures for the warm start, and the reference run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Regions, Slab
from halocline.dynamics.checkpoint import CheckpointHook, has_checkpoint, read_checkpoint
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.rigid_mover import MoverFactory
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.dynamics.statistics import mean_and_error
from halocline.potentials.base import Potential, Zero
from halocline.progress import Progress, Silent
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import thermal_energy


@dataclass(frozen=True)
class BulkResult:
    """Pressure of one potential at fixed volume and temperature.

    Attributes:
        pressure, error: eV/Å^3, mean and standard error.
        n_effective: independent samples behind the error.
        temperature: measured, K.
        energy: mean potential energy per molecule, eV.
        compressibility, compressibility_error: isothermal, from the number of molecules in half the box, Å^3/eV.
        state: last configuration with velocities.
        series: (n_samples,) pressures, eV/Å^3.
    """

    pressure: float
    error: float
    n_effective: float
    temperature: float
    energy: float
    compressibility: float
    compressibility_error: float
    state: State
    series: FloatArray


def molecular_pressure(state: State, virial: FloatArray, forces: FloatArray, temperature: float) -> float:
    """Pressure in eV/Å^3 from centres of mass: (N kT + W_mol/3)/V.

    W_mol = tr W - sum_i (r_i - R_i) . F_i drops the forces within molecules, whose mean the internal kinetic energy
    cancels; it has the mean of the atomic pressure and far less noise.

    Args:
        virial: (3, 3) sum over r outer F, eV.
        forces: (n_atoms, 3) eV/Å.
        temperature: K; the kinetic part is taken at its mean.
    """
    topology = state.topology
    internal = state.positions - topology.centres_of_mass(state.positions)[topology.molecule_of_atom]
    molecular = float(np.trace(virial)) - float((internal * forces).sum())
    return (topology.n_molecules * thermal_energy(temperature) + molecular / 3.0) / state.volume


class PressureHook(Hook):
    """Samples the molecular pressure of a full-resolution run."""

    name = "pressure"

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.pressures: list[float] = []
        self.energies: list[float] = []
        self.squares: list[float] = []

    def __call__(self, simulation: Simulation) -> None:
        evaluation = simulation.coupling.fine.evaluate(simulation.integrator.coordinates, None, virial=True)
        assert evaluation.virial is not None
        temperature = simulation.thermostat.temperature
        self.pressures.append(molecular_pressure(simulation.state, evaluation.virial, evaluation.forces, temperature))
        self.energies.append(evaluation.energy / simulation.topology.n_molecules)
        self.squares.append(half_box_square(simulation.centres[:, 0] / simulation.initial.edges[0]))

    def state(self) -> dict[str, np.ndarray]:
        return {"pressures": np.array(self.pressures), "energies": np.array(self.energies), "squares": np.array(self.squares)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.pressures, self.energies = arrays["pressures"].tolist(), arrays["energies"].tolist()
        self.squares = arrays["squares"].tolist()


def half_box_square(fractions: FloatArray, places: int = 8) -> float:
    """Mean of (N_half - N/2)^2 over halves of a periodic box that begin at different places, from (n,) coordinates over its edge."""
    within = (fractions[None, :] - np.arange(places)[:, None] / places) % 1.0 < 0.5
    return float(((within.sum(axis=1) - 0.5 * len(fractions)) ** 2).mean())


def compressibility_of(squares: list[float], n_molecules: int, volume: float, temperature: float) -> tuple[float, float]:
    """kappa_T and its error in Å^3/eV: Var(N_half) = n kT kappa_T N/4 in a closed box."""
    mean, error, _ = mean_and_error(squares)
    scale = 4.0 / n_molecules / (n_molecules / volume * thermal_energy(temperature))
    return scale * mean, scale * error


def whole_box(state: State) -> Regions:
    """Regions for a run in which regions do not matter."""
    length = float(state.edges[0])
    return Slab(0.5 * length, 0.25 * length, 0.125 * length, 0.0, length)


def full_resolution(
    state: State,
    potential: Potential,
    thermostat: Thermostat,
    seed: int,
    regions: Regions | None = None,
    hooks: tuple[Hook, ...] = (),
    equilibration: int = 0,
    make_mover: MoverFactory | None = None,
) -> Simulation:
    """A simulation with every molecule seen by ``potential``; ``make_mover`` where there are rigid molecules."""
    coupling = SubtractiveCoupling(potential, Zero())
    regions = regions or whole_box(state)
    mover = make_mover(state, thermostat.timestep, thermostat.temperature, seed) if make_mover else None
    return Simulation(state, coupling, regions, thermostat, None, seed, "full", None, hooks, equilibration, integrator=mover)


def bulk_pressure(
    state: State,
    potential: Potential,
    temperature: float,
    friction: float,
    timestep: float,
    steps: int,
    discard: float = 0.3,
    seed: int = 0,
    sample: int = 10,
    checkpoint: tuple[Path, int] | None = None,
    progress: Progress | None = None,
    description: str = "bulk run",
    make_mover: MoverFactory | None = None,
) -> BulkResult:
    """NVT run of one potential, and its pressure with a block error.

    Args:
        state: starting configuration, quenched.
        temperature: K. friction: 1/fs. timestep: fs.
        steps: of the whole run; the first fraction ``discard`` is equilibration.
        sample: steps between pressures.
        checkpoint: (path, interval in steps); continues from there if it exists.
        make_mover: integrator of rigid molecules.

    Raises:
        RunFailure: the run blew up.
    """
    dropped = int(discard * steps)
    pressure = PressureHook(sample)
    hooks: list[Hook] = [Monitor(50), pressure]
    if checkpoint is not None:
        hooks.append(CheckpointHook(*checkpoint))
    thermostat = Thermostat(timestep, temperature, (friction,) * 3)
    simulation = full_resolution(state, potential, thermostat, seed, None, tuple(hooks), dropped, make_mover)
    if checkpoint is not None and has_checkpoint(checkpoint[0]):
        read_checkpoint(simulation, checkpoint[0])
    with (progress or Silent()).task(description, steps, simulation.steps + dropped) as bar:
        simulation.run(steps - dropped, bar)
    mean, error, effective = mean_and_error(pressure.pressures)
    if not np.any(pressure.energies):
        error = 0.0  # nothing interacts: the pressure is that of an ideal gas, exactly
    energy = float(np.mean(pressure.energies))
    measured = 2.0 * simulation.energy_sums.sum() / (thermal_energy(1.0) * simulation.degree_sums.sum())
    kappa = compressibility_of(pressure.squares, state.topology.n_molecules, state.volume, temperature)
    return BulkResult(mean, error, effective, float(measured), energy, *kappa, simulation.state, np.array(pressure.pressures))
