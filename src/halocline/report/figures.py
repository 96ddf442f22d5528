"""Draws any :class:`halocline.results.Figure`; knows curves, points, bars and parity plots, and no science."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from halocline.report.numbers import power_of_ten, typeset
from halocline.report.palette import FAINT, GRID, INK, MARKERS, SERIES
from halocline.report.svg import DOTS, to_svg
from halocline.report.thinning import CLOUD_LIMIT, thin_cloud, thin_line
from halocline.results import Figure, Series
from halocline.topology import FloatArray

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "halocline",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
}


@dataclass(frozen=True)
class Curve:
    """One series as arrays; NaN where the value is not available."""

    label: str
    x: FloatArray
    y: FloatArray
    error: FloatArray | None
    style: str

    @property
    def usable(self) -> bool:
        return bool(np.any(np.isfinite(self.x) & np.isfinite(self.y)))


@dataclass(frozen=True)
class Drawing:
    """A figure ready for the page.

    Attributes:
        svg: inline SVG, or None when there is not one finite point to draw.
        notes: what a reader must know about the drawing itself: thinned out points, series without data.
        data: what is drawn as CSV in a ``data:`` address.
    """

    svg: str | None
    notes: tuple[str, ...]
    data: str


def draw(figure: Figure, prefix: str) -> Drawing:
    """SVG of a figure; ``prefix`` must be unique on the page."""
    curves, notes, thinned = [], [], 0
    for series in figure.series:
        curve, note, points = _prepare(series, figure)
        curves.append(curve)
        notes += note
        thinned = max(thinned, points)
    if thinned:
        drawn = max(len(curve.x) for curve in curves)
        notes.append(f"Thinned out for the page, extremes kept: at most {drawn} of up to {thinned} points per series.")
    data = _as_csv(figure, curves)
    if not any(curve.usable for curve in curves):
        return Drawing(None, tuple(notes), data)
    with matplotlib.rc_context(STYLE):
        square = figure.kind == "parity"
        canvas = Canvas(figsize=(4.3, 4.0) if square else (4.9, 3.2), layout="constrained")
        axes = canvas.add_subplot()
        usable = [curve for curve in curves if curve.usable]
        _Painter(axes, usable).paint()
        _finish(axes, figure, usable)
        svg = to_svg(canvas, prefix, figure.title, describe(figure, curves))
    return Drawing(svg, tuple(notes), data)


def describe(figure: Figure, curves: Sequence[Curve]) -> str:
    """The figure in words: axes, and for each series its number of points and range."""
    parts = [f"{typeset(figure.y_label)} against {typeset(figure.x_label)}."]
    for curve in curves:
        if curve.usable:
            y = curve.y[np.isfinite(curve.y)]
            parts.append(f"{curve.label or 'Series'}: {len(y)} points from {y.min():.4g} to {y.max():.4g}.")
        else:
            parts.append(f"{curve.label or 'Series'}: not available.")
    return " ".join(parts)


def _array(values: Sequence[float] | None) -> FloatArray:
    return np.array([math.nan if value is None else float(value) for value in (() if values is None else values)])


def _prepare(series: Series, figure: Figure) -> tuple[Curve, list[str], int]:
    """Arrays of equal length, thinned out; what a reader must know; the number of points if it was more than are drawn."""
    x, y, error = _array(series.x), _array(series.y), None if series.error is None else _array(series.error)
    notes = []
    n = min(len(x), len(y)) if error is None else min(len(x), len(y), len(error))
    if n < max(len(x), len(y)):
        notes.append(f"“{series.label}”: {len(x)} x and {len(y)} y values; the first {n} are drawn.")
    x, y, error = x[:n], y[:n], None if error is None else error[:n]
    if figure.log_y:
        positive = y > 0
        if np.any(np.isfinite(y) & ~positive):
            notes.append(f"“{series.label}”: values that are not positive are left out of the logarithmic axis.")
        y = np.where(positive, y, math.nan)
    is_cloud = figure.kind == "parity" and series.style == "points"
    keep = thin_cloud(x, y, CLOUD_LIMIT // len(figure.series)) if is_cloud else thin_line(y)
    curve = Curve(series.label, x[keep], y[keep], None if error is None else error[keep], series.style)
    if not curve.usable:
        notes.append(f"“{series.label}”: not available.")
    return curve, notes, n if len(keep) < n else 0


class _Painter:
    """Puts curves on axes. Series differ by colour and by marker or dash, never by colour alone."""

    def __init__(self, axes: Axes, curves: Sequence[Curve]) -> None:
        self.axes, self.curves = axes, curves

    def paint(self) -> None:
        drawn_bars = 0
        for index, curve in enumerate(self.curves):
            colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
            if curve.style == "bars":
                self._bars(curve, colour, drawn_bars)
                drawn_bars += 1
            elif curve.style == "points":
                self._points(curve, colour, marker)
            else:
                self._line(curve, colour, marker)

    def _line(self, curve: Curve, colour: str, marker: str) -> None:
        several = len(self.curves) > 1 and curve.style == "line"
        n = len(curve.x)
        # A sparse marker tells solid lines apart in greyscale without cluttering them.
        every = max(1, n // 9)
        index = next(i for i, other in enumerate(self.curves) if other is curve)
        self.axes.plot(
            curve.x,
            curve.y,
            color=colour,
            label=curve.label,
            linestyle=(0, (5, 2.4)) if curve.style == "dashed" else "-",
            linewidth=1.0 if n > 250 else 1.7,
            marker=marker if several or n == 1 else None,
            markevery=(index * every // max(1, len(self.curves)), every) if several else None,
        )
        if curve.error is not None:
            low, high = curve.y - curve.error, curve.y + curve.error
            self.axes.fill_between(curve.x, low, high, color=colour, alpha=0.22, linewidth=0)

    def _points(self, curve: Curve, colour: str, marker: str) -> None:
        style: dict[str, Any] = {"linestyle": "none", "color": colour, "label": curve.label}
        if curve.error is not None:
            self.axes.errorbar(curve.x, curve.y, yerr=curve.error, marker=marker, elinewidth=1.1, capsize=2.0, markersize=3.5, **style)
        elif len(self.curves) == 1 and len(curve.x) > 60:
            self.axes.plot(curve.x, curve.y, marker="o", markersize=3.0, markeredgewidth=0, gid=DOTS, **style)
        else:
            self.axes.plot(curve.x, curve.y, marker=marker, markersize=4.5, markeredgewidth=0, alpha=0.7, **style)

    def _bars(self, curve: Curve, colour: str, position: int) -> None:
        spacing = np.diff(np.unique(curve.x[np.isfinite(curve.x)]))
        width = 0.92 * float(spacing.min()) if len(spacing) else 0.8
        if position == 0:
            face = (*_rgb(colour), 0.35)
            self.axes.bar(curve.x, curve.y, width, label=curve.label, facecolor=face, edgecolor=colour, linewidth=0.8)
        else:
            # Outlines over the first, filled histogram: both stay readable where they overlap.
            dashes = ("-", (0, (4, 2)), (0, (1, 1.5)))[(position - 1) % 3]
            self.axes.step(curve.x, curve.y, where="mid", color=colour, label=curve.label, linestyle=dashes)
        if curve.error is not None:
            self.axes.errorbar(curve.x, curve.y, yerr=curve.error, linestyle="none", ecolor=INK, elinewidth=1.0, capsize=2.0)


def _rgb(colour: str) -> tuple[float, float, float]:
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def _finish(axes: Axes, figure: Figure, curves: Sequence[Curve]) -> None:
    axes.set_xlabel(typeset(figure.x_label))
    axes.set_ylabel(typeset(figure.y_label))
    if figure.log_y:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        # Less than a decade and a half would show one labelled tick or none.
        axes.yaxis.set_major_locator(LogLocator(subs=range(1, 10) if high < 5 * low else (1, 2, 5) if high < 30 * low else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(_log_label))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif any(curve.style == "bars" for curve in curves):
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if figure.kind == "parity":
        _square(axes, curves, figure.log_y)
    labelled = [curve for curve in curves if curve.label]
    if len(labelled) > 1 or (labelled and figure.kind == "parity"):
        columns = 3 if sum(len(curve.label) for curve in labelled[:3]) < 36 else 2 if sum(len(c.label) for c in labelled[:2]) < 46 else 1
        handles, labels = axes.get_legend_handles_labels()
        order = sorted(range(len(labels)), key=lambda i: next(n for n, curve in enumerate(labelled) if curve.label == labels[i]))
        # Above the axes: a legend inside would sooner or later cover data.
        place: dict[str, Any] = {"loc": "outside upper left", "ncols": columns, "columnspacing": 1.4, "borderaxespad": 0.2}
        axes.figure.legend([handles[i] for i in order], [labels[i] for i in order], handlelength=2.0, **place)


def _square(axes: Axes, curves: Sequence[Curve], log: bool) -> None:
    """Same limits on both axes and the line on which prediction equals reference."""
    values = np.concatenate([part for curve in curves for part in (curve.x, curve.y)])
    values = values[np.isfinite(values) & (values > 0)] if log else values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if log:
        limits = (0.8 * low, 1.25 * high)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(_log_label))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        margin = 0.04 * (high - low) or max(1e-12, 0.04 * abs(low))
        limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=FAINT, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1.5)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")


def _log_label(value: float, _position: int) -> str:
    exponent = round(math.log10(value)) if value > 0 else 0
    if not math.isclose(value, 10.0**exponent, rel_tol=1e-6):
        return f"{value:g}"
    return f"{value:g}" if -2 <= exponent <= 3 else power_of_ten(exponent)


def _as_csv(figure: Figure, curves: Sequence[Curve]) -> str:
    """Drawn points as ``data:text/csv``, long format."""
    rows = [f'"series","{figure.x_label}","{figure.y_label}","standard error"']
    for curve in curves:
        label = curve.label.replace('"', '""')
        for i in range(len(curve.x)):
            error = "" if curve.error is None else f"{curve.error[i]:.5g}"
            rows.append(f'"{label}",{curve.x[i]:.6g},{curve.y[i]:.6g},{error}')
    return "data:text/csv;charset=utf-8," + quote("\n".join(rows), safe=",()/:; ").replace(" ", "%20")
