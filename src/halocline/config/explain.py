"""Documentation generated from the study schema: one key, the JSON schema, and templates."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from halocline.config.load import known_keys, section_type
from halocline.config.presets import CLASSICAL_EFFORT, EFFORT, NAMES
from halocline.config.study import Study
from halocline.errors import UserError


@dataclass(frozen=True)
class KeyText:
    """One key for people: default, preset values and allowed words as the study file writes them."""

    key: str
    description: str
    default: str
    presets: str
    allowed: tuple[str, ...] = ()


def explain_key(dotted: str) -> list[KeyText]:
    """A key, or a section and its keys.

    Raises:
        UserError: no such key; names the closest one.
    """
    every = {entry.key: entry for entry in all_keys()}
    if dotted in every:
        section = [entry for entry in every.values() if entry.key.startswith(f"{dotted}.")]
        return [every[dotted], *section]
    close = difflib.get_close_matches(dotted, every, n=3) or [key for key in every if key.endswith(f".{dotted}")]
    hint = f"Did you mean {' or '.join(repr(key) for key in close)}?" if close else f"Sections: {', '.join(known_keys())}."
    raise UserError(f"there is no key '{dotted}'", "command line", hint)


def all_keys() -> list[KeyText]:
    """Every section and key, in the order of the schema."""
    entries = []
    for name, field in Study.model_fields.items():
        entries.append(_entry(name, field, Study))
        section = section_type(Study, name)
        for key, child in section.model_fields.items() if section else ():
            entries.append(_entry(f"{name}.{key}", child, section))
    return entries


def json_schema() -> dict[str, Any]:
    """JSON schema of the study file; quantities are strings with a unit."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}


def full_template() -> str:
    """A study file with every key at its default, each with its documentation."""
    lines = ["# Every key with its default. Keep what you change, delete the rest."]
    for name, field in Study.model_fields.items():
        section = section_type(Study, name)
        if section is None:
            lines.append(f"{'# ' if field.default is None else ''}{name}: {_yaml(field)}  # {field.description}")
            continue
        lines += ["", f"{name}:  # {field.description}"]
        lines += [f"  {key}: {_yaml(child)}  # {child.description}" for key, child in section.model_fields.items()]
    return "\n".join(lines) + "\n"


def _entry(dotted: str, field: FieldInfo, owner: type[BaseModel] | None) -> KeyText:
    is_section = owner is Study and section_type(Study, dotted) is not None
    default = "" if is_section else _default(field)
    values = EFFORT.get(dotted)
    presets = ", ".join(f"{name} {value}" for name, value in zip(NAMES, values)) if values else ""
    factors = CLASSICAL_EFFORT.get(dotted)
    if factors:
        words = ", ".join(f"{name} {factor:g} times" for name, factor in zip(NAMES, factors)) + " the value of the file"
        presets = f"{presets}; with classical force fields {words}" if presets else f"with classical force fields {words}"
    section = section_type(Study, dotted) if is_section else None
    description = (section.__doc__ or "").split("\n")[0] if section is not None else field.description or ""
    return KeyText(dotted, description, default, presets, _words(field.annotation))


def _words(annotation: Any) -> tuple[str, ...]:
    """Words that a key may have, where nothing else is allowed."""
    parts = [part for part in get_args(annotation) if part is not type(None)] if get_origin(annotation) is not Literal else [annotation]
    return tuple(map(str, get_args(parts[0]))) if len(parts) == 1 and get_origin(parts[0]) is Literal else ()


def _yaml(field: FieldInfo) -> str:
    """The default as a study file writes it."""
    return "null" if field.default is None else _default(field)


def _default(field: FieldInfo) -> str:
    """For people; defaults are given as text with units."""
    value = field.default
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "none"
    if isinstance(value, list):
        return "[" + ", ".join(str(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    return str(value)
