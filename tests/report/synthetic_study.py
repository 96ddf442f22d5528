"""A whole report of a water study that never ran."""

from __future__ import annotations

from typing import Any

import numpy as np
from synthetic_results import STAGES, results

from halocline.adress.regions import Slab
from halocline.config.study import Study
from halocline.dynamics.record import Snapshot
from halocline.report.page import Content
from halocline.report.scene import from_snapshot
from halocline.topology import Topology

SLAB = Slab(24.0, 6.0, 10.0, 1.0, 48.0)
EDGES = np.array([48.0, 15.83, 15.83])


def water_snapshot(molecules: int = 400, seed: int = 3) -> Snapshot:
    """Rigid water molecules of random orientation on a jittered lattice."""
    random = np.random.default_rng(seed)
    topology = Topology(
        ("water",),
        np.zeros(molecules, dtype=np.int64),
        np.arange(molecules + 1) * 3,
        np.tile([8, 1, 1], molecules),
        np.tile([15.999, 1.008, 1.008], molecules),
    )
    n_x = round((molecules * EDGES[0] ** 2 / EDGES[1] ** 2) ** (1 / 3))
    n_y = int(np.ceil(np.sqrt(molecules / n_x)))
    grid = np.stack(np.meshgrid(np.arange(n_x), np.arange(n_y), np.arange(n_y), indexing="ij"), -1).reshape(-1, 3)
    oxygen = (grid[np.sort(random.permutation(len(grid))[:molecules])] + 0.5) / (n_x, n_y, n_y) * EDGES
    oxygen += random.normal(0, 0.25, oxygen.shape)
    axis = random.normal(size=(molecules, 3))
    axis /= np.linalg.norm(axis, axis=1)[:, None]
    side = np.cross(axis, random.normal(size=(molecules, 3)))
    side /= np.linalg.norm(side, axis=1)[:, None]
    hydrogens = [oxygen + 0.586 * axis + sign * 0.757 * side for sign in (1, -1)]
    positions = np.stack([oxygen, *hydrogens], axis=1).reshape(-1, 3)
    distance = SLAB.distance(topology.centres_of_mass(positions))
    inside = SLAB.initial_inside(distance)
    return Snapshot(60000.0, positions, SLAB.levels(distance, inside), inside, np.diag(EDGES), topology, SLAB)


def manifest(study: Study) -> dict[str, Any]:
    stages = {
        name: {
            "input_hash": f"{7919 * (i + 3):016x}", "output_hash": f"{104729 * (i + 7):016x}",
            "outputs": {f"{name}.h5": "3e1f00c2a8d94b70"},
            "wall_seconds": 12.5 * (i + 1), "cpu_seconds": 21.25 * (i + 1), "finished": f"2031-05-04T10:0{i}:00+02:00",
        }
        for i, name in enumerate(STAGES)
    }  # fmt: skip
    return {
        "format": 1,
        "written": "2031-05-04T10:08:00+02:00",
        "code": {"version": "0.1.0", "commit": "0123456789abcdef0123456789abcdef01234567", "changed": "no"},
        "versions": {"python": "3.11.2", "torch": "2.13.0", "numpy": "2.2.0", "tblite": "0.4.0", "pyscf": "2.9.0", "dftd4": "4.0.1"},
        "machine": {"host": "laptop", "system": "Linux-6.1", "cpu": "Example CPU @ 2.40GHz", "cores": 2},
        "command": ["halocline", "run", "water.yaml", "--preset", "standard"],
        "seeds": {"system.seed": 1},
        "level_of_theory": {"reference": study.reference.model_dump(mode="json"), "multipoles": study.multipoles.model_dump(mode="json")},
        "study": study.model_dump(mode="json"),
        "stages": stages,
    }


def content(**changes: Any) -> Content:
    """A complete report's content; keyword arguments replace parts of it."""
    study = Study(study="water", preset="standard")
    scene = from_snapshot(water_snapshot())
    parts: dict[str, Any] = {
        "study": study, "results": results(), "stages": STAGES, "regions": SLAB, "manifest": manifest(study), "scene": scene,
        "scene_note": scene.source,
    }  # fmt: skip
    return Content(**{**parts, **changes})
