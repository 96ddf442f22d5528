"""Append-only journal of frames: the part of a dataset that survives SIGKILL at any instruction.

A record is ``magic, length, CRC-32, payload``, written by one ``write`` to a file opened for appending and synced to the
disk. A process killed in the middle leaves a torn record at the end and nowhere else; readers stop before it, the next
writer cuts it off.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from halocline.datasets.frame import Frame
from halocline.errors import RunFailure
from halocline.state import State
from halocline.topology import Topology

_MAGIC = b"HLFR"
_HEADER = struct.Struct("<4sQI")


def dump_json(value: Any) -> str:
    """JSON text; NumPy numbers and arrays become plain ones."""
    return json.dumps(value, default=lambda item: item.tolist())


def encode_frame(frame: Frame) -> bytes:
    """A frame as the bytes of an ``.npz`` archive; no pickles."""
    state, topology = frame.state, frame.state.topology
    words = {
        "key": frame.key, "trajectory": frame.trajectory, "level": frame.level, "source": frame.source,
        "weight": frame.weight, "periodic": state.periodic, "info": state.info, "species": list(topology.species),
    }  # fmt: skip
    arrays: dict[str, np.ndarray] = {
        "words": np.frombuffer(dump_json(words).encode(), dtype=np.uint8),
        "positions": np.asarray(state.positions, dtype=np.float64),
        "cell": np.asarray(state.cell, dtype=np.float64),
        **{f"topology/{name}": array for name, array in asdict(topology).items() if name != "species"},
        **{f"labels/{name}": np.asarray(value, dtype=np.float64) for name, value in frame.labels.items()},
    }
    if state.velocities is not None:
        arrays["velocities"] = np.asarray(state.velocities, dtype=np.float64)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def decode_frame(payload: bytes) -> Frame:
    """The frame that :func:`encode_frame` was given."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    words: dict[str, Any] = json.loads(arrays["words"].tobytes())
    parts = {name.split("/")[1]: value for name, value in arrays.items() if name.startswith("topology/")}
    topology = Topology(tuple(words["species"]), **parts)
    state = State(arrays["positions"], arrays["cell"], topology, arrays.get("velocities"), words["periodic"], words["info"])
    labels = {name.split("/")[1]: value for name, value in arrays.items() if name.startswith("labels/")}
    return Frame(state, labels, words["key"], words["trajectory"], words["level"], words["source"], words["weight"])


def read_journal(path: Path) -> tuple[list[Frame], int, int]:
    """Complete frames of a journal, the offset after the last of them, and the number (0 or 1) of torn frames after it.

    Raises:
        RunFailure: a damaged record with others behind it, which a killed writer cannot leave.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0, 0
    frames: list[Frame] = []
    offset = 0
    while offset < len(data):
        payload = _payload(data, offset)
        if payload is None:
            _refuse_damage(data, offset, path)
            return frames, offset, 1
        frames.append(decode_frame(payload))
        offset += _HEADER.size + len(payload)
    return frames, offset, 0


def _payload(data: bytes, offset: int) -> bytes | None:
    if offset + _HEADER.size > len(data):
        return None
    magic, length, checksum = _HEADER.unpack_from(data, offset)
    payload = data[offset + _HEADER.size : offset + _HEADER.size + length]
    if magic != _MAGIC or len(payload) < length or zlib.crc32(payload) != checksum:
        return None
    return payload


def _refuse_damage(data: bytes, offset: int, path: Path) -> None:
    later = data.find(_MAGIC, offset + 1)
    while later != -1:
        if _payload(data, later) is not None:
            where = f"{path} at byte {offset}"
            remedy = f"The disk damaged the file. Cut it with 'truncate -s {offset} {path}' to keep the frames before, then run again."
            raise RunFailure("a damaged frame is followed by sound ones", where, remedy)
        later = data.find(_MAGIC, later + 1)


class JournalWriter:
    """Exclusive writer of a journal.

    Args:
        path: journal; created when missing, cut after ``end`` otherwise.

    Raises:
        RunFailure: another process holds it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _lock(path)
        self._end = 0

    def recover(self) -> int:
        """Cut a torn frame off the end; returns how many there were (0 or 1)."""
        _, self._end, torn = read_journal(self.path)
        os.ftruncate(self._descriptor, self._end)
        return torn

    def append(self, frame: Frame) -> None:
        """Write one frame; on return it is on the disk.

        Raises:
            RunFailure: the disk is full; what was written before stays sound.
        """
        payload = encode_frame(frame)
        record = _HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload
        try:
            written = 0
            while written < len(record):
                written += os.write(self._descriptor, record[written:])
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self._end)
            remedy = "Free some space, then run the same command again: finished work is kept."
            raise RunFailure(f"cannot write a frame ({os.strerror(error.errno or errno.EIO)})", str(self.path), remedy) from error
        self._end += len(record)

    def close(self, remove: bool) -> None:
        """Release the lock; ``remove`` deletes the journal, whose frames are elsewhere by then."""
        if self._descriptor >= 0:
            if remove:
                self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


def _lock(path: Path) -> int:
    while True:
        descriptor = _guard(lambda: os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644), path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            remedy = "Wait until it has finished, or stop it; then run the same command again."
            raise RunFailure("another process is writing this dataset", str(path), remedy) from error
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)  # its writer finished and removed it between our open and our lock: take the new one


def _guard(action: Callable[[], int], path: Path) -> int:
    try:
        return action()
    except OSError as error:
        remedy = "Free some space or choose another folder, then run the same command again."
        raise RunFailure(f"cannot write ({error.strerror})", str(path), remedy) from error
