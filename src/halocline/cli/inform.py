"""``doctor``, ``list``, ``explain`` and ``schema``: answers that need no study."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from halocline.cli.options import AsJson
from halocline.cli.output import Output


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="doctor", help="What is installed here, and the one-line remedy for what is not.")(doctor)
    app.command(name="list", help="Engines, models, molecules, reservoirs, couplings and all other parts, plug-ins included.")(list_parts)
    app.command(name="explain", help="What a key of the study file means, e.g. 'explain regions.transition'.")(explain)
    app.command(name="schema", help="JSON schema of the study file, for editors and programs.")(schema)


def doctor(json: AsJson = False) -> None:
    from halocline.cli.doctor import examine

    output, findings = Output(json), examine()
    output.emit({"findings": [vars(finding) for finding in findings], "ready": all(item.ok or not item.required for item in findings)})
    rows = [[item.name, item.found, "" if item.ok else item.remedy] for item in findings]
    output.table("", ["part", "found", "remedy"], rows)
    if any(item.required and not item.ok for item in findings):
        raise typer.Exit(1)


def list_parts(
    kind: Annotated[Optional[str], typer.Argument(help="engines, models, molecules, couplings, executors, ...; all without.")] = None,  # noqa: UP045
    json: AsJson = False,
) -> None:
    from pathlib import Path

    from halocline.registry import KINDS, add_plugin_folder, available

    add_plugin_folder(Path("plugins"))
    output = Output(json)
    found = {name: available(name) for name in ([kind] if kind else KINDS)}
    output.emit(
        {name: [{"name": e.name, "summary": e.summary, "source": e.source} for e in entries.values()] for name, entries in found.items()}
    )
    for name, entries in found.items():
        output.table(name, ["name", "what"], [[entry.name, entry.summary] for entry in entries.values()])


def explain(key: Annotated[str, typer.Argument(help="Dotted key, or a section.")], json: AsJson = False) -> None:
    from halocline.config.explain import explain_key

    output, entries = Output(json), explain_key(key)
    output.emit({"keys": [vars(entry) for entry in entries]})
    for entry in entries:
        default = f" (default {entry.default})" if entry.default else ""
        output.text(f"{entry.key}{default}\n    {entry.description}{f' Presets: {entry.presets}.' if entry.presets else ''}")


def schema(json: AsJson = False) -> None:
    from halocline.config.explain import json_schema

    Output(as_json=True).emit(json_schema())
