"""What a simulation leaves behind: one row per recorded configuration in ``record.h5``.

All datasets are contiguous and have their final size from the start, so that appending a row writes raw data and never
the structure of the file. Killing the process can only spoil rows that the next run writes again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from halocline.adress.regions import BoolArray, LevelArray, Regions, regions_from_json
from halocline.errors import RunFailure
from halocline.files import atomic_path
from halocline.topology import FloatArray, Topology

FORMAT_VERSION = 2

_REMEDY = "Delete the file and run the stage that makes it again."


@dataclass(frozen=True)
class Snapshot:
    """One recorded configuration.

    Attributes:
        time: fs since the start of recording.
        positions: (n_atoms, 3), Å, whole molecules, not wrapped.
        level: (n_molecules,) 0 AT, 1 Δ, 2 reservoir.
        inside: (n_molecules,) whether the fine potential sees the molecule; all True in a full-resolution run.
        cell: (3, 3), Å.
        regions: where they were at that time.
    """

    time: float
    positions: FloatArray
    level: LevelArray
    inside: BoolArray
    cell: FloatArray
    topology: Topology
    regions: Regions

    @cached_property
    def centres(self) -> FloatArray:
        """(n_molecules, 3) centres of mass, Å, not wrapped."""
        return self.topology.centres_of_mass(self.positions)

    @property
    def members(self) -> BoolArray:
        """(n_molecules,) molecules of S1. The others may sleep in the reservoir, with an orientation that means nothing."""
        return self.inside if self.inside.ndim == 1 else self.inside[-1]

    @cached_property
    def distance(self) -> FloatArray:
        """(n_molecules,) distance of the centres of mass from the core of the regions, Å."""
        return self.regions.distance(self.centres)


@dataclass(frozen=True)
class RecordHeader:
    """What holds for the whole run.

    Attributes:
        temperature: of the thermostat, K.
        density: target, molecules/Å^3.
        timestep: fs.
        resolution: "open" or "full".
    """

    cell: FloatArray
    topology: Topology
    regions: Regions
    temperature: float
    density: float
    timestep: float
    resolution: str
    seed: int


def _columns(topology: Topology) -> dict[str, tuple[tuple[int, ...], type]]:
    """Dataset -> (shape of a row, type)."""
    return {
        "time": ((), np.float64),
        "positions": ((topology.n_atoms, 3), np.float32),
        "level": ((topology.n_molecules,), np.int8),
        "inside": ((topology.n_molecules,), np.bool_),
        "temperature": ((3,), np.float64),
        "degrees": ((3,), np.float64),
        "kinetic": ((), np.float64),
        "potential": ((), np.float64),
        "heat": ((), np.float64),
        "thermostat": ((), np.float64),
        "flips": ((), np.int64),
        "capped": ((3,), np.float64),
    }


class RecordWriter:
    """Appends rows to a record.

    Use :meth:`create` for a new file and :meth:`resume` after an interruption; call :meth:`flush` before a checkpoint is
    written, so that a checkpoint never counts rows that are not on disk.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = path, file
        self.frames = int(file["frames"][()])
        self.capacity = int(file["time"].shape[0])

    @classmethod
    def create(cls, path: Path, header: RecordHeader, capacity: int) -> RecordWriter:
        """A new record with room for ``capacity`` rows, replacing what was there.

        Raises:
            RunFailure: the file cannot be written.
        """
        topology = header.topology
        with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["temperature"], file.attrs["density"] = header.temperature, header.density
            file.attrs["timestep"], file.attrs["resolution"], file.attrs["seed"] = header.timestep, header.resolution, header.seed
            file.attrs["regions"] = json.dumps(header.regions.to_json())
            file.attrs["species"] = json.dumps(list(topology.species))
            file["cell"] = header.cell
            for name in ("molecule_species", "offsets", "atomic_numbers", "masses"):
                file[f"topology/{name}"] = getattr(topology, name)
            file.create_dataset("frames", data=np.int64(0))
            for name, (shape, kind) in _columns(topology).items():
                _create_early(file, name, (capacity, *shape), kind)
        return cls(path, h5py.File(path, "r+", locking=False))

    @classmethod
    def resume(cls, path: Path, frames: int) -> RecordWriter:
        """An existing record cut to its first ``frames`` rows.

        Raises:
            RunFailure: missing, corrupt, or shorter than ``frames``.
        """
        try:
            writer = cls(path, h5py.File(path, "r+", locking=False))
        except (OSError, KeyError) as error:
            raise RunFailure(f"the record cannot be opened ({error})", str(path), _REMEDY) from error
        if writer.frames < frames:
            writer.close()
            raise RunFailure(f"the record holds {writer.frames} rows but the checkpoint counts {frames}", str(path), _REMEDY)
        writer._set_frames(frames)
        return writer

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; keys as in the module's columns.

        Raises:
            RunFailure: no room left, in the file or on the disk.
        """
        if self.frames >= self.capacity:
            raise RunFailure(f"the record is full ({self.capacity} rows)", str(self.path), _REMEDY)
        with self._disk_errors():
            for name, value in row.items():
                self._file[name][self.frames] = value
            self._set_frames(self.frames + 1)

    def flush(self) -> None:
        """Bring every row to the disk."""
        with self._disk_errors():
            self._file.flush()

    def close(self) -> None:
        with self._disk_errors():
            self._file.close()

    def _set_frames(self, frames: int) -> None:
        self._file["frames"][()] = frames
        self.frames = frames

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT) or "space" in str(error).lower():
                reason = os.strerror(error.errno or errno.ENOSPC)
                remedy = "Free some space, then run the same command again: it continues from the last checkpoint."
                raise RunFailure(f"cannot write the record ({reason})", str(self.path), remedy) from error
            raise


def _create_early(file: h5py.File, name: str, shape: tuple[int, ...], kind: type) -> None:
    """A contiguous dataset whose space is allocated now: later writes leave the structure of the file alone."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    stored = h5py.h5t.py_create(np.dtype(kind), logical=True)
    h5py.h5d.create(file.id, name.encode(), stored, h5py.h5s.create_simple(shape), creation)


