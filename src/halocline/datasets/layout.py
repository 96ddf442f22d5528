"""Layout of a dataset in HDF5, format version 1.

::

    /                    attributes: format, format_version
    keys, trajectories   (n_frames,) text, in order
    levels/HASH          attribute: json (level of theory, stored once)
    topologies/HASH      molecule_species, offsets, atomic_numbers, masses; attribute: species (JSON)
    frames/00000000      positions [, cell] [, velocities], labels/NAME, each with attributes unit and, for labels, origin
                         attributes: key, trajectory, source, weight, level, topology, periodic, info (JSON)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from halocline.datasets.frame import Frame, level_hash
from halocline.datasets.journal import dump_json
from halocline.files import hash_data
from halocline.labels import QUANTITIES
from halocline.topology import Topology

FORMAT = "halocline-dataset"
FORMAT_VERSION = 1
_UNITS = {"positions": "A", "cell": "A", "velocities": "A/fs"}


def write_header(file: h5py.File) -> None:
    file.attrs["format"], file.attrs["format_version"] = FORMAT, FORMAT_VERSION
    for group in ("frames", "levels", "topologies"):
        file.create_group(group)


def write_index(file: h5py.File, keys: Sequence[str], trajectories: Sequence[str]) -> None:
    for name, words in (("keys", keys), ("trajectories", trajectories)):
        if name in file:
            del file[name]
        file.create_dataset(name, data=list(words), shape=(len(words),), dtype=h5py.string_dtype())


def write_frame(file: h5py.File, index: int, frame: Frame) -> None:
    state = frame.state
    group = file["frames"].create_group(f"{index:08d}")
    arrays = {"positions": state.positions, "velocities": state.velocities, "cell": state.cell if np.any(state.cell) else None}
    for name, array in arrays.items():
        if array is not None:
            group.create_dataset(name, data=np.asarray(array, dtype=np.float64)).attrs["unit"] = _UNITS[name]
    for name, value in sorted(frame.labels.items()):
        item = group.create_dataset(f"labels/{name}", data=np.asarray(value, dtype=np.float64))
        item.attrs["unit"] = QUANTITIES[name].unit
        if QUANTITIES[name].origin:
            item.attrs["origin"] = QUANTITIES[name].origin
    words = {
        "key": frame.key, "trajectory": frame.trajectory, "source": frame.source, "weight": float(frame.weight),
        "level": _write_level(file, frame.level), "topology": _write_topology(file, state.topology),
        "periodic": bool(state.periodic), "info": dump_json(state.info),
    }  # fmt: skip
    for name, word in words.items():
        group.attrs[name] = word


def _write_level(file: h5py.File, level: dict[str, Any] | None) -> str:
    if level is None:
        return ""
    name = level_hash(level)
    if name not in file["levels"]:
        file["levels"].create_group(name).attrs["json"] = dump_json(level)
    return name


def _write_topology(file: h5py.File, topology: Topology) -> str:
    arrays = {name: getattr(topology, name) for name in ("molecule_species", "offsets", "atomic_numbers", "masses")}
    name = hash_data([list(topology.species), *arrays.values()])
    if name not in file["topologies"]:
        group = file["topologies"].create_group(name)
        group.attrs["species"] = json.dumps(list(topology.species))
        for part, array in arrays.items():
            group.create_dataset(part, data=array)
    return name
