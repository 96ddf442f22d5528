"""From a matplotlib figure to small, themable, accessible inline SVG."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure as Canvas

from halocline.report.palette import VARIABLE

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_FONT = re.compile(r"font: ([\d.]+)px [^;]*")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
DOTS = "dots"
"""Artists with a ``gid`` that starts with this are clouds of small round points."""


def to_svg(canvas: Canvas, prefix: str, title: str, description: str) -> str:
    """Inline ``<svg>`` text of a figure.

    Args:
        prefix: put before every id, so that many figures fit into one page.
        title, description: read out instead of the picture.
    """
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(buffer.getvalue())
    _drop_metadata(root)
    _merge_dots(root)
    _rewrite_ids(root, prefix)
    _compact(root)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.attrib.pop("version", None)
    root.set("class", "plot")
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}--title {prefix}--desc")
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{prefix}--{tag}"})
        element.text = text
        root.insert(position, element)
    return _serialise(root)


def _serialise(root: ElementTree.Element) -> str:
    """Without namespace prefixes: HTML parsers know ``svg`` and ``href`` by themselves."""
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        for key in [key for key in element.attrib if key.startswith(f"{{{_XLINK}}}")]:
            element.attrib[key.removeprefix(f"{{{_XLINK}}}")] = element.attrib.pop(key)
        element.tail = None
        if element.tag not in ("text", "tspan", "title", "desc", "style"):
            element.text = None
    return ElementTree.tostring(root, encoding="unicode")


def _drop_metadata(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}metadata") or child.tag.endswith("}style"):
                parent.remove(child)


def _merge_dots(root: ElementTree.Element) -> None:
    """Replace the markers of a cloud by one path of zero-length strokes with round caps: a tenth of the size."""
    clouds = [group for group in root.iter(f"{{{_SVG}}}g") if group.get("id", "").startswith(DOTS)]
    for group in [inner for cloud in clouds for inner in cloud.iter(f"{{{_SVG}}}g")]:
        uses = [child for child in group if child.tag == f"{{{_SVG}}}use"]
        if not uses:
            continue
        colours = _COLOUR.findall(uses[0].get("style", ""))
        path = "".join(f"M{float(use.get('x', '0')):.1f} {float(use.get('y', '0')):.1f}h0" for use in uses)
        style = f"fill: none; stroke: {colours[0]}; stroke-width: 2.6; stroke-linecap: round; stroke-opacity: .55"
        for use in uses:
            group.remove(use)
        ElementTree.SubElement(group, f"{{{_SVG}}}path", {"d": path, "style": style})


def _rewrite_ids(root: ElementTree.Element, prefix: str) -> None:
    """Keep only ids that something refers to, and number them behind the prefix."""
    used: dict[str, str] = {}
    for element in root.iter():
        for value in element.attrib.values():
            for name in _REFERENCE.findall(value) + ([value[1:]] if value.startswith("#") else []):
                used.setdefault(name, f"{prefix}--{len(used)}")
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in used:
            element.set("id", used[name])
        for key, value in element.attrib.items():
            if value.startswith("#") and value[1:] in used:
                element.set(key, f"#{used[value[1:]]}")
            elif "url(#" in value:
                element.set(key, _REFERENCE.sub(lambda match: f"url(#{used[match.group(1)]})", value))


def _compact(root: ElementTree.Element) -> None:
    """Two decimals, theme colours, the page's font."""
    for element in root.iter():
        for key, value in element.attrib.items():
            if key in ("d", "x", "y", "transform", "points", "width", "height"):
                value = _NUMBER.sub(lambda match: f"{float(match.group()):.2f}".rstrip("0").rstrip("."), value)
                element.set(key, re.sub(r"\s*\n\s*", "", value) if key == "d" else value)
            elif key == "style":
                value = _COLOUR.sub(lambda match: VARIABLE.get(match.group().lower(), match.group()), value)
                element.set(key, _FONT.sub(r"font-size: \1px", value))
