"""Tasks in processes of one thread each on this machine."""

from __future__ import annotations

import multiprocessing.connection
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from halocline.execute.base import ATTEMPTS, Crashed, Executor, OutOfTime
from halocline.execute.process import Died, WorkerProcess, pickle_function


class LocalPool(Executor):
    """Processes of this machine; with zero workers, this process."""

    name: ClassVar[str] = "local"
    summary: ClassVar[str] = "processes of this machine, execute.workers of them"

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], timeout: float | None
    ) -> Iterator[tuple[int, Any]]:  # fmt: skip
        if self.workers == 0:
            return _run_here(function, items)
        return _run_apart(function, items, min(self.workers, len(items)), timeout)


def _run_here(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    for index, item in enumerate(items):
        try:
            yield index, function(item)
        except Exception as error:
            yield index, error


def _run_apart(
    function: Callable[[Any], Any], items: Sequence[Any], workers: int, timeout: float | None
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    initial = pickle_function(function)
    pending = list(range(len(items)))[::-1]
    attempts = dict.fromkeys(pending, 0)
    running: list[WorkerProcess] = []
    try:
        running += [WorkerProcess(initial) for _ in range(workers)]
        while pending or any(worker.task is not None for worker in running):
            for worker in running:
                if worker.task is None and pending:
                    attempts[pending[-1]] += 1
                    task = pending.pop()
                    worker.start(pickle.dumps(items[task]), task)
            for worker, outcome in _next_outcomes(running, timeout):
                task, worker.task = worker.task, None  # type: ignore[assignment]
                retry = isinstance(outcome, Crashed) and not worker.alive and attempts[task] < ATTEMPTS
                if retry:
                    pending.append(task)
                if not worker.alive:
                    worker.stop()
                    running.remove(worker)
                    running += [WorkerProcess(initial)] if pending else []
                if not retry:
                    yield task, outcome
    finally:
        for worker in running:
            worker.stop()


def _next_outcomes(workers: list[WorkerProcess], timeout: float | None) -> list[tuple[WorkerProcess, Any]]:
    """Wait until at least one running task has ended, in whichever way."""
    busy = {worker.connection: worker for worker in workers if worker.task is not None}
    wait = None
    if timeout is not None:
        wait = max(0.0, min(worker.started for worker in busy.values()) + timeout - time.monotonic())
    ready = multiprocessing.connection.wait(list(busy), wait)
    outcomes = [(worker, _outcome(worker)) for connection, worker in busy.items() if connection in ready]
    if timeout is not None:
        for connection, worker in busy.items():
            if connection not in ready and time.monotonic() - worker.started >= timeout:
                worker.kill()
                outcomes.append((worker, OutOfTime.of(worker.task, timeout)))
    return outcomes


def _outcome(worker: WorkerProcess) -> Any:
    """The result or exception of the running task, or :class:`Crashed` when the process is dead."""
    try:
        _, value = pickle.loads(worker.receive())
        return value
    except Died as death:
        return Crashed.of(worker.task, str(death))
