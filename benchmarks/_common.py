"""What every benchmark shares: two options, a table for people, a flat JSON object of figures for machines."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Fair timings need every engine on the same number of cores, and libraries read this when they are imported.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def parse_arguments(description: str, **more: tuple[str, Callable[[str], object]]) -> argparse.Namespace:
    """``--quick`` (a bool), ``--json`` (a Path or None), and further options as name -> (help, type)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; figures are noisier")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat JSON object")
    for name, (text, kind) in more.items():
        parser.add_argument(f"--{name}", type=kind, help=text)
    return parser.parse_args()


def cpu_seconds(function: Callable[[], object], repeat: int, warm_up: int = 1) -> float:
    """Smallest process CPU time of one call: other programs on the machine only ever add to it."""
    return _smallest(function, repeat, warm_up, time.process_time)


def wall_seconds(function: Callable[[], object], repeat: int, warm_up: int = 1) -> float:
    """Smallest elapsed time of one call, for what runs on several threads."""
    return _smallest(function, repeat, warm_up, time.perf_counter)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table, columns as wide as they need to be."""
    widths = [max(len(str(row[k])) for row in [columns, *rows]) for k in range(len(columns))]
    print(f"\n{title}\n")
    for row in [columns, ["-" * width for width in widths], *rows]:
        print("  ".join(f"{cell:<{width}}" if k == 0 else f"{cell:>{width}}" for k, (cell, width) in enumerate(zip(row, widths))))


def finish(figures: Mapping[str, float], json_path: Path | None) -> None:
    """Print the figures, and write them where ``--json`` asked for."""
    print()
    for name, value in figures.items():
        print(f"{name} = {value:.4g}")
    if json_path is not None:
        temporary = json_path.with_name(f".{json_path.name}.partial")
        temporary.write_text(json.dumps(dict(figures), indent=1) + "\n")
        temporary.replace(json_path)


def _smallest(function: Callable[[], object], repeat: int, warm_up: int, clock: Callable[[], float]) -> float:
    for _ in range(warm_up):
        function()
    best = float("inf")
    for _ in range(repeat):
        start = clock()
        function()
        best = min(best, clock() - start)
    return best
