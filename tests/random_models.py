"""Random networks, priors and boxes of water for the tests of potentials; trained weights would prove nothing more."""

from __future__ import annotations

import numpy as np
import torch

from halocline.models.base import Representation
from halocline.models.model import Model
from halocline.models.priors.pair_tables import PairTables
from halocline.models.schnet import SchNet
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State


def water_box(n_molecules: int, seed: int, stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> State:
    """Randomly turned waters on a jittered lattice at the density of the liquid, molecules anywhere in space."""
    rng = np.random.default_rng(seed)
    edges = np.array(stretch) * (n_molecules * 29.9 / np.prod(stretch)) ** (1 / 3)
    n = int(np.ceil(n_molecules ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_molecules]
    centres = lattice * edges / n + rng.normal(scale=0.15, size=(n_molecules, 3)) + edges * rng.integers(-2, 3, size=(n_molecules, 3))
    positions = []
    for centre in centres:
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        positions.append(centre + (np.array(WATER.geometry) + rng.normal(scale=0.03, size=(3, 3))) @ rotation)
    return State(np.concatenate(positions), np.diag(edges), build_topology([(WATER, n_molecules)]))


def random_prior(n_types: int, cutoff: float, seed: int, within: bool = True) -> PairTables:
    """Repulsive exponentials with knots from 0.6 Å, one table for each unordered pair of types and each side."""
    rng = np.random.default_rng(seed)
    knots = np.linspace(0.6, cutoff, 120)
    index = np.arange(n_types)
    low, high = np.minimum.outer(index, index), np.maximum.outer(index, index)
    between_class = low * n_types + high
    pair_class = np.stack([between_class, between_class + n_types**2 if within else np.full_like(low, -1)], axis=-1)
    strength, decay = rng.uniform(2.0, 5.0, size=(2 * n_types**2, 1)), rng.uniform(1.5, 2.5, size=(2 * n_types**2, 1))
    taper = (1 - knots / cutoff) ** 2
    values = strength * np.exp(-decay * knots) * taper
    slopes = -decay * values - strength * np.exp(-decay * knots) * 2 * (1 - knots / cutoff) / cutoff
    return PairTables(knots[0], knots[1] - knots[0], torch.tensor(values), torch.tensor(slopes), torch.tensor(pair_class))


def random_model(
    kind: str = "atoms",
    features: int = 16,
    layers: int = 2,
    cutoff: float = 4.0,
    seed: int = 0,
    prior: bool = True,
    representation: type[Representation] = SchNet,
    heads: tuple[str, ...] = ("energy",),
) -> Model:
    """A network with random weights, strong enough that every layer matters for the forces."""
    torch.manual_seed(seed)
    types = [1, 8] if kind == "atoms" else [1]
    model = Model(
        kind,
        representation(types, features, layers, cutoff),
        heads,
        random_prior(len(types), min(cutoff, 3.9), seed, kind == "atoms") if prior else None,
        {"species": ["water"]},
    )
    model.heads["energy"].shift[:] = torch.linspace(-3.0, -400.0, len(types))
    model.heads["energy"].scale.fill_(0.7)
    return model.eval()
