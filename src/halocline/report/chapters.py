"""Chapters of the report: one per stage, made from whatever the stage declares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halocline.report.figures import Drawing, draw
from halocline.report.numbers import ABSENT, format_count, format_value, is_number, typeset
from halocline.results import Figure, Number, StageResult, Table

HEADINGS = {
    "build": ("Build", "The liquid, and the configurations that the models learn from."),
    "label": ("Label", "Reference calculations of energies, forces and molecular properties."),
    "inspect": ("Inspect", "What was labelled, checked before anything learns from it."),
    "train": ("Train", "Models, their learning curves, and their error on frames they have never seen."),
    "calibrate": ("Calibrate", "The thermodynamic force that keeps the density flat, and its convergence."),
    "simulate": ("Simulate", "The open simulation itself."),
    "validate": ("Validate", "The open simulation against the same liquid at full resolution."),
}
"""Stage -> heading and what the stage is for; a stage that is not listed gets its own name."""
CLASSICAL_HEADINGS = {
    **HEADINGS,
    "build": ("Build", "The liquid, packed and equilibrated."),
    "train": ("Prepare", "The reservoir: what its molecules feel, and how like the liquid it is."),
}
"""The same in a study with a classical force field."""

_NUMERIC = re.compile(r"[-+−±≤<>~]?\s?[\d  .,eE+−-]*\d\s?%?|–|-|")
FAILURE = "fail"
"""A figure, or a table with rows, whose key contains this is also listed in “Where it fails”."""


@dataclass(frozen=True)
class NumberView:
    name: str
    value: str
    samples: str


@dataclass(frozen=True)
class FigureView:
    """A numbered figure; ``key`` is its name among the stage's figures."""

    number: int
    identifier: str
    key: str
    title: str
    caption: str
    drawing: Drawing
    square: bool


@dataclass(frozen=True)
class TableView:
    number: int
    identifier: str
    key: str
    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def numeric(self) -> set[int]:
        """Columns, but the first, that hold numbers only: set flush right."""
        width = range(1, len(self.columns))
        return {i for i in width if self.rows and all(i < len(row) and _NUMERIC.fullmatch(row[i].strip()) for row in self.rows)}


@dataclass(frozen=True)
class Chapter:
    """Everything one stage has to say; ``missing`` when it has left no result."""

    name: str
    heading: str
    purpose: str
    summary: str = ""
    numbers: Sequence[NumberView] = ()
    figures: Sequence[FigureView] = ()
    tables: Sequence[TableView] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    missing: bool = False

    @property
    def identifier(self) -> str:
        return f"stage-{slug(self.name)}"


@dataclass(frozen=True)
class Absence:
    """A value that a stage names but does not have."""

    stage: str
    name: str


class ChapterMaker:
    """Numbers figures and tables through the whole report, and keeps their ids apart."""

    def __init__(self, headings: Mapping[str, tuple[str, str]] = HEADINGS) -> None:
        self.headings = headings
        self.figures, self.tables = 0, 0
        self._taken: set[str] = set()

    def make(self, stage: str, result: StageResult | None) -> Chapter:
        heading, purpose = self.headings.get(stage, (stage.replace("_", " ").capitalize(), ""))
        if result is None:
            return Chapter(stage, heading, purpose, missing=True)
        return Chapter(
            stage,
            heading,
            purpose,
            typeset(result.summary),
            [_number(number) for number in result.numbers],
            [self._figure(stage, figure) for figure in result.figures],
            [self._table(stage, table) for table in result.tables],
            result.files,
        )

    def _figure(self, stage: str, figure: Figure) -> FigureView:
        self.figures += 1
        identifier = self._identifier(f"fig-{stage}-{figure.key}")
        drawing = draw(figure, identifier)
        return FigureView(self.figures, identifier, figure.key, figure.title, typeset(figure.caption), drawing, figure.kind == "parity")

    def _table(self, stage: str, table: Table) -> TableView:
        self.tables += 1
        rows = [[ABSENT if cell is None else typeset(str(cell)) for cell in row] for row in table.rows]
        identifier = self._identifier(f"table-{stage}-{table.key}")
        return TableView(
            self.tables, identifier, table.key, table.title, typeset(table.caption), [typeset(column) for column in table.columns], rows
        )

    def _identifier(self, text: str) -> str:
        base, number = slug(text), 2
        identifier = base
        while identifier in self._taken:
            identifier, number = f"{base}-{number}", number + 1
        self._taken.add(identifier)
        return identifier


def slug(text: str) -> str:
    """Letters, digits and hyphens: fit for an id and an address."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "item"


def absences(results: Mapping[str, StageResult]) -> list[Absence]:
    """Named numbers and series without a single finite value."""
    found = []
    for stage, result in results.items():
        found += [Absence(stage, number.name) for number in result.numbers if not is_number(number.value)]
        for figure in result.figures:
            for series in figure.series:
                if not any(is_number(value) for value in _floats(series.y)):
                    found.append(Absence(stage, f"{figure.title}: {series.label}" if series.label else figure.title))
    return found


def _floats(values: Sequence[Any]) -> list[Any]:
    return [value.item() if hasattr(value, "item") else value for value in values]


def _number(number: Number) -> NumberView:
    samples = "" if number.n_effective is None else format_count(number.n_effective)
    return NumberView(number.name, format_value(number.value, number.error, number.unit), samples)
