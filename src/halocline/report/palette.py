"""Colours of the report: Okabe-Ito, readable with colour vision deficiency, with a lighter twin for dark pages.

Okabe, Ito: Color Universal Design (2008), https://jfly.uni-koeln.de/color/. The darker neutral tones are our own.
"""

from __future__ import annotations

INK = "#22272e"
FAINT = "#6b7480"
GRID = "#dfe3e8"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d6670")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

THEME: dict[str, tuple[str, str]] = {
    "ink": (INK, "#e4e8ed"),
    "faint": (FAINT, "#9aa5b1"),
    "grid": (GRID, "#333b45"),
    "series-0": (SERIES[0], "#4aa8e0"),
    "series-1": (SERIES[1], "#f2854a"),
    "series-2": (SERIES[2], "#35c79d"),
    "series-3": (SERIES[3], "#e2a3c6"),
    "series-4": (SERIES[4], "#f2bd4b"),
    "series-5": (SERIES[5], "#94d3f7"),
    "series-6": (SERIES[6], "#a8b2bd"),
}
"""CSS variable -> (light, dark). Figures are drawn in the light colours, which are then replaced by the variables."""

VARIABLE = {light: f"var(--{name},{light})" for name, (light, _) in THEME.items()}
"""light colour -> CSS expression that follows the theme and still shows a colour outside the page."""


def css_variables(dark: bool) -> str:
    """``--name:colour;`` declarations of one theme."""
    return "".join(f"--{name}:{pair[1] if dark else pair[0]};" for name, pair in THEME.items())
