"""Work of a later stage that runs in a second process beside the present one, such as the reference run of ``validate``."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from halocline.config.study import Study
from halocline.execute.threads import use_threads
from halocline.progress import Lines, Progress
from halocline.stages.base import Context, Stage
from halocline.stages.run_folder import RunFolder


class Prefetches:
    """Background processes by stage; each dies with its parent and leaves resumable work in the stage's folder."""

    def __init__(self, study: Study, folder: RunFolder, progress: Progress) -> None:
        self.study, self.folder, self.progress = study, folder, progress
        self.processes: dict[str, BaseProcess] = {}

    def started(self, name: str) -> bool:
        return name in self.processes

    def start(self, name: str, stage: Stage, context: Context) -> None:
        """Run ``stage.prefetch`` in a process of its own."""
        arguments = (stage, context.study, context.folder, context.inputs, context.results, self.folder.path, os.getpid())
        process = multiprocessing.get_context("spawn").Process(target=_work, args=(name, *arguments), name=f"prefetch-{name}")
        process.start()
        self.processes[name] = process
        self.progress.log(f"{name}: the part that can run now was started in a second process")
        self.folder.event("prefetch started", stage=name, pid=process.pid)

    def running(self) -> int:
        """Processes at work."""
        return sum(process.is_alive() for process in self.processes.values())

    def wait(self, name: str) -> None:
        """Wait for a stage's process; a failed one only costs time, for the stage does that part itself and reports why."""
        process = self.processes.get(name)
        if process is None:
            return
        if process.is_alive():
            self.progress.log(f"{name}: waiting for the part started earlier")
        started = time.monotonic()
        process.join()
        self.folder.event("prefetch ended", stage=name, exit_code=process.exitcode, waited=round(time.monotonic() - started, 3))
        if process.exitcode != 0:
            self.progress.log(f"{name}: the part started earlier ended with code {process.exitcode}; it is continued now")

    def stop(self) -> None:
        """End every process that still runs; its checkpoints stay."""
        for process in self.processes.values():
            if process.is_alive():
                process.terminate()
                process.join(5)
                if process.is_alive():
                    process.kill()
                    process.join()


def _work(
    name: str,
    stage: Stage,
    study: Study,
    folder: Path,
    inputs: dict,
    results: dict,
    run: Path,
    parent: int,  # type: ignore[type-arg]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C reaches the whole group; the parent ends this process and says so once
    _die_with(parent)
    run_folder = RunFolder(run)
    progress = Lines(lambda line: run_folder.event("prefetch progress", stage=name, text=line), interval=30.0)
    use_threads(1)
    try:
        stage.prefetch(Context(study, folder, inputs, results, progress))
    except Exception as error:
        run_folder.log_traceback(error)
        run_folder.event("prefetch failed", stage=name, error=f"{type(error).__name__}: {error}")
        sys.exit(1)


def _die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies: two processes must never write one folder."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
