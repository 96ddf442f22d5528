"""The build stage: what it makes, that it continues, and that it repeats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from halocline.config.study import Study
from halocline.datasets.store import Dataset
from halocline.errors import UserError
from halocline.results import StageResult
from halocline.stages import build
from halocline.stages._classical import box_equilibration
from halocline.stages.base import Context
from halocline.stages.build import BuildStage, plan_box, plan_trajectories
from halocline.units import AMU_PER_CUBIC_ANGSTROM

STUDY = Study.model_validate(
    {
        "system": {"molecules": {"water": 40}, "length": "15 A"},
        "dataset": {"molecules": 16, "frames": 21, "trajectories": 2, "interval": "20 fs", "droplets": "25 %"},
        "execute": {"workers": 2},
    }
)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "EQUILIBRATION", 100.0)
    monkeypatch.setattr(build, "BOX_EQUILIBRATION", 100.0)


def run(folder: Path) -> StageResult:
    return BuildStage().run(Context(STUDY, folder))


def test_the_stage_makes_what_the_study_asks_for(tmp_path: Path) -> None:
    result = run(tmp_path)
    box = Dataset.open(tmp_path / result.files["box"])
    assert len(box) == 1
    state = box[0].state
    assert state.velocities is not None
    assert state.topology.n_molecules == 40
    assert state.edges[0] == 15.0
    density = state.topology.masses.sum() / state.volume / AMU_PER_CUBIC_ANGSTROM
    assert density == pytest.approx(0.997, rel=1e-6)
    assert result.number("density of the simulated box").value == pytest.approx(density)

    frames = list(Dataset.open(tmp_path / result.files["configurations"]))
    assert len(frames) == 21 == result.number("configurations to label").value
    assert len({frame.trajectory for frame in frames}) == 4 == len(result.tables[0].rows)
    droplets = [frame.state for frame in frames if not frame.state.periodic]
    assert len(droplets) == 5 == result.number("of these droplets").value
    assert all(8 <= droplet.topology.n_molecules <= 16 for droplet in droplets)
    for frame in frames:
        assert not frame.labels
        if frame.state.periodic:
            assert frame.state.topology.n_molecules == 16
            ratio = frame.state.topology.masses.sum() / frame.state.volume / AMU_PER_CUBIC_ANGSTROM / 0.997
            assert abs(ratio - 1) == pytest.approx(0.04, abs=1e-9)
        molecules = frame.state.positions.reshape(-1, 3, 3)
        assert np.linalg.norm(molecules[:, 1] - molecules[:, 0], axis=1).max() < 1.4


def test_a_killed_stage_continues_without_repeating_and_ends_the_same(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    run(tmp_path / "killed")
    trajectories = sorted((tmp_path / "killed" / "trajectories").iterdir())
    lost, kept = trajectories[0], trajectories[1]
    before = kept.stat().st_mtime_ns
    lost.unlink()
    (tmp_path / "killed" / "configurations.h5").write_bytes(b"half a file")
    again = run(tmp_path / "killed")
    assert kept.stat().st_mtime_ns == before
    assert lost.exists()
    assert again == whole
    one, other = (list(Dataset.open(tmp_path / name / "configurations.h5")) for name in ("whole", "killed"))
    assert [frame.key for frame in one] == [frame.key for frame in other]


def test_plans_spread_density_and_geometry_at_each_temperature() -> None:
    plans = plan_trajectories(Study())
    for temperature in (300.0, 370.0):
        mine = [plan for plan in plans if plan.temperature == temperature]
        ratios = [plan.density / AMU_PER_CUBIC_ANGSTROM / 0.997 for plan in mine]
        assert len(mine) == 4
        assert min(ratios) == pytest.approx(0.96)
        assert max(ratios) == pytest.approx(1.04)
        assert {round(plan.rigidity, 6) for plan in mine} == {0.0, 0.333333, 0.666667, 1.0}
    assert sum(plan.frames for plan in plans) == Study().dataset.frames
    assert len({plan.seed for plan in [plan_box(Study()), *plans]}) == 9
    assert len({plan.name for plan in plans}) == 8


def test_one_trajectory_has_the_density_of_the_study() -> None:
    (plan,) = plan_trajectories(Study.model_validate({"dataset": {"trajectories": 1, "temperatures": ["300 K"]}}))
    assert plan.density / AMU_PER_CUBIC_ANGSTROM == pytest.approx(0.997)
    assert plan.frames == Study().dataset.frames


def test_a_failed_trajectory_fails_the_stage_and_keeps_the_others(tmp_path: Path) -> None:
    study = STUDY.model_copy(update={"system": STUDY.system.model_copy(update={"density": 20 * STUDY.system.density})})
    with pytest.raises(UserError, match="do not fit into"):
        BuildStage().run(Context(study, tmp_path))
    assert not (tmp_path / "configurations.h5").exists()


def test_the_cost_grows_with_the_work() -> None:
    more = STUDY.model_copy(update={"dataset": STUDY.dataset.model_copy(update={"frames": 2000})})
    assert 0 < BuildStage().cost(STUDY).cpu_seconds < BuildStage().cost(more).cpu_seconds


def test_a_large_box_of_a_classical_study_takes_half_a_minute_and_a_small_one_its_full_equilibration() -> None:
    def study(count: int, equilibration: str = "20 ps") -> Study:
        system = {"molecules": {"spce": count}, "density": "0.998 g/cm3", "cube": True}
        sections = {"system": system, "force_field": {"name": "classical"}, "dynamics": {"equilibration": equilibration}}
        return Study.model_validate(sections)

    assert box_equilibration(study(216)) == 5000.0
    assert box_equilibration(study(216, "0.3 ps")) == 300.0
    assert box_equilibration(study(1400)) == 1000.0
    assert box_equilibration(study(2801)) == box_equilibration(study(20000)) == 500.0
    assert 20.0 < BuildStage().cost(study(2801)).cpu_seconds < 40.0


def test_only_classical_studies_are_built_anew_for_a_shorter_equilibration() -> None:
    classical = Study.model_validate({"force_field": {"name": "classical"}})
    assert BuildStage().version_of(STUDY) == BuildStage.version == 1
    assert BuildStage().version_of(classical) == 2
