"""Progress of long work, without knowing whether a terminal is watching."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One bar."""

    def advance(self, steps: float = 1.0) -> None: ...

    def note(self, text: str) -> None:
        """A few words behind the bar, such as the current loss."""
        ...


class Progress(Protocol):
    """Makes bars; implemented by the terminal (rich), by log lines and by nothing at all."""

    def task(self, description: str, total: float, done: float = 0.0) -> AbstractContextManager[Task]: ...

    def log(self, text: str) -> None: ...


class _SilentTask:
    def advance(self, steps: float = 1.0) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Silent:
    """No output: library use and tests."""

    @contextmanager
    def task(self, description: str, total: float, done: float = 0.0) -> Iterator[Task]:
        yield _SilentTask()

    def log(self, text: str) -> None:
        pass


class _LineTask:
    def __init__(self, description: str, total: float, done: float, write: Callable[[str], None], interval: float) -> None:
        self.description, self.total, self.done, self.write, self.interval = description, total, done, write, interval
        self.text, self.last = "", time.monotonic()

    def advance(self, steps: float = 1.0) -> None:
        self.done += steps
        if time.monotonic() - self.last >= self.interval:
            self.last = time.monotonic()
            percent = 100.0 * self.done / self.total if self.total else 100.0
            self.write(f"{self.description}: {percent:.0f} % {self.text}".rstrip())

    def note(self, text: str) -> None:
        self.text = text


class Lines:
    """Plain lines every few seconds: logs, pipes, batch jobs."""

    def __init__(self, write: Callable[[str], None], interval: float = 10.0) -> None:
        self.write, self.interval = write, interval

    @contextmanager
    def task(self, description: str, total: float, done: float = 0.0) -> Iterator[Task]:
        yield _LineTask(description, total, done, self.write, self.interval)

    def log(self, text: str) -> None:
        self.write(text)
