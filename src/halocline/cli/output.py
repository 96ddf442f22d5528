"""What a person or a program sees: tables and bars, plain lines, or one JSON object."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from halocline.errors import HaloclineError
from halocline.progress import Lines, Progress, Task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Output:
    """One command's output: results on stdout, progress and errors on stderr."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    @property
    def console(self) -> Console:
        from rich.console import Console

        return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=140)

    def progress(self) -> Progress:
        """Bars on a terminal, lines elsewhere; always on stderr, so that stdout stays the result."""
        if sys.stderr.isatty() and not self.as_json:
            return Terminal()
        return Lines(to_stderr)

    def emit(self, data: dict[str, Any]) -> None:
        """The whole result of a command as one JSON object; nothing unless ``--json`` was given."""
        if self.as_json:
            to_stdout(data)

    def text(self, text: str) -> None:
        """A sentence for a person; nothing with ``--json``."""
        if not self.as_json:
            self.console.print(text, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for a person; nothing with ``--json``."""
        if self.as_json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)


class _Bar:
    def __init__(self, bars: RichProgress, identity: TaskID) -> None:
        self.bars, self.identity = bars, identity

    def advance(self, steps: float = 1.0) -> None:
        self.bars.advance(self.identity, steps)

    def note(self, text: str) -> None:
        self.bars.update(self.identity, note=text)


class Terminal:
    """Rich bars; several tasks may run inside each other."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = console or Console(stderr=True, highlight=False)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn())
        columns += (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("[dim]{task.fields[note]}"))  # type: ignore[assignment]
        self.bars = Progress(*columns, console=self.console, transient=True)
        self.active = 0

    @contextmanager
    def task(self, description: str, total: float, done: float = 0.0) -> Iterator[Task]:
        if self.active == 0:
            self.bars.start()
        self.active += 1
        identity = self.bars.add_task(description, total=total, completed=done, note="")  # type: ignore[arg-type]
        try:
            yield _Bar(self.bars, identity)
        finally:
            self.bars.remove_task(identity)
            self.active -= 1
            if self.active == 0:
                self.bars.stop()

    def log(self, text: str) -> None:
        self.console.print(text, markup=False)


def to_stderr(line: str) -> None:
    """One plain line beside the result."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def to_stdout(data: dict[str, Any]) -> None:
    """One JSON object."""
    sys.stdout.write(json.dumps(finite(data), indent=1, default=str) + "\n")


def show_error(error: HaloclineError, as_json: bool) -> None:
    """The three parts: red on stderr for a person, an object on stdout for a program."""
    if as_json:
        to_stdout({"error": {"what": error.what, "where": error.where, "remedy": error.remedy, "exit_code": error.exit_code}})
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error  ", "bold red"), (error.what, "red")))
    console.print(Text.assemble(("where  ", "bold"), error.where))
    console.print(Text.assemble(("remedy ", "bold"), error.remedy))


def finite(value: Any) -> Any:
    """JSON has no NaN: non-finite numbers become null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def duration(seconds: float) -> str:
    """A time for people: 42 s, 7 min, 3.1 h, 2.4 d."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} d"
