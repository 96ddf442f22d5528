"""What cannot work with a classical force field, or as the start of a calibration, is refused before any work starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from preflight_studies import classical, refused, study

from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.errors import UserError
from halocline.stages._assembly import regions_of
from halocline.stages._first_force import empty_force
from halocline.stages.preflight import label_counts, preflight


def test_a_classical_study_passes_without_notes_and_has_no_labels() -> None:
    assert preflight(classical()) == []
    assert label_counts(classical()) == []


def test_learned_beads_as_reservoir_of_a_classical_force_field_are_refused() -> None:
    error = refused(classical(coupling={"reservoir": "model"}))
    assert error.where == "study file: coupling.reservoir"
    assert "table" in error.remedy
    assert "learned" in error.remedy


@pytest.mark.parametrize("reservoir", ["table", "dipole"])
def test_tabulated_beads_as_reservoir_of_a_learned_force_field_are_refused(reservoir: str) -> None:
    error = refused(study(coupling={"reservoir": reservoir}))
    assert error.where == "study file: coupling.reservoir"
    assert "model or tracer" in error.remedy
    assert "classical" in error.remedy


@pytest.mark.parametrize("make", [study, classical])
def test_an_unknown_reservoir_is_refused_with_the_closest_name(make: Callable[..., Study]) -> None:
    error = refused(make(coupling={"reservoir": "tracers"}))
    assert error.where == "study file: coupling.reservoir"
    assert "Did you mean 'tracer'?" in error.remedy


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
