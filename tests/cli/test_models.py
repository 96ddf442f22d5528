"""``halocline models``, ``compile`` and ``train --budget``."""

from __future__ import annotations

import json
from pathlib import Path

import numba
import pytest
import torch

from halocline.cli import stages
from halocline.cli.main import run
from halocline.config.load import load_study
from halocline.models import shipped
from halocline.models.model import Model
from halocline.potentials import agreement

STORED = Path(__file__).parents[1] / "models" / "files"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    numba.set_num_threads(1)
    torch.set_num_threads(1)


@pytest.fixture
def some_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shipped models."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("schnet", "painn"):
        (folder / f"water-{name}.safetensors").write_bytes((STORED / f"format-1-{name}.safetensors").read_bytes())
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def test_every_shipped_model_loads_is_small_and_has_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert [model["name"] for model in listed] == list(shipped.shipped_models())
    for name, path in shipped.shipped_models().items():
        assert path.stat().st_size < 1_000_000, name
        card = Model.load(path).metadata["card"]
        assert {"purpose", "level_of_theory", "data", "errors", "learning_curve"} <= set(card), name


@pytest.mark.parametrize("there", [True, False])
def test_no_shipped_model_is_no_error(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "empty"
    if there:
        folder.mkdir()
    monkeypatch.setattr(shipped, "FOLDER", folder)
    assert run(["models"]) == 0
    assert "No models are shipped" in capsys.readouterr().out
    assert run(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"models": []}


def test_shipped_models_are_listed_with_one_line_each(some_shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "water-" in line]
    assert len(lines) == 2
    assert all("random weights" in line and "7 A" in line for line in lines)


def test_a_model_by_name_or_file_shows_its_card(some_shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for name in ("water-painn", str(some_shipped / "water-painn.safetensors")):
        assert run(["models", name]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].startswith("# water-painn\n")
    assert "| receptive field | 7 A |" in texts[0]
    assert run(["models", "water-painn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["heads"] == ["energy", "dipole", "polarizability"]


def test_a_copied_model_is_the_model(some_shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "water-schnet", "--copy", str(tmp_path / "mine.safetensors")]) == 0
    assert (tmp_path / "mine.safetensors").read_bytes() == (some_shipped / "water-schnet.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["water-nothing"], "no such model"),
        (["water-schnet", "--copy", "HERE/there.txt"], "exists"),
        (["water-schnet", "--copy", "HERE/none/there"], "no folder"),
        (["--copy", "HERE/there"], "no model is named"),
        (["HERE/there.txt"], "not a readable model file"),
    ],
)
def test_bad_requests_are_refused_in_three_parts(
    arguments: list[str], words: str, some_shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.txt").write_text("mine")
    assert run(["models", *(word.replace("HERE", str(tmp_path)) for word in arguments), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert words in error["what"]
    assert error["remedy"]
    assert (tmp_path / "there.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["schnet", "beads"])
def test_compile_calls_every_way_compares_and_times(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compile", str(STORED / f"format-1-{name}.safetensors"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kernel"]
    assert found["agreement"]["agrees"]
    assert found["agreement"]["force_error"] < 1e-5
    assert [item["way"].split(",")[0] for item in found["compiled"]] == [
        "all sites",
        "all sites with virial",
        "a subset",
        "weighted sites",
    ]
    times = {item["engine"]: item["microseconds"] for item in found["timings"]}
    assert 0 < times["kernel"] < times["torch"]
    assert found["sites"] == (648 if name == "schnet" else 216)


def test_compile_says_that_a_model_has_no_kernel(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from halocline.potentials import warm_up

    monkeypatch.setattr(warm_up, "kernel_of", lambda model: None)
    assert run(["compile", str(STORED / "format-1-painn.safetensors")]) == 0
    text = capsys.readouterr().out
    assert "'painn' has no kernel" in text
    assert " torch " in text
    assert " us " in text


def test_compile_fails_where_kernel_and_torch_disagree(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = agreement.Agreement(1e-3, 1e-6, 0.1, 1)
    monkeypatch.setattr(agreement, "compare_engines", lambda model, states: wrong)
    assert run(["compile", str(STORED / "format-1-schnet.safetensors")]) == 1
    assert "1.0e-03, NOT within 1e-05" in capsys.readouterr().out


def test_compile_refuses_models_that_have_nothing_to_run_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model.load(STORED / "format-1-schnet.safetensors")
    model.metadata["species"] = ["unobtainium"]
    model.save(tmp_path / "alien.safetensors")
    assert run(["compile", str(tmp_path / "alien.safetensors"), "--json"]) == 2
    assert "unobtainium" in json.loads(capsys.readouterr().out)["error"]["what"]
    whole = Model.load(STORED / "format-1-painn.safetensors")
    Model("atoms", whole.representation, ["dipole"], None, {"species": ["water"]}).save(tmp_path / "dipole.safetensors")
    assert run(["compile", str(tmp_path / "dipole.safetensors"), "--json"]) == 2
    assert "no energy" in json.loads(capsys.readouterr().out)["error"]["what"]


def test_a_budget_is_short_for_the_key_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new", "water"]) == 0
    seen = []
    monkeypatch.setattr(
        stages,
        "execute",
        lambda target, study, preset, assign, run, output: seen.append((target, study, preset, assign)),
    )
    assert run(["train", "water", "--set", "model.features=32", "--budget", "30min"]) == 0
    ((target, study, preset, assign),) = seen
    model = load_study(study, preset, assign).model
    assert (target, model.budget, model.features) == ("train", 1800.0, 32)
    assert run(["train", "water"]) == 0
    assert seen[1][3] == []
    monkeypatch.undo()
    capsys.readouterr()
    assert run(["train", str(tmp_path / "water"), "--budget", "a while", "--json"]) == 2
    assert "budget" in capsys.readouterr().out
