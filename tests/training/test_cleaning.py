"""Labels lose their net force and their outliers before training, and the record says so."""

import numpy as np
import pytest

from halocline.errors import UserError
from halocline.training.cleaning import clean_labels
from halocline.training.data import Sites
from halocline.training.forces import EnergyWeights


def configuration(forces: np.ndarray) -> Sites:
    n, none = len(forces), np.zeros(0, dtype=np.int64)
    return Sites(np.ones(n, dtype=np.int64), np.arange(n), np.zeros((n, 3)), none, none, np.zeros((0, 3)), forces, -1.0)


def test_net_force_is_removed_and_relative_forces_stay() -> None:
    rng = np.random.default_rng(0)
    forces = rng.normal(size=(7, 3)) + np.array([0.3, -0.1, 0.0])
    kept, record = clean_labels([configuration(forces)], 10.0, "frames")
    np.testing.assert_allclose(kept[0].forces.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(kept[0].forces - kept[0].forces[0], forces - forces[0], atol=1e-12)
    assert record["mean_force_rms"] == pytest.approx(np.sqrt(np.mean(forces.mean(axis=0) ** 2)))
    assert kept[0].energy == -1.0


def test_frames_above_the_limit_are_dropped_and_recorded() -> None:
    calm = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    frames = [configuration(calm), configuration(11 * calm), configuration(9 * calm), configuration(-30 * calm)]
    kept, record = clean_labels(frames, 10.0, "frames")
    assert [float(item.forces[0, 0]) for item in kept] == [1.0, 9.0]
    assert (record["frames"], record["dropped"], record["dropped_forces"]) == (4, [1, 3], [11.0, 30.0])
    assert len(clean_labels(frames, np.inf, "frames")[0]) == 4


def test_a_common_force_alone_makes_no_outlier() -> None:
    """The limit is on what is left to learn."""
    kept, _ = clean_labels([configuration(np.full((3, 3), 20.0))], 10.0, "frames")
    np.testing.assert_array_equal(kept[0].forces, 0.0)


def test_unknown_forces_pass_through() -> None:
    kept, record = clean_labels([configuration(np.full((3, 3), np.nan))], 10.0, "frames")
    assert np.isnan(kept[0].forces).all()
    assert record["dropped"] == []


def test_nothing_left_is_refused_with_the_smallest_force() -> None:
    with pytest.raises(UserError, match=r"all 1 frames .* above 10 eV/A, the smallest is 25"):
        clean_labels([configuration(np.array([[25.0, 0, 0], [-25.0, 0, 0]]))], 10.0, "frames")
    with pytest.raises(UserError, match="largest force"):
        clean_labels([configuration(np.zeros((2, 3)))], 0.0, "frames")


def test_energy_weight_rises_by_a_constant_factor_in_the_third_quarter() -> None:
    weights = EnergyWeights(0.25, 4.0)
    assert [weights.at(x) for x in (0.0, 0.5, 0.75, 1.0)] == [0.25, 0.25, 4.0, 4.0]
    assert weights.at(0.625) == pytest.approx(1.0)
    assert weights.at(0.6) / weights.at(0.55) == pytest.approx(weights.at(0.7) / weights.at(0.65))
    assert EnergyWeights(0.0, 2.0).at(0.625) == pytest.approx(1.0)
    with pytest.raises(UserError, match="energy weights"):
        EnergyWeights(-1.0, 1.0)
