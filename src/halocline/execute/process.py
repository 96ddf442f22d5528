"""One worker process: its pipe, its task, its death.

``concurrent.futures`` gives up the whole pool when one process dies, and cannot tell which task killed it. Electronic
structure programs do die (segmentation faults, memory), so here every process has its own pipe: its death costs one
task one attempt, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from halocline import registry
from halocline.errors import RunFailure

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENMM_CPU_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_BOOTSTRAP = "import sys, json; sys.path[:] = json.loads(sys.argv[2]); from halocline.execute.worker import main; main(int(sys.argv[1]))"


class Died(Exception):
    """The process ended in the middle of a task; the argument says how."""


def pickle_function(function: Callable[[Any], Any]) -> bytes:
    """The first message to a worker process: plug-in folders and the function.

    Raises:
        RunFailure: it cannot be imported by name elsewhere.
    """
    remedy = "Define it at the top of an importable module, or use workers=0."
    folders = [str(folder) for folder in registry.plugin_folders()]
    if getattr(function, "__module__", "") == "__main__":
        raise RunFailure("a function of the main script cannot be sent to another process", repr(function), remedy)
    try:
        return pickle.dumps((folders, pickle.dumps(function)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RunFailure(f"the function cannot be sent to another process ({error})", repr(function), remedy) from error


class WorkerProcess:
    """A process of one thread that serves one function; the time of a task starts when the process has answered.

    Args:
        initial: from :func:`pickle_function`.
        path: ``sys.path`` of the process; that of this one unless given.
        folder: working folder; that of this process unless given.
        environment: added to the environment of this process.

    Attributes:
        task: index of the task it works on.
        started: when that task was started, on the monotonic clock.
    """

    def __init__(
        self, initial: bytes, path: Sequence[str] | None = None, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.task: int | None = None
        self.started = 0.0
        self.connection, theirs = multiprocessing.Pipe()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by stop
        command = [sys.executable, "-c", _BOOTSTRAP, str(theirs.fileno()), json.dumps(list(sys.path if path is None else path))]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {}), **_ONE_THREAD},
            cwd=folder,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
        )
        theirs.close()
        self._greeted = False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a dead process is reported by the greeting
            self.connection.send_bytes(initial)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def start(self, item: bytes, task: int | None = None) -> None:
        """Give the process a pickled item; the first time this waits until it has imported the function.

        Raises:
            RunFailure: it did not start, or cannot load the function.
        """
        if not self._greeted:
            self._greet()
        self.task, self.started = task, time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # died between two tasks: reading reports it
            self.connection.send_bytes(item)

    def _greet(self) -> None:
        try:
            succeeded, error = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError) as failure:
            self.process.wait()
            raise RunFailure(f"a worker process does not start ({self._words()})", "execute", "Run `halocline doctor`.") from failure
        if not succeeded:
            remedy = "Define the function at the top of an importable module."
            raise RunFailure(f"a worker process cannot load its function ({type(error).__name__}: {error})", "execute", remedy) from error
        self._greeted = True

    def receive(self) -> bytes:
        """The pickled ``(succeeded, result or exception)`` of the running task.

        Raises:
            Died: there is none.
        """
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError) as failure:
            self.process.wait()
            raise Died(self._words()) from failure

    def _words(self) -> str:
        """How the process ended, with the last line it wrote to its error output."""
        code = self.process.returncode
        ending = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"{ending}: {lines[-1][:300]}" if lines else ending

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the process and free what belongs to it; may be called twice."""
        self.kill()
        self.connection.close()
        self.errors.close()
