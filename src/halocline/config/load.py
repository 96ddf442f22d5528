"""From a YAML file, a preset and the command line to a validated study.

Later wins: defaults < preset named in the file < keys of the file < preset of the command line < ``--set a.b=value``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from halocline.config.presets import NAMES, classical_preset, preset, scale_composition
from halocline.config.study import Study
from halocline.errors import HaloclineError, UserError
from halocline.registry import add_plugin_folder

Raw = dict[str, Any]

STUDY_KEY = re.compile(r"study file: (?P<key>\w+(?:\.\w+)*)")
"""How errors of checks behind the schema name a key."""
_CHOICES = {"regions": "shape", "reference": "engine", "multipoles": "engine", "execute": "executor"}
"""Sections that choose a part by another key than ``name``."""
_CLOSE = 0.85
"""Likeness above which a key of the same section is meant, rather than one of another section."""


@dataclass
class _Layers:
    """Raw keys gathered so far, where each came from, and where the sections of the file begin."""

    values: Raw = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)

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
        """Where a key, the longest parent of it that was given, a key below it, or its section came from."""
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            found = self.sources.get(".".join(parts[:length]))
            if found:
                return found
        start = self.sections.get(parts[0])
        below = [source for key, source in self.sources.items() if key.startswith(f"{dotted}.")]
        outside = [source for source in below if not source.startswith(f"{otherwise}:")]
        if outside:
            return outside[-1]
        return start or (below[-1] if below else otherwise)


def load_study(path: Path, preset_name: str | None = None, assignments: Iterable[str] = ()) -> Study:
    """Read a study file.

    Args:
        path: YAML file, or the folder that holds ``study.yaml``.
        preset_name: preset of the command line; it wins over the file.
        assignments: ``section.key=value`` texts; they win over everything.

    Raises:
        UserError: missing or malformed file, unknown key, or a value that does not fit; with key, value and remedy.
    """
    path = path / "study.yaml" if path.is_dir() else path
    layers = _gather(path, preset_name, list(assignments))
    return validate(layers.values, str(path), layers, path.parent.absolute())


@contextmanager
def naming_lines(path: Path, preset_name: str | None = None, assignments: Iterable[str] = ()) -> Iterator[None]:
    """Errors raised inside that name a key of the study file get its file and line, or the option that set it.

    Args:
        path, preset_name, assignments: as for :func:`load_study`.
    """
    path = path / "study.yaml" if path.is_dir() else path
    # Read before hours of work: the file may have moved or changed when an error comes.
    layers = _gather(path, preset_name, list(assignments))
    try:
        yield
    except HaloclineError as error:
        named = STUDY_KEY.fullmatch(error.where)
        if named is None:
            raise
        source = layers.source_of(named["key"], str(path))
        raise type(error)(error.what, f"{source}: {named['key']}", error.remedy) from error


def _gather(path: Path, preset_name: str | None, assignments: Sequence[str]) -> _Layers:
    """All layers of raw keys, the later over the earlier."""
    keys, lines = _read(path)
    add_plugin_folder(path.parent / "plugins")
    layers = _Layers()
    in_file = keys.get("preset")
    if in_file is not None:
        _lay_preset(layers, in_file, _at(path, lines, "preset"), keys, assignments)
    for section, content in keys.items():
        if isinstance(content, dict) and content:
            layers.sections[section] = _at(path, lines, section)
            for key, value in content.items():
                layers.put(f"{section}.{key}", value, _at(path, lines, f"{section}.{key}"))
        else:
            is_section = section in Study.model_fields and section_type(Study, section) is not None
            layers.put(section, {} if content is None and is_section else content, _at(path, lines, section))
    if preset_name is not None:
        _lay_preset(layers, preset_name, "--preset", layers.values, assignments)
        layers.put("preset", preset_name, "--preset")
    for assignment in assignments:
        _assign(layers, assignment)
    return layers


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
    if data is None or data == {}:
        remedy = "Write at least its name and its liquid; 'halocline new water' makes a file to start from."
        raise UserError("the study file is empty: it has not one key", str(path), remedy)
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
    # Members of a union, such as literal['measured'], are no keys.
    path = [str(part) for part in first["loc"] if "[" not in str(part)]
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
    remedy = f"See 'halocline explain {_documented(path)}'."
    allowed = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", ""))) if first["type"] == "literal_error" else []
    if len(allowed) > 1:
        remedy = f"{_suggest(str(first['input']), allowed, 'Allowed')} {remedy}"
    return UserError(what + more, f"{source}: {dotted}", remedy)


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


def _suggest(name: str, known: Iterable[str], word: str = "Known") -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return (f"Did you mean '{close[0]}'? " if close else "") + f"{word}: {', '.join(known)}."


def _suggest_key(name: str, section: str, known: list[str]) -> str:
    """The key of this section that chooses its part, a very close one, the same key in another section, or the closest one here."""
    chooser = _CHOICES.get(section, "name")
    if name in ("name", "type", "kind") and chooser in known:
        return f"Did you mean '{section}.{chooser}'? Keys here: {', '.join(known)}."
    elsewhere = [f"{other}.{name}" for other in known_keys() if section and name in known_keys(other)]
    if elsewhere and not difflib.get_close_matches(name, known, n=1, cutoff=_CLOSE):
        return f"Did you mean {' or '.join(repr(key) for key in elsewhere[:3])}? Keys here: {', '.join(known)}."
    return _suggest(name, known)
