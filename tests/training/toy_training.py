"""Labelled configurations of a many-body potential that is known, for trainings of seconds."""

import numpy as np
import torch

from halocline.config.study import Model as ModelSection
from halocline.datasets.frame import Frame
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State

SECTION = ModelSection(features=16, layers=2, cutoff="3.5 A")  # type: ignore[arg-type]
LEVEL = {"method": "analytic"}


def toy_energy_forces(state: State) -> tuple[float, np.ndarray]:
    """Bond springs, and a Gaussian three-body-like term: the square of the coordination of each oxygen by hydrogens."""
    x = torch.tensor(state.positions, requires_grad=True)
    energy = torch.zeros((), dtype=torch.float64)
    molecules = x.reshape(-1, 3, 3)
    bonds = (molecules[:, 1:] - molecules[:, :1]).norm(dim=2)
    hh = (molecules[:, 1] - molecules[:, 2]).norm(dim=1)
    energy = energy + 20.0 * (bonds - 0.97).square().sum() + 5.0 * (hh - 1.53).square().sum()
    vectors = x[None] - molecules[:, :1]
    if state.periodic:
        vectors = vectors - torch.tensor(state.edges) * torch.round(vectors.detach() / torch.tensor(state.edges))
    r = (vectors.square().sum(dim=2) + 1e-12).sqrt()
    outside = torch.tensor(state.topology.molecule_of_atom[None] != np.arange(len(molecules))[:, None])
    close = torch.where(outside & (r < 3.4), torch.exp(-((r - 1.8) ** 2)) * (1 - (r / 3.4).clamp(max=1.0) ** 2) ** 3, 0.0).sum(dim=1)
    energy = energy + 0.15 * (close - 2.0).square().sum() - 100.0 * len(molecules)
    (gradient,) = torch.autograd.grad(energy, x)
    return float(energy.detach()), -gradient.numpy()


def toy_frames(n: int, seed: int) -> list[Frame]:
    """Boxes of eight waters and droplets of four, labelled by :func:`toy_energy_forces`."""
    rng, frames = np.random.default_rng(seed), []
    for number in range(n):
        periodic, count = number % 4 != 3, 8 if number % 4 != 3 else 4
        cells = np.array(list(np.ndindex(2, 2, 2)))[:count]
        positions = []
        for cell in cells:
            rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            positions.append(np.array(WATER.geometry) @ rotation.T + rng.normal(0, 0.03, (3, 3)) + 3.1 * cell + rng.normal(0, 0.1, 3))
        box = np.eye(3) * 6.2 if periodic else np.zeros((3, 3))
        state = State(np.concatenate(positions), box, build_topology([(WATER, count)]), periodic=periodic)
        energy, forces = toy_energy_forces(state)
        frames.append(Frame(state, {"energy": np.array(energy), "forces": forces}, level=LEVEL, trajectory=f"t{number % 5}"))
    return frames
