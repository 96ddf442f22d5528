"""Atomic writes, hashes and JSON: a file is either the old one or the new one, never half of either."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from halocline.errors import RunFailure

_UMASK = os.umask(0)
os.umask(_UMASK)
CANNOT_WRITE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
)
"""Error numbers that a person mends by making room or by choosing another folder."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that replaces ``path`` when the block ends without an error.

    Raises:
        RunFailure: the disk is full or the folder cannot be written; the old file is untouched.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".partial{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_UMASK)  # temporary files are private, results are not
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in CANNOT_WRITE:
            remedy = "Free some space or choose another folder, then run the same command again: finished work is kept."
            raise RunFailure(f"cannot write ({os.strerror(error.errno)})", str(path), remedy) from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut; not every file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=1, allow_nan=False, default=_encode) + "\n")


def read_json(path: Path) -> Any:
    """Parsed JSON file.

    Raises:
        RunFailure: missing or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise RunFailure("the file is missing", str(path), "Run the stage that makes it again.") from error
    except json.JSONDecodeError as error:
        raise RunFailure(f"not valid JSON ({error})", str(path), "Delete the file and run the stage that makes it again.") from error


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an ``.npz`` file atomically."""

    def write(file: Path) -> None:
        with open(file, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]

    write_with(path, write)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an ``.npz`` file.

    Raises:
        RunFailure: missing or corrupt.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in data.files}
    except FileNotFoundError as error:
        raise RunFailure("the file is missing", str(path), "Run the stage that makes it again.") from error
    except Exception as error:
        remedy = "Delete the file and run the same command again: it continues from the checkpoint before."
        raise RunFailure(f"the file is corrupt ({type(error).__name__}: {error})", str(path), remedy) from error


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file that then replaces ``path``."""
    with atomic_path(path) as temporary:
        write(temporary)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, first 16 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()[:16]


def hash_data(data: Any) -> str:
    """SHA-256 of canonical JSON, first 16 hexadecimal digits."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=_encode)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
