"""From a YAML file, a preset and the command line to a validated study.

Later wins: defaults < preset named in the file < keys of the file < preset of the command line < ``--set a.b=value``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from halocline.config.presets import NAMES, classical_preset, preset, scale_composition
from halocline.config.study import Study
from halocline.errors import UserError
from halocline.registry import add_plugin_folder

Raw = dict[str, Any]


@dataclass
class _Layers:
    """Raw keys gathered so far and where each came from."""

    values: Raw = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def put(self, dotted: str, value: Any, source: str) -> None:
        """Set one key; a section is created on the way, a mapping-valued key such as ``system.molecules`` is replaced whole."""
        *parents, last = dotted.split(".")
        target = self.values
        for parent in parents:
            child = target.get(parent)
            target[parent] = child = dict(child) if isinstance(child, dict) else {}
            target = child
        target[last] = value
        self.sources[dotted] = source

    def source_of(self, dotted: str, otherwise: str) -> str:
        """Where a key, the longest parent of it that was given, or a key below it came from."""
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            found = self.sources.get(".".join(parts[:length]))
            if found:
                return found
        below = [source for key, source in self.sources.items() if key.startswith(f"{dotted}.")]
        return below[-1] if below else otherwise


def load_study(path: Path, preset_name: str | None = None, assignments: Iterable[str] = ()) -> Study:
    """Read a study file.

    Args:
        path: YAML file, or the folder that holds ``study.yaml``.
        preset_name: preset of the command line; it wins over the file.
        assignments: ``section.key=value`` texts; they win over everything.

    Raises:
        UserError: missing or malformed file, unknown key, or a value that does not fit; with key, value and remedy.
    """
    if path.is_dir():
        path = path / "study.yaml"
    keys, lines = _read(path)
    add_plugin_folder(path.parent / "plugins")
    layers = _Layers()
    assignments = list(assignments)
    in_file = keys.get("preset")
    if in_file is not None:
        _lay_preset(layers, in_file, _at(path, lines, "preset"), keys, assignments)
    for section, content in keys.items():
        if isinstance(content, dict) and content:
            for key, value in content.items():
                layers.put(f"{section}.{key}", value, _at(path, lines, f"{section}.{key}"))
        else:
            layers.put(str(section), {} if content is None else content, _at(path, lines, str(section)))
    if preset_name is not None:
        _lay_preset(layers, preset_name, "--preset", layers.values, assignments)
        layers.put("preset", preset_name, "--preset")
    for assignment in assignments:
        _assign(layers, assignment)
    return validate(layers.values, str(path), layers, path.parent.absolute())


def validate(values: Mapping[str, Any], where: str, layers: _Layers | None = None, folder: Path | None = None) -> Study:
    """Check raw keys against the schema; paths in them are relative to the folder, or to the working folder without one.

    Raises:
        UserError: dotted key, received value and, for an unknown key, the closest known one.
    """
    try:
        return Study.model_validate(values, context={"folder": folder or Path()})
    except ValidationError as error:
        raise _explain(error, where, layers or _Layers()) from None


def _read(path: Path) -> tuple[Raw, dict[str, int]]:
    """Keys of a YAML file and the line of each dotted key; duplicate keys are refused."""
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError("there is no such study file", str(path), "Make one with 'halocline new water'.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the study file ({error})", str(path), "Give a readable YAML text file.") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[str, int] = {}
        if node is not None:
            _collect_lines(node, "", lines, path)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(
            f"not valid YAML: {problem}", where, "Check colons, indentation and quotes on this line and the one before."
        ) from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise UserError(f"a study file holds keys, not a {type(data).__name__}", str(path), "See 'halocline new water' for an example.")
    return {str(key): value for key, value in data.items()}, lines


def _collect_lines(node: yaml.Node, prefix: str, lines: dict[str, int], path: Path) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{prefix}{key.value}"
        line = key.start_mark.line + 1
        if dotted in lines:
            raise UserError(f"'{dotted}' is given twice (lines {lines[dotted]} and {line})", f"{path}:{line}", "Keep one of them.")
        lines[dotted] = line
        _collect_lines(value, f"{dotted}.", lines, path)


def _at(path: Path, lines: Mapping[str, int], dotted: str) -> str:
    return f"{path}:{lines[dotted]}" if dotted in lines else str(path)


def _lay_preset(layers: _Layers, name: Any, source: str, keys: Mapping[str, Any], assignments: Sequence[str]) -> None:
    if name not in NAMES:
        raise UserError(f"there is no preset '{name}'", source, _suggest(str(name), NAMES))
    if _is_classical(keys, assignments):
        for dotted, value in classical_preset(name, keys).items():
            layers.put(dotted, value, f"preset {name} ({source})")
        return
    system = keys.get("system")
    composition = system.get("molecules") if isinstance(system, dict) else None
    for section, content in preset(name).items():
        for key, value in content.items():
            if (section, key) == ("system", "molecules"):
                value = _share(composition, value)
            layers.put(f"{section}.{key}", value, f"preset {name} ({source})")


def _is_classical(keys: Mapping[str, Any], assignments: Sequence[str]) -> bool:
    """Whether the study will have a classical force field; presets of such studies scale the lengths of the file."""
    section = keys.get("force_field")
    name = section.get("name") if isinstance(section, dict) else None
    for assignment in assignments:
        dotted, _, value = assignment.partition("=")
        name = value.strip() if dotted.strip() == "force_field.name" else name
    return name == "classical"


def _share(composition: Any, total: int) -> Any:
    """The file's composition with the preset's total; a malformed one is left for the schema to refuse."""
    if composition is None:
        composition = Study().system.molecules
    well_formed = isinstance(composition, dict) and composition and all(type(n) is int and n > 0 for n in composition.values())
    return scale_composition(composition, total) if well_formed else composition


def _assign(layers: _Layers, assignment: str) -> None:
    dotted, equals, text = assignment.partition("=")
    dotted = dotted.strip()
    if not equals or not dotted or "" in dotted.split("."):
        raise UserError(
            f"'{assignment}' is not an assignment", "--set", "Write it as --set section.key=value, e.g. --set 'system.length=60 A'."
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    layers.put(dotted, value, "--set")


def _explain(error: ValidationError, where: str, layers: _Layers) -> UserError:
    """The first problem as a three-part error; the number of others is mentioned."""
    problems = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    first = problems[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    dotted = ".".join(path)
    source = layers.source_of(dotted, where)
    more = f" ({len(problems) - 1} more to mend after this)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        parent = ".".join(path[:-1])
        known = known_keys(parent)
        what = f"unknown key '{path[-1]}'" + (f" in section '{parent}'" if parent else "") + f", received {first['input']!r}"
        return UserError(what + more, f"{source}: {dotted}", _suggest_key(path[-1], parent, known))
    message = str(first["msg"]).removeprefix("Value error, ")
    what = f"{dotted} received {_short(first['input'])}: {message[:1].lower()}{message[1:].rstrip('.')}"
    return UserError(what + more, f"{source}: {dotted}", f"See 'halocline explain {_documented(path)}'.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _documented(path: list[str]) -> str:
    """The longest leading part of a location that is a key of the study file."""
    model: type[BaseModel] | None = Study
    documented = []
    for part in path:
        if model is None or part not in model.model_fields:
            break
        documented.append(part)
        model = section_type(model, part)
    return ".".join(documented) or "study"


def section_type(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The section class of a field, or None for a plain key."""
    annotation = model.model_fields[name].annotation
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def known_keys(section: str = "") -> list[str]:
    """Keys of a section ("" for the root); empty for what is no section."""
    model: type[BaseModel] | None = Study
    for part in section.split(".") if section else []:
        model = section_type(model, part) if model is not None and part in model.model_fields else None
    return list(model.model_fields) if model is not None else []


def _suggest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return (f"Did you mean '{close[0]}'? " if close else "") + f"Known: {', '.join(known)}."


def _suggest_key(name: str, section: str, known: list[str]) -> str:
    """The same key in another section, or else the closest key of this one."""
    elsewhere = [f"{other}.{name}" for other in known_keys() if section and name in known_keys(other)]
    return f"Did you mean '{elsewhere[0]}'? Keys here: {', '.join(known)}." if elsewhere else _suggest(name, known)
