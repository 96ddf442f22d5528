"""What cannot work is refused before any work starts, with numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.load import validate
from halocline.config.presets import NAMES, preset
from halocline.config.study import Study
from halocline.errors import UserError
from halocline.stages._assembly import regions_of
from halocline.stages._classical import step_seconds
from halocline.stages._first_force import empty_force
from halocline.stages.calibrate import CalibrateStage
from halocline.stages.preflight import label_counts, labelled_edge, preflight
from halocline.stages.train import TrainStage
from halocline.systems.packing import study_edges

GEOMETRY: dict[str, dict[str, object]] = {
    "system": {"molecules": {"water": 400}, "length": "48 A", "density": "0.997 g/cm3"},
    "dataset": {"molecules": 48},
    "model": {"cutoff": "5 A", "layers": 2},
    "coarse_model": {"cutoff": "5 A", "layers": 2},
    "regions": {"atomistic": "6 A", "transition": "10 A"},
    "calibration": {"margin": "4 A"},
}
"""Defaults may be tuned; what is tested here may not change with them."""


def study(**sections: dict[str, object]) -> Study:
    return validate({name: {**GEOMETRY.get(name, {}), **sections.get(name, {})} for name in {*GEOMETRY, *sections}}, "test")


def preset_study(name: str) -> Study:
    sections = preset(name)
    sections["system"]["molecules"] = {"water": sections["system"]["molecules"]}
    return validate(sections, "test")


def refused(loaded: Study) -> UserError:
    with pytest.raises(UserError) as caught:
        preflight(loaded)
    assert caught.value.exit_code == 2
    assert caught.value.where.startswith("study file: ")
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_passes_and_its_bead_model_stays_out_of_at(name: str) -> None:
    notes = preflight(preset_study(name))
    assert not [note for note in notes if "bead model reaches" in note]


def test_the_default_study_passes() -> None:
    preflight(Study())


@pytest.mark.parametrize("section", ["model", "coarse_model", "multipole_model"])
def test_a_cutoff_beyond_half_the_production_box_is_refused(section: str) -> None:
    error = refused(study(**{section: {"cutoff": "9 A"}}, dataset={"molecules": 500}))
    assert error.where == f"study file: {section}.cutoff"
    assert "9.00 A" in error.what
    assert "15.81 A" in error.what, "the shortest edge"
    assert "7.91 A" in error.what, "half of it"
    assert "system.length" in error.remedy


def test_a_cutoff_beyond_half_the_labelled_boxes_is_refused() -> None:
    error = refused(study(dataset={"molecules": 20}))
    assert "labelled boxes" in error.what
    assert "dataset.molecules" in error.remedy


def test_the_limit_is_exactly_half_the_edge() -> None:
    wide = {"dataset": {"molecules": 500}, "regions": {"transition": "16 A", "atomistic": "2 A"}}
    half = float(study_edges(study(**wide).system).min()) / 2
    preflight(study(**wide, model={"cutoff": f"{half - 1e-4} A"}))
    refused(study(**wide, model={"cutoff": f"{half + 1e-4} A"}))


def test_compressed_labelled_boxes_are_the_ones_that_count() -> None:
    loaded = study(dataset={"molecules": 32})
    uncompressed = (32 * 18.015 / 0.997 / 0.602214) ** (1 / 3)
    assert 0.97 * uncompressed < labelled_edge(loaded) < uncompressed


def test_regions_wider_than_the_box_are_refused_with_the_length_that_would_do() -> None:
    error = refused(study(regions={"atomistic": "12 A", "transition": "14 A"}))
    assert "31.00 A" in error.what
    assert "24.00 A" in error.what
    assert "62 A" in error.remedy
    preflight(study(regions={"atomistic": "12 A", "transition": "14 A"}, system={"length": "62 A", "molecules": {"water": 600}}))


def test_a_transition_layer_thinner_than_the_receptive_field_is_refused() -> None:
    error = refused(study(model={"layers": 3, "cutoff": "4.5 A"}, regions={"transition": "13.4 A"}, system={"length": "60 A"}))
    assert "13.50 A" in error.what
    assert "3 layers" in error.what
    assert "13.5 A" in error.remedy


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
        ({"model": {"name": "painn"}}, "model.name", "kernel"),
        ({"coarse_model": {"name": "painn"}}, "coarse_model.name", "kernel"),
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


def test_a_missing_program_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from halocline import registry

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


def test_a_bead_model_that_reaches_into_at_is_noted() -> None:
    notes = preflight(study(coarse_model={"layers": 3}))
    assert any("15.0 A" in note for note in notes)


def test_loading_a_study_does_not_import_torch() -> None:
    code = "import sys, halocline.config.load, halocline.config.explain, halocline.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


CLASSICAL: dict[str, dict[str, object]] = {
    "system": {"molecules": {"spce": 1728}, "length": "90 A", "density": "0.998 g/cm3"},
    "force_field": {"name": "classical", "cutoff": "9 A"},
    "coupling": {"reservoir": "tracer"},
    "regions": {"atomistic": "12 A", "transition": "14 A", "hysteresis": "0 A"},
    "dynamics": {"timestep": "2 fs", "friction_transition": "20 /ps", "friction_reservoir": "20 /ps"},
    "calibration": {"margin": "5 A"},
}


def classical(**sections: dict[str, object]) -> Study:
    return validate({name: {**CLASSICAL.get(name, {}), **sections.get(name, {})} for name in {*CLASSICAL, *sections}}, "test")


def test_a_classical_study_passes_without_notes_and_has_no_labels() -> None:
    assert preflight(classical()) == []
    assert label_counts(classical()) == []


def test_learned_beads_as_reservoir_of_a_classical_force_field_are_refused() -> None:
    error = refused(classical(coupling={"reservoir": "model"}))
    assert error.where == "study file: coupling.reservoir"
    assert "table" in error.remedy


def test_a_transition_layer_thinner_than_the_cutoff_of_the_force_field_is_refused() -> None:
    error = refused(classical(regions={"transition": "8 A"}))
    assert error.where == "study file: regions.transition"
    assert "8.00 A" in error.what
    assert "9.00 A" in error.what


@pytest.mark.parametrize(("dotted", "changes"), [
    ("force_field.cutoff", {"force_field": {"cutoff": "12.5 A"}}),
    ("coarse_table.cutoff", {"coupling": {"reservoir": "table"}, "coarse_table": {"cutoff": "12.5 A"}}),
])  # fmt: skip
def test_a_cutoff_beyond_half_the_box_of_a_classical_study_is_refused(dotted: str, changes: dict[str, dict[str, object]]) -> None:
    error = refused(classical(**changes))
    assert error.where == f"study file: {dotted}"
    assert "12.50 A" in error.what
    assert "11.99 A" in error.what, "half of the shortest edge"


def test_regions_that_leave_no_reservoir_in_a_cube_are_refused() -> None:
    changes = {"system": {"cube": True}, "regions": {"shape": "sphere", "atomistic": "10 A"}}
    error = refused(classical(**changes))
    assert error.where == "study file: regions"
    assert "18.64 A" in error.what, "half the edge of a cube of 1728 waters"
    assert "system.molecules" in error.remedy


def test_a_species_without_parameters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from halocline.molecules import spce

    monkeypatch.setattr(spce, "SPCE", replace(spce.SPCE, nonbonded=()))
    error = refused(classical())
    assert error.where == "study file: system.molecules.spce"
    assert "0 of its 3 atoms" in error.what


def test_potentials_that_a_coupling_cannot_scale_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from halocline.stages import _preflight_classical

    def refuse(*_: object) -> None:
        raise UserError("ClassicalMolecules has no such energies", "coupling", "Use coupling.name: subtractive.")

    monkeypatch.setattr(_preflight_classical, "make_coupling", refuse)
    assert refused(classical()).where == "study file: coupling.name"


def test_tracers_with_weak_friction_or_hysteresis_deserve_a_note() -> None:
    notes = preflight(classical(dynamics={"friction_reservoir": "5 /ps"}, regions={"hysteresis": "1 A"}))
    assert any("5 /ps" in note for note in notes)
    assert any("hysteresis" in note for note in notes)


def started(path: Path) -> UserError:
    error = refused(classical(calibration={"start": str(path)}))
    assert error.where == "study file: calibration.start"
    assert str(path) in error.what
    return error


def test_a_start_that_does_not_exist_is_refused_before_any_work(tmp_path: Path) -> None:
    assert "no such file" in started(tmp_path / "presure").what
    assert refused(study(calibration={"start": "presure"})).where == "study file: calibration.start"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format_version": 1}', '{"format_version": 7, "species": []}'])
def test_a_start_that_is_no_table_of_a_force_is_refused_before_any_work(tmp_path: Path, text: str) -> None:
    (tmp_path / "force.json").write_text(text)
    assert "thermodynamic_force.json" in started(tmp_path / "force.json").remedy


def test_a_start_of_other_species_or_regions_is_refused_and_one_of_another_friction_is_not(tmp_path: Path) -> None:
    path, loaded = tmp_path / "force.json", classical()
    regions = regions_of(loaded)
    force, settings = empty_force(loaded, regions), {"regions": regions.to_json(), "friction": [0.0, 0.5, 0.5]}
    force.save(path, settings)
    preflight(classical(calibration={"start": str(path)}))
    other = ThermodynamicForce(("lj",), force.length, force.width, force.window)
    other.save(path, settings)
    assert "spce has no thermodynamic force" in started(path).what
    ThermodynamicForce(("spce",), force.length, force.width, (12.0, 22.0)).save(path, settings)
    assert "does not cover the border" in started(path).what
    force.save(path, {})
    assert "which regions it belongs to" in started(path).what


def test_the_estimate_of_the_calibration_counts_compensation_and_chemical_potential() -> None:
    """Four windows of the open system for the compensation; runs of growth for the density."""
    stage, hamiltonian = CalibrateStage(), {"name": "hamiltonian"}
    bare = stage.cost(classical(coupling={**hamiltonian, "compensation": "none"}))
    for kind in ("kirkwood", "on-the-fly"):
        more = stage.cost(classical(coupling={**hamiltonian, "compensation": kind}))
        section, step = classical().calibration, step_seconds(classical())
        assert more.cpu_seconds - bare.cpu_seconds == pytest.approx(4 * section.window / 2.0 * step)
        assert "free-energy compensation" in more.what
    wanted = {"chemical_potential": "-30.2 kJ/mol", "insertion": "100 ps"}
    solved = stage.cost(classical(calibration=wanted))
    assert solved.cpu_seconds > stage.cost(classical()).cpu_seconds
    assert "runs of 100 ps" in solved.what
    twice = stage.cost(classical(calibration={**wanted, "insertion": "200 ps"}))
    plain = stage.cost(classical()).cpu_seconds
    assert twice.cpu_seconds - plain == pytest.approx(2 * (solved.cpu_seconds - plain))
