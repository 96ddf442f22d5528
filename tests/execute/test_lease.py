"""The sign of life: who is not heard of any more has given up."""

from __future__ import annotations

import time
from pathlib import Path

from halocline.execute.lease import Lease, Watch


def test_work_is_wanted_while_its_owner_lives(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease", period=0.02)
    watch = Watch(lease.path, patience=1.0)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert not watch.over()
        time.sleep(0.05)
    lease.end()


def test_work_is_over_when_its_owner_ends_the_lease(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease", period=0.01)
    watch = Watch(lease.path)
    lease.end()
    lease.end()
    time.sleep(0.05)
    assert watch.over()
    assert not lease.path.exists()


def test_work_is_over_when_its_owner_falls_silent(tmp_path: Path) -> None:
    (tmp_path / "lease").write_text("17")
    watch = Watch(tmp_path / "lease", patience=0.1)
    assert not watch.over()
    time.sleep(0.15)
    assert watch.over()


def test_the_clock_of_another_machine_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    path.write_text("1")
    watch = Watch(path, patience=0.1)
    assert not watch.over()
    time.sleep(0.15)
    path.write_text("2")
    assert not watch.over()
