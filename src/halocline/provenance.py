"""Where a result came from: program versions, machine, code and time."""

from __future__ import annotations

import datetime
import os
import platform
import socket
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "halocline", "torch", "numpy", "scipy", "numba", "h5py", "lightning", "tblite", "pyscf", "dftd4", "openmm", "packmol", "ase", "vesin",
    "pymbar",
)  # fmt: skip
"""Packages whose version can change a number."""
LEARNING = ("torch", "lightning", "tblite", "pyscf", "dftd4")
"""Those of them that only labels and training need."""


def now() -> str:
    """Local time with offset, to the second, ISO 8601."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of every package of :data:`PACKAGES`; "not installed" where absent."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@cache
def machine() -> dict[str, Any]:
    """Host, operating system and processor."""
    return {"host": socket.gethostname(), "system": platform.platform(), "cpu": _cpu_model(), "cores": usable_cores()}


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def code_version() -> dict[str, str]:
    """Version of halocline and, for a checkout, its commit and whether tracked files were changed since."""
    found = {"version": versions()["halocline"]}
    root = Path(__file__).resolve().parents[2]
    if (root / ".git").exists():
        commit = _git(root, "rev-parse", "HEAD")
        if commit:
            found["commit"] = commit
            found["changed"] = "yes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "no"
    return found


def describe(learns: bool = True) -> dict[str, Any]:
    """Everything above plus the command line: the head of a run's manifest.

    Args:
        learns: whether the run labels and trains; otherwise the packages for that are left out.
    """
    used = {name: version for name, version in versions().items() if learns or name not in LEARNING}
    return {"code": code_version(), "versions": used, "machine": machine(), "command": [Path(sys.argv[0]).name, *sys.argv[1:]]}


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
