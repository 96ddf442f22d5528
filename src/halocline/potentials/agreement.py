"""Do the engines agree: one model through the compiled kernel and through torch, on the same configurations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from halocline.errors import UserError
from halocline.models.model import Model
from halocline.potentials.base import Potential
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.potentials.torch_model import TorchAtoms, TorchBeads
from halocline.results import Number, Table
from halocline.state import State

TOLERANCE = 1e-5
"""Largest relative root-mean-square force difference between the kernel and torch in double precision."""


@dataclass(frozen=True)
class Agreement:
    """What :func:`compare_engines` found.

    Attributes:
        force_error: root-mean-square difference of force components between kernel and torch in double precision, relative
            to the root mean square of the forces.
        force_error_single: the same between torch in single and in double precision: what the number format alone costs.
        energy_error: largest difference of energies between kernel and torch in double precision, eV per site.
        n_states: configurations compared.
        agrees: whether ``force_error`` is within :data:`TOLERANCE`.
    """

    force_error: float
    force_error_single: float
    energy_error: float
    n_states: int

    @property
    def agrees(self) -> bool:
        return self.force_error <= TOLERANCE

    def numbers(self) -> list[Number]:
        """For the terminal and the report."""
        return [
            Number("kernel force error, relative", self.force_error),
            Number("torch float32 force error, relative", self.force_error_single),
            Number("kernel energy error per site", self.energy_error, "eV"),
        ]

    def table(self) -> Table:
        """The same as one table."""
        rows = [
            ["compiled kernel", f"{self.force_error:.1e}", f"{self.energy_error:.1e} eV"],
            ["torch, float32", f"{self.force_error_single:.1e}", ""],
        ]
        columns = ["engine", "relative force error (rms)", "energy error per site (largest)"]
        caption = f"Against torch in double precision, {self.n_states} configurations; at most {TOLERANCE:.0e} is accepted."
        return Table("engines", "Agreement of the engines", columns, rows, caption)


def compare_engines(model: Model, states: Sequence[State]) -> Agreement:
    """Evaluate one model with the compiled kernel and with torch.

    Args:
        model: with a representation that has a kernel.
        states: periodic configurations.

    Raises:
        UserError: no periodic configuration, or no kernel for the model.
    """
    periodic = [state for state in states if state.periodic]
    if not periodic:
        raise UserError("there is no periodic configuration", "comparison of engines", "Give at least one periodic frame.")
    kernel = LearnedAtoms if model.kind == "atoms" else LearnedBeads
    slow = TorchAtoms if model.kind == "atoms" else TorchBeads
    engines: list[Potential] = [kernel(model), slow(model, torch.float32), slow(model, torch.float64)]
    squares, norm, energy_error = np.zeros(2), 0.0, 0.0
    for state in periodic:
        results = []
        for engine in engines:
            engine.bind(state.topology, state.cell)
            results.append(engine.evaluate(state.positions))
        exact = results[-1]
        n_sites = state.topology.n_atoms if model.kind == "atoms" else state.topology.n_molecules
        squares += [float(((result.forces - exact.forces) ** 2).sum()) for result in results[:2]]
        norm += float((exact.forces**2).sum())
        energy_error = max(energy_error, abs(results[0].energy - exact.energy) / n_sites)
    if norm == 0:
        raise UserError("all forces are zero", "comparison of engines", "Give configurations with interacting sites.")
    relative = np.sqrt(squares / norm)
    return Agreement(float(relative[0]), float(relative[1]), energy_error, len(periodic))
