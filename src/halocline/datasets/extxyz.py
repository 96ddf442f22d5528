"""Frames from and to extended XYZ, through ASE.

ASE moves the words ``energy``, ``forces``, ``stress``, ``dipole`` and ``charges`` of a file into a calculator and drops
them from ``info`` and ``arrays``; programs that look there find nothing and train on nothing. Here labels are written
under names of our own (``halocline_energy``, ...) and read from all three places.

Units of a file are those of ASE: Å, eV, eV/Å, stress in eV/Å^3 with tension positive, e Å, Å^3.
"""

from __future__ import annotations

import gzip
import io
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote, unquote

import ase
import ase.io
import numpy as np

from halocline.datasets.connectivity import known_molecules, recognise
from halocline.datasets.foreign import PREFIX, derived_labels, scalar_words, stored_labels, with_charges
from halocline.datasets.fragments import Fragments
from halocline.datasets.frame import Frame
from halocline.datasets.journal import dump_json
from halocline.datasets.multipoles import move_origin
from halocline.errors import HaloclineError, UserError
from halocline.files import atomic_path
from halocline.labels import QUANTITIES, Labels
from halocline.molecules.base import Molecule
from halocline.state import State
from halocline.topology import FloatArray, IntArray, Topology

Origin = Literal["coordinates", "centre of mass"] | tuple[float, float, float]
"""Where a file takes multipoles of clusters about; three numbers are a displacement from the centre of mass, Å."""


@dataclass(frozen=True)
class Imported:
    """What a file held.

    Attributes:
        frames: usable frames.
        skipped: reason -> number of frames left out for it.
        species: molecules made from fragments that no registered species describes, by name.
    """

    frames: list[Frame]
    skipped: dict[str, int]
    species: dict[str, Molecule] = field(default_factory=dict)


@dataclass(frozen=True)
class _Rules:
    """How every frame of a file is read; see :func:`read_extxyz`."""

    path: Path
    level: Mapping[str, Any] | None
    quantities: Sequence[str] | None
    optional: Sequence[str]
    species: Mapping[str, Molecule]
    fragments: Fragments | None
    block: int
    origin: Origin


def read_extxyz(
    path: Path | str,
    level: Mapping[str, Any] | None = None,
    quantities: Sequence[str] | None = None,
    molecules: Mapping[str, Molecule] | None = None,
    block: int = 0,
    index: str = ":",
    optional: Sequence[str] = (),
    unknown: Literal["refuse", "fragment"] = "refuse",
    origin: Origin = "coordinates",
) -> Imported:
    """Labelled frames of an extended XYZ file (also ``.gz``).

    Args:
        path: the file.
        level: level of theory of its labels; not needed for files written by :func:`write_extxyz`.
        quantities: labels to take, each of which every frame must have; all that are there if None.
        molecules: species to recognise; all registered ones if None.
        block: frames per trajectory where a file says nothing of trajectories; 0 takes ``config_type``, or the whole file, as one.
        index: frames to read, a slice as in ASE (``:10``, ``::5``).
        optional: labels to take besides ``quantities`` from those frames that have them.
        unknown: whether a fragment that is none of the molecules is refused, or made a species of its own by formula and bonds
            (:mod:`halocline.datasets.fragments`); the charges of such species are in ``state.info``.
        origin: where the file takes multipoles of clusters about: the origin of coordinates, the centre of mass, or a point at this
            displacement from it, Å. They are moved to the centre of mass, which changes the dipole of ions and the quadrupole of
            whatever has a dipole. Files written by :func:`write_extxyz` are about the centre of mass and are left alone.

    Single numbers and words of a frame that are no labels, such as ``temperature``, are kept in ``state.info``.

    Raises:
        UserError: no such file, not extended XYZ, no level of theory, or not one usable frame.
    """
    path = Path(path)
    species = known_molecules() if molecules is None else molecules
    fragments = Fragments() if unknown == "fragment" else None
    rules = _Rules(path, level, quantities, optional, species, fragments, block, origin)
    frames, skipped = [], Counter[str]()
    images = _read(path, index)
    for number, atoms in enumerate(images):
        where = f"{path}, frame {number}"
        try:
            frame = _frame(atoms, number, rules)
            frame.check(where)
            frames.append(frame)
        except UserError:
            raise
        except HaloclineError as error:
            skipped[error.what] += 1
    if not frames:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in skipped.most_common(3))
        remedy = "Convert the file to ASE's conventions, or name the quantities it has."
        raise UserError(f"none of the {len(images)} frames is usable ({reasons or 'the file is empty'})", str(path), remedy)
    return Imported(frames, dict(skipped), {} if fragments is None else dict(fragments.species))


def write_extxyz(path: Path | str, frames: Iterable[Frame]) -> int:
    """Write frames, atomically; returns how many. Positions and arrays keep 8 decimals."""
    images = [_atoms(frame) for frame in frames]
    with atomic_path(Path(path)) as temporary:
        ase.io.write(temporary, images, format="extxyz")
    return len(images)


