"""Checkpoints: a killed run continues with exactly the same numbers.

Neighbour lists are dropped when a checkpoint is written and when one is read, and the forces are stored: the run that goes on and
the run that starts again then add the same numbers in the same order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from halocline.dynamics.heat_ledger import HeatLedger
from halocline.dynamics.simulation import Hook, Simulation
from halocline.errors import RunFailure
from halocline.files import read_arrays, write_arrays
from halocline.potentials.base import Evaluation

FORMAT_VERSION = 4


def previous_path(path: Path) -> Path:
    """Where the checkpoint before the last one is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_checkpoint(simulation: Simulation, path: Path) -> None:
    """Write everything a restart needs; the checkpoint before is kept beside it.

    Raises:
        RunFailure: the disk is full; older checkpoints are untouched.
    """
    simulation.coupling.reset()
    integrator, evaluation = simulation.integrator, simulation.evaluation
    arrays = {
        "format_version": np.array(FORMAT_VERSION),
        "steps": np.array(simulation.steps),
        **integrator.arrays(),
        "inside": simulation.inside,
        "energy": np.array([evaluation.energy, simulation.force_energy, simulation.reservoir_energy]),
        "model_forces": evaluation.forces,
        "forces": simulation.forces,
        "model_capped": evaluation.capped,
        "model_sites": evaluation.sites,
        "energy_sums": simulation.energy_sums,
        "degree_sums": simulation.degree_sums,
        **simulation.ledger.to_arrays(),
    }
    for hook in simulation.hooks:
        arrays |= {f"hook.{hook.name}.{key}": value for key, value in hook.state().items()}
    if path.exists():
        path.replace(previous_path(path))
    write_arrays(path, **arrays)


def has_checkpoint(path: Path) -> bool:
    """Whether there is something to continue from."""
    return path.exists() or previous_path(path).exists()


def read_checkpoint(simulation: Simulation, path: Path) -> None:
    """Continue a simulation, built with the same arguments, from its last checkpoint.

    If ``path`` is missing (the process died between two files, or a person removed a corrupt one) the one before is used.

    Raises:
        RunFailure: no checkpoint, corrupt, of another version or of another system; the message says how to go on.
    """
    before = previous_path(path)
    source = path if path.exists() else before
    try:
        arrays = read_arrays(source)
    except RunFailure as error:
        if source == path and before.exists():
            remedy = f"Delete it to continue from {before.name} (a little earlier), or delete both to start this run again."
        else:
            remedy = "Delete it to start this run again."
        raise RunFailure(error.what, str(source), remedy) from error
    remedy = "Delete the checkpoints beside it to start this run again."
    if int(arrays.get("format_version", np.array(-1))) != FORMAT_VERSION:
        raise RunFailure(f"the checkpoint is not of format {FORMAT_VERSION}", str(source), remedy)
    if arrays["positions"].shape != simulation.integrator.coordinates.shape:
        shapes = f"{arrays['positions'].shape[0]} atoms, the run has {simulation.integrator.coordinates.shape[0]}"
        raise RunFailure(f"the checkpoint holds {shapes}", str(source), remedy)
    _restore(simulation, arrays)


def _restore(simulation: Simulation, arrays: dict[str, np.ndarray]) -> None:
    simulation.integrator.restore(arrays)
    simulation.steps = int(arrays["steps"])
    energy, force_energy, simulation.reservoir_energy = arrays["energy"].tolist()
    evaluation = Evaluation(energy, arrays["model_forces"], None, arrays["model_capped"], arrays["model_sites"])
    simulation.restore(evaluation, force_energy, arrays["forces"], arrays["inside"])
    simulation.energy_sums, simulation.degree_sums = arrays["energy_sums"], arrays["degree_sums"]
    simulation.ledger = HeatLedger.from_arrays(arrays)
    for hook in simulation.hooks:
        prefix = f"hook.{hook.name}."
        hook.restore({key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)})
    simulation.coupling.reset()


class CheckpointHook(Hook):
    """Writes a checkpoint every ``interval`` steps; put it last, after the hooks whose state it stores."""

    name = "checkpoint"
    during_equilibration = True

    def __init__(self, path: Path, interval: int) -> None:
        self.path, self.interval = path, interval

    def __call__(self, simulation: Simulation) -> None:
        write_checkpoint(simulation, self.path)
