"""Verdicts in words, symbols and one small picture each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halocline.report.numbers import ABSENT, format_count, format_value, is_number, typeset

WORDS = ("consistent", "inconsistent", "undecided")
_SPAN = 2.5
_WIDTH, _HEIGHT = 150, 26


@dataclass(frozen=True)
class Answer:
    """The result of the study in a paragraph.

    Attributes:
        word: ``consistent``, ``inconsistent``, ``undecided`` or ``none``.
        headline: a few words.
        text: one paragraph.
        counts: checks per word, in the order of :data:`WORDS`.
    """

    word: str
    headline: str
    text: str
    counts: tuple[int, int, int]


@dataclass(frozen=True)
class Row:
    """One line of the verdict table, as text; the numbers are in ``unit``."""

    name: str
    unit: str
    word: str
    value: str
    reference: str
    tolerance: str
    samples: str
    explanation: str
    needed: str
    gauge: str


def answer(verdicts: Sequence[Mapping[str, Any]]) -> Answer:
    """What the checks say together: one inconsistency outweighs all agreement, and silence is not consent."""
    words = [_word(verdict) for verdict in verdicts]
    good, bad, open_ = (words.count(word) for word in WORDS)
    counts = (good, bad, open_)
    if not words:
        text = "No check was made, so this study says nothing yet about whether the open simulation agrees with its reference."
        return Answer("none", "No verdict", text, counts)
    total = len(words)
    their = "its" if good == 1 else "their"
    text = (
        f"Of {total} {'check' if total == 1 else 'checks'} of the open simulation against its references, {good} {_are(good)} "
        f"consistent within {their} tolerance, {bad} {_are(bad)} inconsistent, and {open_} cannot be decided with the data at hand. "
    )
    if bad:
        names = _list([str(verdict.get("name")) for verdict in verdicts if _word(verdict) == "inconsistent"])
        verb = "differs" if bad == 1 else "differ"
        text += (
            f"The open simulation is not a faithful part of the larger liquid yet: {names} {verb} by more than chance and tolerance allow."
        )
        return Answer("inconsistent", "Inconsistent with the reference", text, counts)
    if open_:
        text += (
            "Nothing contradicts the reference, but the runs are too short, or the error bars too wide, to call the open simulation "
            "consistent with it as a whole. The table says what would decide each open check."
        )
        headline = "Undecided: more data needed" if good == 0 else "No contradiction found; not all decided"
        return Answer("undecided", headline, text, counts)
    text += "Within the stated tolerances the open simulation is a faithful part of the larger liquid in everything that was checked."
    return Answer("consistent", "Consistent with the reference", text, counts)


def row(verdict: Mapping[str, Any]) -> Row:
    """The line of one verdict; whatever is missing is said to be missing."""
    unit = str(verdict.get("unit") or "")
    return Row(
        str(verdict.get("name") or "unnamed check"),
        typeset(unit),
        _word(verdict),
        format_value(verdict.get("value"), verdict.get("error")),
        format_value(verdict.get("reference"), verdict.get("reference_error")),
        _tolerance(verdict.get("tolerance")),
        "exact" if verdict.get("n_effective") is None else format_count(verdict.get("n_effective")),
        _sentence(verdict.get("explanation")),
        _sentence(verdict.get("needed")),
        _gauge(verdict),
    )


def _word(verdict: Mapping[str, Any]) -> str:
    word = str(verdict.get("verdict"))
    return word if word in WORDS else "undecided"


def _sentence(text: Any) -> str:
    text = typeset(str(text or "").strip())
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".!?" else ".")


def _tolerance(tolerance: Any) -> str:
    if not is_number(tolerance):
        return ABSENT
    return f"± {format_value(tolerance)}" if tolerance else "none"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _list(names: Sequence[str], limit: int = 4) -> str:
    names = [f"“{name}”" for name in names]
    if len(names) > limit:
        names = [*names[:limit], f"{len(names) - limit} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _gauge(verdict: Mapping[str, Any]) -> str:
    """Deviation from the reference in units of the tolerance, with two standard errors; the band is the tolerance."""
    value, reference, tolerance = (verdict.get(key) for key in ("value", "reference", "tolerance"))
    if not (is_number(value) and is_number(reference) and is_number(tolerance) and tolerance):
        return ""
    errors = [error for error in (verdict.get("error"), verdict.get("reference_error")) if is_number(error)]
    spread = 2.0 * sum(float(error or 0) ** 2 for error in errors) ** 0.5 / float(tolerance or 1)
    deviation = (float(value or 0) - float(reference or 0)) / float(tolerance or 1)
    left, right, point = _place(deviation - spread), _place(deviation + spread), _place(deviation)
    low, high, middle = _place(-1.0), _place(1.0), _HEIGHT / 2
    mark = f'<circle cx="{point:.1f}" cy="{middle}" r="3.6"/>'
    if abs(deviation) > _SPAN:
        way = 1 if deviation > 0 else -1
        mark = f'<path d="M{point + 4 * way:.1f} {middle}l{-8 * way} -4.5v9z"/>'
    text = f"{deviation:+.2f} tolerances from the reference, twice the standard error is {spread:.2f} tolerances".replace("-", "−")
    return (
        f'<svg class="gauge" role="img" aria-label="{text}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<rect class="band" x="{low:.1f}" y="3" width="{high - low:.1f}" height="{_HEIGHT - 6}" rx="2"/>'
        f'<path class="zero" d="M{_WIDTH / 2} 3V{_HEIGHT - 3}"/>'
        f'<path class="spread" d="M{left:.1f} {middle}H{right:.1f}"/>{mark}</svg>'
    )


def _place(deviation: float) -> float:
    return _WIDTH / 2 + max(-_SPAN, min(_SPAN, deviation)) * (_WIDTH / 2 - 7) / _SPAN
