"""The command as a person and as a program use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_stages import toy_stages

from halocline.cli.main import run
from halocline.config.load import load_study
from halocline.stages import runner as runner_module
from halocline.stages.run_folder import RunFolder

VERBS = (
    "doctor", "new", "list", "check", "run", "build", "label", "inspect", "train", "evaluate", "calibrate", "simulate", "validate",
    "report", "status", "explain", "schema", "export-force",
)  # fmt: skip


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study folder as ``halocline new`` makes it."""
    monkeypatch.chdir(tmp_path)
    assert run(["new", "water"]) == 0
    return tmp_path / "water"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that take no time."""
    monkeypatch.setattr(runner_module, "load_stages", toy_stages)


def parts(text: str) -> dict[str, str]:
    """The three parts of an error as printed for people."""
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(("error ", "where ", "remedy "))}


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f" {verb} " in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_help_appears_at_once() -> None:
    command = [sys.executable, "-c", "from halocline.cli.main import main; main()", "--help"]
    best = min(_cpu_time(command) for _ in range(3))
    assert best < 1.0, f"{best:.2f} s of processor time"


def _cpu_time(command: list[str]) -> float:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_new_writes_a_short_commented_study_that_loads(study: Path) -> None:
    lines = (study / "study.yaml").read_text().splitlines()
    assert len(lines) <= 30
    assert sum("#" in line for line in lines) >= 5
    assert load_study(study).system.molecules == {"water": 400}
    assert (study / "README.md").exists()


def test_new_never_overwrites(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "study.yaml").write_text("study: mine")
    assert run(["new", "water"]) == 2
    assert (study / "study.yaml").read_text() == "study: mine"
    assert "not touched" in parts(capsys.readouterr().err)["error"]


def test_new_full_holds_every_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new", "water", "all", "--full"]) == 0
    assert "compressibility:" in (tmp_path / "all" / "study.yaml").read_text()


def test_the_example_is_the_template() -> None:
    root = Path(__file__).parents[2]
    template = root / "src" / "halocline" / "cli" / "templates" / "water.yaml"
    assert (root / "examples" / "01-water" / "study.yaml").read_text() == template.read_text()


def test_explain_tells_meaning_default_and_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "regions.transition"]) == 0
    text = capsys.readouterr().out
    assert "interaction range" in text
    assert "tiny" in text
    assert run(["explain", "regions.transition", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["keys"]
    assert entry["default"].endswith(" A")


def test_schema_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Study"


def test_list_names_parts_with_a_sentence_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"molecules", "engines", "models", "heads", "regions", "reservoirs", "couplings", "observables", "executors"}
    assert all(entry["summary"] for entries in found.values() for entry in entries)
    assert run(["list", "engines"]) == 0
    assert "tblite" in capsys.readouterr().out
    assert run(["list", "engine"]) == 2


def test_doctor_names_every_part_and_a_remedy_for_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    findings = {item["name"]: item for item in json.loads(capsys.readouterr().out)["findings"]}
    packages = {"numba", "tblite", "pyscf", "dftd4", "openmm", "packmol", "parsl"}
    assert set(findings) == {"python", "torch", "threads", "kernel threads", "cp2k", "SLURM", *packages}
    assert all(item["ok"] or item["remedy"] for item in findings.values())


@pytest.mark.parametrize(("module", "package"), [("tblite", "tblite"), ("torch", "torch"), ("packmol.cli", "packmol")])
def test_doctor_fails_when_a_required_part_is_missing(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert run(["doctor"]) == 1
    assert f"pip install {package}" in capsys.readouterr().out


def test_run_ends_with_results_and_status_shows_them(study: Path, toys: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(study), "--preset", "tiny"]) == 0
    shown = capsys.readouterr()
    assert "validate: validate wrote" in shown.out
    assert "build: started" in shown.err, "plain lines when nobody watches"
    assert "\x1b" not in shown.out + shown.err
    assert run(["status", str(study), "--preset", "tiny", "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [name for name, stage in stages.items() if stage["state"] == "finished"] == ["build", "label", "simulate", "validate"]


def test_json_prints_one_object_and_nothing_else_on_stdout(study: Path, toys: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", str(study), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["stages"]["label"]["summary"].startswith("label wrote")
    assert Path(data["files"]["out"]).exists()


def test_set_changes_one_key(study: Path, toys: None) -> None:
    assert run(["build", str(study), "--set", "system.seed=5", "--run", str(study / "r")]) == 0
    assert "seed=5" in (study / "r" / "01-build" / "out.txt").read_text()


def test_check_shows_plan_costs_and_label_counts_and_changes_nothing(study: Path, toys: None, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(study.rglob("*"))
    command = ["check", str(study), "--preset", "tiny"]
    assert run(command) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("build", "toy label", "to do", "droplets", "clusters", "Run folder"))
    assert run([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["cpu_seconds"] == pytest.approx(4.0)
    assert sorted(study.rglob("*")) == before


def test_status_without_a_run_says_how_to_start_one(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(study)]) == 2
    assert "halocline run" in parts(capsys.readouterr().err)["remedy"]


def test_presets_never_share_a_run_folder(study: Path, toys: None) -> None:
    assert run(["build", str(study), "--preset", "tiny"]) == 0
    assert run(["build", str(study)]) == 0
    assert sorted(path.name for path in (study / "runs").iterdir()) == ["water", "water-tiny"]


BAD = [
    (["chek"], "command line"),
    (["run", "--presett", "tiny"], "command line"),
    (["explain"], "command line"),
    (["check", "nothing.yaml"], "nothing.yaml"),
    (["check", "water", "--preset", "huge"], "--preset"),
    (["check", "water", "--set", "model.cutof=5 A"], "--set: model.cutof"),
    (["check", "water", "--set", "model.cutoff=5 fs"], "--set: model.cutoff"),
    (["check", "water", "--set", "model.cutoff=9 A"], "study file: model.cutoff"),
    (["check", "water", "--set", "regions.atomistic=20 A"], "study file: regions"),
    (["check", "water", "--set", "regions.transition=5 A"], "study file: regions.transition"),
    (["check", "water", "--set", "reference.quantities=[energy, forces, polarizability]"], "study file: reference.quantities"),
    (["check", "water", "--set", "dataset.frames=0"], "--set: dataset.frames"),
]


@pytest.mark.parametrize(("arguments", "where"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_wrong_input_gives_three_parts_and_exit_code_2(
    study: Path, arguments: list[str], where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert where in parts(shown.err)["where"]
    assert set(parts(shown.err)) == {"error", "where", "remedy"}
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert run([*arguments, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == 2
    assert all(error[key] for key in ("what", "where", "remedy"))


def test_a_failed_stage_gives_three_parts_exit_code_1_and_a_log(
    study: Path, toys: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_stages as toys_module

    monkeypatch.setattr(toys_module.Label, "text", lambda self, context: 1 / 0)
    folder = study / "r"
    assert run(["label", str(study), "--run", str(folder)]) == 1
    shown = capsys.readouterr().err
    assert set(parts(shown)) == {"error", "where", "remedy"}
    assert "Traceback" not in shown
    assert "ZeroDivisionError" in (folder / "halocline.log").read_text()
    assert run(["status", str(study), "--run", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["label"]["state"] == "failed"


def test_a_second_run_in_the_same_folder_is_exit_code_2(study: Path, toys: None, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study / "r"
    with RunFolder(folder).lock():
        assert run(["build", str(study), "--run", str(folder)]) == 2
    assert str(os.getpid()) in parts(capsys.readouterr().err)["error"]


def test_an_interrupt_is_said_in_one_line(
    study: Path, toys: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_stages as toys_module

    def interrupt(self: object, context: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(toys_module.Build, "text", interrupt)
    assert run(["build", str(study)]) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_bars_on_a_terminal_may_nest() -> None:
    import io

    from rich.console import Console

    from halocline.cli.output import Terminal

    stream = io.StringIO()
    terminal = Terminal(Console(file=stream, force_terminal=True, width=100, highlight=False))
    with terminal.task("outer", 2) as outer:
        with terminal.task("inner", 10, done=5) as inner:
            inner.advance(5)
            inner.note("loss 0.1")
            terminal.log("a line above the bars [not markup]")
            time.sleep(0.15)
        outer.advance()
    text = stream.getvalue()
    assert "outer" in text
    assert "inner" in text
    assert "[not markup]" in text
