"""Random packing of molecules into a periodic box."""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from packmol.cli import get_binary_path

from halocline.config.study import System
from halocline.errors import RunFailure, UserError
from halocline.molecules.base import Molecule, build_topology
from halocline.registry import get
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import AMU_PER_CUBIC_ANGSTROM

Composition = Sequence[tuple[Molecule, int]]
"""Species and number of molecules, in the order in which a topology lists them."""

TOLERANCES = (2.0, 1.8, 1.6)
"""Å, smallest distance between atoms of different molecules; tried in this order, since dense liquids may not fit the first."""
DENSEST = 0.176
"""Atoms per Å^3 of diamond, more than any molecular liquid: beyond it nothing is tried."""
LOOPS = 30
"""Rounds of packmol's optimisation. Liquids need one or two; its default of 200 takes minutes to give up."""
TIME_LIMIT = 300.0
"""s for one attempt."""


def composition(molecules: dict[str, int]) -> Composition:
    """Species by name, as in the study file.

    Raises:
        UserError: unknown species.
    """
    return [(get("molecules", name, "system.molecules"), count) for name, count in molecules.items()]


def box_mass(species: Composition) -> float:
    """Mass of all molecules, amu."""
    return sum(molecule.mass * count for molecule, count in species)


def study_edges(system: System) -> FloatArray:
    """(3,) edges of the study's box, Å: its length along x and the square cross-section that gives its density, or a cube."""
    if system.cube:
        return cube_edges(composition(system.molecules), system.density)
    area = box_mass(composition(system.molecules)) / (system.density * system.length)
    return np.array([system.length, math.sqrt(area), math.sqrt(area)])


def cube_edges(species: Composition, density: float) -> FloatArray:
    """(3,) edges of a cube of the given mass density (amu/Å^3), Å."""
    return np.full(3, (box_mass(species) / density) ** (1 / 3))


def pack(species: Composition, edges: FloatArray, seed: int) -> State:
    """Whole molecules at random places and in random orientation, without overlap also across the periodic faces.

    Packmol: Martinez et al., J. Comput. Chem. 30, 2157 (2009), doi 10.1002/jcc.21224.

    Args:
        species: what to pack.
        edges: (3,), Å.
        seed: equal seeds give equal boxes.

    Raises:
        UserError: the molecules do not fit into the box.
        RunFailure: packmol does not run.
    """
    edges = np.asarray(edges, dtype=float)
    topology = build_topology(species)
    crowding = topology.n_atoms / float(np.prod(edges))
    message = f"{crowding:.2f} atoms per cubic angstrom are more than in diamond"
    for tolerance in TOLERANCES if crowding < DENSEST else ():
        positions, message = _run_packmol(species, edges, tolerance, seed)
        if positions is not None:
            return State(positions, np.diag(edges), topology).make_whole().wrap()
    density = box_mass(species) / float(np.prod(edges)) / AMU_PER_CUBIC_ANGSTROM
    box = " x ".join(f"{edge:.2f}" for edge in edges)
    what = f"{topology.n_molecules} molecules do not fit into {box} A ({density:.3f} g/cm3): {message}"
    raise UserError(what, "system", "Lower system.density or the number of molecules, or lengthen the box.")


def _run_packmol(species: Composition, edges: FloatArray, tolerance: float, seed: int) -> tuple[FloatArray | None, str]:
    """Positions of all atoms, or None with packmol's own words."""
    with tempfile.TemporaryDirectory(prefix="packmol") as name:
        folder = Path(name)
        box = " ".join(f"{edge:.8f}" for edge in edges)
        lines = [
            "output packed.xyz",
            "filetype xyz",
            f"tolerance {tolerance}",
            f"nloop {LOOPS}",
            f"seed {1 + abs(seed) % 2_000_000_000}",
            f"pbc {box}",
        ]
        for index, (molecule, count) in enumerate(species):
            (folder / f"{index}.xyz").write_text(_xyz(molecule))
            lines += [f"structure {index}.xyz", f"  number {count}", "end structure"]
        (folder / "packmol.inp").write_text("\n".join(lines) + "\n")
        try:
            with open(folder / "packmol.inp") as stream:  # packmol seeks in its input, so a pipe will not do
                done = subprocess.run(
                    [str(get_binary_path())], stdin=stream, cwd=folder, capture_output=True, text=True, timeout=TIME_LIMIT
                )
        except subprocess.TimeoutExpired:
            return None, f"packmol did not finish within {TIME_LIMIT:g} s at a tolerance of {tolerance} A"
        except OSError as error:
            raise RunFailure(f"packmol does not run ({error})", "build", "Install it: pip install packmol") from error
        if "runtime error" in done.stdout + done.stderr or done.returncode < 0:
            raise RunFailure(f"packmol crashed with exit code {done.returncode}", "build", "Run `halocline doctor`.")
        # Packmol writes its best effort even when it fails, so only its own word counts.
        if "Success!" not in done.stdout or not (folder / "packed.xyz").exists():
            return None, f"packmol found no packing with atoms {tolerance} A apart"
        text = (folder / "packed.xyz").read_text().splitlines()[2:]
    return np.array([[float(word) for word in line.split()[1:4]] for line in text if line.strip()]), ""


def _xyz(molecule: Molecule) -> str:
    lines = [f"{symbol} {x:.8f} {y:.8f} {z:.8f}" for symbol, (x, y, z) in zip(molecule.symbols, molecule.geometry)]
    return "\n".join([str(molecule.n_atoms), molecule.name, *lines]) + "\n"
