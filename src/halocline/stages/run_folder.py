"""A run folder: one folder per stage, a lock, an event log and a manifest.

RUN/01-build/stage.json      input hash of what is in the folder, written before the stage starts
RUN/01-build/result.json     written last: the stage is finished; holds the hash of every output
RUN/superseded/              folders of earlier inputs, moved aside; moved back when the study is changed back
RUN/events.jsonl             what happened when
RUN/manifest.json            provenance
RUN/halocline.log            full tracebacks
RUN/lock.json                who is running here
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import socket
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halocline.errors import RunFailure, UserError
from halocline.files import CANNOT_WRITE, hash_data, hash_file, read_json, write_json
from halocline.provenance import now
from halocline.results import StageResult

ORDER = ("build", "label", "inspect", "train", "calibrate", "simulate", "validate", "report")
"""Stages in the order in which they run."""

FORMAT = 1


@dataclass(frozen=True)
class Completed:
    """A finished stage as its ``result.json`` tells it."""

    input_hash: str
    outputs: dict[str, str]
    output_hash: str
    result: StageResult
    wall_seconds: float
    cpu_seconds: float
    finished: str


class RunFolder:
    """Paths and bookkeeping of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stage(self, name: str) -> Path:
        """Folder of a stage."""
        return self.path / f"{ORDER.index(name) + 1:02d}-{name}"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Own the folder; a lock whose process is gone is taken over.

        Raises:
            UserError: another process runs here.
            RunFailure: the folder cannot be written.
        """
        file = self.path / "lock.json"
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            _acquire(file, self.path)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.unlink()

    def holder(self) -> dict[str, Any] | None:
        """The live process that owns the folder, or None."""
        found = _read_lock(self.path / "lock.json")
        return found if found and _alive(found) else None

    def event(self, kind: str, **details: Any) -> None:
        """Append a line to the event log; a full disk must not hide the error being logged."""
        line = json.dumps({"time": now(), "event": kind, **details}, default=str)
        with contextlib.suppress(OSError), open(self.path / "events.jsonl", "a") as file:
            # A process killed while it wrote leaves half a line; the empty line that this costs otherwise is skipped on reading.
            file.write(("\n" if kind == "run started" and file.tell() else "") + line + "\n")

    def events(self) -> list[dict[str, Any]]:
        """Every complete line of the event log."""
        try:
            lines = (self.path / "events.jsonl").read_text().splitlines()
        except OSError:
            return []
        parsed = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                parsed.append(json.loads(line))
        return parsed

    def log_traceback(self, error: BaseException) -> Path:
        """Append the full traceback to the run's log."""
        file = self.path / "halocline.log"
        with contextlib.suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            with open(file, "a") as stream:
                stream.write(f"--- {now()}\n{''.join(traceback.format_exception(error))}\n")
        return file

    def completed(self, name: str) -> Completed | None:
        """What a finished stage left, without looking at its outputs; None when unfinished or unreadable."""
        file = self.stage(name) / "result.json"
        if not file.exists():
            return None
        try:
            data = read_json(file)
            if data.pop("format") != FORMAT:
                return None
            return Completed(**{**data, "result": StageResult.from_json(data["result"])})
        except (RunFailure, KeyError, TypeError, AttributeError):
            return None

    def damaged(self, name: str, completed: Completed) -> list[str]:
        """Outputs that are missing or no longer what the stage wrote."""
        folder = self.stage(name)
        return [path for path, digest in completed.outputs.items() if not (folder / path).is_file() or hash_file(folder / path) != digest]

    def stamp(self, name: str) -> str | None:
        """Hash of the inputs that the content of a stage's folder belongs to."""
        try:
            return str(read_json(self.stage(name) / "stage.json")["keeps"])
        except (RunFailure, KeyError, TypeError):
            return None

    def complete(self, name: str, input_hash: str, result: StageResult, wall: float, cpu: float) -> Completed:
        """Hash the outputs and mark the stage finished.

        Raises:
            RunFailure: an output that the result names does not exist.
        """
        folder = self.stage(name)
        missing = [path for path in result.files.values() if not (folder / path).is_file()]
        if missing:
            raise RunFailure(
                f"the stage ended without its output {', '.join(missing)}", str(folder), "Report this as a defect of the stage."
            )
        outputs = {path: hash_file(folder / path) for path in result.files.values()}
        data = result.to_json()
        done = Completed(input_hash, outputs, hash_data([outputs, data]), result, wall, cpu, now())
        write_json(folder / "result.json", {"format": FORMAT, **vars(done), "result": data})
        return done

    def move_aside(self, name: str, label: str) -> Path:
        """Move a stage's folder to ``superseded/``, named after the inputs it belongs to."""
        target = self.path / "superseded" / f"{self.stage(name).name}.{label}"
        if target.exists():
            target = self._unused(target)
        target.parent.mkdir(exist_ok=True)
        os.replace(self.stage(name), target)
        return target

    def set_aside(self, name: str, files: Sequence[str]) -> Path | None:
        """Move files that a stage did not write like this to ``superseded/``; a person may have changed them on purpose.

        Returns:
            Their folder, or None when none of them exists.
        """
        found = [file for file in files if (self.stage(name) / file).is_file()]
        if not found:
            return None
        target = self._unused(self.path / "superseded" / f"{self.stage(name).name}.changed")
        for file in found:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.stage(name) / file, target / file)
        return target

    @staticmethod
    def _unused(path: Path) -> Path:
        """The first of ``path-1``, ``path-2``, … that does not exist."""
        return next(place for number in itertools.count(1) if not (place := path.with_name(f"{path.name}-{number}")).exists())

    def bring_back(self, name: str, label: str) -> bool:
        """Undo :meth:`move_aside` for inputs that are current again."""
        source = self.path / "superseded" / f"{self.stage(name).name}.{label}"
        if not source.is_dir():
            return False
        os.replace(source, self.stage(name))
        return True


