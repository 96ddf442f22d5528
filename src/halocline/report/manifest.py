"""The provenance manifest, whatever it holds, as nested definition lists and tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halocline.report.numbers import ABSENT

_SHOWN_ELSEWHERE = ("study",)


@dataclass(frozen=True)
class Group:
    """Key-value pairs under a heading, or a table when ``columns`` is not empty."""

    heading: str
    pairs: Sequence[tuple[str, str]] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def groups(manifest: Mapping[str, Any]) -> list[Group]:
    """Scalars first, then one group per nested mapping; mappings of mappings with scalar entries become tables."""
    scalars = [
        (words(key), shlex.join(value) if key == "command" and isinstance(value, list) else _text(value))
        for key, value in manifest.items()
        if not isinstance(value, Mapping)
    ]
    found = [Group("Run", scalars)] if scalars else []
    for key, value in manifest.items():
        if isinstance(value, Mapping) and value and key not in _SHOWN_ELSEWHERE:
            found.append(_table(words(key), value) if _is_table(value) else _pairs(words(key), value))
    return found


def words(key: str) -> str:
    """``level_of_theory`` as ``Level of theory``."""
    text = str(key).replace("_", " ")
    return text[:1].upper() + text[1:]


def _is_table(value: Mapping[str, Any]) -> bool:
    return all(isinstance(item, Mapping) for item in value.values())


def _table(heading: str, value: Mapping[str, Mapping[str, Any]]) -> Group:
    columns = list(dict.fromkeys(key for item in value.values() for key in item))
    rows = [[str(name), *(_text(item[column]) if column in item else "" for column in columns)] for name, item in value.items()]
    return Group(heading, (), ("", *(words(column) for column in columns)), rows)


def _pairs(heading: str, value: Mapping[str, Any]) -> Group:
    return Group(heading, [(str(key), _text(item)) for key, item in value.items()])


def _text(value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)
