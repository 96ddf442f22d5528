"""The inspect stage divides sound data by trajectory and refuses the rest before anything is trained."""

import json
from dataclasses import replace

import numpy as np
import pytest

from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure, UserError
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.results import StageResult
from halocline.stages.base import Context
from halocline.stages.inspect import InspectStage
from halocline.state import State

LEVEL = {"engine": "toy"}


def box(seed: int, trajectory: str, temperature: float) -> Frame:
    rng = np.random.default_rng(seed)
    geometry = np.array(WATER.geometry) * 1.03
    corners = np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3) * 4.0
    positions = np.concatenate([corner + geometry @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for corner in corners])
    state = State(positions, np.eye(3) * 8, build_topology([(WATER, 8)]), info={"temperature": temperature})
    forces = rng.normal(size=(24, 3))
    labels = {"energy": np.array(-3760.0 + rng.normal(0, 0.1)), "forces": forces - forces.mean(axis=0)}
    return Frame(state, labels, trajectory=trajectory, level=LEVEL)


def boxes(trajectories: int = 8, each: int = 4) -> list[Frame]:
    return [
        box(100 * run + step, f"{300 + 70 * (run % 2)} K, run {run}", 300.0 + 70 * (run % 2))
        for run in range(trajectories)
        for step in range(each)
    ]


def clusters(of: list[Frame]) -> list[Frame]:
    made = []
    for index, frame in enumerate(of):
        labels = {"dipole": np.random.default_rng(index).normal(size=3), "polarizability": np.eye(3) * (1.4 + 0.01 * (index % 5))}
        made.append(Frame(frame.state.select([index % 8]).isolated(), labels, "", frame.trajectory, {"engine": "other"}))
    return made


def context(tmp_path, box_frames: list[Frame], cluster_frames: list[Frame], **dataset: object) -> Context:
    label = tmp_path / "label"
    for name, frames in (("boxes.h5", box_frames), ("clusters.h5", cluster_frames)):
        with Dataset.create(label / name) as store:
            store.extend(frames)
    (tmp_path / "inspect").mkdir()
    labelled = StageResult("", files={"boxes": "boxes.h5", "clusters": "clusters.h5"})
    return Context(Study(dataset=dataset), tmp_path / "inspect", {"label": label}, {"label": labelled})


def test_sound_data_is_divided_by_trajectory_over_both_temperatures(tmp_path):
    frames = boxes()
    place = context(tmp_path, frames, clusters(frames[::2]), valid="25 %", test="25 %")
    result = InspectStage().run(place)
    split = json.loads((place.folder / result.files["split"]).read_text())
    assert set(split) == {frame.trajectory for frame in frames}
    assert sorted(split.values()) == ["test"] * 2 + ["train"] * 4 + ["valid"] * 2
    for part in ("test", "valid"):
        assert {name[:5] for name, value in split.items() if value == part} == {"300 K", "370 K"}
    table = next(table for table in result.tables if table.key == "inspect-split")
    assert [list(row[:4]) for row in table.rows] == [["train", "4", "16", "8"], ["valid", "2", "8", "4"], ["test", "2", "8", "4"]]
    assert result.number("warnings").value == 0
    assert result.number("trajectories").value == 8
    rms = result.number("root mean square force")
    assert rms.value == pytest.approx(1.0, abs=0.05)
    assert rms.error is not None
    assert 0 < rms.error < 0.05
    energy = next(figure for figure in result.figures if figure.key == "inspect-energy")
    assert sum(len(series.x) for series in energy.series) == 32
    assert StageResult.from_json(json.loads(json.dumps(result.to_json()))).files == result.files
    (place.folder / "split.json").unlink()
    assert InspectStage().run(place).to_json() == result.to_json()
    assert json.loads((place.folder / "split.json").read_text()) == split


def test_the_split_does_not_depend_on_the_order_of_the_labels(tmp_path):
    frames = boxes()
    results = []
    for name, order in (("a", frames), ("b", frames[::-1])):
        place = context(tmp_path / name, order, clusters(frames))
        InspectStage().run(place)
        results.append((place.folder / "split.json").read_text())
    assert results[0] == results[1]


def test_bad_labels_stop_the_study_and_are_all_written_down(tmp_path):
    frames = boxes()
    frames[3] = replace(frames[3], level={"engine": "someone else's"}, key="")
    frames[5] = replace(frames[5], labels={**frames[5].labels, "charges": np.zeros(24)})
    place = context(tmp_path, frames, clusters(frames))
    with pytest.raises(RunFailure, match="levels of theory are mixed") as caught:
        InspectStage().run(place)
    assert "1 more errors" in caught.value.what
    assert caught.value.exit_code == 1
    written = json.loads((place.folder / "findings.json").read_text())
    assert [finding["severity"] for finding in written] == ["error", "error"]
    assert not (place.folder / "split.json").exists()


def test_warnings_are_shown_and_do_not_stop(tmp_path):
    frames = boxes()
    frames[9] = replace(frames[9], labels={**frames[9].labels, "energy": np.array(-3755.0)})
    place = context(tmp_path, frames, clusters(frames))
    result = InspectStage().run(place)
    assert result.number("warnings").value == 1
    assert "1 warnings" in result.summary
    table = next(table for table in result.tables if table.key == "inspect-findings")
    assert "outliers" in table.rows[0][0]


def test_an_empty_dataset_and_too_few_trajectories_are_refused(tmp_path):
    with pytest.raises(RunFailure, match="it holds no frame"):
        InspectStage().run(context(tmp_path / "a", [], clusters(boxes())))
    few = boxes(2)
    with pytest.raises(UserError, match="2 trajectories cannot give"):
        InspectStage().run(context(tmp_path / "b", few, clusters(few)))
    frames = boxes()
    with pytest.raises(RunFailure, match=r"none of 1 clusters is in the part '(train|valid|test)'") as caught:
        InspectStage().run(context(tmp_path / "c", frames, clusters(frames[:1])))
    assert "multipoles.clusters" in caught.value.remedy
