"""A file is either the old one or the new one, and a place that cannot be written is said in three parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from halocline.cli.main import run
from halocline.errors import RunFailure
from halocline.files import atomic_path, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "data.txt"
    write_text(file, "old")
    with pytest.raises(UnicodeEncodeError), atomic_path(file) as temporary:
        temporary.write_text("half of the ne\ud800", encoding="utf-8")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_a_failure_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file" / "data.txt", tmp_path / "file" / "deeper" / "data.txt"):
        with pytest.raises(RunFailure) as caught:
            write_text(place, "new")
        assert str(tmp_path / "file") in caught.value.where
        assert caught.value.remedy
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.parametrize("command", ["new water FILE", "build STUDY --run FILE", "build STUDY --run FILE/run"])
def test_a_folder_that_is_a_file_gives_three_parts(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "FILE").write_text("mine")
    (tmp_path / "STUDY").mkdir()
    (tmp_path / "STUDY" / "study.yaml").write_text("study: test")
    words = [word.replace("FILE", str(tmp_path / "FILE")).replace("STUDY", str(tmp_path / "STUDY")) for word in command.split()]
    assert run(words) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["error", "where", "remedy"]
    assert (tmp_path / "FILE").read_text() == "mine"
