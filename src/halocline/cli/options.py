"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from halocline.config.study import Study

StudyFile = Annotated[Path, typer.Argument(help="Study file, or the folder that holds study.yaml.", show_default=True)]
Preset = Annotated[Optional[str], typer.Option("--preset", help="Effort: tiny, standard or production; wins over the file.")]  # noqa: UP045
Assign = Annotated[Optional[list[str]], typer.Option("--set", help="Change one key, e.g. --set 'system.length=60 A'. Repeatable.")]  # noqa: UP045
Budget = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--budget", help="Wall time of the first training, e.g. 30min; short for --set model.budget=30min."),
]
RunPath = Annotated[Optional[Path], typer.Option("--run", help="Run folder; default runs/NAME[-PRESET] beside the study file.")]  # noqa: UP045
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def study_folder(study_file: Path) -> Path:
    """The folder of a study file."""
    return study_file if study_file.is_dir() else study_file.parent


def default_run(study_file: Path, study: Study) -> Path:
    """``runs/NAME[-PRESET]`` beside the study file: runs of different effort never mix."""
    name = re.sub(r"[^\w.-]+", "-", study.study)
    return study_folder(study_file) / "runs" / (f"{name}-{study.preset}" if study.preset else name)
