"""Cut-offs and regions that do not fit into the box are refused with numbers."""

from __future__ import annotations

import pytest
from preflight_studies import refused, study

from halocline.stages.preflight import labelled_edge, preflight
from halocline.systems.packing import study_edges


@pytest.mark.parametrize("section", ["model", "coarse_model", "multipole_model"])
def test_a_cutoff_beyond_half_the_production_box_is_refused(section: str) -> None:
    error = refused(study(**{section: {"cutoff": "9 A"}}, dataset={"molecules": 500}))
    assert error.where == f"study file: {section}.cutoff"
    assert "9.00 A" in error.what
    assert "15.81 A" in error.what, "the shortest edge"
    assert "7.91 A" in error.what, "half of it"
    assert "system.length" in error.remedy


def test_a_cutoff_beyond_half_the_labelled_boxes_is_refused() -> None:
    error = refused(study(dataset={"molecules": 20}))
    assert "labelled boxes" in error.what
    assert "dataset.molecules" in error.remedy


def test_the_limit_is_exactly_half_the_edge() -> None:
    wide = {"dataset": {"molecules": 500}, "regions": {"transition": "16 A", "atomistic": "2 A"}}
    half = float(study_edges(study(**wide).system).min()) / 2
    preflight(study(**wide, model={"cutoff": f"{half - 1e-4} A"}))
    refused(study(**wide, model={"cutoff": f"{half + 1e-4} A"}))


def test_compressed_labelled_boxes_are_the_ones_that_count() -> None:
    loaded = study(dataset={"molecules": 32})
    uncompressed = (32 * 18.015 / 0.997 / 0.602214) ** (1 / 3)
    assert 0.97 * uncompressed < labelled_edge(loaded) < uncompressed


def test_regions_wider_than_the_box_are_refused_with_the_length_that_would_do() -> None:
    error = refused(study(regions={"atomistic": "12 A", "transition": "14 A"}))
    assert "31.00 A" in error.what
    assert "24.00 A" in error.what
    assert "62 A" in error.remedy
    preflight(study(regions={"atomistic": "12 A", "transition": "14 A"}, system={"length": "62 A", "molecules": {"water": 600}}))


def test_a_transition_layer_thinner_than_the_receptive_field_is_refused() -> None:
    error = refused(study(model={"layers": 3, "cutoff": "4.5 A"}, regions={"transition": "13.4 A"}, system={"length": "60 A"}))
    assert "13.50 A" in error.what
    assert "3 layers" in error.what
    assert "13.5 A" in error.remedy


def test_a_bead_model_that_reaches_into_at_is_noted() -> None:
    notes = preflight(study(coarse_model={"layers": 3}))
    assert any("15.0 A" in note for note in notes)
