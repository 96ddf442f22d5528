"""Executors: results, failures and deaths of tasks, and the end of the workers; the same for processes of this machine and for Parsl."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import contracts
import pytest
from parsl_here import write_config
from small_tasks import (
    die_at_three,
    die_once,
    fail,
    fail_unpicklably,
    kill_parent_once,
    note_or_square,
    sleep,
    square,
    threads,
    touch,
)

from halocline.errors import RunFailure, UserError
from halocline.execute.base import Crashed, Executor, OutOfTime, run_tasks
from halocline.execute.clusters import ParslWorkers
from halocline.execute.pool import LocalPool
from halocline.execute.remote import call_from_here


@pytest.fixture(scope="module")
def parsl_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """Two workers of Parsl on this machine; they start once."""
    pytest.importorskip("parsl")
    executor = ParslWorkers(write_config(tmp_path_factory.mktemp("parsl")))
    yield executor
    executor.close()


@pytest.fixture(params=["local", "parsl"])
def workers(request: pytest.FixtureRequest) -> Executor:
    """Two workers, everywhere."""
    return LocalPool(2) if request.param == "local" else request.getfixturevalue("parsl_workers")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_every_item_is_answered_once_by_any_number_of_processes(count: int) -> None:
    assert dict(run_tasks(square, [3, 4, 5], count)) == {0: 9, 1: 16, 2: 25}


def test_an_executor_keeps_the_contract(workers: Executor) -> None:
    contracts.check_executor(workers)


def test_every_item_is_answered_once(workers: Executor) -> None:
    assert dict(run_tasks(square, list(range(20)), workers)) == {n: n * n for n in range(20)}


def test_no_items_is_no_work(workers: Executor) -> None:
    assert list(run_tasks(square, [], workers)) == []


def test_an_exception_is_a_result_in_three_parts(workers: Executor) -> None:
    results = dict(run_tasks(fail, [7], workers))
    error = results[0]
    assert isinstance(error, UserError)
    assert (error.what, error.where, error.remedy) == ("what", "where", "remedy 7")


def test_an_exception_that_cannot_be_pickled_becomes_a_run_failure(workers: Executor) -> None:
    error = dict(run_tasks(fail_unpicklably, [7], workers))[0]
    assert isinstance(error, RunFailure)
    assert "LocalError: number 7" in error.what


def test_a_killed_worker_costs_only_its_own_task(workers: Executor) -> None:
    results = dict(run_tasks(die_at_three, list(range(8)), workers))
    assert {index: value for index, value in results.items() if index != 3} == {n: n * n for n in range(8) if n != 3}
    crash = results[3]
    assert isinstance(crash, Crashed)
    assert "SIGKILL" in crash.what
    assert "the last words" in crash.what


def test_a_task_whose_process_died_is_tried_once_more(tmp_path: Path, workers: Executor) -> None:
    assert dict(run_tasks(die_once, [str(tmp_path / "mark")], workers)) == {0: "mark"}


def test_a_task_beyond_its_time_is_stopped_and_the_others_finish(workers: Executor) -> None:
    results = dict(run_tasks(sleep, [30.0, 0.01, 0.02], workers, timeout=0.5))
    assert isinstance(results[0], OutOfTime)
    assert results[1] == 0.01
    assert results[2] == 0.02


def test_workers_use_one_thread(workers: Executor) -> None:
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"]
    assert set(dict(run_tasks(threads, names, workers)).values()) == {"1"}


def test_a_function_that_cannot_be_sent_is_refused_with_a_remedy(workers: Executor) -> None:
    with pytest.raises(RunFailure, match="importable module"):
        list(run_tasks(lambda number: number, [1], workers))


def test_closing_the_iterator_stops_the_workers(tmp_path: Path, workers: Executor) -> None:
    note = tmp_path / "pid"
    results = run_tasks(note_or_square, [1, str(note)], workers)
    next(results)
    _wait_for(note)
    results.close()  # type: ignore[attr-defined]
    _assert_gone(int(note.read_text()))


def test_tasks_run_in_the_folder_of_who_asks(tmp_path: Path, workers: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dict(run_tasks(touch, ["here"], workers))
    assert (tmp_path / "here").exists()


def test_a_worker_of_parsl_that_is_lost_costs_one_attempt(tmp_path: Path, parsl_workers: Executor) -> None:
    results = dict(run_tasks(kill_parent_once, [str(tmp_path / "mark")], parsl_workers))
    assert results == {0: "mark"}


def test_a_worker_that_does_not_see_the_folder_is_reported(
    tmp_path: Path, parsl_workers: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a node without the shared file system would find.
    far = tmp_path / "far"
    monkeypatch.setattr("halocline.execute.clusters.call_from_here", lambda *known: replace(call_from_here(*known), folder=far))
    with pytest.raises(RunFailure, match="does not see the folder"):
        list(run_tasks(square, [1], parsl_workers))


def test_parsl_starts_again_after_it_was_closed(tmp_path: Path) -> None:
    pytest.importorskip("parsl")
    executor = ParslWorkers(write_config(tmp_path, threads=True))
    for _ in range(2):
        assert dict(run_tasks(square, [3], executor)) == {0: 9}
        executor.close()
    executor.close()


START = {"local": "2", "parsl": "ParslWorkers(write_config(Path(sys.argv[2]), heartbeat=(1, 5)))"}
SCRIPT = """
import sys
from pathlib import Path
from halocline.execute.base import run_tasks
from halocline.execute.clusters import ParslWorkers
sys.path.insert(0, sys.argv[1])
from parsl_here import write_config
from small_tasks import note_and_sleep
list(run_tasks(note_and_sleep, [str(Path(sys.argv[2], "pid"))], {workers}))
"""
PLACES = ["local", pytest.param("parsl", marks=pytest.mark.slow)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, place: str, ending: signal.Signals) -> None:
    """Control-C goes to the whole group of processes, a kill to the parent alone."""
    if place == "parsl":
        pytest.importorskip("parsl")
    note = tmp_path / "pid"
    command = [sys.executable, "-c", SCRIPT.format(workers=START[place]), str(Path(__file__).parent), str(tmp_path)]
    parent = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    _wait_for(note)
    if ending == signal.SIGINT:
        os.killpg(parent.pid, ending)
    else:
        parent.kill()
    parent.wait(60)
    _assert_gone(int(note.read_text()))


def _wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists() and path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the worker did not start")


def _assert_gone(process: int) -> None:
    for _ in range(600):
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("the worker still runs")