def _read(path: Path, index: str) -> list[ase.Atoms]:
    if not path.exists():
        raise UserError("there is no such file", str(path), "Check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE warns once per frame about words it moved; all places are read below
            # ASE seeks to and fro, which is very slow within a compressed file.
            data = path.read_bytes()
            text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
            return cast(list[ase.Atoms], ase.io.read(io.StringIO(text), index=index, format="extxyz"))
    except Exception as error:
        remedy = "Give an extended XYZ file, plain or compressed with gzip."
        raise UserError(f"not a readable extended XYZ file ({type(error).__name__}: {error})", str(path), remedy) from error


def _frame(atoms: ase.Atoms, index: int, rules: _Rules) -> Frame:
    where = f"{rules.path}, frame {index}"
    own = atoms.info.get(PREFIX + "frame")
    words: dict[str, Any] = json.loads(unquote(str(own))) if own else {}
    labels = stored_labels(atoms)
    if words and "molecule" in atoms.arrays:
        state, order = _own_state(atoms, words)
        labels = _in_order(labels, order)
    else:
        labels, state = _foreign(atoms, labels, rules, where)
    labels = _wanted(labels, rules, where)
    level = words.get("level") or (dict(rules.level) if rules.level is not None else None)
    if labels and level is None:
        remedy = "State it, for example level={'engine': 'CP2K', 'method': 'revPBE0-D3'}: labels of different levels never mix."
        raise UserError("the file does not say at which level of theory its labels were computed", where, remedy)
    trajectory = words.get("trajectory") or str(atoms.info.get("config_type", rules.path.name.split(".")[0]))
    if rules.block and not words.get("trajectory"):
        trajectory = f"{trajectory}/{index // rules.block}"
    source, weight = words.get("source", rules.path.name), words.get("weight", 1.0)
    return Frame(state, labels, "", trajectory, level if labels else None, source, weight)


def _in_order(labels: Labels, order: IntArray) -> Labels:
    return {name: value[order] if QUANTITIES[name].extent == "atom" else value for name, value in labels.items()}


def _wanted(labels: Labels, rules: _Rules, where: str) -> Labels:
    if rules.quantities is None:
        return labels
    missing = [name for name in rules.quantities if name not in labels]
    if missing:
        raise _Skip(f"no {', '.join(missing)}", where, "")
    return {name: labels[name] for name in [*rules.quantities, *rules.optional] if name in labels}


def _foreign(atoms: ase.Atoms, labels: Labels, rules: _Rules, where: str) -> tuple[Labels, State]:
    """Molecules and labels of a file of another program, in our order and conventions."""
    state, order = recognise(atoms, rules.species, where, rules.fragments)
    state, charges, total = with_charges(replace(state, info=scalar_words(atoms.info)), rules.species, where)
    labels = _in_order(labels, order)
    wanted = set(QUANTITIES) if rules.quantities is None else {*rules.quantities, *rules.optional}
    if "quadrupole" not in wanted:
        labels.pop("quadrupole", None)
    if not state.periodic and rules.origin != "centre of mass":
        masses = state.topology.masses
        centre = masses @ state.positions / masses.sum()
        labels = move_origin(labels, total, centre if rules.origin == "coordinates" else -np.array(rules.origin))
    if {"molecular_dipole", "molecular_polarizability"} & wanted:
        labels |= derived_labels(atoms, state, order, charges, where)
    return labels, state


class _Skip(HaloclineError):
    """This frame is left out and counted."""


def _atoms(frame: Frame) -> ase.Atoms:
    atoms = frame.state.to_ase()
    for name, value in frame.labels.items():
        if QUANTITIES[name].extent == "atom":
            atoms.set_array(PREFIX + name, np.asarray(value))
        else:
            # Flat, because ASE writes square arrays by columns.
            atoms.info[PREFIX + name] = float(value) if np.ndim(value) == 0 else np.asarray(value).ravel()
    if frame.state.velocities is not None:
        atoms.set_array(PREFIX + "velocities", frame.state.velocities)
    topology = frame.state.topology
    atoms.info["config_type"] = frame.trajectory or "none"
    words = {
        "trajectory": frame.trajectory, "level": frame.level, "source": frame.source, "weight": frame.weight,
        "info": frame.state.info, "species": list(topology.species), "molecule_species": topology.molecule_species,
    }  # fmt: skip
    # Percent-encoded, because ASE cannot read back JSON that holds quotation marks.
    atoms.info[PREFIX + "frame"] = quote(dump_json(words), safe=":,./+-()")
    return atoms


def _own_state(atoms: ase.Atoms, words: Mapping[str, Any]) -> tuple[State, IntArray]:
    molecule: IntArray = np.asarray(atoms.arrays["molecule"], dtype=np.int64)
    offsets = np.searchsorted(molecule, np.arange(molecule.max() + 2)).astype(np.int64)
    masses: FloatArray = atoms.get_masses()
    kinds = np.asarray(words["molecule_species"], dtype=np.int64)
    topology = Topology(tuple(words["species"]), kinds, offsets, np.asarray(atoms.numbers, dtype=np.int64), masses)
    periodic = bool(atoms.pbc.all())
    velocities = atoms.arrays.get(PREFIX + "velocities")
    cell = np.array(atoms.cell)
    return State(np.array(atoms.positions), cell, topology, velocities, periodic, dict(words["info"])), np.arange(len(atoms))
