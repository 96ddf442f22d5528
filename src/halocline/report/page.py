"""The page: everything put together by a template, with style, script and data inside the one file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from halocline.adress.regions import Regions
from halocline.config.study import Study
from halocline.report import manifest as provenance
from halocline.report.chapters import CLASSICAL_HEADINGS, FAILURE, HEADINGS, ChapterMaker, absences
from halocline.report.palette import css_variables
from halocline.report.plan import glance, sections, study_yaml
from halocline.report.scene import Scene, picture
from halocline.report.sketch import sketch
from halocline.report.verdicts import answer, row
from halocline.results import StageResult

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Content:
    """What a report is made of; everything but the study may be missing, and the page then says so.

    Attributes:
        study: as resolved.
        results: stage -> what it left behind, in any order.
        stages: names of the stages that a complete study has, in order; other results follow behind them.
        manifest: content of the run's ``manifest.json``, or None.
        regions: regions of the simulation.
        scene: configuration for the 3D view, or None; ``scene_note`` then says why, otherwise what is shown.
    """

    study: Study
    results: Mapping[str, StageResult]
    stages: Sequence[str]
    regions: Regions
    manifest: Mapping[str, Any] | None = None
    scene: Scene | None = None
    scene_note: str = ""


def render(content: Content) -> str:
    """The report as HTML text; the same content gives the same text."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_address"] = _data_address
    verdicts = [verdict for result in content.results.values() for verdict in result.verdicts]
    rows = [row(verdict) for verdict in verdicts]
    names = [*content.stages, *(name for name in content.results if name not in content.stages)]
    maker = ChapterMaker(CLASSICAL_HEADINGS if content.study.is_classical else HEADINGS)
    chapters = [maker.make(name, content.results.get(name)) for name in names]
    yaml_text = study_yaml(content.study)
    scene = content.scene
    return environment.get_template("report.html.j2").render(
        title=content.study.study,
        answer=answer(verdicts),
        rows=rows,
        chapters=chapters,
        failures={
            "inconsistent": [item for item in rows if item.word == "inconsistent"],
            "undecided": [item for item in rows if item.word == "undecided"],
            "figures": [(c, f) for c in chapters for f in c.figures if FAILURE in f.key],
            "tables": [(c, t) for c in chapters for t in c.tables if FAILURE in t.key and t.rows],
            "absences": absences(content.results),
            "missing": [chapter for chapter in chapters if chapter.missing],
        },
        layout=Markup(sketch(content.regions, content.study.coupling.name)),
        glance=glance(content.study),
        sections=sections(content.study),
        scene=scene,
        picture=Markup(picture(scene)) if scene else "",
        scene_data=Markup(scene.to_json()) if scene else "",
        scene_note=content.scene_note,
        manifest=content.manifest,
        groups=provenance.groups(content.manifest) if content.manifest else [],
        manifest_text=json.dumps(content.manifest, indent=1, ensure_ascii=False) if content.manifest else "",
        command=_command(content),
        version=_version(content),
        glance_reference=_level(content.study),
        theory="force field" if content.study.is_classical else "level of theory",
        yaml=yaml_text,
        css=Markup(_css()),
        script=Markup(_asset("report.js")),
        viewer=Markup(_asset("viewer.js")) if scene else "",
        markup=Markup,
    )


def _command(content: Content) -> str:
    """The command line that the run was started with; empty when it is not known."""
    given = (content.manifest or {}).get("command")
    return shlex.join(str(part) for part in given) if isinstance(given, (list, tuple)) else str(given or "")


def _level(study: Study) -> str:
    """Where the forces at full resolution come from, in a few words."""
    if study.is_classical:
        return f"classical force field of {', '.join(study.system.molecules)}"
    return f"{study.reference.method} ({study.reference.engine})"


def _version(content: Content) -> str:
    code = (content.manifest or {}).get("code")
    if not isinstance(code, Mapping) or "version" not in code:
        return ""
    commit = f", commit {str(code['commit'])[:12]}" if code.get("commit") else ""
    return f"{code['version']}{commit}" + (" with local changes" if code.get("changed") == "yes" else "")


def _css() -> str:
    light, dark = css_variables(dark=False), css_variables(dark=True)
    themes = f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"
    return themes + _asset("report.css")


def _asset(name: str) -> str:
    return (_HERE / "assets" / name).read_text(encoding="utf-8")


def _data_address(text: str, kind: str) -> str:
    """``data:`` address of a text file, for a download that needs no server."""
    return f"data:{kind};charset=utf-8,{quote(text)}"
