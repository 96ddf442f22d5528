"""``halocline new``: a folder with a commented study file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Optional

import typer

from halocline.cli.options import AsJson
from halocline.cli.output import Output
from halocline.errors import UserError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="new", help="Write a folder with a commented study file and a README.")(new)


def templates() -> list[str]:
    """Names of the studies that can be started from."""
    folder = resources.files("halocline.cli") / "templates"
    return sorted(Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".yaml"))


def new(
    name: Annotated[str, typer.Argument(help="Study to start from, e.g. water.")] = "water",
    folder: Annotated[Optional[Path], typer.Argument(help="Folder to make; default: the name.")] = None,  # noqa: UP045
    full: Annotated[bool, typer.Option("--full", help="Write every key with its default and documentation.")] = False,
    json: AsJson = False,
) -> None:
    known = templates()
    if name not in known:
        raise UserError(f"there is no study '{name}' to start from", "command line", f"Known: {', '.join(known)}.")
    target = folder or Path(name)
    study = target / "study.yaml"
    if study.exists():
        raise UserError("there is a study already; it was not touched", str(study), "Give another folder: 'halocline new water FOLDER'.")
    from halocline.config.explain import full_template
    from halocline.files import write_text

    source = resources.files("halocline.cli") / "templates"
    write_text(study, full_template() if full else (source / f"{name}.yaml").read_text())
    write_text(target / "README.md", (source / "README.md").read_text())
    output = Output(json)
    output.emit({"folder": str(target), "files": [str(study), str(target / "README.md")]})
    output.text(f"Wrote {study} and {target / 'README.md'}.")
    output.text(f"Next: halocline check {study}, then halocline run {study} --preset tiny")
