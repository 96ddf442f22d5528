"""Independent tasks in processes of one thread each.

``concurrent.futures`` gives up the whole pool when one process dies, and cannot tell which task killed it. Electronic
structure programs do die (segmentation faults, memory), so here every process has its own pipe: its death costs one
task one attempt, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from halocline import registry
from halocline.errors import RunFailure
from halocline.progress import Progress, Silent

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 2
"""How often a task is started before the death of its process is taken for its own fault."""

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENMM_CPU_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_BOOTSTRAP = "import sys, json; sys.path[:] = json.loads(sys.argv[2]); from halocline.execute.worker import main; main(int(sys.argv[1]))"


class Crashed(RunFailure):
    """A process died: killed by a signal, by the system for its memory, or by a fault of the program."""


class OutOfTime(RunFailure):
    """A task ran past its time limit."""


def run_tasks(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    description: str = "working",
    progress: Progress | None = None,
    timeout: float | None = None,
) -> Iterator[tuple[int, Result | Exception]]:
    """Apply a function to every item in worker processes; yield ``(index, result or exception)`` as they complete.

    A process that dies is replaced and its task started once more; if it dies again, its result is :class:`Crashed`.
    Results of other tasks are never lost. Closing the iterator, or the death of this process, stops the workers.

    Args:
        function: importable by name (or a ``functools.partial`` of one); sent to every process once.
        items: arguments, one task each; plain data that can be pickled.
        workers: number of processes. Zero runs the tasks in this process, without protection against crashes.
        description: words before the progress bar.
        progress: where to show it.
        timeout: seconds for one task; afterwards its process is killed and its result is :class:`OutOfTime`.

    Raises:
        RunFailure: the function cannot be sent to another process, or processes do not start.
    """
    with (progress or Silent()).task(description, total=len(items)) as bar:
        results = _run_here(function, items) if workers == 0 else _run_apart(function, items, min(workers, len(items)), timeout)
        for index, result in results:
            bar.advance()
            yield index, result


def _run_here(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result | Exception]]:
    for index, item in enumerate(items):
        try:
            yield index, function(item)
        except Exception as error:
            yield index, error


def _run_apart(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, timeout: float | None
) -> Iterator[tuple[int, Result | Exception]]:
    initial = _pickle_function(function)
    pending = list(range(len(items)))[::-1]
    attempts = dict.fromkeys(pending, 0)
    running: list[_Worker] = []
    try:
        running += [_Worker(initial) for _ in range(workers)]
        while pending or any(worker.task is not None for worker in running):
            for worker in running:
                if worker.task is None and pending:
                    attempts[pending[-1]] += 1
                    worker.start(pending.pop(), items)
            for worker, outcome in _next_outcomes(running, timeout):
                task, worker.task = worker.task, None
                assert task is not None
                retry = isinstance(outcome, Crashed) and not worker.alive and attempts[task] < ATTEMPTS
                if retry:
                    pending.append(task)
                if not worker.alive:
                    worker.stop()
                    running.remove(worker)
                    running += [_Worker(initial)] if pending else []
                if not retry:
                    yield task, outcome
    finally:
        for worker in running:
            worker.stop()


def _next_outcomes(workers: list[_Worker], timeout: float | None) -> list[tuple[_Worker, Any]]:
    """Wait until at least one running task has ended, in whichever way."""
    busy = {worker.connection: worker for worker in workers if worker.task is not None}
    wait = None
    if timeout is not None:
        wait = max(0.0, min(worker.started for worker in busy.values()) + timeout - time.monotonic())
    ready = multiprocessing.connection.wait(list(busy), wait)
    outcomes = [(worker, worker.receive()) for connection, worker in busy.items() if connection in ready]
    if timeout is not None:
        for connection, worker in busy.items():
            if connection not in ready and time.monotonic() - worker.started >= timeout:
                worker.kill()
                outcomes.append((worker, _out_of_time(worker.task, timeout)))
    return outcomes


def _out_of_time(task: int | None, timeout: float) -> OutOfTime:
    return OutOfTime(f"not finished after {timeout:g} s", f"task {task}", "Raise the time limit, or make the task smaller.")


def _pickle_function(function: Callable[[Any], Any]) -> bytes:
    remedy = "Define it at the top of an importable module, or use workers=0."
    folders = [str(folder) for folder in registry.plugin_folders()]
    if getattr(function, "__module__", "") == "__main__":
        raise RunFailure("a function of the main script cannot be sent to another process", repr(function), remedy)
    try:
        return pickle.dumps((folders, pickle.dumps(function)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RunFailure(f"the function cannot be sent to another process ({error})", repr(function), remedy) from error


class _Worker:
    """One process and the task that it works on; its time starts when the process has answered."""

    def __init__(self, initial: bytes) -> None:
        self.task: int | None = None
        self.started = 0.0
        self.connection, theirs = multiprocessing.Pipe()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by stop
        command = [sys.executable, "-c", _BOOTSTRAP, str(theirs.fileno()), json.dumps(sys.path)]
        environment = {**os.environ, **_ONE_THREAD}
        self.process = subprocess.Popen(
            command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.errors
        )
        theirs.close()
        self._greeted = False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a dead process is reported by the greeting
            self.connection.send_bytes(initial)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def start(self, task: int, items: Sequence[Any]) -> None:
        """Give the process a task; the first time this waits until it has imported the function."""
        if not self._greeted:
            self._greet()
        self.task, self.started = task, time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # died between two tasks: reading reports it
            self.connection.send_bytes(pickle.dumps(items[task]))

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

    def receive(self) -> Any:
        """The result or exception of the running task, or :class:`Crashed` when the process is dead."""
        try:
            _, value = pickle.loads(self.connection.recv_bytes())
            return value
        except (EOFError, OSError):
            self.process.wait()
            remedy = "Look at the geometry of this item; with too little memory use fewer workers. The other items are not affected."
            return Crashed(f"its process died {ATTEMPTS} times ({self._words()})", f"task {self.task}", remedy)

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
