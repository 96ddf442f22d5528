"""Study files: precedence, and errors that name key, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from halocline.config.load import load_study, naming_lines
from halocline.config.presets import EFFORT, NAMES, preset, scale_composition
from halocline.config.study import Study
from halocline.errors import RunFailure, UserError


def write(folder: Path, text: str) -> Path:
    file = folder / "study.yaml"
    file.write_text(text)
    return file


def refused(folder: Path, text: str, *arguments: object) -> UserError:
    with pytest.raises(UserError) as caught:
        load_study(write(folder, text), *arguments)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert all([caught.value.what, caught.value.where, caught.value.remedy])
    return caught.value


def test_a_file_with_a_name_alone_is_the_default_study(tmp_path: Path) -> None:
    assert load_study(write(tmp_path, "study: water")) == Study()


@pytest.mark.parametrize("text", ["", "\n\n", "# to be written", "{}", "---", "null"])
def test_an_empty_file_is_refused_and_says_how_to_begin(tmp_path: Path, text: str) -> None:
    error = refused(tmp_path, text)
    assert "empty" in error.what
    assert error.where.endswith("study.yaml")
    assert "halocline new water" in error.remedy


def test_units_are_parsed_at_the_edge(tmp_path: Path) -> None:
    study = load_study(
        write(tmp_path, "system: {length: 6 nm, temperature: 310 K}\ndynamics: {timestep: 0.001 ps, friction_reference: 1 /ps}")
    )
    assert study.system.length == pytest.approx(60.0)
    assert study.dynamics.timestep == pytest.approx(1.0)
    assert study.dynamics.friction_reference == pytest.approx(1e-3)
    assert study.system.density == pytest.approx(0.997 * 0.602214076)


def test_later_layers_win_over_earlier_ones(tmp_path: Path) -> None:
    file = write(tmp_path, "preset: tiny\nmodel: {features: 48}")
    tiny = {key: values[0] for key, values in EFFORT.items()}
    study = load_study(file)
    assert study.model.features == 48, "the file wins over its own preset"
    assert study.dataset.frames == tiny["dataset.frames"], "the preset wins over the default"
    study = load_study(file, "production")
    assert study.model.features == EFFORT["model.features"][2], "the command line's preset wins over the file"
    study = load_study(file, "production", ["model.features=7"])
    assert study.model.features == 7, "--set wins over everything"
    assert study.preset == "production"


def test_set_reaches_into_the_composition_and_parses_units_and_lists(tmp_path: Path) -> None:
    file = write(tmp_path, "system: {molecules: {water: 100}}")
    settings = ["system.molecules.water=77", "system.length=5 nm", "dataset.temperatures=[290 K, 400 K]", "coupling.reservoir=tracer"]
    study = load_study(file, None, settings)
    assert study.system.molecules == {"water": 77}
    assert study.system.length == pytest.approx(50)
    assert study.dataset.temperatures == [290.0, 400.0]
    assert study.coupling.reservoir == "tracer"


def test_a_study_written_out_reads_back_the_same(tmp_path: Path) -> None:
    import yaml

    study = load_study(write(tmp_path, "preset: tiny"))
    again = load_study(write(tmp_path, yaml.safe_dump(study.model_dump(mode="json"))))
    assert again == study


def test_the_standard_preset_is_the_default() -> None:
    defaults = Study().model_dump(mode="json")
    defaults["system"]["molecules"] = sum(defaults["system"]["molecules"].values())
    for section, keys in preset("standard").items():
        parsed = {"system": keys} if section == "system" else keys
        assert parsed, section
    file_like = Study.model_validate({section: dict(keys) for section, keys in preset("standard").items() if section != "system"})
    assert file_like == Study()
    assert preset("standard")["system"] == {"molecules": defaults["system"]["molecules"], "length": defaults["system"]["length"]}


def test_presets_change_effort_and_never_the_question() -> None:
    asked = {
        "system.density",
        "system.temperature",
        "system.seed",
        "reference.engine",
        "reference.method",
        "multipoles.method",
        "coupling.name",
    }
    assert not asked & set(EFFORT)
    assert set(NAMES) == {"tiny", "standard", "production"}


def test_a_preset_keeps_the_composition_and_sets_its_total(tmp_path: Path) -> None:
    file = write(tmp_path, "system: {molecules: {water: 90, methanol: 10}}")
    molecules = load_study(file, "tiny").system.molecules
    assert sum(molecules.values()) == EFFORT["system.molecules"][0]
    assert molecules["methanol"] == pytest.approx(0.1 * sum(molecules.values()), abs=1)


@pytest.mark.parametrize(
    ("composition", "total"), [({"a": 1, "b": 1}, 7), ({"a": 999, "b": 1}, 10), ({"a": 3}, 128), ({"a": 2, "b": 3, "c": 5}, 100)]
)
def test_scaled_compositions_have_the_total_and_every_species(composition: dict[str, int], total: int) -> None:
    scaled = scale_composition(composition, total)
    assert sum(scaled.values()) == total
    assert set(scaled) == set(composition)
    assert min(scaled.values()) >= 1


def test_an_unknown_key_names_file_line_value_and_the_closest_key(tmp_path: Path) -> None:
    error = refused(tmp_path, "study: w\nmodel:\n  cutof: 5 A")
    assert "'cutof'" in error.what
    assert "'5 A'" in error.what
    assert error.where.endswith("study.yaml:3: model.cutof")
    assert "Did you mean 'cutoff'?" in error.remedy


def test_a_key_of_another_section_is_pointed_to(tmp_path: Path) -> None:
    assert "system.temperature" in refused(tmp_path, "model: {temperature: 300 K}").remedy


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("regions: {name: slab}", "regions.shape"),
        ("regions: {type: slab}", "regions.shape"),
        ("multipoles: {name: pyscf}", "multipoles.engine"),
        ("execute: {kind: local}", "execute.executor"),
        ("coupling: {type: subtractive}", "coupling.name"),
        ("dataset: {temperature: 300 K}", "temperatures"),
    ],
)
def test_a_key_that_chooses_a_part_is_suggested_by_its_name_there(tmp_path: Path, text: str, key: str) -> None:
    assert f"Did you mean '{key}'?" in refused(tmp_path, text).remedy


def test_a_wrong_word_lists_the_allowed_ones_and_the_nearest(tmp_path: Path) -> None:
    error = refused(tmp_path, "regions:\n  weighting: steeper")
    assert error.where.endswith("study.yaml:2: regions.weighting")
    assert error.remedy.startswith("Did you mean 'steep'? Allowed: cosine, smoothstep, steep.")
    assert "Did you mean" not in refused(tmp_path, "regions: {weighting: 7}").remedy


def test_a_key_with_a_word_or_a_quantity_is_named_as_written(tmp_path: Path) -> None:
    assert refused(tmp_path, "calibration: {compressibility: measurd}").where.endswith(":1: calibration.compressibility")


def test_a_name_that_is_left_out_is_no_section(tmp_path: Path) -> None:
    error = refused(tmp_path, "study:")
    assert "received None" in error.what


STUDY = """study: lines
regions:
  atomistic: 6 A
  transition: 10 A
