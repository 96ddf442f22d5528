"""What the 3D view shows: one configuration, molecules coloured by level, reservoir molecules as beads."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from halocline.adress.regions import LEVEL_NAMES, RESERVOIR, Regions, Slab, Sphere, Spheres
from halocline.dynamics.record import Snapshot
from halocline.state import State
from halocline.topology import FloatArray, IntArray, Topology

YAW, PITCH = math.radians(-24.0), math.radians(16.0)
"""First view, the same in the picture and in the interactive viewer."""
_BEAD = "bead"
_PICTURE_LIMIT = 5000


@dataclass(frozen=True)
class Scene:
    """Spheres in a box.

    Attributes:
        centres: (n_spheres, 3), Å, from the centre of the slab and the middle of the cross-section, or from the (first) centre of
            spherical regions.
        kind: (n_spheres,) index into ``kinds``.
        level: (n_spheres,) 0 AT, 1 Δ, 2 reservoir.
        kinds: element symbols, and ``bead`` for a molecule drawn as one sphere.
        radii: Å, one per kind.
        edges: (3,) of the cell, Å.
        regions: regions.
        cores: (n, 3) centres of spherical regions, Å, from the same origin; none for a slab.
        counts: molecules per level.
        source: what the picture shows, in words.
    """

    centres: FloatArray
    kind: IntArray
    level: NDArray[np.int8]
    kinds: tuple[str, ...]
    radii: tuple[float, ...]
    edges: FloatArray
    regions: Regions
    cores: FloatArray
    counts: tuple[int, int, int]
    source: str

    def to_json(self) -> str:
        """Data for the viewer: coordinates in 0.01 Å, safe inside a ``<script>`` element."""
        data = {
            "edges": [round(float(edge), 3) for edge in self.edges],
            "atomistic": self.regions.atomistic,
            "outer": self.regions.outer,
            "cores": np.round(self.cores, 3).tolist(),
            "kinds": list(self.kinds),
            "radii": [round(radius, 3) for radius in self.radii],
            "kind": self.kind.tolist(),
            "level": self.level.tolist(),
            "xyz": np.rint(100 * self.centres).astype(int).ravel().tolist(),
            "yaw": YAW,
            "pitch": PITCH,
        }
        return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")

    @property
    def description(self) -> str:
        """The picture in words."""
        parts = [f"{count} {name}" for count, name in zip(self.counts, LEVEL_NAMES)]
        return f"Box of {' × '.join(f'{edge:.1f}' for edge in self.edges)} Å with molecules by level: {', '.join(parts)}."


def from_snapshot(snapshot: Snapshot) -> Scene:
    """Scene of a recorded configuration."""
    source = f"The last recorded configuration of the open simulation, {snapshot.time / 1000:.2f} ps after recording began."
    return _make(snapshot.positions, np.diag(snapshot.cell), snapshot.topology, snapshot.level, snapshot.regions, source)


def from_state(state: State, regions: Regions, source: str) -> Scene:
    """Scene of a configuration without history: levels follow from the distance alone."""
    regions = regions.follow(state.centres_of_mass)
    distance = regions.distance(state.centres_of_mass)
    levels = regions.levels(distance, regions.initial_inside(distance))
    return _make(state.positions, state.edges, state.topology, levels, regions, source)


def _make(positions: FloatArray, edges: FloatArray, topology: Topology, levels: NDArray[np.int8], regions: Regions, source: str) -> Scene:
    cores = _cores(regions)
    origin = np.array([regions.centre if isinstance(regions, Slab) else 0.5 * edges[0], 0.5 * edges[1], 0.5 * edges[2]])
    origin = cores[0] if len(cores) else origin
    cores = cores - origin
    cores -= edges * np.floor(cores / edges + 0.5)
    centres = topology.centres_of_mass(positions) - origin
    shift = -edges * np.floor(centres / edges + 0.5)
    centres += shift
    atoms = positions - origin + shift[topology.molecule_of_atom]
    resolved = topology.atom_mask(levels != RESERVOIR)
    beads = levels == RESERVOIR
    numbers = sorted(set(topology.atomic_numbers[resolved].tolist()), reverse=True)
    kind_of_number = np.zeros(len(chemical_symbols), dtype=np.int64)
    kind_of_number[numbers] = np.arange(len(numbers))
    bead_radius = 0.5 * float(np.cbrt(3.0 * np.prod(edges) / (4.0 * math.pi * max(1, topology.n_molecules))))
    return Scene(
        np.concatenate([atoms[resolved], centres[beads]]),
        np.concatenate([kind_of_number[topology.atomic_numbers[resolved]], np.full(int(beads.sum()), len(numbers))]),
        np.concatenate([levels[topology.molecule_of_atom[resolved]], levels[beads]]).astype(np.int8),
        (*(chemical_symbols[number] for number in numbers), _BEAD),
        (*(0.38 + 0.6 * float(covalent_radii[number]) for number in numbers), bead_radius),
        np.asarray(edges, dtype=float),
        regions,
        cores,
        (int((levels == 0).sum()), int((levels == 1).sum()), int((levels == 2).sum())),
        source,
    )


def _cores(regions: Regions) -> FloatArray:
    """(n, 3) centres of spherical regions, Å."""
    if isinstance(regions, Sphere):
        return np.array([regions.centre])
    return np.reshape(regions.centres, (-1, 3)) if isinstance(regions, Spheres) else np.zeros((0, 3))


def picture(scene: Scene, prefix: str = "box") -> str:
    """The scene as a still SVG, for paper and for browsers without JavaScript."""
    projected, scale = _project(scene.centres), 10.0
    corners = _project(_corners(scene.edges))
    low, high = corners.min(axis=0) - 1.0, corners.max(axis=0) + 1.0
    order = np.argsort(projected[:, 2], kind="stable")[-_PICTURE_LIMIT:]
    circles = []
    for index in order:
        x, y = (projected[index, :2] - low[:2]) * scale
        kind = scene.kinds[scene.kind[index]]
        tone = "h" if kind == "H" else "b" if kind == _BEAD else "a"
        radius = scene.radii[scene.kind[index]] * scale
        circles.append(f'<circle class="l{scene.level[index]} {tone}" cx="{x:.0f}" cy="{y:.0f}" r="{radius:.0f}"/>')
    edges = _box_path((corners[:, :2] - low[:2]) * scale)
    size = (high - low)[:2] * scale
    return (
        f'<svg class="box-picture" role="img" aria-labelledby="{prefix}-title {prefix}-desc" viewBox="0 0 {size[0]:.0f} {size[1]:.0f}">'
        f'<title id="{prefix}-title">The simulated box, coloured by level</title><desc id="{prefix}-desc">{scene.description}</desc>'
        f'<path class="edge" d="{edges}"/>{"".join(circles)}</svg>'
    )


def _project(points: FloatArray) -> FloatArray:
    """Screen x (right), y (down) and depth (towards the reader) of the first view."""
    x, y, z = points.T
    turned = np.cos(YAW) * x + np.sin(YAW) * z
    behind = -np.sin(YAW) * x + np.cos(YAW) * z
    return np.stack([turned, -(np.cos(PITCH) * y - np.sin(PITCH) * behind), np.sin(PITCH) * y + np.cos(PITCH) * behind], axis=1)


def _corners(edges: FloatArray) -> FloatArray:
    signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
    return 0.5 * signs * edges


def _box_path(corners: FloatArray) -> str:
    pairs: Sequence[tuple[int, int]] = [(i, i ^ bit) for i in range(8) for bit in (1, 2, 4) if i < i ^ bit]
    return "".join(f"M{corners[i, 0]:.0f} {corners[i, 1]:.0f}L{corners[j, 0]:.0f} {corners[j, 1]:.0f}" for i, j in pairs)
