"""Numbers and verdicts of a finished run as Markdown tables.

    python docs/results/tabulate.py RUN_FOLDER

The pages of this folder are made with it; only what is said between the tables is written by hand.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

STAGES = ("calibrate", "simulate", "validate")


def rows_of(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """One table under a heading."""
    columns = list(columns)
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def number(item: dict[str, Any]) -> tuple[str, str, str, str]:
    """Name, value with error, unit, effective samples."""
    value, error, effective = item["value"], item.get("error"), item.get("n_effective")
    if value is None or not math.isfinite(value):
        text = "not known"
    elif not error or not math.isfinite(error):
        text = f"{value:.5g}"
    else:
        digits = max(0, 1 - math.floor(math.log10(error)))
        text = f"{value:.{digits}f} ± {error:.{digits}f}"
    samples = "" if effective is None or not math.isfinite(effective) else f"{effective:.0f}"
    return item["name"], text, item["unit"], samples


def page(run: Path) -> str:
    """All tables of the stages whose numbers are worth a page."""
    parts = []
    for stage in STAGES:
        folder = next(iter(sorted(run.glob(f"[0-9][0-9]-{stage}"))), None)
        if folder is None or not (folder / "result.json").is_file():
            continue
        result = json.loads((folder / "result.json").read_text())["result"]
        parts.append(f"{stage}: {result['summary']}")
        parts.append(rows_of(f"Numbers of {stage}", ("quantity", "value", "unit", "independent samples"), map(number, result["numbers"])))
        verdicts = [(item["name"], f"**{item['verdict']}**", item["explanation"]) for item in result.get("verdicts", [])]
        if verdicts:
            parts.append(rows_of("Verdicts", ("check", "verdict", "why"), verdicts))
    return "\n\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="run folder")
    print(page(parser.parse_args().run))  # noqa: T201 - a script
