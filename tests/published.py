"""Published data sets, which stay outside the repository; tests that need one skip where it is absent."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("HALOCLINE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def shared(name: str) -> Path:
    """Path of a file of a set."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip("the reference data sets are not on this machine")
    return path
