"""What a stage has to say: numbers with unit and error bar, figures and tables.

A stage or observable describes its figures as data; the report alone draws them. A new observable therefore shows up
in the report without a change there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

DASH = "–"
"""Where a value would stand and there is none."""


@dataclass(frozen=True)
class Number:
    """One value shown to a person.

    Attributes:
        value, unit: the number in the unit it is shown in; unit "" only for pure ratios and counts. NaN where there is none.
        error: one standard error in the same unit; None only for exact numbers (counts, settings).
        n_effective: number of statistically independent samples behind the error.
    """

    name: str
    value: float
    unit: str = ""
    error: float | None = None
    n_effective: float | None = None

    def __str__(self) -> str:
        # A value that does not exist is NaN here and null in the files.
        if self.value is None or not math.isfinite(self.value):
            return DASH
        if self.error is None or not math.isfinite(self.error) or self.error == 0:
            text = f"{self.value:.4g}"
        else:
            digits = max(0, 1 - math.floor(math.log10(abs(self.error)))) if self.error < 10 else 0
            text = f"{self.value:.{digits}f} ± {self.error:.{digits}f}"
        return f"{text} {self.unit}".strip()


@dataclass(frozen=True)
class Series:
    """One curve or cloud: x, y and the standard error of y."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] | None = None
    style: Literal["line", "points", "bars", "dashed"] = "line"


@dataclass(frozen=True)
class Figure:
    """A plot described as data; axis labels carry the unit."""

    key: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    caption: str = ""
    kind: Literal["xy", "parity"] = "xy"
    log_y: bool = False


@dataclass(frozen=True)
class Table:
    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass
class StageResult:
    """What a stage leaves behind, besides its files.

    Attributes:
        summary: one sentence for the terminal and the head of the report's chapter.
        numbers, figures, tables: what the report shows, in this order.
        verdicts: dictionaries of :class:`halocline.consistency.check.Verdict` (validate only).
        files: role -> path relative to the stage's folder; hashed into the inputs of later stages.
    """

    summary: str
    numbers: list[Number] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return _plain(asdict(self))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StageResult:
        figures = [Figure(**{**item, "series": [Series(**series) for series in item["series"]]}) for item in data["figures"]]
        return cls(
            data["summary"],
            [Number(**item) for item in data["numbers"]],
            figures,
            [Table(**item) for item in data["tables"]],
            data["verdicts"],
            data["files"],
        )

    def number(self, name: str) -> Number:
        """The number of that name."""
        return next(number for number in self.numbers if number.name == name)


def _plain(value: Any) -> Any:
    """NumPy arrays and scalars as JSON types; a non-finite number becomes None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
