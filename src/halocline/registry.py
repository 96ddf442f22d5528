"""Discovery: one new file adds an engine, a model, a head, a molecule, a coupling, an observable or an executor.

A *kind* is a package of halocline whose modules each define one or more named things: instances, or classes, of the
base type of that kind. Every module of the package is searched, and so is every ``*.py`` file in ``KIND/`` below the
folders of the environment variable ``HALOCLINE_PATH`` (and ``plugins/`` beside the study file), so that a user adds
one without touching this package.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from halocline.errors import UserError

KINDS: dict[str, tuple[str, str]] = {
    "molecules": ("halocline.molecules", "halocline.molecules.base:Molecule"),
    "engines": ("halocline.reference", "halocline.reference.base:ReferenceEngine"),
    "models": ("halocline.models", "halocline.models.base:Representation"),
    "heads": ("halocline.models.heads", "halocline.models.heads.base:Head"),
    "regions": ("halocline.adress.regions", "halocline.adress.regions.base:Regions"),
    "reservoirs": ("halocline.adress.reservoir", "halocline.adress.reservoir.base:Reservoir"),
    "couplings": ("halocline.adress.coupling", "halocline.adress.coupling.base:Coupling"),
    "executors": ("halocline.execute", "halocline.execute.base:Executor"),
    "observables": ("halocline.observables", "halocline.observables.base:Observable"),
}
"""kind -> (package searched, ``module:name`` of the base type)."""

_extra_folders: list[Path] = []


@dataclass(frozen=True)
class Entry:
    """One discovered thing."""

    kind: str
    name: str
    summary: str
    source: str
    value: Any


def add_plugin_folder(folder: Path) -> None:
    """Also search ``folder/KIND/*.py`` from now on."""
    if folder.is_dir() and folder not in _extra_folders:
        _extra_folders.append(folder)


def plugin_folders() -> tuple[Path, ...]:
    """Folders added by :func:`add_plugin_folder`; worker processes search them too."""
    return tuple(_extra_folders)


def available(kind: str) -> dict[str, Entry]:
    """Everything of a kind, by name.

    Raises:
        UserError: unknown kind, a plug-in file that does not import, or two things of one name.
    """
    if kind not in KINDS:
        raise UserError(f"'{kind}' is not a kind of part", "registry", f"Use one of: {', '.join(KINDS)}.")
    package_name, base_path = KINDS[kind]
    base_module, base_name = base_path.split(":")
    base = getattr(importlib.import_module(base_module), base_name)
    found: dict[str, Entry] = {}
    for module in [*_package_modules(package_name), *_plugin_modules(kind)]:
        for entry in _entries(module, kind, base):
            if entry.name in found and found[entry.name].source != entry.source:
                raise UserError(
                    f"two {kind} are called '{entry.name}'", f"{found[entry.name].source} and {entry.source}", "Rename one of them."
                )
            found[entry.name] = entry
    return dict(sorted(found.items()))


def get(kind: str, name: str, where: str = "study file") -> Any:
    """The named thing of a kind; an unknown name lists what exists and the closest match."""
    entries = available(kind)
    if name in entries:
        return entries[name].value
    close = difflib.get_close_matches(name, entries, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    raise UserError(f"there is no '{name}' among the {kind}", where, f"{hint}Known: {', '.join(entries) or 'none'}.")


def _entries(module: ModuleType, kind: str, base: type) -> list[Entry]:
    entries = []
    for value in vars(module).values():
        is_own_class = inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
        usable_class = is_own_class and value is not base and not inspect.isabstract(value)
        if usable_class or isinstance(value, base):
            name = getattr(value, "name", None)
            if isinstance(name, str) and name:
                summary = getattr(value, "summary", "") or (inspect.getdoc(value) or "").split("\n")[0]
                entries.append(Entry(kind, name, summary, module.__file__ or module.__name__, value))
    return entries


def _package_modules(package_name: str) -> list[ModuleType]:
    package = importlib.import_module(package_name)
    names = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_") and not info.ispkg]
    return [importlib.import_module(f"{package_name}.{name}") for name in sorted(names) if name != "base"]


def _plugin_modules(kind: str) -> list[ModuleType]:
    from_environment = [Path(part) for part in os.environ.get("HALOCLINE_PATH", "").split(os.pathsep) if part]
    modules = []
    for folder in [*from_environment, *_extra_folders]:
        for file in sorted((folder / kind).glob("*.py")):
            modules.append(_import_file(file, kind))
    return modules


def _import_file(file: Path, kind: str) -> ModuleType:
    name = f"halocline_plugins.{kind}.{file.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(file):
        return loaded
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(
            f"the plug-in does not import ({type(error).__name__}: {error})", str(file), "Mend the file or remove it."
        ) from error
    return module
