"""Beads: mapped forces from MD of the atomistic model, and the structure of the liquid that the beads then make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from halocline.config.study import Study
from halocline.dynamics.bulk import full_resolution
from halocline.dynamics.checkpoint import CheckpointHook, has_checkpoint, read_checkpoint
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.dynamics.start import quench
from halocline.files import read_arrays, write_arrays
from halocline.mapping.centre_of_mass import Beads, map_forces, map_positions
from halocline.potentials.base import Potential
from halocline.progress import Progress
from halocline.results import Figure, Number, Series
from halocline.state import State
from halocline.topology import FloatArray

EQUILIBRATION = 0.2
"""First share of the teacher run that is dropped."""
BEAD_INTERVAL = 20.0
"""fs between mapped configurations: forces on beads decorrelate within some tens of fs."""
WIDTH = 0.1
"""Å, bins of g(r)."""


class BeadHook(Hook):
    """Keeps positions of and forces on centres of mass."""

    name = "beads"

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.positions: list[FloatArray] = []
        self.forces: list[FloatArray] = []

    def __call__(self, simulation: Simulation) -> None:
        self.positions.append(map_positions(simulation.topology, simulation.integrator.coordinates))
        self.forces.append(map_forces(simulation.topology, simulation.evaluation.forces))

    def state(self) -> dict[str, np.ndarray]:
        return {"positions": np.array(self.positions), "forces": np.array(self.forces)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.positions, self.forces = list(arrays["positions"]), list(arrays["forces"])


def run_beads(
    study: Study, start: State, potential: Potential, length: float, folder: Path, seed: int, progress: Progress, description: str
) -> dict[str, np.ndarray]:
    """NVT run at full resolution of one potential in the production box, kept as bead positions and forces.

    Continues from its checkpoint, and returns at once what a finished run left.

    Args:
        length: fs, of which the first share is dropped.
        folder: of this run.

    Returns:
        ``positions`` and ``forces`` (n_samples, n_molecules, 3), Å and eV/Å; ``last`` (n_atoms, 3), Å.

    Raises:
        RunFailure: the run blew up.
    """
    finished = folder / "beads.npz"
    if finished.exists():
        return read_arrays(finished)
    dynamics, temperature = study.dynamics, study.system.temperature
    steps = round(length / dynamics.timestep)
    equilibration = round(EQUILIBRATION * steps)
    beads = BeadHook(max(1, round(BEAD_INTERVAL / dynamics.timestep)))
    checkpoint = folder / "checkpoint.npz"
    hooks = (Monitor(50), beads, CheckpointHook(checkpoint, max(1, round(dynamics.checkpoint / dynamics.timestep))))
    thermostat = Thermostat(dynamics.timestep, temperature, (dynamics.friction_reference,) * 3)
    resumes = has_checkpoint(checkpoint)
    state = start if resumes else quench(start, potential, dynamics.timestep, temperature, seed)
    simulation = full_resolution(state, potential, thermostat, seed, hooks=hooks, equilibration=equilibration)
    if resumes:
        read_checkpoint(simulation, checkpoint)
    with progress.task(description, steps, simulation.steps + equilibration) as bar:
        simulation.run(steps - equilibration, bar)
    write_arrays(finished, **beads.state(), last=simulation.state.positions)
    return read_arrays(finished)


def bead_frames(box: State, arrays: dict[str, np.ndarray]) -> list[Beads]:
    """Mapped configurations with their forces, for training."""
    topology = box.topology
    return [
        Beads(positions, topology.molecule_species, topology.molecule_masses, box.cell, True, topology.species, forces)
        for positions, forces in zip(arrays["positions"], arrays["forces"], strict=True)
    ]


def radial_distribution(positions: FloatArray, cell: FloatArray, largest: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """g(r) of beads in a periodic box, with standard errors from ten blocks.

    Args:
        positions: (n_samples, n_beads, 3), Å.
        largest: Å, at most half the shortest edge.

    Returns:
        distances of the bin centres (Å), g and its error.
    """
    edges = np.arange(0.0, largest + 1e-9, WIDTH)
    box = np.diag(cell)
    n_beads = positions.shape[1]
    # n - 1 others: in a closed box an ideal gas then has g = 1.
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3) * (n_beads - 1) / box.prod()
    samples = np.empty((len(positions), len(shells)))
    for index, configuration in enumerate(positions):
        tree = cKDTree(configuration % box, boxsize=box)
        samples[index] = np.diff(tree.count_neighbors(tree, edges)) / (n_beads * shells)
    blocks = np.array([block.mean(axis=0) for block in np.array_split(samples, min(10, len(samples)))])
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.full(len(shells), np.nan)
    return 0.5 * (edges[1:] + edges[:-1]), samples.mean(axis=0), error


def judge_structure(cell: FloatArray, teacher: FloatArray, beads: FloatArray) -> tuple[Figure, list[Number]]:
    """The liquid of the beads against the liquid they were taught by.

    Args:
        teacher, beads: (n_samples, n_molecules, 3) centres of mass, Å.
    """
    largest = min(10.0, 0.5 * float(np.diag(cell).min()))
    r, g_teacher, e_teacher = radial_distribution(teacher, cell, largest)
    _, g_beads, e_beads = radial_distribution(beads, cell, largest)
    difference = float(np.abs(g_beads - g_teacher).sum() * WIDTH / largest)
    noise = float(np.hypot(e_beads, e_teacher).sum() * WIDTH / largest)
    series = [
        Series("atomistic model, mapped", r.tolist(), g_teacher.tolist(), e_teacher.tolist()),
        Series("beads", r.tolist(), g_beads.tolist(), e_beads.tolist(), "dashed"),
    ]
    caption = "Centre-of-mass g(r) of MD with the atomistic model and with the beads, at full resolution each."
    figure = Figure("bead-structure", "Structure of the bead liquid", "r (A)", "g(r)", series, caption)
    peak = int(np.argmax(g_teacher))
    first = max(0, peak - 3)
    top = first + int(np.argmax(g_beads[first : peak + 4]))
    ratio = float(g_beads[top] / g_teacher[peak])
    ratio_error = float(np.hypot(e_beads[top], ratio * e_teacher[peak]) / g_teacher[peak])
    blocks = min(10, len(teacher), len(beads))
    numbers = [
        Number("mean |difference| of bead g(r)", difference, "", noise, blocks),
        Number("bead first peak / mapped first peak", ratio, "", ratio_error, blocks),
    ]
    return figure, numbers
