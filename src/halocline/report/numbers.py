"""Numbers as people write them: error bars decide the digits, absent values are said to be absent."""

from __future__ import annotations

import math
import re
from typing import Any

ABSENT = "not available"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ANGSTROM = re.compile(r"(?<=\d )A(?![\w])|(?<=[/(])A(?![A-Za-z])|(?<=\be )A(?![\w])|(?<=e\*)A(?![\w])|^A(?=$|[\^/\d])")
_POWER = re.compile(r"(?<=Å)\^?(-?\d)(?!\d|\.\d)|(?<=cm)\^?(-?\d)(?!\d|\.\d)")
_NARROW_SPACE = "\u202f"


def is_number(value: Any) -> bool:
    """Whether it is a finite number; JSON has None for everything that is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def typeset(text: str) -> str:
    """Units as printed: ``6 A``, ``(eV/A)``, ``g/cm3``, ``A^-3`` become ``6 Å``, ``(eV/Å)``, ``g/cm³``, ``Å⁻³``."""
    text = _ANGSTROM.sub("Å", text)
    return _POWER.sub(lambda match: match.group().lstrip("^").translate(_SUPERSCRIPT), text) if "Å" in text or "cm" in text else text


def power_of_ten(exponent: int) -> str:
    """``10⁻³``."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def format_value(value: Any, error: Any = None, unit: str = "") -> str:
    """Value ± one standard error with unit; the error is given with two significant digits.

    Without an error the value has four significant digits, and counts are written in full. What is None or not finite is
    ``not available``; an error that is not finite is said to be unknown.
    """
    if not is_number(value):
        return ABSENT
    has_error = is_number(error) and error > 0
    scale = max(abs(value), abs(error) if has_error else 0.0)
    exponent = math.floor(math.log10(scale)) if scale > 0 else 0
    text = _scaled(value, error, exponent) if scale > 0 and not -4 <= exponent < 6 else _plain(value, error if has_error else None)
    if unit:
        text = f"({text})" if "±" in text and "×" not in text and unit == "%" else text
        text += f"{_NARROW_SPACE}{typeset(unit)}"
    return text


def _plain(value: float, error: float | None) -> str:
    if error is None:
        if float(value).is_integer():
            return _grouped(f"{value:.0f}")
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        return _grouped(_trimmed(f"{value:.{digits}f}"))
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{_grouped(f'{value:.{digits}f}')} ± {_grouped(f'{error:.{digits}f}')}"


def _scaled(value: float, error: Any, exponent: int) -> str:
    factor = 10.0**-exponent
    if not (is_number(error) and error > 0):
        if float(value).is_integer() and abs(value) < 1e12:
            return _grouped(f"{value:.0f}")
        return f"{_grouped(_trimmed(f'{value * factor:.3f}'))} × {power_of_ten(exponent)}"
    return f"({_plain(value * factor, error * factor)}) × {power_of_ten(exponent)}"


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _grouped(text: str) -> str:
    """Typographic minus, and a narrow space between thousands from five digits on."""
    sign, digits = ("−", text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = digits.partition(".")
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", _NARROW_SPACE)
    return f"{sign}{whole}{point}{fraction}"


def format_count(value: Any) -> str:
    """Effective sample size: whole above ten, one decimal below."""
    if not is_number(value):
        return ABSENT
    return _grouped(f"{value:.0f}") if value >= 10 else f"{value:.1f}"


def format_bytes(size: int) -> str:
    """``1.2 MB``."""
    return f"{size / 1e6:.1f}{_NARROW_SPACE}MB" if size >= 1e6 else f"{max(size, 1000) / 1e3:.0f}{_NARROW_SPACE}kB"
