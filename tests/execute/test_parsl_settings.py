"""What is wrong with the section ``execute`` is found before any work, in three parts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from parsl_here import write_config

from halocline.config.load import load_study
from halocline.errors import UserError
from halocline.execute.base import make_executor
from halocline.execute.clusters import ParslWorkers
from halocline.execute.pool import LocalPool
from halocline.stages.preflight import preflight


def study_file(folder: Path, execute: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(f"study: water\npreset: tiny\nexecute: {execute}\n")
    return path


def refusal(folder: Path, execute: str) -> UserError:
    with pytest.raises(UserError) as caught:
        preflight(load_study(study_file(folder, execute)))
    assert caught.value.what
    assert caught.value.where
    assert caught.value.remedy.endswith(".")
    return caught.value


def test_tasks_run_on_this_machine_unless_told_otherwise(tmp_path: Path) -> None:
    executor = make_executor(load_study(study_file(tmp_path, "{workers: 3}")).execute)
    assert isinstance(executor, LocalPool)
    assert executor.workers == 3


def test_the_configuration_is_looked_for_beside_the_study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("parsl")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "water").mkdir()
    write_config(tmp_path / "water")
    study_file(tmp_path / "water", "{executor: parsl, parsl: parsl_config.py}")
    monkeypatch.chdir(tmp_path / "elsewhere")
    study = load_study(Path("../water"))
    preflight(study)
    executor = make_executor(study.execute)
    assert isinstance(executor, ParslWorkers)
    assert executor.file is not None
    assert executor.file.is_absolute()


def test_an_unknown_executor_is_refused_with_the_closest(tmp_path: Path) -> None:
    assert "Did you mean 'parsl'?" in refusal(tmp_path, "{executor: parsel}").remedy


def test_a_missing_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "parsl" else found(name, *more))
    write_config(tmp_path)
    error = refusal(tmp_path, "{executor: parsl, parsl: parsl_config.py}")
    assert "not installed" in error.what
    assert "halocline[clusters]" in error.remedy


@pytest.mark.parametrize(
    ("execute", "text", "words"),
    [
        ("{executor: parsl}", None, "names no file"),
        ("{executor: parsl, parsl: missing.py}", None, "there is no file"),
        ("{executor: parsl, parsl: config.py}", "import parsl", "defines no config"),
        ("{executor: parsl, parsl: config.py}", "config = {}", "defines config as dict"),
        ("{executor: parsl, parsl: config.py}", "import parsl\nconfig = parsl.Confg()", "AttributeError"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(tmp_path: Path, execute: str, text: str | None, words: str) -> None:
    pytest.importorskip("parsl")
    if text is not None:
        (tmp_path / "config.py").write_text(text)
    assert words in refusal(tmp_path, execute).what
