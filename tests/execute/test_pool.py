"""The pool: results, failures and deaths of tasks, and the end of the workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from halocline.errors import RunFailure, UserError
from halocline.execute.base import Crashed, OutOfTime, run_tasks


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


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_item_is_answered_once(workers: int) -> None:
    assert dict(run_tasks(square, [3, 4, 5], workers)) == {0: 9, 1: 16, 2: 25}


def test_no_items_is_no_work() -> None:
    assert list(run_tasks(square, [], 2)) == []


def test_an_exception_is_a_result_in_three_parts() -> None:
    results = dict(run_tasks(fail, [7], 1))
    error = results[0]
    assert isinstance(error, UserError)
    assert (error.what, error.where, error.remedy) == ("what", "where", "remedy 7")


def test_an_exception_that_cannot_be_pickled_becomes_a_run_failure() -> None:
    error = dict(run_tasks(fail_unpicklably, [7], 1))[0]
    assert isinstance(error, RunFailure)
    assert "LocalError: number 7" in error.what


def test_a_killed_worker_costs_only_its_own_task() -> None:
    results = dict(run_tasks(die_at_three, list(range(8)), 2))
    assert {index: value for index, value in results.items() if index != 3} == {n: n * n for n in range(8) if n != 3}
    crash = results[3]
    assert isinstance(crash, Crashed)
    assert "SIGKILL" in crash.what
    assert "the last words" in crash.what


def test_a_task_whose_process_died_is_tried_once_more(tmp_path: Path) -> None:
    assert dict(run_tasks(die_once, [str(tmp_path / "mark")], 1)) == {0: "mark"}


def test_a_task_beyond_its_time_is_stopped_and_the_others_finish() -> None:
    results = dict(run_tasks(sleep, [30.0, 0.01, 0.02], 2, timeout=0.5))
    assert isinstance(results[0], OutOfTime)
    assert results[1] == 0.01
    assert results[2] == 0.02


def test_workers_use_one_thread() -> None:
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"]
    assert set(dict(run_tasks(threads, names, 1)).values()) == {"1"}


def test_a_function_that_cannot_be_sent_is_refused_with_a_remedy() -> None:
    with pytest.raises(RunFailure, match="importable module"):
        list(run_tasks(lambda number: number, [1], 1))


def test_closing_the_iterator_stops_the_workers(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    results = run_tasks(note_or_square, [1, str(note)], 2)
    next(results)
    _wait_for(note)
    results.close()
    _assert_gone(int(note.read_text()))


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += f"from test_pool import note_and_sleep, run_tasks\nlist(run_tasks(note_and_sleep, [{str(note)!r}], 1))"
    parent = subprocess.Popen([sys.executable, "-c", code])
    _wait_for(note)
    parent.kill()
    parent.wait()
    _assert_gone(int(note.read_text()))


def note_or_square(item: int | str) -> int | None:
    return square(item) if isinstance(item, int) else note_and_sleep(item)


def _wait_for(path: Path) -> None:
    for _ in range(300):
        if path.exists() and path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the worker did not start")


def _assert_gone(process: int) -> None:
    for _ in range(100):
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("the worker still runs")
