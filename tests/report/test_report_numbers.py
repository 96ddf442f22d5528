import math

import numpy as np
import pytest

from halocline.report.numbers import ABSENT, format_count, format_value, typeset
from halocline.report.thinning import thin_cloud, thin_line
from halocline.results import Number


@pytest.mark.parametrize(
    ("value", "error", "unit", "text"),
    [
        (0.03341, 0.00016, "Å⁻³", "0.03341 ± 0.00016 Å⁻³"),
        (-1.93, 0.11, "eV", "−1.93 ± 0.11 eV"),
        (2.2e-5, 4e-6, "", "(2.20 ± 0.40) × 10⁻⁵"),
        (58241, None, "", "58 241"),
        (1.9, 0.8, "%", "(1.90 ± 0.80) %"),
        (300.0, None, "K", "300 K"),
        (0.997, None, "g/cm³", "0.997 g/cm³"),
        (61, 14, "", "61 ± 14"),
        (0, 0, "", "0"),
        (-4.1e-9, None, "", "−4.1 × 10⁻⁹"),
        (9.9996, 0.00001, "", "9.999600 ± 0.000010"),
    ],
)
def test_error_bar_decides_the_digits(value, error, unit, text):
    assert format_value(value, error, unit).replace("\u202f", " ") == text


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "text"])
def test_absent_value_is_said_to_be_absent(value):
    assert format_value(value, 0.1, "K") == ABSENT
    assert format_count(value) == ABSENT


def test_value_without_known_error_shows_no_error():
    assert "±" not in format_value(1.0, None)
    assert "±" not in format_value(1.0, math.nan)


def test_thinned_line_keeps_extremes_and_ends():
    y = np.sin(np.linspace(0, 40, 5000))
    y[1234], y[4321] = 9.0, -9.0
    kept = thin_line(y, 300)
    assert len(kept) <= 300
    assert {0, 4999, 1234, 4321} <= set(kept.tolist())
    assert np.all(np.diff(kept) > 0)


def test_thinned_line_copes_with_gaps():
    y = np.full(5000, np.nan)
    y[2500] = 1.0
    assert 2500 in thin_line(y, 100)


def test_thinned_cloud_keeps_its_worst_outlier_and_its_density():
    random = np.random.default_rng(0)
    x = random.normal(size=50000)
    y = x + random.normal(0, 0.1, 50000)
    y[777] = x[777] + 5.0
    kept = thin_cloud(x, y, 1500)
    assert len(kept) <= 1500
    assert 777 in kept
    assert np.std((y - x)[kept]) < 3 * 0.1
    assert np.median(np.abs(x[kept])) == pytest.approx(np.median(np.abs(x)), rel=0.2)


def test_short_series_are_left_alone():
    assert thin_line(np.arange(50.0)).tolist() == list(range(50))
    assert thin_cloud(np.arange(50.0), np.arange(50.0)).tolist() == list(range(50))


@pytest.mark.parametrize(
    ("plain", "printed"),
    [
        ("distance (A)", "distance (Å)"),
        ("label / (eV/A)", "label / (eV/Å)"),
        ("density (g/cm3)", "density (g/cm³)"),
        ("1/A^3", "1/Å³"),
        ("A^-3", "Å⁻³"),
        ("AT ends at 6 A, see atom A and 3 AT", "AT ends at 6 Å, see atom A and 3 AT"),
        ("e A", "e Å"),
        ("a spread of 0.5 A^3.", "a spread of 0.5 Å³."),
        ("Calculation", "Calculation"),
        ("300 K", "300 K"),
    ],
)
def test_units_are_printed_as_in_a_book(plain, printed):
    assert typeset(plain) == printed


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_does_not_exist_is_a_dash_without_a_unit_in_tables(value):
    assert str(Number("position of a peak", value, "A", math.nan, 0.0)) == "–"
    assert str(Number("position of a peak", 3.0, "A", math.nan, 0.0)) == "3 A"
