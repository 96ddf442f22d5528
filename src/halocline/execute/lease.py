"""A sign of life in a file, for work on other machines that must not outlive who asked for it.

Two generations of the same work would write the same files. Only a file system is shared with certainty, clocks are not:
what counts is whether the text changes.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from pathlib import Path

PERIOD = 10.0
"""Seconds between two signs of life."""

PATIENCE = 120.0
"""Seconds without one after which the owner is taken for dead; file systems of clusters show a change after up to a minute."""


class Lease:
    """The owner's side: a file that changes while the owner lives, and goes when it has had enough."""

    def __init__(self, path: Path, period: float = PERIOD) -> None:
        self.path, self._period, self._over = path, period, threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0")
        threading.Thread(target=self._live, name="lease", daemon=True).start()

    def _live(self) -> None:
        for count in itertools.count(1):
            if self._over.wait(self._period):
                return
            with contextlib.suppress(OSError):  # a full disk for a moment; the patience of the watch covers it
                self._write(str(count))

    def _write(self, text: str) -> None:
        with self.path.open("r+") as file:  # never makes anew what end() has removed
            file.write(text)

    def end(self) -> None:
        """Stop whatever watches; may be called twice."""
        self._over.set()
        self.path.unlink(missing_ok=True)


class Watch:
    """The far side: whether the work is still wanted."""

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self._path, self._patience = path, patience
        self._text, self._seen = "", time.monotonic()

    def over(self) -> bool:
        """Whether the file is gone or has not changed for longer than the patience."""
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return True
        except OSError:
            text = self._text
        if text != self._text:
            self._text, self._seen = text, time.monotonic()
        return time.monotonic() - self._seen > self._patience
