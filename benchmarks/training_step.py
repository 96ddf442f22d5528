"""Time of one optimisation step, energies, forces and the gradient of their loss, of PaiNN on a box of liquid water.

The compiled step against automatic differentiation twice, in one process on one thread, and how far their gradients agree.
"""

from __future__ import annotations

# isort: off
from _common import cpu_seconds, finish, parse_arguments, print_table  # sets thread counts, so before all others

# isort: on
import numpy as np
import torch
from torch import Tensor

from halocline.models.graphs import half_pairs
from halocline.models.model import Model, make_representation
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State
from halocline.training.data import Batch, Sites, make_batch
from halocline.training.energy_forces import initialise
from halocline.training.painn_step import PaiNNStep
from halocline.training.steps import GeneralStep, NetworkStep

MOLECULES, CUTOFF, FEATURES, LAYERS = 60, 4.5, 64, 3
VOLUME = 29.9
"""Å^3 per molecule in the liquid."""


def water_box(n_molecules: int, seed: int) -> State:
    """Randomly turned molecules near the points of a lattice at the density of the liquid."""
    rng = np.random.default_rng(seed)
    edge, n = (n_molecules * VOLUME) ** (1 / 3), int(np.ceil(n_molecules ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_molecules]
    centres = lattice * edge / n + rng.normal(scale=0.15, size=(n_molecules, 3))
    turned = [np.array(WATER.geometry) @ np.linalg.qr(rng.normal(size=(3, 3)))[0] + centre for centre in centres]
    return State(np.concatenate(turned), np.eye(3) * edge, build_topology([(WATER, n_molecules)]))


def frame(dtype: torch.dtype) -> Batch:
    """One box with random labels."""
    state = water_box(MOLECULES, 1)
    i, j, shifts = half_pairs(state.positions, state.cell, state.periodic, CUTOFF)
    topology, forces = state.topology, np.random.default_rng(2).normal(size=state.positions.shape)
    sites = Sites(topology.atomic_numbers, topology.molecule_of_atom, state.positions, i, j, shifts, forces, 0.0)
    return make_batch(sites, {1: 0, 8: 1}, 0.0, forces, dtype)


def painn(dtype: torch.dtype) -> Model:
    torch.manual_seed(1)
    model = Model("atoms", make_representation("painn", [1, 8], FEATURES, LAYERS, CUTOFF))
    initialise(model)
    return model.convert(dtype)


def optimisation_step(step: NetworkStep, batch: Batch, model: Model) -> Tensor:
    """Gradient of a loss of energy and forces with respect to all parameters."""

    def slopes(energy: Tensor, forces: Tensor) -> tuple[Tensor, Tensor]:
        return 0.1 * torch.ones_like(energy), forces - batch.forces

    model.zero_grad()
    step.surrogate(batch, slopes).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def main() -> None:
    options = parse_arguments(__doc__ or "")
    torch.set_num_threads(1)
    repeat = 3 if options.quick else 20
    model, batch = painn(torch.float32), frame(torch.float32)
    exact_model, exact_batch = painn(torch.float64), frame(torch.float64)
    fast, general = PaiNNStep(model), GeneralStep(model)
    gradient = optimisation_step(fast, batch, model).double()
    exact = optimisation_step(GeneralStep(exact_model), exact_batch, exact_model)
    figures, rows = {}, []
    for name, step, times in (("compiled", fast, repeat), ("automatic", general, max(2, repeat // 4))):
        gradient_ms = 1e3 * cpu_seconds(lambda step=step: optimisation_step(step, batch, model), times)
        forces_ms = 1e3 * cpu_seconds(lambda step=step: step.energy_and_forces(batch), times)
        rows.append([name, f"{gradient_ms:.1f}", f"{forces_ms:.1f}"])
        figures |= {f"{name}_step_ms": gradient_ms, f"{name}_forces_ms": forces_ms}
    figures["speedup"] = figures["automatic_step_ms"] / figures["compiled_step_ms"]
    figures["cosine_deficit"] = 1 - float(torch.nn.functional.cosine_similarity(gradient, exact, dim=0))
    title = (
        f"{3 * MOLECULES} atoms, {len(batch.i)} pairs within {CUTOFF} A, {FEATURES} features, {LAYERS} layers, one thread: CPU ms per frame"
    )
    print_table(title, ["step", "loss gradient", "forces alone"], rows)
    finish(figures, options.json)


if __name__ == "__main__":
    main()
