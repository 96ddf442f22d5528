"""Documentation comes from the schema alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halocline.config.explain import all_keys, explain_key, full_template, json_schema
from halocline.config.load import load_study
from halocline.config.presets import EFFORT, NAMES
from halocline.config.study import CouplingSection, Study
from halocline.errors import UserError


def test_every_key_is_documented() -> None:
    entries = all_keys()
    assert len(entries) > 60
    assert all(entry.description.endswith((".", "`")) for entry in entries), [entry.key for entry in entries if not entry.description]


def test_a_key_tells_default_and_presets_with_units() -> None:
    (entry,) = explain_key("regions.transition")
    tiny, standard, _ = EFFORT["regions.transition"]
    assert entry.default == standard
    assert f"tiny {tiny}" in entry.presets
    assert "interaction range" in entry.description


def test_a_section_lists_its_keys() -> None:
    keys = [entry.key for entry in explain_key("coupling")]
    assert keys == ["coupling", *(f"coupling.{name}" for name in CouplingSection.model_fields)]
    assert keys[1:3] == ["coupling.name", "coupling.reservoir"]


@pytest.mark.parametrize("section", [name for name in Study.model_fields if name not in ("study", "preset")])
def test_every_section_says_what_it_is_about_and_lists_each_key_in_a_line(section: str) -> None:
    head, *keys = explain_key(section)
    assert len(head.description.split()) > 2, "more than its own name"
    assert len(keys) == len(type(getattr(Study(), section)).model_fields)
    assert all(entry.description and "\n" not in entry.description for entry in keys)


def test_a_key_of_few_words_tells_them() -> None:
    (entry,) = explain_key("regions.weighting")
    assert entry.allowed == ("cosine", "smoothstep", "steep")
    assert explain_key("preset")[0].allowed == NAMES
    assert explain_key("calibration.compressibility")[0].allowed == (), "a quantity is allowed as well"


@pytest.mark.parametrize("key", ["regions.transitions", "transition", "regin"])
def test_a_wrong_key_is_suggested(key: str) -> None:
    with pytest.raises(UserError, match="regions"):
        explain_key(key)


def test_the_full_template_is_the_default_study(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(full_template())
    assert load_study(file) == Study()


def test_the_schema_is_json_and_closed_to_unknown_keys() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Model"]["properties"]["cutoff"]["type"] == "string"
    assert schema["$defs"]["Model"]["properties"]["cutoff"]["description"]
