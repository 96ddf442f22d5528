"""Boxes of the liquid: the one that is simulated, and small ones to be labelled."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from halocline.config.presets import scale_composition
from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.execute.base import Executor, make_executor, run_tasks
from halocline.files import hash_data, read_arrays, write_arrays
from halocline.molecules.base import build_topology
from halocline.results import Number, StageResult, Table
from halocline.stages._classical import CPU_SECONDS, build_box, build_seconds
from halocline.stages.base import Context, Cost, Stage
from halocline.state import State
from halocline.systems.classical import ClassicalRun, run_classical
from halocline.systems.droplets import cut_cluster
from halocline.systems.packing import box_mass, composition, cube_edges, pack, study_edges
from halocline.topology import FloatArray
from halocline.units import ACCELERATION, AMU_PER_CUBIC_ANGSTROM, BOLTZMANN

BOX_EQUILIBRATION = 5000.0
"""fs of the simulated box; the models relax it further."""
EQUILIBRATION = 4000.0
"""fs of a small box, from random orientations; water reorients in about 2 ps."""
DENSITY_SPREAD = 0.04
"""Densities of the trajectories differ by up to this fraction either way, so that models know the pressure of the liquid."""
DROPLET_SIZES = (8, 20)
"""Smallest and largest number of molecules of a droplet."""


@dataclass(frozen=True)
class Trajectory:
    """One classical run: everything that decides its result.

    Attributes:
        name: trajectory name of its frames.
        molecules: number of molecules of each species.
        edges: Å.
        temperature: K.
        rigidity: see :class:`halocline.systems.classical.ClassicalRun`.
        equilibration, interval: fs.
        frames: number of recorded frames.
        seed: of packing, velocities and thermostat.
    """

    name: str
    molecules: dict[str, int]
    edges: tuple[float, float, float]
    temperature: float
    rigidity: float
    equilibration: float
    interval: float
    frames: int
    seed: int

    @property
    def file(self) -> str:
        """File name; other parameters give another file, so what is found there can be trusted."""
        return f"{self.name}-{hash_data(asdict(self))}.npz"

    @property
    def density(self) -> float:
        """Mass density, amu/Å^3."""
        return box_mass(composition(self.molecules)) / float(np.prod(self.edges))


def plan_box(study: Study) -> Trajectory:
    """The simulated box: one frame at the study's density and temperature."""
    system = study.system
    x, y, z = study_edges(system)
    seed = _seeds(study, 1, b"box")[0]
    return Trajectory("box", dict(system.molecules), (x, y, z), system.temperature, 0.0, BOX_EQUILIBRATION, 1.0, 1, seed)


