"""Examples with classical force fields go from the box to the report; here with far too little effort to mean anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halocline.config.load import load_study
from halocline.config.study import Study
from halocline.stages.runner import Runner, load_stages, required

EXAMPLES = Path(__file__).parents[1] / "examples"
FEW = ("system.molecules={lj: 320}", "system.length=48 A", "regions.atomistic=7 A", "execute.workers=1", "calibration.margin=4 A")
BRIEF = (
    *("dynamics.equilibration=100 fs", "dynamics.length=600 fs", "dynamics.record=60 fs", "dynamics.checkpoint=300 fs"),
    *("calibration.window=400 fs", "calibration.iterations=1", "calibration.bulk=400 fs", "validation.reference=600 fs"),
)
CLASSICAL = sorted(path.parent.name for path in EXAMPLES.glob("*/study.yaml") if load_study(path).is_classical)


def run_whole(study: Study, folder: Path) -> dict[str, object]:
    results = Runner(study, folder).run()
    assert list(results) == ["build", "train", "calibrate", "simulate", "validate", "report"]
    page = next(folder.glob("*-report/report.html")).read_text()
    assert "no stage" not in page
    assert "has left no result" not in page
    return json.loads(next(folder.glob("*-validate/result.json")).read_text())


def test_a_classical_study_has_no_labels() -> None:
    study = load_study(EXAMPLES / "03-lennard-jones")
    assert required(load_stages(), "report", study) == ["build", "train", "calibrate", "simulate", "validate", "report"]


@pytest.mark.parametrize("name", CLASSICAL)
def test_examples_are_short_and_presets_leave_their_box_alone(name: str) -> None:
    assert len((EXAMPLES / name / "study.yaml").read_text().splitlines()) < 30
    plain, tiny, standard = (load_study(EXAMPLES / name, preset) for preset in (None, "tiny", "standard"))
    assert tiny.system == plain.system == standard.system
    assert tiny.regions == plain.regions
    assert standard.model_copy(update={"preset": None}) == plain
    assert tiny.dynamics.length == pytest.approx(0.01 * plain.dynamics.length)


def test_a_lennard_jones_fluid_goes_from_the_box_to_the_report(tmp_path: Path) -> None:
    study = load_study(EXAMPLES / "03-lennard-jones", None, (*FEW, *BRIEF))
    result = run_whole(study, tmp_path)
    names = [verdict["name"] for verdict in result.get("result", result)["verdicts"]]
    assert "mean density in AT" in names
    assert not any("quantum" in name or "dipole" in name for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSICAL)
def test_every_classical_example_goes_through_at_tiny_effort(name: str, tmp_path: Path) -> None:
    run_whole(load_study(EXAMPLES / name, "tiny"), tmp_path)
