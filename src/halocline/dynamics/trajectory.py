"""Trajectories for other programs, written from a record."""

from __future__ import annotations

import io
from pathlib import Path

import ase.data
import numpy as np
from openmm import Vec3, app, unit

from halocline.dynamics.record import Record
from halocline.files import atomic_path, write_text
from halocline.topology import Topology


def write_trajectory(record: Record, trajectory: Path, structure: Path, every: int = 1) -> None:
    """Write an XTC or DCD file (by suffix) of every ``every``-th row, and a PDB file of the first one.

    Molecules are wrapped into the cell as wholes; the B-factor column of the PDB file holds the level (0 AT, 1 Δ, 2 reservoir).

    Raises:
        RunFailure: the disk is full.
    """
    topology = to_openmm(record.topology, np.diag(record.cell))
    with atomic_path(trajectory) as temporary:
        if trajectory.suffix == ".dcd":
            with open(temporary, "wb") as stream:
                dcd = app.DCDFile(stream, topology, _interval(record) * unit.femtosecond)
                for index in range(0, len(record), every):
                    dcd.writeModel(_wrapped(record, index) * unit.angstrom)
        else:
            temporary.unlink()
            xtc = app.XTCFile(str(temporary), topology, _interval(record) * unit.femtosecond)
            for index in range(0, len(record), every):
                xtc.writeModel(_wrapped(record, index) * unit.angstrom)
    buffer = io.StringIO()
    app.PDBFile.writeFile(topology, _wrapped(record, 0) * unit.angstrom, buffer, keepIds=True)
    levels = iter(record[0].level[record.topology.molecule_of_atom])
    # Columns 61 to 66 of the PDB format are the B-factor.
    lines = [
        f"{line[:60]}{next(levels):6.2f}{line[66:]}" if line.startswith(("ATOM", "HETATM")) else line
        for line in buffer.getvalue().split("\n")
    ]
    write_text(structure, "\n".join(lines))


def to_openmm(topology: Topology, edges: np.ndarray) -> app.Topology:
    """OpenMM topology with one residue per molecule; ``edges`` (3,) in Å."""
    result = app.Topology()
    chain = result.addChain()
    for molecule in range(topology.n_molecules):
        name = topology.species[topology.molecule_species[molecule]]
        residue = result.addResidue("HOH" if name == "water" else name[:3].upper(), chain)
        for index, atom in enumerate(range(topology.offsets[molecule], topology.offsets[molecule + 1])):
            symbol = ase.data.chemical_symbols[topology.atomic_numbers[atom]]
            result.addAtom(f"{symbol}{index + 1}", app.Element.getBySymbol(symbol), residue)
    result.setUnitCellDimensions(Vec3(*edges) * unit.angstrom)
    return result


def _interval(record: Record) -> float:
    times = record.column("time")
    return float(times[1] - times[0]) if len(times) > 1 else record.timestep


def _wrapped(record: Record, index: int) -> np.ndarray:
    """(n_atoms, 3) positions with every molecule's centre of mass in the cell."""
    snapshot = record[index]
    edges = np.diag(snapshot.cell)
    shift = -np.floor(snapshot.centres / edges) * edges
    return snapshot.positions + shift[snapshot.topology.molecule_of_atom]
