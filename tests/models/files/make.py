"""Makes the stored model files of the present format, and the numbers they gave on the day they were made.

Run once for every format, with the program that writes it, before the format changes:

    python tests/models/files/make.py

Files that exist are never made again: that old files still give old numbers is what they are for.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from halocline.models.model import FORMAT_VERSION, Model, make_representation
from halocline.models.priors.pair_tables import PairTables
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State

FOLDER = Path(__file__).parent
CUTOFF = 3.5
KINDS = {
    "schnet": ("atoms", "schnet", ["energy"]),
    "painn": ("atoms", "painn", ["energy", "dipole", "polarizability"]),
    "beads": ("beads", "schnet", ["energy"]),
}


def prior(n_types: int) -> PairTables:
    """A (r_c - r)^3 repulsion, of a strength of its own for each pair of types, within and between molecules."""
    knots = torch.linspace(0.6, CUTOFF, 30, dtype=torch.float64)
    low, high = torch.triu_indices(n_types, n_types)
    strengths = 0.01 * (1 + torch.arange(2 * len(low), dtype=torch.float64))[:, None]
    classes = torch.zeros(n_types, n_types, 2, dtype=torch.long)
    for side in (0, 1):
        numbers = side * len(low) + torch.arange(len(low))
        classes[low, high, side] = numbers
        classes[high, low, side] = numbers
    slopes = -3 * strengths * (CUTOFF - knots) ** 2
    return PairTables(0.6, float(knots[1] - knots[0]), strengths * (CUTOFF - knots) ** 3, slopes, classes)


def random_model(name: str, seed: int) -> Model:
    """A tiny model with weights of a seed, and with a value other than the default in every buffer."""
    kind, representation, heads = KINDS[name]
    types = [1, 8] if kind == "atoms" else [1]
    torch.manual_seed(seed)
    metadata = {"species": ["water"], "molecular_charges": {"water": 0.0}, "card": {"purpose": "none: random weights"}}
    model = Model(kind, make_representation(representation, types, 8, 2, CUTOFF), heads, prior(len(types)), metadata)
    for head in model.heads.values():
        for buffer_name, buffer in head.named_buffers():
            buffer.copy_(torch.linspace(0.5, -1.5, buffer.numel()).reshape(buffer.shape) if buffer_name != "scale" else torch.tensor(0.7))
    return model.eval()


def waters(n: int, edge: float | None, seed: int) -> State:
    """Turned waters on a jittered lattice; rounded, so that the numbers of the file are the positions."""
    rng = np.random.default_rng(seed)
    positions = []
    for place in list(np.ndindex(2, 2, 2))[:n]:
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        positions.append(np.array(WATER.geometry) @ rotation + 2.9 * np.array(place) + rng.normal(0, 0.1, (3, 3)))
    cell = np.zeros((3, 3)) if edge is None else np.eye(3) * edge
    return State(np.concatenate(positions).round(6), cell, build_topology([(WATER, n)]), periodic=edge is not None)


def predictions(model: Model, state: State) -> dict[str, list[float]]:
    """Everything that a model says of a configuration, in double precision, flat."""
    model = model.convert(torch.float64)
    graph = model.graph(state)
    energy, forces, virial = model.energy_forces_virial(graph)
    found = {"energy": energy, "forces": forces, "virial": virial}
    found.update({name: value for name, value in model(graph).items() if name in model.heads and name != "energy"})
    return {name: value.detach().double().flatten().tolist() for name, value in found.items()}


def main() -> None:
    for seed, name in enumerate(KINDS):
        path = FOLDER / f"format-{FORMAT_VERSION}-{name}.safetensors"
        if path.exists():
            continue
        random_model(name, seed).save(path)
        cases = []
        for state in (waters(6, 7.3, 1), waters(3, None, 2)):
            edge = float(state.cell[0, 0]) or None
            expected = predictions(Model.load(path), state)
            cases.append({"edge": edge, "positions": state.positions.tolist(), "expected": expected})
        path.with_suffix(".json").write_text(json.dumps(cases, indent=0).replace("\n", " ") + "\n")


if __name__ == "__main__":
    main()
