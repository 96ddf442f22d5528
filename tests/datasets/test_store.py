"""A dataset returns exactly what was put in, and survives being killed at any moment."""

import json
import os
import pickle
import random
import signal
import time

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halocline.datasets import journal
from halocline.datasets.frame import Frame, configuration_key, frame_key
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State

LEVEL = {"engine": "toy", "method": "exact", "version": "1"}


def water_frame(seed: int, molecules: int = 2, periodic: bool = True, labels: bool = True, velocities: bool = False) -> Frame:
    rng = np.random.default_rng(seed)
    topology = build_topology([(WATER, molecules)])
    positions = rng.normal(size=(topology.n_atoms, 3))
    cell = np.diag(rng.uniform(5, 10, 3)) if periodic else np.zeros((3, 3))
    speed = rng.normal(size=positions.shape) if velocities else None
    state = State(positions, cell, topology, speed, periodic, {"temperature": 300.0})
    values = {"energy": np.array(rng.normal()), "forces": rng.normal(size=positions.shape), "dipole": rng.normal(size=3)}
    return Frame(
        state, values if labels else {}, trajectory=f"run-{seed % 3}", level=LEVEL if labels else None, source="a test", weight=0.5
    )


def assert_same(a: Frame, b: Frame) -> None:
    assert (a.key, a.trajectory, a.level, a.source, a.weight) == (b.key, b.trajectory, b.level, b.source, b.weight)
    assert a.state.periodic == b.state.periodic
    assert a.state.info == b.state.info
    assert a.state.topology.species == b.state.topology.species
    pairs = [(a.state.positions, b.state.positions), (a.state.cell, b.state.cell)]
    pairs += [
        (getattr(a.state.topology, name), getattr(b.state.topology, name))
        for name in ("molecule_species", "offsets", "atomic_numbers", "masses")
    ]
    assert (a.state.velocities is None) == (b.state.velocities is None)
    if a.state.velocities is not None and b.state.velocities is not None:
        pairs.append((a.state.velocities, b.state.velocities))
    assert set(a.labels) == set(b.labels)
    pairs += [(a.labels[name], b.labels[name]) for name in a.labels]
    for first, second in pairs:
        np.testing.assert_array_equal(first, second, strict=True)


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


def test_a_killed_writer_loses_no_acknowledged_frame_and_leaves_a_readable_dataset(tmp_path):
    """The child reports each append through a pipe and consolidates now and then; SIGKILL comes at random times."""
    path, generator = tmp_path / "a.h5", random.Random(3)
    acknowledged: list[str] = []
    for attempt in range(16):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            try:
                while True:
                    with Dataset.resume(path) as dataset:
                        for step in range(generator.randrange(1, 6)):
                            frame = water_frame(attempt * 100_000 + len(dataset) * 7 + step, molecules=8)
                            dataset.append(frame)
                            os.write(write_end, frame.key.encode() + b"\n")
            finally:
                os._exit(1)
        os.close(write_end)
        time.sleep(generator.uniform(0.005, 0.12))
        os.kill(child, signal.SIGKILL)
        with os.fdopen(read_end, "rb") as pipe:
            acknowledged += pipe.read().decode().split()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        if not path.exists():
            continue
        dataset = Dataset.open(path)
        stored = [frame.key for frame in dataset]
        assert set(acknowledged) <= set(stored)
        assert len(set(stored)) == len(stored)
        assert len(stored) <= len(set(acknowledged)) + attempt + 1
    assert len(acknowledged) > 4
    with Dataset.open(path) as dataset:
        dataset.append(water_frame(-1 % 10**9))
        stored_count = len(dataset)
    assert os.listdir(tmp_path) == ["a.h5"]
    assert len(Dataset.open(path)) == stored_count


def test_a_journal_cut_at_any_byte_gives_the_complete_frames_and_counts_the_torn_one(tmp_path):
    dataset = Dataset.create(tmp_path / "a.h5")
    dataset.extend([water_frame(0, molecules=1), water_frame(1, molecules=1)])
    whole = (tmp_path / "a.h5.journal").read_bytes()
    first_end = len(whole) // 2
    copy = tmp_path / "b.h5"
    copy.write_bytes((tmp_path / "a.h5").read_bytes())
    for cut in [0, 1, 7, first_end - 1, first_end, first_end + 1, first_end + 20, len(whole) - 1, len(whole)]:
        (tmp_path / "b.h5.journal").write_bytes(whole[:cut])
        opened = Dataset.open(copy)
        assert len(opened) == cut // first_end
        assert opened.dropped == (0 if cut % first_end == 0 else 1)
    (tmp_path / "b.h5.journal").write_bytes(whole[:-3])
    with Dataset.open(copy) as opened:
        opened.append(water_frame(2))
        assert opened.dropped == 1
    assert [frame.key for frame in Dataset.open(copy)] == [water_frame(0, molecules=1).key, water_frame(2).key]


def test_a_writer_killed_between_replacing_the_file_and_deleting_the_journal_stores_nothing_twice(tmp_path):
    dataset = Dataset.create(tmp_path / "a.h5")
    dataset.extend([water_frame(0), water_frame(1)])
    left_behind = (tmp_path / "a.h5.journal").read_bytes()
    dataset.close()
    (tmp_path / "a.h5.journal").write_bytes(left_behind)
    (tmp_path / ".a.h5.xyz.partial.h5").write_bytes(b"half a file")
    with Dataset.open(tmp_path / "a.h5") as reopened:
        assert len(reopened) == 2
        reopened.append(water_frame(2))
    assert len(Dataset.open(tmp_path / "a.h5")) == 3
    assert os.listdir(tmp_path) == ["a.h5"]


def test_damage_before_the_last_frame_is_an_error_and_not_a_shorter_dataset(tmp_path):
    dataset = Dataset.create(tmp_path / "a.h5")
    dataset.extend([water_frame(0), water_frame(1)])
    data = bytearray((tmp_path / "a.h5.journal").read_bytes())
    data[200] ^= 0xFF
    (tmp_path / "a.h5.journal").write_bytes(bytes(data))
    with pytest.raises(RunFailure, match="followed by sound ones") as caught:
        Dataset.open(tmp_path / "a.h5")
    assert "truncate" in caught.value.remedy


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path, monkeypatch):
    dataset = Dataset.create(tmp_path / "a.h5")
    dataset.append(water_frame(0))
    real_write = os.write

    def half(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(journal.os, "write", full)
        return real_write(descriptor, data[: len(data) // 2])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "write", half)
    with pytest.raises(RunFailure, match="No space left on device") as caught:
        dataset.append(water_frame(1))
    assert "Free some space" in caught.value.remedy
    monkeypatch.setattr(journal.os, "write", real_write)
    assert len(Dataset.open(tmp_path / "a.h5")) == 1
    assert Dataset.open(tmp_path / "a.h5").dropped == 0
    assert dataset.append(water_frame(1))
    dataset.close()
    assert len(Dataset.open(tmp_path / "a.h5")) == 2


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


def test_a_deleted_dataset_does_not_come_back_from_its_journal(tmp_path):
    first = Dataset.create(tmp_path / "a.h5")
    first.append(water_frame(0))
    assert first._writer is not None
    first._writer.close(remove=False)
    first._writer = None
    (tmp_path / "a.h5").unlink()
    assert len(Dataset.create(tmp_path / "a.h5")) == 0
