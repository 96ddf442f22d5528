"""Model files of every format that ever was still give the numbers stored beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from halocline.errors import UserError
from halocline.models import model as model_module
from halocline.models.model import FORMAT_VERSION, Model
from halocline.models.upgrades import UPGRADES, upgrade
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State

FILES = [path for path in sorted((Path(__file__).parent / "files").glob("*.safetensors")) if path.with_suffix(".json").exists()]


def predictions(model: Model, state: State) -> dict[str, np.ndarray]:
    graph = model.convert(torch.float64).graph(state)
    energy, forces, virial = model.energy_forces_virial(graph)
    found = {"energy": energy, "forces": forces, "virial": virial, **{k: v for k, v in model(graph).items() if k != "energy"}}
    return {name: value.detach().double().numpy().ravel() for name, value in found.items()}


def stored_version(path: Path) -> int:
    with safetensors.safe_open(str(path), framework="pt") as archive:
        return int(json.loads(archive.metadata()["halocline"])["format_version"])


def test_every_format_has_stored_files_of_every_kind() -> None:
    assert {stored_version(path) for path in FILES} == set(range(1, FORMAT_VERSION + 1))
    assert all(path.name.startswith(f"format-{stored_version(path)}-") for path in FILES)
    kinds = [(Model.load(path).kind, Model.load(path).representation.name) for path in FILES if stored_version(path) == FORMAT_VERSION]
    assert {("atoms", "schnet"), ("atoms", "painn"), ("beads", "schnet")} <= set(kinds)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_stored_files_give_the_stored_numbers(path: Path) -> None:
    cases = json.loads(path.with_suffix(".json").read_text())
    assert {case["edge"] is None for case in cases} == {True, False}, "a periodic box and a cluster"
    for case in cases:
        positions = np.array(case["positions"])
        cell = np.eye(3) * (case["edge"] or 0.0)
        state = State(positions, cell, build_topology([(WATER, len(positions) // 3)]), periodic=case["edge"] is not None)
        found = predictions(Model.load(path), state)
        assert np.abs(case["expected"]["forces"]).max() > 1e-3
        for name, expected in case["expected"].items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-10, err_msg=name)


def test_an_upgraded_file_holds_the_same_model_when_saved_again(tmp_path: Path) -> None:
    for path in FILES:
        Model.load(path).save(tmp_path / path.name)
        again, first = Model.load(tmp_path / path.name), Model.load(path)
        assert stored_version(tmp_path / path.name) == FORMAT_VERSION
        assert again.metadata == first.metadata
        assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), first.state_dict().values(), strict=True))


def test_every_step_between_formats_has_a_function() -> None:
    assert set(UPGRADES) == set(range(1, FORMAT_VERSION))


def test_steps_are_applied_in_order_up_to_the_newest_format(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(name: str):
        def apply(header: dict, tensors: dict[str, Tensor], where: str):
            assert where == "here"
            return {**header, "steps": [*header.get("steps", []), name]}, {**tensors, name: torch.ones(())}

        return apply

    for version in (7, 8, 9):
        monkeypatch.setitem(UPGRADES, version, step(f"from {version}"))
    original: dict = {"format_version": 7}
    header, tensors = upgrade(original, {}, 9, "here")
    assert header == {"format_version": 9, "steps": ["from 7", "from 8"]}
    assert list(tensors) == ["from 7", "from 8"]
    assert original == {"format_version": 7}
    assert upgrade({"format_version": 9}, {}, 9, "here") == ({"format_version": 9}, {})


@pytest.mark.parametrize(
    ("version", "words"), [(10, "newer than this program's"), (6, "format 6 cannot be turned"), (0, "none"), ("1", "none"), (None, "none")]
)
def test_formats_without_a_way_to_the_newest_are_refused(version: object, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(UPGRADES, 6, raising=False)
    with pytest.raises(UserError, match=words):
        upgrade({"format_version": version}, {}, 9, "here")


def test_a_file_of_the_next_format_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / "next.safetensors", Model.load(FILES[0])
    with monkeypatch.context() as newer:
        newer.setattr(model_module, "FORMAT_VERSION", FORMAT_VERSION + 1)
        model.save(path)
    with pytest.raises(UserError, match=f"format {FORMAT_VERSION + 1} is newer"):
        Model.load(path)
