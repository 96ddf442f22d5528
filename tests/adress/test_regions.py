"""Regions of a slab: distances, levels, hysteresis and refusals."""

import numpy as np
import pytest
from brute_force import triatomic_fluid

from halocline.adress.regions import Slab, regions_from_json
from halocline.errors import UserError

SLAB = Slab(centre=5.0, atomistic=2.0, transition=1.0, hysteresis=0.0, length=10.0)


def points(*x: float) -> np.ndarray:
    return np.array([[value, 0.0, 0.0] for value in x])


def test_weight_has_the_values_of_cos_squared():
    distance = np.array([2.0, 2.25, 2.5, 2.75, 3.0])
    np.testing.assert_allclose(SLAB.weight(distance), [1.0, 0.853553, 0.5, 0.146447, 0.0], atol=1e-6)
    assert SLAB.weight_slope(np.array([2.5]))[0] == pytest.approx(-1.570796, abs=1e-6)
    np.testing.assert_allclose(SLAB.weight_slope(np.array([2.0, 3.0, 4.0])), 0.0, atol=1e-12)


@pytest.mark.parametrize("weighting", ["cosine", "smoothstep", "steep"])
def test_weights_are_smooth_and_their_slope_is_their_derivative(weighting):
    slab = Slab(5.0, 2.0, 1.0, 0.0, 10.0, weighting=weighting)
    distance, step = np.linspace(1.5, 3.5, 401), 1e-6
    numerical = (slab.weight(distance + step) - slab.weight(distance - step)) / (2 * step)
    np.testing.assert_allclose(slab.weight_slope(distance), numerical, atol=1e-5)
    np.testing.assert_allclose(slab.weight_slope(np.array([2.0, 3.0])), 0.0, atol=1e-12)
    np.testing.assert_array_equal(slab.weight(np.array([0.0, 2.0, 3.0, 4.0])), [1.0, 1.0, 0.0, 0.0])


def test_distance_is_that_of_the_nearest_image():
    regions = Slab(0.1, 2.0, 1.0, 0.0, 10.0)
    np.testing.assert_allclose(regions.distance(points(9.9, -0.1, 20.4, -9.7)), [0.2, 0.2, 0.3, 0.2])
    np.testing.assert_allclose(regions.shift(points(9.9, 0.4)), [-0.2, 0.3])


def test_levels_do_not_change_under_box_shifts_and_permutation():
    generator = np.random.default_rng(1)
    centres = generator.uniform(-30, 30, (200, 3))
    level = SLAB.levels(SLAB.distance(centres), SLAB.initial_inside(SLAB.distance(centres)))
    shifted = centres + 10.0 * generator.integers(-3, 4, (200, 3))
    order = generator.permutation(200)
    moved = SLAB.levels(SLAB.distance(shifted), SLAB.initial_inside(SLAB.distance(shifted)))
    np.testing.assert_array_equal(moved, level)
    np.testing.assert_array_equal(SLAB.levels(SLAB.distance(centres[order]), SLAB.distance(centres[order]) < 3.0), level[order])
    assert set(level) == {0, 1, 2}


def test_levels_ignore_the_other_two_directions():
    centres = np.random.default_rng(2).uniform(0, 10, (50, 3))
    turned = centres[:, [0, 2, 1]] * [1, -1, 1]
    np.testing.assert_array_equal(SLAB.distance(turned), SLAB.distance(centres))


def test_broken_molecule_has_the_distance_of_the_whole_one():
    state = triatomic_fluid((4, 2, 2), 2.5)
    state = state.with_positions(state.positions - 1.2)
    broken = state.with_positions(np.mod(state.positions, state.edges))
    assert not np.allclose(broken.centres_of_mass, state.centres_of_mass)
    whole = broken.make_whole()
    np.testing.assert_allclose(SLAB.distance(whole.centres_of_mass), SLAB.distance(state.centres_of_mass), atol=1e-12)


def test_hysteresis_acts_on_leaving_alone():
    regions = Slab(5.0, 2.0, 1.0, 0.5, 10.0)
    distance = np.array([2.9, 3.2, 3.2, 3.6])
    inside = regions.update_inside(distance, np.array([False, False, True, True]))
    np.testing.assert_array_equal(inside, [True, False, True, False])
    np.testing.assert_array_equal(regions.levels(distance, inside), [1, 2, 1, 2])


def test_hysteresis_removes_flips_of_a_molecule_that_trembles_at_the_border():
    path = 3.0 + 0.2 * np.random.default_rng(3).normal(size=500)

    def flips(hysteresis: float) -> int:
        regions, inside, count = Slab(5.0, 2.0, 1.0, hysteresis, 10.0), np.array([True]), 0
        for distance in path:
            new = regions.update_inside(np.array([distance]), inside)
            count, inside = count + int((new != inside)[0]), new
        return count

    assert flips(0.0) > 100
    assert flips(1.0) <= 1


@pytest.mark.parametrize(
    ("regions", "reach", "message"),
    [
        (Slab(5.0, 3.0, 2.5, 0.0, 10.0), 2.0, "11 A wide"),
        (Slab(5.0, 3.0, 1.5, 0.5, 10.0), 1.0, "touches its periodic image"),
        (Slab(5.0, 2.0, 1.0, 0.0, 10.0), 1.5, "transition layer is 1 A thick but the fine potential reaches 1.5 A"),
        (Slab(5.0, 0.0, 1.0, 0.0, 10.0), 0.5, "must be positive"),
    ],
)
def test_impossible_geometry_is_refused(regions, reach, message):
    with pytest.raises(UserError, match=message) as caught:
        regions.check(reach)
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_possible_geometry_is_accepted_and_survives_json():
    SLAB.check(1.0)
    assert regions_from_json(SLAB.to_json()) == SLAB


def test_volumes_fill_the_box():
    assert SLAB.volumes(np.diag([10.0, 3.0, 3.0])).sum() == pytest.approx(90.0)
