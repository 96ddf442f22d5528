"""What a worker of Parsl does with a task: hand it to a process of its own and watch over both ends.

Parsl can neither stop a running task nor limit its time, and a task that takes its process along costs it a worker. In a
process apart, a task may die, run late or become unwanted, and the worker of Parsl goes on.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from halocline.errors import RunFailure
from halocline.execute.lease import Watch
from halocline.execute.process import Died, WorkerProcess

PERIOD = 1.0
"""Seconds between two looks at the lease."""


@dataclass(frozen=True)
class Call:
    """What all tasks of one call of :func:`halocline.execute.base.run_tasks` share.

    Attributes:
        function: from :func:`halocline.execute.process.pickle_function`.
        timeout: seconds for one task.
        path: ``sys.path`` of who asks, so that both import the same code.
        folder: working folder of who asks; paths of tasks may be relative to it.
        plugins: its ``HALOCLINE_PATH``.
        lease: file that says whether the work is still wanted.
    """

    function: bytes
    timeout: float | None
    path: tuple[str, ...]
    folder: Path
    plugins: str
    lease: Path

    @property
    def place(self) -> tuple[bytes, tuple[str, ...], Path, str]:
        """What a process must have been started with to serve this call."""
        return self.function, self.path, self.folder, self.plugins


@dataclass(frozen=True)
class Answer:
    """How a task ended.

    Attributes:
        ending: with a result or exception; its process died; its time was over; nobody wants it; it could not be started.
        data: pickled ``(succeeded, result or exception)``.
        words: how the process died, or why it did not start.
    """

    ending: Literal["done", "died", "late", "unwanted", "refused"]
    data: bytes = b""
    words: str = ""


_kept = threading.local()


def perform(call: Call, item: bytes) -> Answer:
    """Run one task in a process of this machine; the process is kept for the next task of the same function."""
    unseen = [folder for folder in (call.folder, call.lease.parent) if not folder.is_dir()]
    if unseen:
        return Answer("refused", words=f"{socket.gethostname()} does not see the folder {unseen[0]}")
    watch = Watch(call.lease)
    if watch.over():
        return Answer("unwanted")
    try:
        process = _process(call)
        process.start(item)
        answer = _follow(process, call.timeout, watch)
    except (RunFailure, OSError) as error:
        answer = Answer("refused", words=f"{socket.gethostname()}: {error.what if isinstance(error, RunFailure) else error}")
    if answer.ending != "done":
        _forget()
    return answer


def _follow(process: WorkerProcess, timeout: float | None, watch: Watch) -> Answer:
    end = float("inf") if timeout is None else process.started + timeout
    while not process.connection.poll(max(0.0, min(PERIOD, end - time.monotonic()))):
        if time.monotonic() >= end:
            return Answer("late")
        if watch.over():
            return Answer("unwanted")
    try:
        return Answer("done", process.receive())
    except Died as death:
        return Answer("died", words=f"{socket.gethostname()}, {death}")


def _process(call: Call) -> WorkerProcess:
    """The process kept from an earlier task, or a new one."""
    kept: WorkerProcess | None = getattr(_kept, "process", None)
    if kept is not None and kept.alive and _kept.place == call.place:
        return kept
    _forget()
    environment = {"HALOCLINE_PATH": call.plugins} if call.plugins else {}
    _kept.process, _kept.place = WorkerProcess(call.function, call.path, call.folder, environment), call.place
    return _kept.process


def _forget() -> None:
    kept: WorkerProcess | None = getattr(_kept, "process", None)
    if kept is not None:
        kept.stop()
    _kept.process = None


def call_from_here(function: bytes, timeout: float | None, lease: Path) -> Call:
    """A call with the surroundings of this process."""
    folder = Path.cwd()
    path = tuple(str(folder / entry) for entry in sys.path)
    return Call(function, timeout, path, folder, os.environ.get("HALOCLINE_PATH", ""), lease)
