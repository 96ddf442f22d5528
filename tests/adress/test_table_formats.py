"""Tables of other programs: units, signs, round trips, refusals."""

import numpy as np
import pytest

from halocline.adress.table_formats import read_espressopp, read_gromacs, read_mrmd, write_espressopp, write_gromacs, write_mrmd
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.errors import UserError
from halocline.units import KILOJOULE_PER_MOLE

SIGMA, EPSILON = 3.405, 0.0103


def force(seed: int = 0, species=("water",)) -> ThermodynamicForce:
    result = ThermodynamicForce(species, 24.0, 0.5, (6.0, 20.0))
    return result.copy(np.random.default_rng(seed).normal(size=result.tables.shape) * result.in_window())


CASES = {
    "gromacs": (write_gromacs, read_gromacs, ()),
    "espressopp": (write_espressopp, read_espressopp, (SIGMA, EPSILON)),
    "mrmd": (write_mrmd, read_mrmd, (SIGMA, EPSILON)),
}


@pytest.mark.parametrize("name", CASES)
def test_round_trip_is_exact_to_the_printed_precision(name, tmp_path):
    write, read, units = CASES[name]
    write(force(), tmp_path / "table", *units)
    again = read(tmp_path / "table", force(1), *units)
    np.testing.assert_allclose(again.tables, force().tables, rtol=1e-10, atol=1e-12)


def test_gromacs_table_is_in_its_units_with_force_minus_derivative_of_the_potential(tmp_path):
    one = force().copy(np.where(force().in_window(), 0.2, 0.0)[None])  # pushes outwards with 0.2 eV/A
    write_gromacs(one, tmp_path / "table")
    distance, potential, outward = np.loadtxt(tmp_path / "table").T
    assert (distance[0], distance[-1]) == (0.0, pytest.approx(2.4))
    np.testing.assert_allclose(np.diff(distance), 0.025, rtol=1e-6)
    middle = np.argmin(np.abs(distance - 1.2))
    assert outward[middle] == pytest.approx(0.2 * 10 / KILOJOULE_PER_MOLE, rel=1e-8)
    slope = (potential[middle + 1] - potential[middle - 1]) / (distance[middle + 1] - distance[middle - 1])
    assert slope == pytest.approx(-outward[middle], rel=1e-6)
    assert potential[0] == 0.0
    assert potential[-1] == pytest.approx(-0.2 * 14.0 / KILOJOULE_PER_MOLE, rel=0.02)


def test_espressopp_table_is_in_reduced_units(tmp_path):
    write_espressopp(force(), tmp_path / "table", SIGMA, EPSILON)
    x, _, outward = np.loadtxt(tmp_path / "table").T
    centres = slice(1, None, 2)  # the rows between lie on the ends of the window too, where the force has a step
    np.testing.assert_allclose((x * SIGMA)[centres], force().centres, rtol=1e-12)
    np.testing.assert_allclose((outward * EPSILON / SIGMA)[centres], force().tables[0], atol=1e-12)


def test_mrmd_table_covers_the_box_and_is_antisymmetric(tmp_path):
    outwards = force().copy(np.where(force().in_window(), 0.2, 0.0)[None])
    write_mrmd(outwards, tmp_path / "table", 1.0, 1.0)
    x, along = np.loadtxt(tmp_path / "table")
    assert (len(x), x[0], x[-1]) == (96, 0.25, 47.75)
    np.testing.assert_allclose(along, -along[::-1])
    # Outwards is towards -x on the left of the centre and towards +x on its right.
    assert along[np.argmin(np.abs(x - 12.25))] == pytest.approx(-0.2)
    assert along[np.argmin(np.abs(x - 35.75))] == pytest.approx(0.2)


def test_species_must_be_named_where_there_are_several(tmp_path):
    two = force(2, ("water", "methanol"))
    with pytest.raises(UserError, match="several species"):
        write_gromacs(two, tmp_path / "table")
    with pytest.raises(UserError, match="ethanol"):
        write_gromacs(two, tmp_path / "table", "ethanol")
    write_gromacs(two, tmp_path / "table", "methanol")
    again = read_gromacs(tmp_path / "table", force(3, ("water", "methanol")), "methanol")
    np.testing.assert_allclose(again.tables[1], two.tables[1], atol=1e-8)
    np.testing.assert_array_equal(again.tables[0], force(3, ("water", "methanol")).tables[0])


def test_table_that_does_not_cover_the_window_is_refused(tmp_path):
    write_gromacs(force(), tmp_path / "table")
    lines = (tmp_path / "table").read_text().splitlines()
    (tmp_path / "short").write_text("\n".join(lines[:60]))
    with pytest.raises(UserError, match=r"covers 0 to 14.75 A.*needs 6.25 to 19.75") as error:
        read_gromacs(tmp_path / "short", force())
    assert "margin" in error.value.remedy
    with pytest.raises(UserError, match="covers"):  # nm taken for A
        read_espressopp(tmp_path / "table", force(), 1.0, 1.0)


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("a b c\n1 2\n")
    with pytest.raises(UserError, match="not a table"):
        read_gromacs(tmp_path / "text", force())
    with pytest.raises(UserError, match="not an MRMD table"):
        read_mrmd(tmp_path / "text", force(), 1.0, 1.0)
    write_mrmd(force(), tmp_path / "box", 1.0, 1.0)
    with pytest.raises(UserError, match="half the box"):
        read_mrmd(tmp_path / "box", force(), 2.0, 1.0)
