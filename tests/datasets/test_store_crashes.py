"""A dataset survives being killed at any moment, a full disk and damage."""

import os
import random
import signal
import time

import pytest
from stored_frames import water_frame

from halocline.datasets import journal
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure


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


def test_a_deleted_dataset_does_not_come_back_from_its_journal(tmp_path):
    first = Dataset.create(tmp_path / "a.h5")
    first.append(water_frame(0))
    assert first._writer is not None
    first._writer.close(remove=False)
    first._writer = None
    (tmp_path / "a.h5").unlink()
    assert len(Dataset.create(tmp_path / "a.h5")) == 0
