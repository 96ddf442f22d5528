"""A table of other regions as a start, and tables that do not fit."""

import numpy as np
import pytest

from halocline.adress.force_start import align, start_from_file
from halocline.adress.regions import Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.errors import UserError

SMALL, LARGE = Slab(20.0, 4.0, 6.0, 0.0, 40.0), Slab(40.0, 9.0, 8.0, 1.0, 80.0)


def empty(regions: Slab, species=("water",), width: float = 0.5, margin: float = 4.0) -> ThermodynamicForce:
    return ThermodynamicForce(species, regions.reach, width, (regions.atomistic, regions.outer + margin))


def bump(regions: Slab, species=("water",)) -> ThermodynamicForce:
    force = empty(regions, species)
    rows = [(1 + k) * np.exp(-((force.centres - regions.outer) ** 2) / 2) * force.in_window() for k in range(len(species))]
    return force.copy(np.array(rows))


def test_table_of_a_smaller_region_is_moved_with_the_border(tmp_path):
    bump(SMALL).save(tmp_path / "small.json", {"regions": SMALL.to_json(), "friction": [0.0, 0.02, 0.02]})
    started, origin = start_from_file(tmp_path / "small.json", empty(LARGE), LARGE)
    np.testing.assert_allclose(started.tables, bump(LARGE).tables, atol=4e-3)  # linear interpolation, and a tail cut by the smaller window
    np.testing.assert_allclose(started.inward_integral(), bump(SMALL).inward_integral(), rtol=2e-3)
    assert origin["settings"]["friction"] == [0.0, 0.02, 0.02]
    assert origin["border"] == SMALL.outer
    started.check(("water",), LARGE)


def test_other_settings_are_a_start_but_not_a_result(tmp_path):
    bump(LARGE).save(tmp_path / "force.json", {"regions": LARGE.to_json(), "friction": 0.02})
    start_from_file(tmp_path / "force.json", empty(LARGE), LARGE)
    with pytest.raises(UserError, match="friction"):
        ThermodynamicForce.load(tmp_path / "force.json", {"regions": LARGE.to_json(), "friction": 0.01})


def test_tables_go_by_the_names_of_species():
    started = align(bump(LARGE, ("water", "methanol")), LARGE.outer, empty(LARGE, ("methanol", "water")), LARGE.outer, "here")
    np.testing.assert_allclose(started.tables, bump(LARGE, ("water", "methanol")).tables[::-1], atol=1e-12)


def test_species_without_a_force_is_refused():
    with pytest.raises(UserError, match="methanol has no thermodynamic force") as error:
        align(bump(LARGE), LARGE.outer, empty(LARGE, ("water", "methanol")), LARGE.outer, "table.json")
    assert (error.value.where, "calibration.start" in error.value.remedy) == ("table.json", True)
    with pytest.raises(UserError, match="methanol has no table"):
        bump(LARGE).check(("water", "methanol"), LARGE)


def test_table_that_does_not_reach_the_border_is_refused():
    other = ThermodynamicForce(("water",), 20.0, 0.5, (4.0, 9.0))
    with pytest.raises(UserError, match="does not cover the border"):
        align(other, SMALL.outer, empty(LARGE), LARGE.outer, "table.json")


@pytest.mark.parametrize("window", [(7.0, 21.0), (9.0, 16.0)])
def test_window_that_does_not_fit_the_regions_is_refused(window):
    with pytest.raises(UserError, match="does not fit regions"):
        ThermodynamicForce(("water",), 40.0, 0.5, window).check(("water",), LARGE)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no file") as error:
        start_from_file(tmp_path / "none.json", empty(LARGE), LARGE)
    assert "calibration.start" in error.value.where
