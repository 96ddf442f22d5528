"""The study as resolved: at a glance, in full, and as a file to run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from halocline.adress.reservoir import reservoir_of
from halocline.config.study import Study

_GLANCE = {
    "Liquid": ("system.molecules", "system.density", "system.temperature", "system.length", "system.seed"),
    "Level of theory, boxes": ("reference.engine", "reference.method", "reference.quantities"),
    "Level of theory, clusters": (
        "multipoles.engine", "multipoles.method", "multipoles.basis", "multipoles.dispersion", "multipoles.quantities",
    ),
    "Force field": ("force_field.name", "force_field.cutoff", "force_field.electrostatics", "force_field.dielectric", "force_field.mixing"),
    "Training data": ("dataset.frames", "dataset.molecules", "dataset.temperatures", "active_learning.rounds", "active_learning.frames"),
    "Atomistic model": ("model.name", "model.features", "model.layers", "model.cutoff"),
    "Reservoir": ("coupling.reservoir",),
    "Coupling": ("coupling.name", "regions.shape", "regions.atomistic", "regions.transition", "regions.hysteresis"),
    "Runs": ("dynamics.timestep", "dynamics.equilibration", "dynamics.length", "validation.reference"),
}  # fmt: skip


_LEARNED = ("Level of theory, boxes", "Level of theory, clusters", "Training data", "Atomistic model")
"""What only a study with a trained model has."""
_BEADS = ("coarse_model.name", "coarse_model.cutoff")
"""Beads are trained with a model, whatever the reservoir."""
_PRINTED = {"A": "Å", "g/cm3": "g/cm³", "eV/A": "eV/Å"}


@dataclass(frozen=True)
class Setting:
    """One key with its value as written in a study file."""

    key: str
    value: str
    meaning: str


@dataclass(frozen=True)
class SectionView:
    name: str
    meaning: str
    settings: Sequence[Setting]


def glance(study: Study) -> list[SectionView]:
    """The choices that a reader of the result must know; keys that a study does not have are left out."""
    plain = study.model_dump(mode="json")
    views = []
    for heading, keys in _GLANCE.items():
        if heading in _LEARNED if study.is_classical else heading == "Force field":
            continue
        if heading == "Reservoir":
            keys = (*keys, *(() if study.is_classical else _BEADS), *reservoir_of(study).keys)
        settings = []
        for dotted in keys:
            section, _, key = dotted.partition(".")
            if key in plain.get(section, {}):
                own = section == keys[0].partition(".")[0]
                label = (key if own else f"{section} {key}").replace("_", " ")
                settings.append(Setting(label, _pretty(plain[section][key]), _meaning(getattr(study, section), key)))
        views.append(SectionView(heading, "", settings))
    return [view for view in views if view.settings]


def sections(study: Study) -> list[SectionView]:
    """Every key of the study with its documentation."""
    plain = study.model_dump(mode="json")
    views, top = [], []
    for name, value in plain.items():
        part = getattr(study, name)
        if isinstance(part, BaseModel):
            settings = [Setting(key, _text(item), _meaning(part, key)) for key, item in value.items()]
            views.append(SectionView(name, _meaning(study, name), settings))
        else:
            top.append(Setting(name, _text(value), _meaning(study, name)))
    return [SectionView("study", "The study itself.", top), *views]


def study_yaml(study: Study) -> str:
    """A study file with every key written out; it gives the same study again."""
    plain = {key: value for key, value in study.model_dump(mode="json").items() if value is not None}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def _meaning(model: BaseModel, key: str) -> str:
    return type(model).model_fields[key].description or ""


def _pretty(value: Any) -> str:
    """For reading only: Å and ³ as printed, long times in ps."""
    if isinstance(value, (list, tuple)):
        return ", ".join(_pretty(item) for item in value)
    number, _, unit = _text(value).partition(" ")
    if unit == "fs" and float(number) >= 1000:
        number, unit = f"{float(number) / 1000:g}", "ps"
    return f"{number} {_PRINTED.get(unit, unit)}".strip()


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return "none" if value is None else str(value)