system: {length: 48 A}
"""


@pytest.mark.parametrize(
    ("key", "settings", "place"),
    [
        ("regions.transition", [], "study.yaml:4: regions.transition"),
        ("regions", [], "study.yaml:2: regions"),
        ("regions.hysteresis", [], "study.yaml:2: regions.hysteresis"),
        ("system.molecules.water", [], "study.yaml:5: system.molecules.water"),
        ("dynamics.timestep", [], "study.yaml: dynamics.timestep"),
        ("dynamics.timestep", ["dynamics.timestep=1 ps"], "--set: dynamics.timestep"),
        ("regions", ["regions.atomistic=60 A"], "--set: regions"),
    ],
)
def test_errors_behind_the_schema_name_the_line_or_the_option(tmp_path: Path, key: str, settings: list[str], place: str) -> None:
    file = write(tmp_path, STUDY)
    with pytest.raises(UserError) as caught, naming_lines(file, None, settings):
        raise UserError("does not fit", f"study file: {key}", "Mend it.")
    assert caught.value.where == (place if settings else str(file.parent / place))
    assert (caught.value.what, caught.value.remedy) == ("does not fit", "Mend it.")


def test_errors_that_name_no_key_are_left_alone(tmp_path: Path) -> None:
    file = write(tmp_path, STUDY)
    with pytest.raises(RunFailure) as caught, naming_lines(file):
        raise RunFailure("crashed", "frame 3", "Look at it.")
    assert caught.value.where == "frame 3"


def test_an_unknown_section_is_suggested(tmp_path: Path) -> None:
    assert "'regions'" in refused(tmp_path, "region: {atomistic: 6 A}").remedy


@pytest.mark.parametrize("value", ["5 fs", "5", "five A", "5 Angs", "-5 A", "0 A", "1e999 A", "true", "[5 A]", "null"])
def test_a_wrong_quantity_is_refused_with_key_and_value(tmp_path: Path, value: str) -> None:
    error = refused(tmp_path, f"model: {{cutoff: {value}}}")
    assert error.where.endswith(":1: model.cutoff")
    assert "model.cutoff received" in error.what
    assert "halocline explain model.cutoff" in error.remedy


def test_a_wrong_unit_lists_the_right_ones(tmp_path: Path) -> None:
    assert "nm" in refused(tmp_path, "model: {cutoff: 5 fs}").what


def test_set_and_preset_are_named_as_the_source_of_an_error(tmp_path: Path) -> None:
    assert refused(tmp_path, "study: w", None, ["model.cutoff=5"]).where == "--set: model.cutoff"
    assert refused(tmp_path, "study: w", None, ["modl.cutoff=5 A"]).where == "--set: modl"
    assert refused(tmp_path, "study: w", "smal").where == "--preset"
    assert refused(tmp_path, "\npreset: smal").where.endswith("study.yaml:2")


@pytest.mark.parametrize("assignment", ["model.cutoff", "=5", "model..cutoff=5 A", ".=3"])
def test_a_malformed_assignment_is_refused(tmp_path: Path, assignment: str) -> None:
    assert "not an assignment" in refused(tmp_path, "study: w", None, [assignment]).what


def test_yaml_that_does_not_parse_names_the_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "study: water\nmodel: {cutoff: 5 A\nregions: x")
    assert "not valid YAML" in error.what
    assert error.where.rpartition(":")[2] == "3"


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, "model:\n  cutoff: 5 A\n  features: 8\n  cutoff: 4 A")
    assert "given twice (lines 2 and 4)" in error.what


@pytest.mark.parametrize("text", ["- a\n- b", "just text", "3", "model: 3", "model: [1]", "system: {molecules: water}", "study: ''"])
def test_a_file_of_the_wrong_shape_is_refused(tmp_path: Path, text: str) -> None:
    refused(tmp_path, text)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="halocline new water"):
        load_study(tmp_path / "nothing.yaml")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="cannot read"):
        load_study(tmp_path)


def test_several_problems_are_counted(tmp_path: Path) -> None:
    assert "1 more to mend" in refused(tmp_path, "model: {cutoff: 5, features: many}").what
