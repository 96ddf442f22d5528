"""A dataset returns exactly what was put in."""

import json
import os
import pickle
import time

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_frames import LEVEL, assert_same, water_frame

from halocline.datasets.frame import Frame, configuration_key, frame_key
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure
from halocline.state import State


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    molecules=st.integers(1, 4),
    periodic=st.booleans(),
    labels=st.booleans(),
    velocities=st.booleans(),
    closed=st.booleans(),
)
def test_a_frame_comes_back_bit_for_bit(tmp_path, seed, molecules, periodic, labels, velocities, closed):
    path = tmp_path / f"{time.monotonic_ns()}.h5"
    frame = water_frame(seed, molecules, periodic, labels, velocities)
    dataset = Dataset.create(path)
    assert dataset.append(frame)
    if closed:
        dataset.close()
        assert os.listdir(tmp_path).count(path.name + ".journal") == 0
    assert_same(Dataset.open(path)[0], frame)


def test_frames_keep_their_order_over_several_sessions(tmp_path):
    frames = [water_frame(seed, molecules=1 + seed % 2) for seed in range(12)]
    for start in range(0, 12, 4):
        with Dataset.resume(tmp_path / "a.h5") as dataset:
            assert dataset.extend(frames[start : start + 4]) == 4
            assert dataset.extend(frames[start : start + 4]) == 0
            assert len(dataset) == start + 4
    dataset = Dataset.open(tmp_path / "a.h5")
    for stored, frame in zip(dataset, frames, strict=True):
        assert_same(stored, frame)
    assert_same(dataset[-1], frames[-1])
    assert dataset.keys() == {frame.key for frame in frames}
    assert dataset.trajectories == [frame.trajectory for frame in frames]
    with pytest.raises(IndexError, match="frame 12 of 12"):
        dataset[12]
    assert os.listdir(tmp_path) == ["a.h5"]


def test_units_and_origins_are_written_beside_the_numbers_and_the_level_once(tmp_path):
    with Dataset.create(tmp_path / "a.h5") as dataset:
        dataset.extend([water_frame(seed, velocities=True) for seed in range(3)])
    with h5py.File(tmp_path / "a.h5") as file:
        group = file["frames/00000001"]
        units = {name: group[name].attrs["unit"] for name in ("positions", "cell", "velocities", "labels/forces", "labels/dipole")}
        assert units == {"positions": "A", "cell": "A", "velocities": "A/fs", "labels/forces": "eV/A", "labels/dipole": "e A"}
        assert group["labels/dipole"].attrs["origin"] == "centre of mass"
        assert [json.loads(level.attrs["json"]) for level in file["levels"].values()] == [LEVEL]
        assert len(file["topologies"]) == 1


def test_the_key_depends_on_the_content_and_on_nothing_else():
    frame = water_frame(1, labels=False)
    moved = frame.state.with_positions(frame.state.positions + 1e-12)
    assert configuration_key(frame.state) == frame.key == water_frame(1, labels=False, velocities=False).key
    assert configuration_key(moved) != frame.key
    assert configuration_key(State(frame.state.positions, frame.state.cell, frame.state.topology, periodic=False)) != frame.key
    assert frame_key(frame.state, LEVEL) != frame.key
    assert frame_key(frame.state, LEVEL) != frame_key(frame.state, {**LEVEL, "version": "2"})
    assert frame_key(frame.state, LEVEL) == frame_key(frame.state, dict(reversed(LEVEL.items())))
    negative_zero = frame.state.with_positions(np.zeros_like(frame.state.positions) * -1.0)
    assert configuration_key(negative_zero) == configuration_key(negative_zero.with_positions(np.zeros_like(frame.state.positions)))


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path):
    first = Dataset.create(tmp_path / "a.h5")
    first.append(water_frame(0))
    second = Dataset.open(tmp_path / "a.h5")
    assert len(second) == 1
    with pytest.raises(RunFailure, match="another process is writing"):
        second.append(water_frame(1))
    first.close()
    assert second.append(water_frame(1))
    second.close()
    assert len(Dataset.open(tmp_path / "a.h5")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"energy": np.array(np.nan)}}, "NaN"),
        ({"labels": {"energy": np.zeros(2)}}, "shape"),
        ({"labels": {"enthalpy": np.array(1.0)}}, "not a known quantity"),
        ({"level": None}, "without a level of theory"),
    ],
)
def test_a_bad_frame_never_enters(tmp_path, change, message):
    good = water_frame(0)
    fields = {"state": good.state, "labels": good.labels, "level": LEVEL, **change}
    dataset = Dataset.create(tmp_path / "a.h5")
    with pytest.raises(RunFailure, match=message):
        dataset.append(Frame(**fields))
    assert len(dataset) == 0


def test_missing_corrupt_foreign_and_newer_files_are_refused(tmp_path):
    with pytest.raises(RunFailure, match="missing"):
        Dataset.open(tmp_path / "none.h5")
    (tmp_path / "bad.h5").write_bytes(b"not HDF5 at all")
    with pytest.raises(RunFailure, match="not a readable HDF5 file"):
        Dataset.open(tmp_path / "bad.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(RunFailure, match="the file is None"):
        Dataset.open(tmp_path / "other.h5")
    Dataset.create(tmp_path / "new.h5")
    with pytest.raises(RunFailure, match="exists already"):
        Dataset.create(tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(RunFailure, match="version 99"):
        Dataset.open(tmp_path / "new.h5")


def test_a_dataset_can_be_handed_to_another_process(tmp_path):
    with Dataset.create(tmp_path / "a.h5") as dataset:
        dataset.append(water_frame(0))
        dataset.close()
        dataset.append(water_frame(1))
        copy = pickle.loads(pickle.dumps(dataset))
        assert [frame.key for frame in copy] == [water_frame(0).key, water_frame(1).key]


def test_the_order_of_completion_leaves_no_trace_after_reordering(tmp_path):
    frames = [water_frame(seed, molecules=1 + seed % 3) for seed in range(8)]
    keys = [frame.key for frame in frames]
    for name, order, batch in [("a.h5", [0, 1, 2, 3, 4, 5, 6, 7], 8), ("b.h5", [3, 7, 1, 0, 2, 6, 5, 4], 3)]:
        for start in range(0, 8, batch):
            with Dataset.resume(tmp_path / name) as dataset:
                dataset.extend([frames[index] for index in order[start : start + batch]])
                if start + batch >= 8:
                    dataset.reorder(keys)
    assert [frame.key for frame in Dataset.open(tmp_path / "b.h5")] == keys
    for stored, frame in zip(Dataset.open(tmp_path / "b.h5"), frames, strict=True):
        assert_same(stored, frame)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "b.h5"]
    with pytest.raises(ValueError, match="7 keys given for 8 frames"):
        Dataset.open(tmp_path / "a.h5").reorder(keys[1:])
