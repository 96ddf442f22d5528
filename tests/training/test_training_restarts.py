"""A training repeats nothing that is finished, survives being killed and keeps to its budget."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from toy_training import SECTION

from halocline.datasets.frame import Frame
from halocline.errors import RunFailure
from halocline.models.model import Model
from halocline.training.energy_forces import train_energy_forces


def test_same_seed_and_steps_give_the_same_model(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    paths = [train_energy_forces(SECTION, *frames, tmp_path / name, 60.0, 1, steps=12).model for name in ("a", "b")]
    first, second = (Model.load(path).state_dict() for path in paths)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_finished_training_is_not_repeated_but_other_inputs_are(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    first = train_energy_forces(SECTION, *frames, tmp_path, 60.0, 1, steps=5)
    assert not first.reused
    assert train_energy_forces(SECTION, *frames, tmp_path, 60.0, 1, steps=5).reused
    assert not train_energy_forces(SECTION, *frames, tmp_path, 60.0, 2, steps=5).reused
    assert not list(tmp_path.glob("*.checkpoint"))
    assert not (Path.cwd() / "lightning_logs").exists()
    assert not (tmp_path / "lightning_logs").exists()


_SCRIPT = """
import sys; sys.path[:0] = [{tests!r}, {helpers!r}]
from pathlib import Path
from halocline.training import lightning_loop, loop
from toy_training import SECTION, toy_frames
from halocline.training.energy_forces import train_energy_forces
import time
original = loop.Loop.after_step
def slow(self):
    original(self)
    self.schedule.__dict__["checkpoint_interval"] = 0.0
    print(self.progression.step, flush=True)
    time.sleep({pause})
loop.Loop.after_step = slow
train_energy_forces(SECTION, toy_frames(40, 0), toy_frames(12, 1), Path({folder!r}), 60.0, 1, steps=16)
"""


def test_killed_training_continues_to_the_same_model(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    """SIGKILL in the middle; what comes out is what an uninterrupted training gives, bit for bit."""
    whole = train_energy_forces(SECTION, *frames, tmp_path / "whole", 60.0, 1, steps=16)
    broken = tmp_path / "broken"
    script = _SCRIPT.format(tests=str(Path(__file__).parent), helpers=str(Path(__file__).parents[1]), folder=str(broken), pause=0.02)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 6 and list(broken.glob("*.checkpoint")):
                process.send_signal(signal.SIGKILL)
                break
    assert not (broken / "atomistic.safetensors").exists()
    assert len(list(broken.glob("*.checkpoint"))) == 1
    resumed = train_energy_forces(SECTION, *frames, broken, 60.0, 1, steps=16)
    steps = [row["step"] for row in resumed.curve]
    assert steps == [row["step"] for row in whole.curve]
    first, second = Model.load(whole.model).state_dict(), Model.load(resumed.model).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_corrupt_checkpoint_is_named(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    from halocline.training import energy_forces

    names: list[Path] = []
    original = energy_forces.train_objective

    def spoil(objective, schedule, place, *rest):  # type: ignore[no-untyped-def]
        place.checkpoint.write_bytes(b"half a checkpoint")
        names.append(place.checkpoint)
        return original(objective, schedule, place, *rest)

    energy_forces.train_objective = spoil
    try:
        with pytest.raises(RunFailure, match="the checkpoint is corrupt") as caught:
            train_energy_forces(SECTION, *frames, tmp_path, 60.0, 1, steps=5)
    finally:
        energy_forces.train_objective = original
    assert str(names[0]) in str(caught.value)
    assert "Delete the file" in caught.value.remedy


def test_budget_is_wall_time(frames: tuple[list[Frame], list[Frame]], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_energy_forces(SECTION, *frames, tmp_path / "first", 60.0, 1, steps=1)
    start = time.monotonic()
    outcome = train_energy_forces(SECTION, *frames, tmp_path / "second", 1.5, 1)
    assert 1.5 <= outcome.seconds < 3.0
    assert time.monotonic() - start < 20.0
    assert outcome.curve[-1]["learning_rate"] < 0.05 * SECTION.learning_rate
    assert capfd.readouterr() == ("", "")
