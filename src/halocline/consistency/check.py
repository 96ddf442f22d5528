"""From two numbers with errors and a tolerance to a verdict in words.

Consistent: the whole 95 % interval of the difference lies inside the tolerance. Inconsistent: the whole interval lies outside.
Undecided: anything else, with the run length that would decide. Too few independent samples never give a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from halocline.observables.base import Comparison
from halocline.observables.statistics import difference, half_width

Word = Literal["consistent", "inconsistent", "undecided"]

MIN_INDEPENDENT = 8.0
"""Independent samples below which an error bar is itself too uncertain to decide anything."""
MAX_FACTOR = 1000.0
"""Longer runs than this many times the present one are not worth naming."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check.

    Attributes:
        name: what was compared.
        verdict: the word.
        value, reference, unit: the two numbers.
        error, reference_error: one standard error each; None for exact numbers and where the data do not give one.
        tolerance: largest accepted absolute difference.
        n_effective: the smaller number of independent samples of the two; None for counts.
        explanation: why, in plain words.
        needed: how to reach a decision, or what to do about a disagreement; "" where nothing is to be done.
    """

    name: str
    verdict: Word
    value: float
    reference: float
    unit: str
    error: float | None
    reference_error: float | None
    tolerance: float
    n_effective: float | None
    explanation: str
    needed: str

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary; numbers that are not finite become None."""
        items = asdict(self).items()
        return {key: None if isinstance(item, float) and not math.isfinite(item) else item for key, item in items}


@dataclass(frozen=True)
class Check:
    """One claim: one comparison, or several that must hold together.

    Several comparisons share the error probability (Bonferroni), so that a profile of many blocks is not condemned for one chance
    excursion.

    Attributes:
        comparisons: at least one.
        name: shown to a person; that of the comparison itself for a single one.
        confidence: of the interval of the whole check.
    """

    comparisons: tuple[Comparison, ...]
    name: str
    confidence: float = 0.95

    @classmethod
    def of(cls, claim: Comparison | Sequence[Comparison], name: str = "") -> Check:
        """From what an observable returns; parts of a joint claim are called ``claim: part``."""
        parts = (claim,) if isinstance(claim, Comparison) else tuple(claim)
        return cls(parts, name or (parts[0].name if len(parts) == 1 else parts[0].name.split(":")[0]))

    def verdict(self, length: float | None = None) -> Verdict:
        """Decide.

        Args:
            length: of the run behind the value, fs; names the needed length in ps instead of as a factor.
        """
        confidence = 1.0 - (1.0 - self.confidence) / len(self.comparisons)
        outcomes = [_decide(comparison, confidence, length) for comparison in self.comparisons]
        if len(outcomes) == 1:
            return Verdict(**{**asdict(outcomes[0]), "name": self.name})
        return self._joint(outcomes)

    def _joint(self, outcomes: list[Verdict]) -> Verdict:
        """The worst part speaks for all: first what is inconsistent, then what is undecided, then the largest deviation."""
        order = {"inconsistent": 2, "undecided": 1, "consistent": 0}
        worst = max(outcomes, key=lambda item: (order[item.verdict], _severity(item)))
        count = sum(item.verdict == worst.verdict for item in outcomes)
        part = worst.name.split(":", 1)[-1].strip()
        explanation = f"{count} of {len(outcomes)} parts {worst.verdict}; largest at {part}: {worst.explanation}"
        return Verdict(**{**asdict(worst), "name": self.name, "explanation": explanation})


def _severity(item: Verdict) -> float:
    excess = abs(item.value - item.reference)
    return excess / item.tolerance if item.tolerance > 0 and math.isfinite(excess) else math.inf


def _decide(comparison: Comparison, confidence: float, length: float | None) -> Verdict:
    value, reference, tolerance = comparison.value, comparison.reference, comparison.tolerance
    gap = difference(value, reference)
    deviation = abs(gap.value)
    word: Word
    if gap.is_exact:
        word = "consistent" if deviation <= tolerance else "inconsistent"
        if not math.isfinite(deviation):
            word = "undecided"
        return _verdict(comparison, word, f"{value.value:.4g} against {reference.value:.4g} {comparison.source}", "")
    samples = [estimate.n_effective for estimate in (value, reference) if not estimate.is_exact]
    if not (value.is_usable and reference.is_usable):
        known = math.isfinite(value.value) and math.isfinite(reference.value)
        what = "no error bar for it (too short, or the quantity never changed)" if known else "no value for it"
        reason = f"the run gives {what}"
        return _verdict(comparison, "undecided", reason, _longer(4.0, length))
    if min(samples) < MIN_INDEPENDENT:
        reason = f"only {min(samples):.1f} independent samples, {MIN_INDEPENDENT:.0f} are the least that an error bar can rest on"
        factor = MIN_INDEPENDENT / max(min(samples), 0.5) * 1.2
        return _verdict(comparison, "undecided", reason, _longer(max(factor, 1.5), length))
    width = half_width(gap, confidence)
    span = f"differs by {gap.value:+.3g} ± {width:.2g} {comparison.unit}".rstrip() + f" from the {comparison.source}"
    if deviation + width <= tolerance:
        return _verdict(comparison, "consistent", f"{span}, inside the tolerance of {tolerance:.3g}", "")
    if deviation - width > tolerance:
        return _verdict(comparison, "inconsistent", f"{span}, outside the tolerance of {tolerance:.3g}", comparison.remedy)
    room = abs(tolerance - deviation)
    factor = (width / room) ** 2 if room > 0 else math.inf
    return _verdict(comparison, "undecided", f"{span}; the tolerance of {tolerance:.3g} lies within the error", _longer(factor, length))


def _longer(factor: float, length: float | None) -> str:
    """Error bars shrink with the square root of the length."""
    if factor > MAX_FACTOR:
        return "The value lies at the tolerance itself: no affordable length decides; judge by the numbers."
    if length is None:
        return f"Run about {factor:.1f} times longer."
    return f"Run about {factor:.1f} times longer ({factor * length / 1000:.3g} ps instead of {length / 1000:.3g} ps)."


def _verdict(comparison: Comparison, word: Word, explanation: str, needed: str) -> Verdict:
    value, reference = comparison.value, comparison.reference
    samples = [estimate.n_effective for estimate in (value, reference) if not estimate.is_exact]
    return Verdict(
        comparison.name,
        word,
        value.value,
        reference.value,
        comparison.unit,
        _finite(value.error),
        _finite(reference.error),
        comparison.tolerance,
        min(samples) if samples else None,
        explanation,
        needed,
    )


def _finite(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None
