"""Tasks on the workers of Parsl: on clusters, through whatever batch system Parsl can speak to.

Parsl asks for nodes, gives them back, and carries tasks to them; :mod:`halocline.execute.remote` runs them there.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import functools
import importlib.util
import os
import pickle
import queue
import runpy
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from halocline.errors import RunFailure, UserError
from halocline.execute.base import ATTEMPTS, Crashed, Executor, OutOfTime
from halocline.execute.lease import Lease
from halocline.execute.process import pickle_function
from halocline.execute.remote import Answer, call_from_here, perform

GRACE = 5.0
"""Seconds to wait for running tasks to stop when their results are no longer wanted."""

KEY = "study file: execute.parsl"


class ParslWorkers(Executor):
    """Workers of Parsl. They are kept from one call to the next: nodes are waited for once, not for every window."""

    name: ClassVar[str] = "parsl"
    summary: ClassVar[str] = "workers of Parsl, for clusters; the file execute.parsl defines its config"

    def __init__(self, parsl: Path | None = None) -> None:
        self.file = parsl

    def check(self) -> None:
        self._config()

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], timeout: float | None
    ) -> Iterator[tuple[int, Any]]:  # fmt: skip
        initial = pickle_function(function)
        if not items:
            return
        session = self._session()
        lease = Lease(session.folder / f"{uuid.uuid4().hex}.lease")
        apply = functools.partial(session.app(perform), call_from_here(initial, timeout, lease.path))
        waiting: dict[int, concurrent.futures.Future[Answer]] = {}
        ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        attempts = [0] * len(items)

        def submit(task: int) -> None:
            attempts[task] += 1
            waiting[task] = apply(pickle.dumps(items[task]))
            waiting[task].add_done_callback(lambda _: ended.put(task))

        try:
            for task in range(len(items)):  # all of them at once: Parsl asks for nodes by what waits
                submit(task)
            while waiting:
                task = ended.get()
                answer = session.answer(waiting.pop(task))
                if answer.ending in ("died", "unwanted") and attempts[task] < ATTEMPTS:
                    submit(task)
                else:
                    yield task, _outcome(task, answer, timeout)
        except RunFailure:
            self.close()  # what failed once would fail again
            raise
        finally:
            lease.end()
            concurrent.futures.wait(waiting.values(), GRACE)

    def close(self) -> None:
        session = _sessions.pop(self.file, None)
        if session is not None:
            session.end()

    def _session(self) -> _Session:
        if self.file not in _sessions:
            _sessions[self.file] = _Session(self._config(), str(self.file))
        return _sessions[self.file]

    def _config(self) -> Any:
        """The configuration, made anew: Parsl uses one only once."""
        if importlib.util.find_spec("parsl") is None:
            remedy = "Install it with pip install 'halocline[clusters]', or set execute.executor to local."
            raise UserError("Parsl is not installed", "study file: execute.executor", remedy)
        if self.file is None:
            remedy = "Give a Python file that defines config = parsl.Config(...), relative to the study file."
            raise UserError("execute.executor is parsl, and execute.parsl names no file", KEY, remedy)
        if not self.file.is_file():
            raise UserError(f"there is no file {self.file}", KEY, "Give its path relative to the study file.")
        import parsl

        try:
            config = runpy.run_path(str(self.file)).get("config")
        except Exception as error:
            what = f"the configuration of Parsl does not load ({type(error).__name__}: {error})"
            raise UserError(what, str(self.file), "Run it with python alone, and mend what is reported.") from error
        if not isinstance(config, parsl.Config):
            found = "defines no config" if config is None else f"defines config as {type(config).__name__}"
            raise UserError(f"the file {found}", str(self.file), "Add config = parsl.Config(executors=[...]).")
        return config


def _outcome(task: int, answer: Answer, timeout: float | None) -> Any:
    if answer.ending == "done":
        return pickle.loads(answer.data)[1]
    if answer.ending == "late":
        assert timeout is not None
        return OutOfTime.of(task, timeout)
    return Crashed.of(task, answer.words or "its owner was not heard of")


class _Session:
    """Parsl at work with one configuration.

    Args:
        config: ``parsl.Config``.
        source: its file, for messages.

    Raises:
        RunFailure: Parsl does not start.
    """

    def __init__(self, config: Any, source: str) -> None:
        import parsl

        self.source = source
        _find_programs()
        with _no_interrupt():  # Control-C reaches the whole group; the processes of Parsl are ended by this one
            try:
                self.kernel = parsl.DataFlowKernel(config)
            except Exception as error:
                what = f"Parsl does not start ({type(error).__name__}: {error})"
                raise RunFailure(what, source, f"See parsl.log in {config.run_dir}.") from error
            self.folder = Path(self.kernel.run_dir).resolve()
            self._guards = [_guard(executor.interchange_proc.pid) for executor in config.executors if hasattr(executor, "interchange_proc")]

    def app(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, run by Parsl."""
        import parsl

        return parsl.python_app(function, data_flow_kernel=self.kernel)

    def answer(self, future: concurrent.futures.Future[Answer]) -> Answer:
        """How a task ended; a node or a worker of Parsl that is lost counts as a death.

        Raises:
            RunFailure: Parsl cannot run tasks, or the far side cannot start processes.
        """
        from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

        remedy = f"Workers need this installation and must see the same files; see the logs in {self.folder}."
        try:
            answer = future.result()
        except (ManagerLost, WorkerLost) as loss:
            return Answer("died", words=str(loss))
        except Exception as error:
            words = " ".join(str(error).split())
            raise RunFailure(f"Parsl cannot run the task ({type(error).__name__}: {words})", self.source, remedy) from error
        if answer.ending == "refused":
            raise RunFailure(f"a worker of Parsl cannot start the task ({answer.words})", self.source, remedy)
        return answer

    def end(self) -> None:
        """Give back all nodes."""
        for guard in self._guards:
            guard.kill()
            guard.communicate()
        self.kernel.cleanup()


def _find_programs() -> None:
    """Parsl looks for its programs on the path; they stand beside this Python, whose environment need not be activated."""
    if shutil.which("interchange.py") is None:
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _guard(process: int) -> subprocess.Popen[bytes]:
    """A process that ends another one when this one dies without a word; its workers then miss it and end as well."""
    return subprocess.Popen(["/bin/sh", "-c", f"read line; kill {process}"], stdin=subprocess.PIPE)


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Processes started meanwhile never see Control-C; this one sees it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_sessions: dict[Path | None, _Session] = {}


@atexit.register
def _end_all() -> None:
    while _sessions:
        _sessions.popitem()[1].end()