class Record:
    """A record opened for reading; a context manager and a sequence of :class:`Snapshot`.

    Attributes:
        cell: (3, 3), Å.
        topology, regions: molecules, and regions as they were at the start.
        temperature_target: K. density: molecules/Å^3. timestep: fs. resolution: "open" or "full". seed.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = path, file
        species = tuple(json.loads(file.attrs["species"]))
        arrays = [file[f"topology/{name}"][()] for name in ("molecule_species", "offsets", "atomic_numbers", "masses")]
        self.topology = Topology(species, *arrays)
        self.regions = regions_from_json(json.loads(file.attrs["regions"]))
        self.cell: FloatArray = file["cell"][()]
        self.temperature_target, self.density = float(file.attrs["temperature"]), float(file.attrs["density"])
        self.timestep, self.seed = float(file.attrs["timestep"]), int(file.attrs["seed"])
        self.resolution = str(file.attrs["resolution"])
        self._frames = int(file["frames"][()])

    @classmethod
    def open(cls, path: Path) -> Record:
        """Open for reading.

        Raises:
            RunFailure: missing or not a record.
        """
        try:
            return cls(path, h5py.File(path, "r", locking=False))
        except (OSError, KeyError) as error:
            raise RunFailure(f"the record cannot be opened ({error})", str(path), _REMEDY) from error

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> Snapshot:
        if not -self._frames <= index < self._frames:
            raise IndexError(f"row {index} of a record with {self._frames} rows")
        row = index % self._frames
        file = self._file
        positions = file["positions"][row].astype(np.float64)
        # Where regions that move were follows from the same row: they are set to the centres at the end of every step.
        regions = self.regions.follow(self.topology.centres_of_mass(positions))
        return Snapshot(float(file["time"][row]), positions, file["level"][row], file["inside"][row], self.cell, self.topology, regions)

    def __iter__(self) -> Iterator[Snapshot]:
        return (self[row] for row in range(self._frames))

    def column(self, name: str) -> NDArray[Any]:
        """All rows of one dataset.

        time (fs), temperature (rows, 3; K), degrees (rows, 3; mean number of degrees of freedom), kinetic, potential, heat,
        thermostat (eV; with the work of moving regions, of changed tables and what a coupling without a Hamiltonian does),
        flips, capped (rows, 3) and so on; sums run from the start of recording.

        Raises:
            KeyError: no such dataset.
        """
        return self._file[name][: self._frames]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
