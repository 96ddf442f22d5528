"""Append-only dataset of frames in HDF5, safe against SIGKILL.

The HDF5 file itself is only ever replaced as a whole, because HDF5 cannot promise a readable file when its writer is
killed. Frames are appended to a journal beside it (:mod:`halocline.datasets.journal`) and moved into the HDF5 file when
the dataset is closed. Opening a dataset reads both, so nothing is lost whenever the process dies. The layout of the file
is described in :mod:`halocline.datasets.layout`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from halocline.datasets.frame import Frame
from halocline.datasets.journal import JournalWriter, read_journal
from halocline.datasets.layout import FORMAT, FORMAT_VERSION, write_frame, write_header, write_index
from halocline.errors import RunFailure
from halocline.files import atomic_path
from halocline.state import State
from halocline.topology import Topology


class Dataset:
    """Frames in the order in which they were appended; make one with :meth:`create`, :meth:`open` or :meth:`resume`.

    Reading needs no lock and may go on while another process appends. The first :meth:`append` makes this object the
    only writer. ``with`` (or :meth:`close`) leaves one self-contained HDF5 file.

    Attributes:
        path: the HDF5 file.
        dropped: half-written frames of a killed writer that were left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.dropped = 0
        self._writer: JournalWriter | None = None
        self._file: h5py.File | None = None
        self._topologies: dict[str, Topology] = {}
        self._levels: dict[str, dict[str, Any]] = {}
        self._keys: list[str] = []
        self._known: set[str] = set()
        self._load()

    @classmethod
    def create(cls, path: Path | str) -> Dataset:
        """A new, empty dataset.

        Raises:
            RunFailure: the file exists, or cannot be written.
        """
        path = Path(path)
        if path.exists():
            raise RunFailure("the dataset exists already", str(path), "Open it to append, or delete it first.")
        _journal(path).unlink(missing_ok=True)  # left by a dataset that was deleted since
        with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
            write_header(file)
            write_index(file, [], [])
        return cls(path)

    @classmethod
    def open(cls, path: Path | str) -> Dataset:
        """An existing dataset, for reading and appending.

        Raises:
            RunFailure: missing, corrupt, or of a newer format.
        """
        return cls(Path(path))

    @classmethod
    def resume(cls, path: Path | str) -> Dataset:
        """The dataset at ``path``, created when missing."""
        return cls(Path(path)) if Path(path).exists() else cls.create(path)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Frame:
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)} in {self.path}")
        index %= len(self)
        return self._read(index) if index < self._n_stored else self._pending[index - self._n_stored]

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    def keys(self) -> set[str]:
        """Keys of all frames."""
        return set(self._keys)

    @property
    def trajectories(self) -> list[str]:
        """Name of the trajectory of each frame, in order."""
        return list(self._trajectories)

    def append(self, frame: Frame) -> bool:
        """Add a frame; on return it survives a crash of this process and of the machine.

        Returns:
            False where a frame of that key was there already; nothing is written then.

        Raises:
            RunFailure: the frame is not fit (see :meth:`Frame.check`), the disk is full, or another process is writing.
        """
        frame.check(f"{self.path}, frame {frame.key}")
        writer = self._writer or self._become_writer()
        if frame.key in self._known:
            return False
        writer.append(frame)
        self._add_pending(frame)
        return True

    def extend(self, frames: Sequence[Frame]) -> int:
        """Append several frames; returns how many were new."""
        return sum(self.append(frame) for frame in frames)

    def reorder(self, keys: Sequence[str]) -> None:
        """Rewrite the file with its frames in this order, atomically; the same frames always give the same bytes.

        Work that completes in any order still leaves a dataset that does not depend on how many workers there were.

        Raises:
            ValueError: ``keys`` are not the keys of this dataset.
        """
        if len(keys) != len(self._keys) or set(keys) != self._known:
            raise ValueError(f"{len(keys)} keys given for {len(self._keys)} frames of {self.path}")
        self._writer = self._writer or self._become_writer()
        place = {key: index for index, key in enumerate(self._keys)}
        frames = [self[place[key]] for key in keys]
        self._write_file(frames, 0)
        self._keys, self._trajectories = list(keys), [frame.trajectory for frame in frames]

    def close(self) -> None:
        """Move appended frames into the HDF5 file and release it. Reading may go on afterwards."""
        if self._writer is not None:
            if self._pending:
                self._write_file(self._pending, self._n_stored)
            self._writer.close(remove=True)
            self._writer = None
        self._release()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # A forgotten close loses nothing, the journal is complete; it only leaves two files where one is expected.
        if getattr(self, "_writer", None) is not None and not sys.is_finalizing():
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_writer": None}

    def _load(self) -> None:
        # The journal first: a writer that finishes in between has moved these frames into the file, never the reverse.
        frames, _, self.dropped = read_journal(_journal(self.path))
        with self._opened() as file:
            self._keys = [key.decode() for key in file["keys"][:]]
            self._trajectories = [name.decode() for name in file["trajectories"][:]]
        self._n_stored = len(self._keys)
        self._known = set(self._keys)
        self._pending: list[Frame] = []
        for frame in frames:
            # Killed between replacing the file and deleting the journal: its frames are stored already.
            if frame.key not in self._known:
                self._add_pending(frame)

    def _add_pending(self, frame: Frame) -> None:
        self._pending.append(frame)
        self._keys.append(frame.key)
        self._known.add(frame.key)
        self._trajectories.append(frame.trajectory)

    def _become_writer(self) -> JournalWriter:
        writer = JournalWriter(_journal(self.path))
        dropped = self.dropped
        self._release()
        for leftover in self.path.parent.glob(f".{self.path.name}.*.partial*"):
            leftover.unlink(missing_ok=True)
        try:
            torn = writer.recover()
            self._load()
        except BaseException:
            writer.close(remove=False)
            raise
        self.dropped = max(dropped, torn)
        self._writer = writer
        return writer

    def _write_file(self, frames: Sequence[Frame], start: int) -> None:
        """Replace the file by one whose frames from ``start`` on are ``frames``."""
        names = [*self._trajectories[:start], *(frame.trajectory for frame in frames)]
        self._release()
        try:
            with atomic_path(self.path) as temporary:
                if start:
                    shutil.copyfile(self.path, temporary)
                with h5py.File(temporary, "r+" if start else "w") as file:
                    if not start:
                        write_header(file)
                    for index, frame in enumerate(frames, start=start):
                        write_frame(file, index, frame)
                    write_index(file, [*self._keys[:start], *(frame.key for frame in frames)], names)
        except OSError as error:  # HDF5 reports a full disk without an error number
            remedy = f"Free some space and run the same command again: all frames are safe in {_journal(self.path).name}."
            raise RunFailure(f"cannot write the dataset ({error})", str(self.path), remedy) from error
        self._n_stored, self._pending = start + len(frames), []

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> h5py.File:
        if not self.path.exists():
            raise RunFailure("the dataset is missing", str(self.path), "Run the stage that makes it again.")
        try:
            # The file is never written in place, so readers need no lock (which some cluster file systems lack).
            file = h5py.File(self.path, "r", locking=False)
        except OSError as error:
            remedy = "Delete it and run the stage that makes it again."
            raise RunFailure(f"not a readable HDF5 file ({error})", str(self.path), remedy) from error
        if file.attrs.get("format") != FORMAT or file.attrs["format_version"] > FORMAT_VERSION:
            found = f"{file.attrs.get('format')} version {file.attrs.get('format_version')}"
            file.close()
            remedy = f"This program reads {FORMAT} up to version {FORMAT_VERSION}; install a newer one, or give another file."
            raise RunFailure(f"the file is {found}", str(self.path), remedy)
        return file

    def _read(self, index: int) -> Frame:
        if self._file is None:
            self._file = self._opened()
        group = self._file["frames"][f"{index:08d}"]
        words = dict(group.attrs)
        topology = self._topology(words["topology"])
        cell = group["cell"][:] if "cell" in group else np.zeros((3, 3))
        velocities = group["velocities"][:] if "velocities" in group else None
        state = State(group["positions"][:], cell, topology, velocities, bool(words["periodic"]), json.loads(words["info"]))
        labels = {name: np.asarray(item[()]) for name, item in group["labels"].items()} if "labels" in group else {}
        level = self._level(words["level"]) if words["level"] else None
        return Frame(state, labels, words["key"], words["trajectory"], level, words["source"], float(words["weight"]))

    def _topology(self, name: str) -> Topology:
        assert self._file is not None
        if name not in self._topologies:
            group = self._file["topologies"][name]
            arrays = [group[part][:] for part in ("molecule_species", "offsets", "atomic_numbers", "masses")]
            self._topologies[name] = Topology(tuple(json.loads(group.attrs["species"])), *arrays)
        return self._topologies[name]

    def _level(self, name: str) -> dict[str, Any]:
        assert self._file is not None
        if name not in self._levels:
            self._levels[name] = json.loads(self._file["levels"][name].attrs["json"])
        return dict(self._levels[name])


def _journal(path: Path) -> Path:
    return path.with_name(path.name + ".journal")
