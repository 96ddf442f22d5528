"""Configurations that a trained model visits by itself, in boxes of the size that is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halocline.datasets.frame import Frame
from halocline.dynamics.bulk import full_resolution
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.simulation import Hook, Simulation, Thermostat
from halocline.dynamics.start import quench
from halocline.errors import RunFailure
from halocline.execute.base import Executor, run_tasks
from halocline.potentials.learned import LearnedAtoms
from halocline.progress import Progress
from halocline.state import State
from halocline.systems.droplets import cut_cluster

EQUILIBRATION = 0.25
"""First share of a trajectory, in which it forgets the configuration it was started from; no frames are taken there."""
DROPLET_SIZES = (8, 21)
"""Molecules in a droplet: from, up to but excluding."""


@dataclass(frozen=True)
class Job:
    """One trajectory of one worker.

    Attributes:
        model: file of the atomistic model.
        start: periodic configuration.
        temperature: K. timestep: fs. friction: 1/fs.
        steps: of the whole trajectory.
        frames: configurations to take.
        name: of the trajectory.
    """

    model: Path
    start: State
    temperature: float
    timestep: float
    friction: float
    steps: int
    frames: int
    seed: int
    name: str


@dataclass(frozen=True)
class Sampled:
    """What a trajectory gave: its configurations, and why it stopped early if it did."""

    name: str
    states: list[State]
    failure: str | None


class _Collect(Hook):
    """Keeps configurations."""

    name = "collect"

    def __init__(self, interval: int) -> None:
        self.interval, self.states = interval, list[State]()

    def __call__(self, simulation: Simulation) -> None:
        self.states.append(simulation.state.wrap())


def sample(job: Job) -> Sampled:
    """Run one trajectory; a model that fails half-way has still shown where it needs labels."""
    potential = LearnedAtoms(job.model)
    equilibration = int(EQUILIBRATION * job.steps)
    collect = _Collect(max(1, (job.steps - equilibration) // job.frames))
    try:
        start = quench(job.start, potential, job.timestep, job.temperature, job.seed)
        thermostat = Thermostat(job.timestep, job.temperature, (job.friction,) * 3)
        hooks = (Monitor(20), collect)
        simulation = full_resolution(start, potential, thermostat, job.seed, hooks=hooks, equilibration=equilibration)
        simulation.run(job.steps - equilibration)
    except RunFailure as error:
        return Sampled(job.name, collect.states[: job.frames], str(error))
    return Sampled(job.name, collect.states[: job.frames], None)


def sample_frames(
    jobs: Sequence[Job], droplets: float, seed: int, workers: Executor | int, progress: Progress
) -> tuple[list[Frame], list[str]]:
    """Frames of all trajectories, some of them as droplets cut out of the box, and the failures in words.

    Args:
        droplets: share of frames that become droplets in vacuum.

    Raises:
        RunFailure: no trajectory gave a single configuration.
    """
    frames: list[Frame] = []
    failures: list[str] = []
    done = dict(run_tasks(sample, list(jobs), workers, "model MD", progress))
    for index, job in enumerate(jobs):
        outcome = done[index]
        if isinstance(outcome, Exception):
            raise outcome
        if outcome.failure is not None:
            failures.append(f"{job.name}: {outcome.failure}")
        rng = np.random.default_rng([seed, index])
        for state in outcome.states:
            n_molecules = state.topology.n_molecules
            cut = rng.random() < droplets
            size = min(int(rng.integers(*DROPLET_SIZES)), n_molecules)
            kept = cut_cluster(state, size, rng) if cut else State(state.positions, state.cell, state.topology)
            frames.append(Frame(kept, trajectory=job.name, source=f"model MD at {job.temperature:.0f} K"))
    if not frames:
        remedy = "Give the first training more frames (dataset.frames) or time (model.budget)."
        raise RunFailure(f"none of {len(jobs)} model trajectories survived: {failures[0]}", "active learning", remedy)
    return frames, failures
