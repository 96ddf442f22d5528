import math
from xml.etree import ElementTree

import numpy as np
import pytest

from halocline.adress.regions import MovingSphere, Slab, Sphere
from halocline.report.figures import draw
from halocline.report.sketch import sketch
from halocline.results import Figure, Series

X = np.linspace(0.1, 5, 40)


@pytest.mark.parametrize("style", ["line", "points", "bars", "dashed"])
@pytest.mark.parametrize("kind", ["xy", "parity"])
@pytest.mark.parametrize("with_error", [True, False])
@pytest.mark.parametrize("log_y", [True, False])
def test_every_kind_of_figure_is_drawn(style, kind, with_error, log_y):
    series = [Series(name, X, X * factor, 0.1 * X if with_error else None, style) for name, factor in (("a", 1.0), ("b", 1.1))]
    drawing = draw(Figure("key", "Title", "x (Å)", "y (eV)", series, kind=kind, log_y=log_y), "p")
    root = ElementTree.fromstring(drawing.svg)
    texts = {element.text for element in root.iter("text")}
    assert {"x (Å)", "y (eV)", "a", "b"} <= texts
    assert root.get("role") == "img"
    assert root.find("title").text == "Title"
    assert "40 points from 0.1 to 5" in root.find("desc").text


def test_none_and_nan_are_gaps_and_an_empty_series_is_named():
    series = [Series("measured", [0, 1, 2], [1.0, None, 3.0]), Series("lost", [0, 1], [None, math.nan])]
    drawing = draw(Figure("k", "T", "x", "y", series), "p")
    assert drawing.svg is not None
    assert "“lost”: not available." in drawing.notes


def test_figure_without_a_finite_point_is_not_drawn():
    drawing = draw(Figure("k", "T", "x", "y", [Series("s", [], [])]), "p")
    assert drawing.svg is None
    assert drawing.notes


def test_figure_follows_the_theme_of_the_page():
    svg = draw(Figure("k", "T", "x", "y", [Series("s", X, X)]), "p").svg
    assert "var(--series-0," in svg
    assert "var(--ink," in svg


def test_labels_are_shown_as_written_and_cannot_break_out():
    label = "</svg><script>alert(1)</script> $\\alpha"
    svg = draw(Figure("k", label, label, label, [Series(label, X, X), Series("b", X, X)]), "p").svg
    assert "<script" not in svg
    assert label in {element.text for element in ElementTree.fromstring(svg).iter("text")}


def test_ids_start_with_the_prefix_and_refer_to_something():
    root = ElementTree.fromstring(draw(Figure("k", "T", "x", "y", [Series("s", X, X, style="points")]), "fig-a").svg)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(name.startswith("fig-a-") for name in ids)
    references = {value[1:] for element in root.iter() for value in element.attrib.values() if value.startswith("#")}
    assert references
    assert references <= set(ids)


def test_long_cloud_stays_small_and_says_that_it_was_thinned_out():
    random = np.random.default_rng(1)
    x = random.normal(size=100000)
    drawing = draw(Figure("k", "T", "x", "y", [Series("s", x, x + 0.1, style="points")], kind="parity"), "p")
    assert len(drawing.svg) < 40_000
    assert "of up to 100000 points" in " ".join(drawing.notes)


def test_log_axis_says_what_it_leaves_out():
    drawing = draw(Figure("k", "T", "x", "y", [Series("s", [1, 2, 3], [1.0, 0.0, 100.0])], log_y=True), "p")
    assert drawing.svg is not None
    assert "not positive" in " ".join(drawing.notes)


def test_data_of_the_figure_can_be_taken_away():
    data = draw(Figure("k", "T", "x", "y", [Series('a "b"', [1.0], [2.5], [0.1])]), "p").data
    assert data.startswith("data:text/csv")
    assert "1,2.5,0.1" in data


@pytest.mark.parametrize(("low", "high"), [(30.0, 90.0), (55.0, 130.0), (0.1, 2.0), (1e-6, 1.0)])
def test_log_axis_always_shows_two_labels_at_least(low, high):
    svg = draw(Figure("k", "T", "x", "y", [Series("s", [0, 1], [low, high])], log_y=True), "p").svg
    ticks = [element.text for element in ElementTree.fromstring(svg).iter("text")]
    numbers = [text for text in ticks if text.startswith("10") or text.replace(".", "").isdigit()]
    assert len(numbers) >= 6 + 2  # six along x


def test_regions_too_narrow_for_a_name_are_left_unnamed():
    wide, narrow = (sketch(Slab(24.0, 6.0, transition, 1.0, 48.0), "subtractive") for transition in (10.0, 17.5))
    assert "reservoir</text>" in wide
    assert "reservoir</text>" not in narrow
    assert "0.5 Å of reservoir" in narrow


@pytest.mark.parametrize("kind", [Sphere, MovingSphere])
def test_spheres_are_drawn_as_concentric_circles_to_scale(kind):
    svg = sketch(kind((12.0, 12.0, 12.0), 4.0, 3.0, 0.5, (24.0, 24.0, 30.0)), "subtractive")
    circles = {element.get("class"): float(element.get("r")) for element in ElementTree.fromstring(svg).iter("circle")}
    assert circles["r1"] / circles["r0"] == pytest.approx(7.0 / 4.0, rel=2e-3)
    assert circles["hysteresis"] / circles["r0"] == pytest.approx(7.5 / 4.0, rel=2e-3)
    assert "radius of 4 Å" in svg
