"""Tasks for the tests of executors; worker processes import this file, so it imports little."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from halocline.errors import UserError


def square(number: int) -> int:
    return number * number


def fail(number: int) -> int:
    raise UserError("what", "where", f"remedy {number}")


def fail_unpicklably(number: int) -> int:
    class LocalError(Exception):
        pass

    raise LocalError(f"number {number}")


def die_at_three(number: int) -> int:
    if number == 3:
        sys.stderr.write("the last words\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die_once(marker: str) -> str:
    """Kills its process the first time it meets the marker file's absence."""
    path = Path(marker)
    if not path.exists():
        path.write_text("")
        os.kill(os.getpid(), signal.SIGSEGV)
    return path.name


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def note_and_sleep(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def threads(name: str) -> str | None:
    return os.environ.get(name)


def touch(name: str) -> None:
    Path(name).touch()


def kill_parent_once(marker: str) -> str:
    """Kills the worker of Parsl above it the first time."""
    path = Path(marker)
    if not path.exists():
        path.write_text("")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(30)
    return path.name


def note_or_square(item: int | str) -> int | None:
    return square(item) if isinstance(item, int) else note_and_sleep(item)
