"""Records beside a labelled dataset: what failed, and how long each label took."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from halocline.datasets.frame import Frame
from halocline.errors import RunFailure, UserError
from halocline.files import read_json, write_json

FAILURES = "label_failures.json"
TIMES = "label_times.jsonl"


class Failures:
    """``label_failures.json``: store -> key -> what happened; kept up to date so that a killed run knows it too."""

    _lasting = ("NotConverged", "BadInput")

    def __init__(self, store: Path) -> None:
        self.path, self.store = store.with_name(FAILURES), store.name
        self._all: dict[str, dict[str, dict[str, Any]]] = read_json(self.path) if self.path.exists() else {}
        self.own = self._all.setdefault(self.store, {})

    def lasting(self) -> set[str]:
        """Keys that would fail again in the same way."""
        return {key for key, failure in self.own.items() if failure["kind"] in self._lasting}

    def add(self, key: str, frame: Frame, error: Exception) -> None:
        """Record a failure.

        Raises:
            UserError: the failure is the study's, so every other frame would fail too.
        """
        if isinstance(error, UserError):
            raise error
        what, remedy = (error.what, error.remedy) if isinstance(error, RunFailure) else (str(error), "Look at this configuration.")
        self.own[key] = {"kind": type(error).__name__, "trajectory": frame.trajectory, "what": what, "remedy": remedy}
        write_json(self.path, self._all)

    def remove(self, key: str) -> None:
        """Forget a failure: the frame was labelled after all."""
        if self.own.pop(key, None) is not None:
            write_json(self.path, self._all)

    def kinds(self, keys: Collection[str]) -> dict[str, int]:
        """Kind of failure -> number, of these keys."""
        return dict(Counter(failure["kind"] for key, failure in self.own.items() if key in keys))

    def commonest(self) -> tuple[str, str]:
        """Message and remedy met most often."""
        words = Counter((failure["what"], failure["remedy"]) for failure in self.own.values())
        return words.most_common(1)[0][0]


def note_time(store: Path, key: str, seconds: float) -> None:
    """Append to a log outside the dataset, whose bytes must not depend on the clock."""
    line = json.dumps({"store": store.name, "key": key, "seconds": round(seconds, 4)}) + "\n"
    descriptor = os.open(store.with_name(TIMES), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def label_times(store: Path) -> list[float]:
    """Wall seconds of all labels of a store, over all sessions."""
    path = store.with_name(TIMES)
    lines = path.read_text().splitlines() if path.exists() else []
    seconds = []
    for line in lines:
        # A killed writer or a full disk leaves half a line, to which the next record is appended; timings are worth no failure.
        with contextlib.suppress(json.JSONDecodeError, KeyError, TypeError):
            record = json.loads(line)
            if record["store"] == store.name:
                seconds.append(float(record["seconds"]))
    return seconds
