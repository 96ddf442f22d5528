"""``halocline evaluate`` measures what is in the run folder, on held-out labels alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from random_models import random_model, water_box

from halocline.cli.main import run
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.files import write_json
from halocline.models.model import Model
from halocline.models.painn import PaiNN
from halocline.potentials import agreement
from halocline.reference.analytic import AnalyticEngine
from halocline.results import StageResult
from halocline.stages.run_folder import RunFolder
from halocline.stages.runner import Runner
from halocline.state import State

FILES = {
    "build": {"box": "box.h5"},
    "label": {"boxes": "boxes.h5", "clusters": "clusters.h5"},
    "inspect": {"split": "split.json"},
    "train": {"atomistic": "atomistic.safetensors", "multipoles": "multipoles.safetensors", "coarse": "coarse.safetensors"},
}


def labelled(states: list[State], quantities: list[str], names: list[str]) -> list[Frame]:
    engine = AnalyticEngine()
    return [Frame(state, engine.compute(state, quantities), "", name, engine.level()) for state, name in zip(states, names)]


def store(path: Path, frames: list[Frame]) -> None:
    with Dataset.create(path) as dataset:
        dataset.extend(frames)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose stages up to ``train`` are finished, with random weights."""
    (tmp_path / "study.yaml").write_text("study: test")
    folder = RunFolder(tmp_path / "run")
    for name in FILES:
        folder.stage(name).mkdir(parents=True)
    boxes = [water_box(32, seed) for seed in range(6)]
    store(folder.stage("build") / "box.h5", [Frame(water_box(64, 9), trajectory="box")])
    names = ["a", "a", "b", "b", "c", "c"]
    store(folder.stage("label") / "boxes.h5", labelled(boxes, ["energy", "forces"], names))
    clusters = [box.select([0, 1]).isolated() for box in boxes]
    store(folder.stage("label") / "clusters.h5", labelled(clusters, ["energy", "dipole", "polarizability"], list("abcdef")))
    write_json(folder.stage("inspect") / "split.json", {"a": "train", "b": "valid", "c": "test"})
    torch.manual_seed(1)
    models = folder.stage("train")
    random_model("atoms").save(models / "atomistic.safetensors")
    random_model("beads").save(models / "coarse.safetensors")
    Model("atoms", PaiNN([1, 8], 16, 2, 4.0), ["dipole", "polarizability"], None, {"species": ["water"]}).save(
        models / "multipoles.safetensors"
    )

    def finished(self: Runner, target: str = "report") -> None:
        for name, files in FILES.items():
            self.done[name] = folder.complete(name, "inputs", StageResult("done", files=files), 1.0, 1.0)

    monkeypatch.setattr(Runner, "run", finished)
    return tmp_path


def test_errors_are_those_of_held_out_frames_and_kernels_agree(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(trained), "--run", str(trained / "run"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    (atomistic,) = [numbers for name, numbers in data["errors"].items() if "2 frames of held-out" in name]
    by_name = {number["name"]: number for number in atomistic}
    model = Model.load(trained / "run" / "04-train" / "atomistic.safetensors")
    held_out = list(Dataset.open(trained / "run" / "02-label" / "boxes.h5"))[4:]
    delta = [model.energy_and_forces(model.graph(frame.state))[1].double().numpy() - frame.labels["forces"] for frame in held_out]
    rmse = 1000 * np.sqrt(np.mean(np.concatenate(delta) ** 2))
    assert by_name["force error (RMSE by component)"]["value"] == pytest.approx(rmse, rel=1e-4)
    assert by_name["force error (RMSE by component)"]["error"] > 0
    assert {role: item["agrees"] for role, item in data["agreement"].items()} == {"atomistic": True, "coarse": True}
    assert max(item["force_error"] for item in data["agreement"].values()) < 1e-5


def test_disagreement_of_the_kernel_is_exit_code_1(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(agreement, "TOLERANCE", 1e-12)
    assert run(["evaluate", str(trained), "--run", str(trained / "run")]) == 1
    assert "no" in capsys.readouterr().out.split("agrees")[1]
