"""Scale drawing of the regions."""

from __future__ import annotations

from halocline.adress.regions import RESERVOIR, Regions, Slab

_FONT, _SMALLEST = 14.0, 8.0
_RADIUS = 110.0
_SHAPES = {
    "sphere": "A sphere",
    "moving-sphere": "A sphere that moves with a molecule",
    "spheres": "One of several spheres that may overlap",
}
_WIDTH, _MARGIN, _TOP, _HEIGHT = 640.0, 12.0, 34.0, 74.0


def sketch(regions: Regions, coupling: str, prefix: str = "layout") -> str:
    """SVG of the regions: reservoir, transition layer, atomistic region, hysteresis and widths, to scale.

    A slab is drawn along x, spheres as a section through the centre of one of them.
    """
    if not isinstance(regions, Slab):
        return _section(regions, coupling, prefix)
    scale = (_WIDTH - 2 * _MARGIN) / (2.0 * regions.reach)
    middle = _WIDTH / 2
    reservoir = (2.0 * regions.reach) / 2 - regions.outer
    parts = [_description(regions, coupling, reservoir, prefix)]
    borders = (-(2.0 * regions.reach) / 2, -regions.outer, -regions.atomistic, regions.atomistic, regions.outer, (2.0 * regions.reach) / 2)
    for level, start, stop in zip((2, 1, 0, 1, 2), borders[:-1], borders[1:]):
        x, width = middle + start * scale, (stop - start) * scale
        parts.append(f'<rect class="r{level}" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{_HEIGHT}"/>')
        name = ("AT", "Δ", "reservoir")[level]
        # The name of a reservoir keeps clear of the hysteresis line beside it, and shrinks where room is short.
        taken = regions.hysteresis * scale if level == RESERVOIR else 0.0
        size = min(_FONT, (width - taken - 8) / (0.66 * len(name)))
        if size >= _SMALLEST:
            aside = 0.5 * taken * (-1 if start < 0 else 1)
            smaller = f' style="font-size: {size:.1f}px"' if size < _FONT else ""
            parts.append(_text(x + width / 2 + aside, _TOP + _HEIGHT / 2 + 5, name, "name", smaller))
        parts.append(_arrow(x, x + width, _TOP + _HEIGHT + 16, f"{stop - start:.4g} Å"))
    for sign in (-1, 1):
        x = middle + sign * (regions.outer + regions.hysteresis) * scale
        parts.append(f'<line class="hysteresis" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{_TOP + _HEIGHT + 6}"/>')
    parts.append(_text(middle, 20, f"x →   box edge {(2.0 * regions.reach):.4g} Å, periodic", "note"))
    names = f"{prefix}-title {prefix}-desc"
    return f'<svg class="layout" role="img" aria-labelledby="{names}" viewBox="0 0 {_WIDTH:.0f} 150">{"".join(parts)}</svg>'


def _section(regions: Regions, coupling: str, prefix: str) -> str:
    """Concentric circles in the square that the shortest edge of the box spans, and their radii beside them."""
    side, scale = 2.0 * _RADIUS, _RADIUS / regions.reach
    x, y = _MARGIN + _RADIUS, _MARGIN + _RADIUS
    parts = [f'<rect class="r2" x="{_MARGIN}" y="{_MARGIN}" width="{side}" height="{side}"/>']
    for name, radius in (("r1", regions.outer), ("r0", regions.atomistic)):
        parts.append(f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="{radius * scale:.1f}"/>')
    hysteresis = (regions.outer + regions.hysteresis) * scale
    parts.append(f'<circle class="hysteresis" fill="none" cx="{x:.1f}" cy="{y:.1f}" r="{hysteresis:.1f}"/>')
    parts.append(_text(x, y + 5, "AT", "name"))
    widths = (("AT", 0.0, regions.atomistic), ("Δ", regions.atomistic, regions.outer), ("reservoir", regions.outer, regions.reach))
    left = x + _RADIUS + 40.0
    for row, (name, start, stop) in enumerate(widths):
        text = f"{name}: {start:.4g} to {stop:.4g} Å from the centre" + (" and beyond" if name == "reservoir" else "")
        line = f'<text class="note" x="{left + 22:.1f}" y="{_MARGIN + 54 + 34 * row:.1f}">{text}</text>'
        parts.append(f'<rect class="r{row}" x="{left:.1f}" y="{_MARGIN + 40 + 34 * row:.1f}" width="16" height="16"/>{line}')
    shape = _SHAPES.get(regions.name, regions.name)
    text = (
        f"{shape}, a section to scale: the atomistic region AT has a radius of {regions.atomistic:.4g} Å, "
        f"the transition layer around it is {regions.transition:.4g} Å thick, the reservoir is the rest of the box. Dashed: a molecule "
        f"that has entered leaves only {regions.hysteresis:.4g} Å further out. Coupling: {coupling}."
    )
    head = f'<title id="{prefix}-title">Regions of the box</title><desc id="{prefix}-desc">{text}</desc>'
    names, box = f"{prefix}-title {prefix}-desc", f"0 0 {_WIDTH:.0f} {side + 2 * _MARGIN:.0f}"
    return f'<svg class="layout" role="img" aria-labelledby="{names}" viewBox="{box}">{head}{"".join(parts)}</svg>'


def _description(regions: Regions, coupling: str, reservoir: float, prefix: str) -> str:
    text = (
        f"Along x, to scale: the atomistic region AT is {2 * regions.atomistic:.4g} Å wide; on each side follow a transition layer "
        f"of {regions.transition:.4g} Å and {reservoir:.4g} Å of reservoir. Dashed: a molecule that has entered leaves only "
        f"{regions.hysteresis:.4g} Å further out. Coupling: {coupling}."
    )
    return f'<title id="{prefix}-title">Regions of the box</title><desc id="{prefix}-desc">{text}</desc>'


def _text(x: float, y: float, text: str, name: str, style: str = "") -> str:
    return f'<text class="{name}"{style} x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'


def _arrow(start: float, stop: float, y: float, label: str) -> str:
    line = f'<path class="dimension" d="M{start + 1:.1f} {y - 4:.1f}v8m0 -4H{stop - 1:.1f}m0 -4v8"/>'
    return line + (_text((start + stop) / 2, y + 17, label, "note") if stop - start > 30 else "")
