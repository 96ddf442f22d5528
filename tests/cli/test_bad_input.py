"""Things that go wrong inside a stage: three parts, the right exit code, and nothing finished is lost.

Wrong study files and command lines are in ``test_cli.py``; here the stages' own functions meet bad data.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toy_stages
from brute_force import ARGON, PairLennardJones, lattice_fluid

from halocline.cli.main import run
from halocline.datasets.store import Dataset
from halocline.dynamics.bulk import full_resolution
from halocline.dynamics.checkpoint import CheckpointHook, read_checkpoint
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.models.model import Model
from halocline.potentials.base import Evaluation
from halocline.reference.analytic import AnalyticEngine
from halocline.stages import runner
from halocline.stages.base import Context
from halocline.stages.label import label_frames


class SometimesNaN(PairLennardJones):
    """A potential that gives NaN after some calls, as a network does far from its data."""

    evaluations = 0

    def evaluate(self, *arguments: object, **options: object) -> Evaluation:
        result = super().evaluate(*arguments, **options)  # type: ignore[arg-type]
        self.evaluations += 1
        if self.evaluations > 20:
            result.forces[3, 1] = np.nan
        return result


def simulation(folder: Path, potential: PairLennardJones) -> Simulation:
    hooks = (Monitor(5), CheckpointHook(folder / "run.npz", 10))
    return full_resolution(lattice_fluid((3, 3, 3), 4.2, 1), potential, Thermostat(2.0, 100.0, (0.0, 0.01, 0.02)), 3, None, hooks)


def empty_dataset(context: Context) -> None:
    with Dataset.create(context.folder / "boxes.h5") as store:
        label_frames([], AnalyticEngine(), ["energy", "forces"], store, workers=0)


def nan_forces(context: Context) -> None:
    simulation(context.folder, SometimesNaN(ARGON["epsilon"], ARGON["sigma"], 6.0)).run(100)


def corrupt_checkpoint(context: Context) -> None:
    checkpoint = context.folder / "run.npz"
    healthy = simulation(context.folder, PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 6.0))
    healthy.run(20)
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    read_checkpoint(healthy, checkpoint)


def corrupt_model(context: Context) -> None:
    (context.folder / "model.safetensors").write_bytes(b"not weights")
    Model.load(context.folder / "model.safetensors")


def unreadable_dataset(context: Context) -> None:
    (context.folder / "boxes.h5").write_bytes(b"not a dataset")
    Dataset.open(context.folder / "boxes.h5")


CASES: list[tuple[Callable[[Context], None], str, int]] = [
    (empty_dataset, "no configuration to label", 1),
    (nan_forces, "NaN or infinite forces", 1),
    (corrupt_checkpoint, "corrupt", 1),
    (corrupt_model, "model.safetensors", 2),
    (unreadable_dataset, "boxes.h5", 1),
]


@pytest.mark.parametrize(("happens", "words", "exit_code"), CASES, ids=[case[0].__name__ for case in CASES])
def test_bad_data_in_a_stage_is_a_three_part_error_that_loses_nothing(
    happens: Callable[[Context], None],
    words: str,
    exit_code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "study.yaml").write_text("study: test")
    monkeypatch.setattr(runner, "load_stages", toy_stages.toy_stages)
    command = ["simulate", str(tmp_path), "--run", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        patch.setattr(toy_stages.Simulate, "text", lambda self, context: happens(context))
        code = run(command)
        lines = capsys.readouterr().err.splitlines()
        said = {line.split()[0]: line for line in lines if line.startswith(("error ", "where ", "remedy "))}
        assert code == exit_code
        assert set(said) == {"error", "where", "remedy"}
        assert any(words in line for line in said.values())
        assert not any("Traceback" in line for line in lines)
        assert run([*command, "--json"]) == code
        assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == code
    assert "Traceback" in (tmp_path / "run" / "halocline.log").read_text()
    assert run(command) == 0, "with the cause gone the same command goes on"
    assert len((tmp_path / "run" / "tally-02-label-runs").read_text().splitlines()) == 1, "finished stages were kept"


def test_a_run_that_turned_to_nan_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    from halocline.errors import RunFailure

    with pytest.raises(RunFailure):
        simulation(tmp_path, SometimesNaN(ARGON["epsilon"], ARGON["sigma"], 6.0)).run(100)
    healthy = simulation(tmp_path, PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 6.0))
    read_checkpoint(healthy, tmp_path / "run.npz")
    assert 0 < healthy.steps <= 20
    assert np.isfinite(healthy.integrator.coordinates).all()
