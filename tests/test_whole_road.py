"""The whole road, from packing to report, with the analytic engine: killed in the middle, continued, nothing done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from halocline.datasets.store import Dataset

STUDY = """
study: whole-road
system: {molecules: {water: 100}, density: 0.997 g/cm3, length: 30 A, temperature: 300 K, seed: 3}
reference: {engine: analytic}
multipoles: {engine: analytic, clusters: 12, quantities: [energy, dipole, polarizability]}
dataset: {molecules: 32, frames: 24, trajectories: 2, interval: 20 fs}
active_learning: {rounds: 1, frames: 4, length: 200 fs}
model: {features: 16, layers: 1, cutoff: 4.4 A, budget: 8 s}
multipole_model: {features: 8, layers: 1, cutoff: 4.4 A, budget: 2 s}
coarse_model: {features: 8, layers: 1, cutoff: 4.4 A, teacher: 200 fs, budget: 2 s}
regions: {atomistic: 3 A, transition: 5 A}
dynamics: {equilibration: 50 fs, length: 200 fs, record: 10 fs, checkpoint: 50 fs}
calibration: {window: 100 fs, iterations: 1, bulk: 100 fs}
validation: {reference: 200 fs}
"""
STAGES = ("build", "label", "inspect", "train", "calibrate", "simulate", "validate", "report")
KILLED_IN = (("build", 1.0), ("train", 8.0), ("simulate", 0.3))
"""Stage in which the process is killed, and seconds after its start."""


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "halocline.cli.main", "run", str(folder), "--run", str(folder / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    output = open(folder / "output.txt", "ab")  # noqa: SIM115 - closed with the process
    return subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)


def events(folder: Path) -> list[dict[str, object]]:
    path = folder / "run" / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")] if path.exists() else []


def count(folder: Path, kind: str, stage: str) -> int:
    return sum(event.get("event") == kind and event.get("stage") == stage for event in events(folder))


def kill_in(folder: Path, stage: str, delay: float) -> None:
    process, before = start(folder), count(folder, "stage started", stage)
    deadline = time.monotonic() + 240
    while count(folder, "stage started", stage) == before:
        assert process.poll() is None, (folder / "output.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("road")
    (folder / "study.yaml").write_text(STUDY)
    for stage, delay in KILLED_IN:
        kill_in(folder, stage, delay)
    process = start(folder)
    assert process.wait(timeout=300) == 0, (folder / "output.txt").read_text()
    return folder


def test_the_road_ends_in_a_report_after_being_killed_in_three_stages(finished: Path) -> None:
    page = (finished / "run" / "08-report" / "report.html").read_text()
    assert "undecided" in page
    assert all(count(finished, "stage finished", stage) == 1 for stage in STAGES)
    # A stage that was quicker than the kill has started once; on any machine the long ones were interrupted.
    assert sum(count(finished, "stage started", stage) >= 2 for stage, _ in KILLED_IN) >= 2


def test_every_configuration_is_labelled_exactly_once(finished: Path) -> None:
    boxes = Dataset.open(finished / "run" / "02-label" / "boxes.h5")
    configurations = Dataset.open(finished / "run" / "01-build" / "configurations.h5")
    assert len(boxes) == len(configurations) == len(boxes.keys()) == 24
    assert boxes.dropped == 0


def test_verdicts_of_a_run_far_too_short_to_decide_are_not_inconsistent(finished: Path) -> None:
    result = json.loads((finished / "run" / "07-validate" / "result.json").read_text())
    verdicts = result.get("result", result)["verdicts"]
    words = [verdict["verdict"] for verdict in verdicts]
    assert words.count("undecided") > len(words) / 2
    assert all(verdict["needed"] for verdict in verdicts if verdict["verdict"] == "undecided")


def test_running_a_finished_study_again_does_nothing(finished: Path) -> None:
    before = [count(finished, "stage started", stage) for stage in STAGES]
    process = start(finished)
    assert process.wait(timeout=120) == 0
    assert [count(finished, "stage started", stage) for stage in STAGES] == before
