"""Damage, locks, full disks and errors: a run folder loses nothing, and two runs never mix."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest
from toy_runs import runner, tallies, tally
from toy_stages import Build, Label

from halocline.errors import HaloclineError, RunFailure, UserError
from halocline.stages.run_folder import RunFolder


@pytest.mark.parametrize("damage", ["changed", "missing", "truncated result", "not json"])
def test_a_damaged_result_is_noticed_and_made_again(tmp_path: Path, damage: str) -> None:
    runner(tmp_path).run("simulate")
    output, result = tmp_path / "02-label" / "out.txt", tmp_path / "02-label" / "result.json"
    before = output.read_text()
    if damage == "changed":
        output.write_text("something else")
    elif damage == "missing":
        output.unlink()
    elif damage == "truncated result":
        result.write_text(result.read_text()[:100])
    else:
        result.write_text('{"format": 1}')
    runner(tmp_path).run("simulate")
    assert output.read_text() == before
    assert tallies(tmp_path) == [1, 2, 1, 0], "the same output again leaves later stages current"
    assert tally(tmp_path, "02-label", "pieces") == 10, "whole pieces are kept"
    aside = [path.read_text() for path in (tmp_path / "superseded").glob("02-label.changed-*/out.txt")]
    assert aside == (["something else"] if damage == "changed" else []), "what a person may have changed is never deleted"


def test_a_second_run_in_the_same_folder_is_refused_with_the_process_that_owns_it(tmp_path: Path) -> None:
    with RunFolder(tmp_path).lock():
        with pytest.raises(UserError) as caught:
            runner(tmp_path).run("build")
        assert caught.value.exit_code == 2
        assert str(os.getpid()) in caught.value.what
        assert str(tmp_path) in caught.value.where
        assert "--run" in caught.value.remedy
    runner(tmp_path).run("build")


def test_a_lock_of_a_dead_process_is_taken_over_even_when_its_number_is_used_again(tmp_path: Path) -> None:
    import socket

    lock = {"pid": os.getpid(), "host": socket.gethostname(), "started": 12345, "since": "2020"}
    (tmp_path / "lock.json").write_text(json.dumps(lock))
    runner(tmp_path).run("build")
    lock["host"] = "elsewhere"
    (tmp_path / "lock.json").write_text(json.dumps(lock))
    with pytest.raises(UserError, match="elsewhere"):
        runner(tmp_path).run("build")


def test_a_half_written_lock_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text('{"pid": 1')
    runner(tmp_path).run("build")


def test_a_full_disk_is_a_failure_that_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Label, context: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "piece-3")

    with monkeypatch.context() as patch:
        patch.setattr(Label, "text", full)
        with pytest.raises(RunFailure) as caught:
            runner(tmp_path).run("label")
    assert caught.value.exit_code == 1
    assert "No space left" in caught.value.what
    assert caught.value.where == "piece-3"
    assert "finished work is kept" in caught.value.remedy
    runner(tmp_path).run("label")
    assert tallies(tmp_path)[:2] == [1, 2]


def test_a_real_full_disk_loses_nothing(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with open(tmp_path / "ballast", "wb") as file:
            file.write(b"x" * 40_000)
        with pytest.raises(RunFailure) as caught:
            runner(tmp_path).run("validate")
        assert "No space left" in caught.value.what
        (tmp_path / "ballast").unlink()
        finished = [step.name for step in runner(tmp_path).plan("validate") if step.state == "finished"]
        subprocess.run(["mount", "-o", "remount,size=4m", str(tmp_path)], check=True)
        runner(tmp_path).run("validate")
        assert all(tallies(tmp_path)[("build", "label", "simulate", "validate").index(name)] == 1 for name in finished)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_an_unexpected_exception_is_a_failure_with_the_traceback_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Build, "text", lambda self, context: 1 / 0)
    with pytest.raises(RunFailure, match="unexpected ZeroDivisionError") as caught:
        runner(tmp_path).run("build")
    assert str(tmp_path / "halocline.log") in caught.value.remedy
    assert "Traceback" in (tmp_path / "halocline.log").read_text()
    assert RunFolder(tmp_path).events()[-1]["event"] == "run stopped"


def test_a_stage_that_ends_without_a_declared_output_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Build.run

    def forgetful(self: Build, context: object) -> object:
        result = original(self, context)  # type: ignore[arg-type]
        (context.folder / "out.txt").unlink()  # type: ignore[attr-defined]
        return result

    monkeypatch.setattr(Build, "run", forgetful)
    with pytest.raises(RunFailure, match=r"without its output out\.txt"):
        runner(tmp_path).run("build")
    assert runner(tmp_path).plan("build")[0].state == "partial"


def test_the_event_log_survives_half_a_line(tmp_path: Path) -> None:
    runner(tmp_path).run("build")
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('{"time": "now", "eve')
    runner(tmp_path).run("build")
    kinds = [event["event"] for event in RunFolder(tmp_path).events()]
    assert kinds == ["run started", "stage started", "stage finished", "run finished", "run started", "run finished"]


def test_every_error_of_the_runner_has_three_parts(tmp_path: Path) -> None:
    with pytest.raises(HaloclineError) as caught:
        runner(tmp_path).run("bild")
    assert all([caught.value.what, caught.value.where, caught.value.remedy])
