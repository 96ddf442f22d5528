import json
import re
from html.parser import HTMLParser

import pytest
import synthetic_study as synthetic

from halocline.config.study import LEARNED
from halocline.report.page import render
from halocline.report.palette import THEME
from halocline.results import Figure, Number, Series, StageResult, Table

VOID = {"meta", "link", "br", "hr", "img", "input", "circle", "path", "rect", "line", "use"}


class Outline(HTMLParser):
    """What the tests ask of the structure of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.addresses: list[str] = []
        self.targets: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.open: list[str] = []
        self.unlabelled = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self._note(tag, values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, dict(attrs))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def _note(self, tag, values):
        if "id" in values:
            self.ids.append(values["id"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("svg", "img", "canvas"):
            self.pictures.append(values)
        for key in ("src", "href", "action", "data", "srcset", "poster"):
            if values.get(key):
                self.addresses.append(values[key])
        if tag == "a" and (values.get("href") or "").startswith("#"):
            self.targets.append(values["href"][1:])


@pytest.fixture(scope="module")
def page():
    return render(synthetic.content())


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def test_page_is_well_formed(outline):
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.targets) <= set(outline.ids)


def test_headings_never_skip_a_level(outline):
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:]))


def test_nothing_is_loaded_from_outside(page, outline):
    assert all(address.startswith(("#", "data:")) for address in outline.addresses)
    assert not re.search(r"url\((?!#)|@import|\bimport\s*\(|fetch\(|XMLHttpRequest|WebSocket", page)
    assert "default-src 'none'" in page


def test_every_picture_is_named_or_hidden(outline):
    assert len(outline.pictures) > 20
    for picture in outline.pictures:
        named = picture.get("aria-label") or set((picture.get("aria-labelledby") or "-").split()) <= set(outline.ids)
        assert named or picture.get("aria-hidden") == "true"


def test_verdicts_are_given_in_words(page):
    assert "4 are consistent within their tolerance, 1 is inconsistent, and 3 cannot be decided" in page
    table = page[page.index('<table class="verdicts"') : page.index("</table>")]
    for word, count in (("consistent", 4), ("inconsistent", 1), ("undecided", 3)):
        assert len(re.findall(rf"</svg> {word}</td>", table)) == count
    assert "457 ps instead of 60 ps" in table


def test_failures_are_gathered(page):
    limits = page[page.index('<section id="limits"') : page.index('<section id="provenance"')]
    assert "temperature in Δ" in limits
    assert "Calculations that failed" in limits
    assert "thermodynamic force at the start is not available" in limits


def test_absent_values_are_said_to_be_absent(page):
    assert "not available" in page
    assert not re.search(r">\s*(nan|None|inf)\b", page)


def test_same_content_gives_the_same_page(page):
    assert render(synthetic.content()) == page


def test_page_stays_small(page):
    assert len(page.encode()) < 1_500_000


def test_size_stays_below_three_megabytes_with_many_long_figures():
    results = synthetic.results()
    long = [float(i % 977) for i in range(20000)]
    results["simulate"].figures.extend(
        Figure(f"k{i}", "Long", "x", "y", [Series(name, list(range(20000)), long) for name in "abc"]) for i in range(20)
    )
    assert len(render(synthetic.content(results=results)).encode()) < 3_000_000


def test_new_stage_and_new_observable_show_up_by_themselves():
    results = synthetic.results()
    results["validate"].figures.append(Figure("diffusion", "Mean square displacement", "t (ps)", "Å²", [Series("s", [0, 1], [0, 2])]))
    results["embed"] = StageResult("A stage from tomorrow.", [Number("answer", 42.0)])
    page = render(synthetic.content(results=results))
    assert "Mean square displacement" in page
    assert '<section id="stage-embed"' in page
    assert "A stage from tomorrow." in page


def test_names_cannot_inject_markup():
    evil = "<img src=x onerror=alert(1)>&\"'"
    results = synthetic.results()
    results["build"] = StageResult(
        evil,
        [Number(evil, 1.0, evil)],
        [Figure(evil, evil, evil, evil, [Series(evil, [1, 2], [1, 2])], evil)],
        [Table(evil, evil, (evil, evil), [(evil, evil)], evil)],
        [{"name": evil, "verdict": evil, "value": 1.0, "explanation": evil, "needed": evil, "unit": evil}],
        {evil: evil},
    )
    manifest = {evil: evil, "command": [evil], "more": {evil: [evil]}}
    study = synthetic.Study(study=evil)
    page = render(synthetic.content(results=results, manifest=manifest, study=study, scene_note=evil))
    assert "<img" not in page
    assert Outline(page).open == []


def test_missing_pieces_are_said_to_be_missing():
    page = render(synthetic.content(results={}, manifest=None, scene=None, scene_note="No record was found."))
    outline = Outline(page)
    assert outline.open == []
    assert "No check was made" in page
    assert page.count("This stage has left no result") == len(synthetic.STAGES)
    assert "No record was found." in page
    assert "holds no manifest" in page
    assert "viewer-data" not in page


def test_two_results_of_one_key_keep_their_ids_apart():
    results = synthetic.results()
    results["build"].figures.extend(Figure("same", "T", "x", "y", [Series("s", [1, 2], [1, 2])]) for _ in range(2))
    outline = Outline(render(synthetic.content(results=results)))
    assert len(outline.ids) == len(set(outline.ids))


def test_viewer_data_has_every_sphere(page):
    text = re.search(r'id="viewer-data">(.*?)</script>', page, re.DOTALL).group(1)
    data = json.loads(text)
    assert len(data["xyz"]) == 3 * len(data["kind"]) == 3 * len(data["level"])
    scene = synthetic.content().scene
    assert len(data["kind"]) == 3 * (scene.counts[0] + scene.counts[1]) + scene.counts[2]
    assert sum(scene.counts) == 400


def test_resolved_study_file_gives_the_same_study():
    import yaml

    from halocline.report.plan import study_yaml

    study = synthetic.content().study
    assert synthetic.Study.model_validate(yaml.safe_load(study_yaml(study))) == study


@pytest.fixture(scope="module")
def classical_page():
    study = synthetic.Study.model_validate(
        {"study": "argon", "system": {"molecules": {"lj": 600}}, "force_field": {"name": "classical"}, "coupling": {"reservoir": "tracer"}}
    )
    kept = {name: result for name, result in synthetic.results().items() if name == "simulate"}
    manifest = {"format": 1, "level_of_theory": {"force_field": study.force_field.model_dump(mode="json")}, "study": study.used_json()}
    return study, render(synthetic.content(study=study, results=kept, stages=("simulate",), manifest=manifest))


def test_a_classical_study_names_no_labels_and_no_models(classical_page):
    study, text = classical_page
    for word in ("tblite", "pyscf", "GFN", "PBE", "schnet", "painn", "level of theory", "multipole_model", "coarse_table"):
        assert word not in text, word
    assert "Plan and force field" in text
    assert "reaction-field" in text
    assert study.unused == {*LEARNED, "coarse_table"}


def test_the_study_file_of_a_classical_report_gives_the_same_study(classical_page):
    import yaml

    from halocline.report.plan import study_yaml

    study = classical_page[0]
    assert synthetic.Study.model_validate(yaml.safe_load(study_yaml(study))) == study


def test_a_study_with_a_tabulated_reservoir_shows_its_table():
    study = synthetic.Study.model_validate({"force_field": {"name": "classical"}, "coupling": {"reservoir": "table"}})
    assert "coarse_table" in study.used_json()
    assert "model" not in study.used_json()
    assert {"model", "reference"} <= set(synthetic.Study().used_json())


def _luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("side", "card"), [(0, "#ffffff"), (1, "#1b2027")])
def test_text_colours_of_figures_have_enough_contrast(side, card):
    """WCAG 2.1: 4.5 for text, 2 at least for curves, which differ by marker or dash as well."""
    for name, colours in THEME.items():
        light, dark = sorted((_luminance(colours[side]), _luminance(card)), reverse=True)
        ratio = (light + 0.05) / (dark + 0.05)
        if name in ("ink", "faint"):
            assert ratio > 4.5, name
        elif name != "grid":
            assert ratio > 2.0, name
