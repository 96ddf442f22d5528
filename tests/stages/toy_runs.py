"""Runs of toy stages, in this process or another, and how often each stage did its work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from toy_stages import toy_stages

from halocline.config.load import validate
from halocline.config.study import Study
from halocline.stages.runner import Runner

ONE_WORKER = {"execute": {"workers": 1}}


def study(**sections: dict[str, object]) -> Study:
    return validate({**ONE_WORKER, **sections}, "test")


def runner(folder: Path, **sections: dict[str, object]) -> Runner:
    return Runner(study(**sections), folder, stages=toy_stages())


def tally(folder: Path, stage: str, what: str = "runs") -> int:
    file = folder / f"tally-{stage}-{what}"
    return len(file.read_text().splitlines()) if file.exists() else 0


def tallies(folder: Path) -> list[int]:
    return [tally(folder, stage) for stage in ("01-build", "02-label", "06-simulate", "07-validate")]


def run_in_process(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    code = (
        "from pathlib import Path; from toy_stages import toy_stages; from halocline.config.load import validate\n"
        "from halocline.stages.runner import Runner\n"
        f"if __name__ == '__main__': Runner(validate({ONE_WORKER!r}, 'test'), Path({str(folder)!r}), stages=toy_stages()).run('validate')\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True, timeout=60
    )
