"""Frames to store, and their comparison bit for bit."""

import numpy as np

from halocline.datasets.frame import Frame
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State

LEVEL = {"engine": "toy", "method": "exact", "version": "1"}


def water_frame(seed: int, molecules: int = 2, periodic: bool = True, labels: bool = True, velocities: bool = False) -> Frame:
    rng = np.random.default_rng(seed)
    topology = build_topology([(WATER, molecules)])
    positions = rng.normal(size=(topology.n_atoms, 3))
    cell = np.diag(rng.uniform(5, 10, 3)) if periodic else np.zeros((3, 3))
    speed = rng.normal(size=positions.shape) if velocities else None
    state = State(positions, cell, topology, speed, periodic, {"temperature": 300.0})
    values = {"energy": np.array(rng.normal()), "forces": rng.normal(size=positions.shape), "dipole": rng.normal(size=3)}
    return Frame(
        state, values if labels else {}, trajectory=f"run-{seed % 3}", level=LEVEL if labels else None, source="a test", weight=0.5
    )


def assert_same(a: Frame, b: Frame) -> None:
    assert (a.key, a.trajectory, a.level, a.source, a.weight) == (b.key, b.trajectory, b.level, b.source, b.weight)
    assert a.state.periodic == b.state.periodic
    assert a.state.info == b.state.info
    assert a.state.topology.species == b.state.topology.species
    pairs = [(a.state.positions, b.state.positions), (a.state.cell, b.state.cell)]
    pairs += [
        (getattr(a.state.topology, name), getattr(b.state.topology, name))
        for name in ("molecule_species", "offsets", "atomic_numbers", "masses")
    ]
    assert (a.state.velocities is None) == (b.state.velocities is None)
    if a.state.velocities is not None and b.state.velocities is not None:
        pairs.append((a.state.velocities, b.state.velocities))
    assert set(a.labels) == set(b.labels)
    pairs += [(a.labels[name], b.labels[name]) for name in a.labels]
    for first, second in pairs:
        np.testing.assert_array_equal(first, second, strict=True)
