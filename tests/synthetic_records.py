"""Records of systems whose statistics are known in closed form, written and read like those of a simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from halocline.adress.regions import Regions, Slab
from halocline.dynamics.record import Record, RecordHeader, RecordWriter
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.topology import Topology

EDGES = np.array([48.0, 16.0, 16.0])
SLAB = Slab(centre=24.0, atomistic=6.0, transition=10.0, hysteresis=1.0, length=48.0)


def water_topology(count: int) -> Topology:
    return build_topology([(WATER, count)])


def random_rotations(count: int, generator: np.random.Generator) -> np.ndarray:
    """(count, 3, 3) uniform rotations."""
    matrices, _ = np.linalg.qr(generator.normal(size=(count, 3, 3)))
    return matrices * np.sign(np.linalg.det(matrices))[:, None, None]


def ideal_gas_positions(count: int, generator: np.random.Generator, edges: np.ndarray = EDGES) -> np.ndarray:
    """(3 count, 3) rigid molecules placed and turned at random: no correlation at all."""
    geometry = np.array(WATER.geometry)
    body = geometry - (WATER.masses[:, None] * geometry).sum(0) / WATER.mass
    centres = generator.uniform(size=(count, 3)) * edges
    rotated = np.einsum("mij,aj->mai", random_rotations(count, generator), body)
    return (centres[:, None, :] + rotated).reshape(-1, 3)


def write_record(
    path: Path,
    frames: list[np.ndarray],
    topology: Topology,
    resolution: str = "open",
    regions: Regions = SLAB,
    edges: np.ndarray = EDGES,
    temperature: float = 300.0,
    interval: float = 50.0,
    columns: dict[str, np.ndarray] | None = None,
    seed: int = 0,
) -> Path:
    """A complete record of given configurations; temperatures scatter about the target as independent samples would."""
    generator = np.random.default_rng(seed)
    density = topology.n_molecules / float(np.prod(edges))
    header = RecordHeader(np.diag(edges), topology, regions, temperature, density, 0.5, resolution, seed)
    writer = RecordWriter.create(path, header, len(frames))
    for row, positions in enumerate(frames):
        centres = topology.centres_of_mass(positions)
        regions = regions.follow(centres)
        distance = regions.distance(centres)
        inside = np.ones(len(distance), dtype=bool) if resolution == "full" else regions.initial_inside(distance)
        levels = regions.levels(distance, inside if resolution == "open" else regions.initial_inside(distance))
        atoms = 3.0 * np.bincount(levels, minlength=3)
        noise = generator.normal(size=3) * np.sqrt(2.0 / np.maximum(3.0 * atoms, 1.0))
        values = {
            "time": (row + 1) * interval,
            "positions": positions,
            "level": levels,
            "inside": inside,
            "temperature": temperature * (1.0 + noise),
            "degrees": atoms,
            "kinetic": 10.0 + 0.1 * generator.normal(),
            "potential": -100.0,
            "heat": 0.0,
            "thermostat": 0.0,
            "flips": 2 * row,
            "capped": np.zeros(3),
        }
        for name, column in (columns or {}).items():
            values[name] = column[row]
        writer.append(values)
    writer.flush()
    writer.close()
    return path


def ideal_gas_record(
    path: Path,
    count: int = 100,
    frames: int = 200,
    resolution: str = "open",
    seed: int = 1,
    regions: Regions = SLAB,
    edges: np.ndarray = EDGES,
) -> Record:
    """Independent configurations of an ideal gas of rigid molecules."""
    generator = np.random.default_rng(seed)
    configurations = [ideal_gas_positions(count, generator, edges) for _ in range(frames)]
    return Record.open(write_record(path, configurations, water_topology(count), resolution, regions, edges, seed=seed))
