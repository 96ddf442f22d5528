"""What cannot work is refused before any work starts, with numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest
from preflight_studies import refused, study

from halocline import registry
from halocline.config.load import validate
from halocline.config.presets import NAMES, preset
from halocline.config.study import Study
from halocline.stages.preflight import label_counts, preflight
from halocline.stages.train import TrainStage


def preset_study(name: str) -> Study:
    sections = preset(name)
    sections["system"]["molecules"] = {"water": sections["system"]["molecules"]}
    return validate(sections, "test")


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_passes_and_its_bead_model_stays_out_of_at(name: str) -> None:
    notes = preflight(preset_study(name))
    assert not [note for note in notes if "bead model reaches" in note]


def test_the_default_study_passes() -> None:
    preflight(Study())


@pytest.mark.parametrize(
    ("sections", "where"),
    [
        ({"reference": {"engine": "tblit"}}, "reference.engine"),
        ({"multipoles": {"engine": "gaussian"}}, "multipoles.engine"),
        ({"model": {"name": "schnett"}}, "model.name"),
        ({"coarse_model": {"name": "mace"}}, "coarse_model.name"),
        ({"multipole_model": {"heads": ["dipol"]}}, "multipole_model.heads"),
        ({"coupling": {"name": "subtract"}}, "coupling.name"),
        ({"system": {"molecules": {"watr": 400}}}, "system.molecules.watr"),
    ],
)
def test_an_unknown_name_is_refused_and_the_known_ones_listed(sections: dict[str, dict[str, object]], where: str) -> None:
    error = refused(study(**sections))
    assert error.where == f"study file: {where}"
    assert "Known: " in error.remedy


def test_a_misspelt_engine_is_suggested() -> None:
    assert "Did you mean 'tblite'?" in refused(study(reference={"engine": "tblit"})).remedy


def test_an_engine_that_cannot_provide_a_label_is_refused_and_others_named() -> None:
    error = refused(study(reference={"quantities": ["energy", "forces", "polarizability"]}))
    assert "tblite" in error.what
    assert "polarizability" in error.what
    assert "pyscf" in error.remedy


@pytest.mark.parametrize(
    ("sections", "where", "words"),
    [
        ({"reference": {"method": "GFN3-xTB"}}, "reference", "GFN3-xTB"),
        ({"reference": {"engine": "pyscf", "method": "PBE", "quantities": ["energy", "forces"]}}, "reference", "periodic"),
        ({"multipoles": {"method": "no-such-functional"}}, "multipoles", "no-such-functional"),
        ({"multipoles": {"engine": "tblite", "quantities": ["dipole"]}, "multipole_model": {"heads": ["dipole"]}}, "multipoles", "PBE"),
        ({"multipoles": {"clusters": 5}}, "multipoles.clusters", "8 trajectories"),
        ({"multipoles": {"sizes": []}}, "multipoles.sizes", "[]"),
        ({"multipoles": {"sizes": [1, 50]}}, "multipoles.sizes", "[1, 50]"),
        ({"multipole_model": {"heads": ["energy"]}}, "multipole_model.heads", "energy"),
        ({"multipole_model": {"heads": []}}, "multipole_model.heads", "[]"),
        ({"dataset": {"droplets": "100 %"}}, "dataset.droplets", "no periodic box"),
        ({"validation": {"reference": "1 fs"}}, "validation.reference", "1 fs"),
        ({"calibration": {"window": "0.1 fs"}}, "calibration.window", "0.1 fs"),
    ],
)
def test_what_would_stop_a_later_stage_is_refused_before_anything_is_built(
    sections: dict[str, dict[str, object]], where: str, words: str
) -> None:
    error = refused(study(**sections))
    assert error.where == f"study file: {where}"
    assert words in error.what


@pytest.mark.parametrize("quantities", [[], ["energy"], ["forces"], ["energy", "force"]])
def test_labels_that_training_needs_must_be_asked_for(quantities: list[str]) -> None:
    assert "reference.quantities" in refused(study(reference={"quantities": quantities})).where


def test_a_head_without_a_label_is_refused() -> None:
    error = refused(study(multipoles={"quantities": ["energy", "dipole"]}))
    assert "polarizability" in error.what


def test_a_vector_head_on_an_invariant_network_is_refused() -> None:
    error = refused(study(multipole_model={"name": "schnet"}))
    assert "vector" in error.what
    assert "painn" in error.remedy


@pytest.mark.parametrize("section", ["model", "coarse_model"])
def test_networks_with_a_kernel_may_run_dynamics_and_others_are_refused(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from halocline.potentials.kernels import kernel

    preflight(study(**{section: {"name": "painn"}}))
    monkeypatch.delitem(kernel.KERNELS, registry.get("models", "painn"))
    error = refused(study(**{section: {"name": "painn"}}))
    assert "no compiled kernel" in error.what
    assert error.where == f"study file: {section}.name"
    assert "schnet" in error.remedy


def test_a_missing_program_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = registry.get("engines", "tblite")
    monkeypatch.setattr(engine, "missing", classmethod(lambda cls: "Install it with 'pip install tblite'."))
    error = refused(Study())
    assert "not installed" in error.what
    assert "pip install tblite" in error.remedy
    preflight(Study(), stages=["build"])


@pytest.mark.parametrize(
    "dataset",
    [
        {"trajectories": 1},
        {"frames": 5},
        {"valid": "60 %", "test": "40 %"},
        {"valid": "50 %", "test": "49 %", "trajectories": 2},
        {"valid": "0 %"},
        {"test": "0 %"},
        {"trajectories": 2, "temperatures": ["300 K"]},
    ],
)
def test_a_dataset_that_leaves_a_split_empty_is_refused(dataset: dict[str, object]) -> None:
    assert "dataset." in refused(study(dataset=dataset)).where


@pytest.mark.parametrize("dynamics", [{"record": "0.1 fs"}, {"record": "1 ns"}, {"checkpoint": "1 ns"}, {"timestep": "100 fs"}])
def test_times_out_of_order_are_refused(dynamics: dict[str, object]) -> None:
    assert "dynamics." in refused(study(dynamics=dynamics)).where


def test_label_counts_add_up_to_the_frames_asked_for() -> None:
    loaded = Study()
    rows = label_counts(loaded)
    boxes = sum(row["count"] for row in rows if "clusters" not in row["frames"])
    learning = loaded.active_learning
    assert boxes == loaded.dataset.frames + learning.rounds * learning.frames + learning.frames // 2
    assert f" {learning.rounds * learning.frames + learning.frames // 2} labels" in TrainStage().cost(loaded).what
    assert rows[-1]["count"] == loaded.multipoles.clusters


def test_loading_a_study_does_not_import_torch() -> None:
    code = "import sys, halocline.config.load, halocline.config.explain, halocline.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