@contextlib.contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn "disk full", "read-only", "not permitted" and "not a folder" into a three-part failure."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)  # h5py drops errno
        if full or error.errno in CANNOT_WRITE:
            reason = "No space left on device" if full else os.strerror(error.errno or 0)
            remedy = "Free some space or choose another folder with --run, then run the same command again: finished work is kept."
            raise RunFailure(f"cannot write ({reason})", str(error.filename or where), remedy) from error
        raise


def _acquire(file: Path, folder: Path) -> None:
    """Judge and write the lock under a short system lock, so that two newcomers cannot both take it over."""
    with open(folder / ".lock-guard", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        held = _read_lock(file)
        if held is not None and _alive(held):
            raise UserError(
                f"process {held.get('pid')} on {held.get('host')} has been running here since {held.get('since')}",
                str(folder),
                f"Wait for it ('halocline status --run {folder}'), or give this run another folder with --run. "
                f"If that process is certainly gone, delete {file}.",
            )
        write_json(file, {"pid": os.getpid(), "host": socket.gethostname(), "started": _start_time(os.getpid()), "since": now()})


def _read_lock(file: Path) -> dict[str, Any] | None:
    try:
        data = read_json(file)
    except RunFailure:
        return None
    return data if isinstance(data, dict) else None


def _alive(lock: dict[str, Any]) -> bool:
    """Whether the process still exists; one on another host cannot be asked and counts as alive."""
    if lock.get("host") != socket.gethostname():
        return True
    pid = int(lock.get("pid", 0))
    started = _start_time(pid)
    if started is not None:
        return lock.get("started") in (None, started)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # Without /proc the process number is all there is; with it, a process without a readable start time is gone.
    return not Path("/proc/self/stat").exists()


def _start_time(pid: int) -> int | None:
    """Start time of a living process in clock ticks since boot (Linux); a number used again by another process differs in it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])