def plan_trajectories(study: Study) -> list[Trajectory]:
    """Small boxes: each temperature has trajectories at densities and intramolecular geometries spread evenly.

    Intramolecular geometry runs from that of the classical model to that of the free molecule, because the bonds of
    effective liquid models are longer than those of the electronic structure that labels them.
    """
    dataset = study.dataset
    count = dataset.trajectories
    molecules = scale_composition(dict(study.system.molecules), dataset.molecules)
    total = count * len(dataset.temperatures)
    shares = [dataset.frames * (i + 1) // total - dataset.frames * i // total for i in range(total)]
    seeds = _seeds(study, total, b"trajectories")
    steps = np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
    plans = []
    for index in range(total):
        kind, number = divmod(index, count)
        # The strides keep density, geometry and temperature from running in step with each other.
        density = study.system.density * (1.0 + DENSITY_SPREAD * steps[(number + kind) % count])
        rigidity = 0.5 + 0.5 * steps[(number + kind + (count + 1) // 2) % count]
        x, y, z = cube_edges(composition(molecules), density)
        temperature = dataset.temperatures[kind]
        name = f"classical-{temperature:g}K-{number + 1}"
        times = (EQUILIBRATION, dataset.interval)
        plans.append(Trajectory(name, molecules, (x, y, z), temperature, float(rigidity), *times, shares[index], seeds[index]))
    return [plan for plan in plans if plan.frames > 0]


def run_trajectory(folder: Path, plan: Trajectory) -> None:
    """Pack, equilibrate and run one trajectory and write it into the folder; runs in a worker process."""
    species = composition(plan.molecules)
    state = pack(species, np.array(plan.edges), plan.seed)
    run = ClassicalRun(plan.temperature, plan.seed, rigidity=plan.rigidity)
    states = list(run_classical(state, species, run, plan.equilibration, plan.interval, plan.frames))
    positions = np.array([frame.positions for frame in states])
    velocities = np.array([frame.velocities for frame in states])
    write_arrays(folder / plan.file, positions=positions, velocities=velocities)


def read_trajectory(folder: Path, plan: Trajectory) -> list[State]:
    """Frames of a finished trajectory, with velocities."""
    data = read_arrays(folder / plan.file)
    topology = build_topology(composition(plan.molecules))
    info: dict[str, object] = {"temperature": plan.temperature}
    cell = np.diag(plan.edges)
    return [State(r, cell, topology, v, info=info) for r, v in zip(data["positions"], data["velocities"])]


class BuildStage(Stage):
    """Pack and equilibrate the simulated box; run small boxes classically and keep configurations for labelling."""

    name = "build"
    uses = ("system", "dataset")
    uses_classical = ("system", "dynamics.equilibration")
    version_classical = 2

    def run(self, context: Context) -> StageResult:
        study, folder = context.study, context.folder
        if study.is_classical:
            return _build_classical(context)
        box, trajectories = plan_box(study), plan_trajectories(study)
        runs = folder / "trajectories"
        runs.mkdir(parents=True, exist_ok=True)
        _run_missing(runs, [box, *trajectories], make_executor(study.execute), context)
        states = {plan.name: read_trajectory(runs, plan) for plan in trajectories}
        frames = label_candidates(trajectories, states, study.dataset.droplets, _seeds(study, 1, b"droplets")[0])
        box_frame = Frame(read_trajectory(runs, box)[0], trajectory=box.name, source=_source(box))
        files = {"box": "box.h5", "configurations": "configurations.h5"}
        _write(folder / files["box"], [box_frame])
        _write(folder / files["configurations"], frames)
        return _describe(box, box_frame.state, trajectories, states, frames, files)

    def cost(self, study: Study) -> Cost:
        if study.is_classical:
            return Cost(build_seconds(study), "packing and classical dynamics of the simulated box")
        plans = [plan_box(study), *plan_trajectories(study)]
        seconds = sum(_atom_steps(plan) for plan in plans) * CPU_SECONDS
        return Cost(seconds, f"classical dynamics of {len(plans) - 1} small boxes and of the simulated one")


def _build_classical(context: Context) -> StageResult:
    """The simulated box alone; a study with a classical force field has nothing to label."""
    study, path = context.study, context.folder / "box.h5"
    state = build_box(study, plan_box(study).seed, context.progress)
    _write(path, [Frame(state, trajectory="box", source=_source(plan_box(study)))])
    numbers = [Number("molecules in the box", float(state.topology.n_molecules)), Number("atoms in the box", float(state.topology.n_atoms))]
    edges = " x ".join(f"{edge:.2f}" for edge in state.edges)
    return StageResult(f"A box of {state.topology.n_molecules} molecules, {edges} A.", numbers, files={"box": path.name})


def label_candidates(trajectories: Sequence[Trajectory], states: dict[str, list[State]], droplets: float, seed: int) -> list[Frame]:
    """Frames of all trajectories, an even share of which is cut down to an isolated droplet.

    A droplet keeps the name of its trajectory, so that a split never has one on one side and its box on the other.
    """
    rng = np.random.default_rng(seed)
    frames: list[Frame] = []
    for plan in trajectories:
        for state in states[plan.name]:
            plain = State(state.positions, state.cell, state.topology, info=state.info)
            is_droplet = int((len(frames) + 1) * droplets) > int(len(frames) * droplets)
            source = _source(plan)
            if is_droplet:
                smallest, largest = (min(size, state.topology.n_molecules) for size in DROPLET_SIZES)
                size = int(rng.integers(smallest, largest + 1))
                plain, source = cut_cluster(plain, size, rng), f"droplet of {size} molecules, {source}"
            frames.append(Frame(plain, trajectory=plan.name, source=source))
    return frames


def _seeds(study: Study, count: int, word: bytes) -> list[int]:
    """Independent seeds for one purpose."""
    sequence = np.random.SeedSequence([abs(study.system.seed), zlib.crc32(word)])
    return [int(seed) >> 2 for seed in sequence.generate_state(count)]


def _run_missing(folder: Path, plans: Sequence[Trajectory], workers: Executor | int, context: Context) -> None:
    """Run what has no file yet.

    Raises:
        Exception: the first failure, after all other trajectories have been finished and kept.
    """
    todo = [plan for plan in plans if not (folder / plan.file).exists()]
    failures = []
    work = functools.partial(run_trajectory, folder)
    for _, outcome in run_tasks(work, todo, workers, "classical dynamics", context.progress):
        if isinstance(outcome, Exception):
            failures.append(outcome)
    if failures:
        raise failures[0]


def _write(path: Path, frames: Sequence[Frame]) -> None:
    """A dataset of exactly these frames; what a killed run left there is made anew from the trajectories."""
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    with Dataset.create(path) as dataset:
        for frame in frames:
            dataset.append(frame)


def _source(plan: Trajectory) -> str:
    return f"classical dynamics at {plan.temperature:g} K and {plan.density / AMU_PER_CUBIC_ANGSTROM:.3f} g/cm3"


def _atom_steps(plan: Trajectory) -> float:
    atoms = build_topology(composition(plan.molecules)).n_atoms
    return atoms * (plan.equilibration + plan.frames * plan.interval)


def _temperatures(states: Sequence[State]) -> FloatArray:
    """(n_frames,) kinetic temperature, K."""
    squares = [float((state.topology.masses[:, None] * state.velocities**2).sum()) for state in states if state.velocities is not None]
    return np.array(squares) / (ACCELERATION * BOLTZMANN * 3 * states[0].topology.n_atoms)


def _describe(
    box: Trajectory,
    state: State,
    trajectories: Sequence[Trajectory],
    states: dict[str, list[State]],
    frames: Sequence[Frame],
    files: dict[str, str],
) -> StageResult:
    droplets = sum(not frame.state.periodic for frame in frames)
    edges = " x ".join(f"{edge:.2f}" for edge in box.edges)
    numbers = [
        Number("density of the simulated box", box.density / AMU_PER_CUBIC_ANGSTROM, "g/cm3"),
        Number("molecules of the simulated box", state.topology.n_molecules),
        *(Number(f"edge {axis} of the simulated box", edge, "A") for axis, edge in zip("xyz", box.edges)),
        Number("configurations to label", len(frames)),
        Number("of these droplets", droplets),
        Number("classical trajectories", len(trajectories)),
    ]
    rows = []
    for plan in trajectories:
        kinetic = _temperatures(states[plan.name])
        error = float(kinetic.std(ddof=1) / len(kinetic) ** 0.5) if len(kinetic) > 1 else None
        mine = [frame for frame in frames if frame.trajectory == plan.name]
        measured = str(Number("", float(kinetic.mean()), "K", error, len(kinetic)))
        density = f"{plan.density / AMU_PER_CUBIC_ANGSTROM:.3f} g/cm3"
        cut = sum(not frame.state.periodic for frame in mine)
        rows.append([plan.name, f"{plan.temperature:g} K", measured, density, str(len(mine) - cut), str(cut)])
    columns = ["trajectory", "thermostat", "kinetic temperature", "density", "boxes", "droplets"]
    caption = "Kinetic temperatures with one standard error over the recorded frames. Splits never cut a trajectory."
    table = Table("trajectories", "Classical trajectories", columns, rows, caption)
    summary = f"A box of {state.topology.n_molecules} molecules, {edges} A, and {len(frames)} configurations to label "
    summary += f"({droplets} of them droplets) from {len(trajectories)} classical trajectories."
    return StageResult(summary, numbers, tables=[table], files=files)
