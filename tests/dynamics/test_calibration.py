"""Judging windows, stopping, lengthening, replicas and their restart."""

from types import SimpleNamespace

import numpy as np
import pytest
from brute_force import lattice_fluid
from small_calibration import REGIONS, START, build, build_dying, noise, settings, zero_force

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Sphere, Spheres
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics import calibration_runs
from halocline.dynamics.calibration import calibrate
from halocline.dynamics.calibration_runs import ShellVolumeHook
from halocline.dynamics.calibration_windows import (
    AGREES,
    LIMITED,
    LONGEST,
    UPDATED,
    Window,
    has_converged,
    is_limited_by_noise,
    judge,
    next_length,
)
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.dynamics.statistics import mean_and_error, mean_and_error_of_runs
from halocline.errors import RunFailure, UserError
from halocline.potentials.base import Zero
from halocline.state import State


def window(deviations, errors, steps: int = 200, outcome: str = UPDATED) -> Window:
    """One species: AT, blocks of the layer, and a reservoir that is never judged."""
    empty = [[0.0]]
    return Window(empty, empty, empty, empty, [[*deviations, 0.5]], [[*errors, 0.5]], [0.0], steps, outcome)


def test_a_window_agrees_only_if_its_errors_support_it():
    assert window([0.01, -0.02], [0.005, 0.01]).agrees(0.03)
    assert not window([0.01, -0.02], [0.005, 0.04]).agrees(0.03)
    assert not window([0.01, -0.04], [0.005, 0.01]).agrees(0.03)
    assert not window([0.0, 0.0], [0.0, np.inf]).agrees(0.03)


def test_noise_limits_a_window_without_significant_deviation():
    assert window([0.02, -0.07], [0.01, 0.04]).limited_by_noise(0.03)
    assert window([0.02, -0.07], [0.01, np.inf]).limited_by_noise(0.03)
    # AT is off by six errors: another update helps, whatever the noise elsewhere.
    assert not window([0.06, -0.07], [0.01, 0.04]).limited_by_noise(0.03)
    assert not window([0.01, -0.02], [0.005, 0.01]).limited_by_noise(0.03)


def test_noise_of_a_second_species_counts():
    one = window([0.01], [0.005])
    two = Window(**{**vars(one), "blocks": [[0.01, 0.5], [0.05, 0.5]], "block_errors": [[0.005, 0.5], [0.04, 0.5]]})
    assert one.agrees(0.03)
    assert not two.agrees(0.03)
    assert two.limited_by_noise(0.03)


def test_windows_limited_by_noise_double_up_to_the_limit_and_then_end_it():
    budget = settings(iterations=100)
    windows, lengths = [], []
    while steps := next_length(windows, budget):
        lengths.append(steps)
        windows.append(window([0.0], [0.1], steps, LIMITED))
    assert lengths == [200, 400, 800, 1600]
    assert lengths[-1] == LONGEST * budget.steps
    assert is_limited_by_noise(windows, 0.03)
    assert not has_converged(windows, 0.03)


def test_long_windows_count_against_the_budget():
    windows, lengths = [], []
    while steps := next_length(windows, settings(iterations=4)):
        lengths.append(steps)
        windows.append(window([0.0], [0.1], steps, LIMITED))
    assert lengths == [200, 400, 200]


def test_two_windows_in_a_row_must_agree():
    good, bad = window([0.0], [0.01], outcome=AGREES), window([0.2], [0.01])
    assert next_length([bad, good], settings(iterations=9)) == 200
    assert next_length([good, bad, good], settings(iterations=9)) == 200
    assert next_length([bad, good, good], settings(iterations=9)) == 0


def counts(profile: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """(samples, 1, n_bins) independent Poisson counts."""
    return np.random.default_rng(seed).poisson(profile, (samples, 1, len(profile)))


@pytest.mark.parametrize(
    ("samples", "tilt", "outcome"), [(4000, 0.0, AGREES), (12, 0.0, LIMITED), (4000, 0.3, UPDATED)], ids=["flat", "noisy", "tilted"]
)
def test_only_a_significant_deviation_changes_the_tables(samples, tilt, outcome):
    force = zero_force()
    volumes = REGIONS.shell_volumes(force.edges, START.cell)
    density = np.array([72 / START.volume])
    profile = density * volumes * (1 + tilt * np.tanh(force.centres - 10.0))
    found = judge([counts(profile, samples, 3)], volumes, REGIONS, force, density, settings(), 200, 0)
    assert found.outcome == outcome
    assert (found.updated != found.tables) == (outcome == UPDATED)
    if outcome == UPDATED:  # denser outside: pushed inwards
        assert found.integral[0] < 0 or np.array(found.updated).min() < 0


def test_merged_replicas_are_one_run_with_the_same_samples():
    force = zero_force()
    volumes, density = REGIONS.shell_volumes(force.edges, START.cell), np.array([0.01])
    whole = counts(np.full(len(volumes), 6.0), 1200, 5)
    arguments = (volumes, REGIONS, force, density, settings(), 200, 0)
    one, three = judge([whole], *arguments), judge(np.split(whole, 3), *arguments)
    np.testing.assert_allclose(three.density, one.density, rtol=1e-12)
    np.testing.assert_allclose(three.updated, one.updated, rtol=1e-12)
    np.testing.assert_allclose(three.block_errors, one.block_errors, rtol=0.25)


def test_runs_that_differ_by_more_than_they_fluctuate_have_a_larger_error():
    runs = [value + np.random.default_rng(k).normal(size=300) for k, value in enumerate((0.0, 0.0, 6.0))]
    assert mean_and_error_of_runs(runs)[1] > 10 * mean_and_error(runs[0])[1]
    assert mean_and_error_of_runs(runs[:1]) == mean_and_error(runs[0])
    errors = [mean_and_error_of_runs([noise((200,), 9 * i + j) for j in range(4)])[1] for i in range(20)]
    assert np.mean(errors) == pytest.approx(np.sqrt(20.0 / 800), rel=0.15)


def test_unknown_errors_survive_the_files_and_nothing_is_called_converged(tmp_path):
    first = calibrate(build, START, REGIONS, zero_force(), settings(), tmp_path)
    again = calibrate(build, START, REGIONS, zero_force(), settings(), tmp_path)
    assert not first.converged
    assert [vars(one) for one in again.windows] == [vars(one) for one in first.windows]
    np.testing.assert_array_equal(again.force.tables, first.force.tables)
    np.testing.assert_array_equal(again.state.positions, first.state.positions)


def test_replicas_have_states_of_their_own_and_one_result(tmp_path):
    outcome = calibrate(build, START, REGIONS, zero_force(), settings(replicas=2, iterations=1), tmp_path, workers=0)
    ends = [calibration_runs.WindowEnd.read(calibration_runs.end_path(tmp_path, 1, replica)) for replica in range(2)]
    assert np.abs(ends[0].positions - ends[1].positions).max() > 1.0
    merged = np.concatenate([end.counts for end in ends])[:, 0].mean(0)
    expected = 72 / START.volume * ends[0].volumes
    np.testing.assert_allclose(np.array(outcome.windows[0].density[0]), merged / expected)


def stopped_after_the_first_window(folder, run, monkeypatch) -> None:
    """A calibration that ends between the last end of a replica and the list of windows."""
    monkeypatch.setattr("halocline.dynamics.calibration.judge", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        calibrate(build, START, REGIONS, zero_force(), run, folder, workers=0)
    monkeypatch.undo()


def test_stopped_replicas_end_with_the_same_numbers(tmp_path, monkeypatch):
    run = settings(replicas=2)
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = calibrate(build, START, REGIONS, zero_force(), run, tmp_path / "whole", workers=0)
    stopped_after_the_first_window(tmp_path / "broken", run, monkeypatch)
    again = calibrate(build, START, REGIONS, zero_force(), run, tmp_path / "broken", workers=0)
    np.testing.assert_array_equal(again.force.tables, whole.force.tables)
    assert [vars(one) for one in again.windows] == [vars(one) for one in whole.windows]


@pytest.mark.slow
def test_a_replica_killed_in_its_process_ends_with_the_same_numbers(tmp_path):
    run = settings(replicas=2)
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = calibrate(build, START, REGIONS, zero_force(), run, tmp_path / "whole", workers=0)
    again = calibrate(build_dying, START, REGIONS, zero_force(), run, tmp_path / "broken", workers=2)
    assert (tmp_path / "broken" / "killed").exists()  # SIGKILL struck within the second window
    np.testing.assert_array_equal(again.force.tables, whole.force.tables)
    assert [vars(one) for one in again.windows] == [vars(one) for one in whole.windows]


def test_a_finished_replica_is_not_run_again(tmp_path, monkeypatch):
    def failing(task, hooks):
        if task.replica == 1:
            raise RunFailure("the second replica fails", "here", "Nothing.")
        return build(task, hooks)

    with pytest.raises(RunFailure, match="second replica"):
        calibrate(failing, START, REGIONS, zero_force(), settings(replicas=2), tmp_path, workers=0)
    assert calibration_runs.end_path(tmp_path, 1, 0).exists()

    def second_only(task, hooks):
        assert task.replica == 1 or task.number > 0
        return build(task, hooks)

    calibrate(second_only, START, REGIONS, zero_force(), settings(replicas=2, iterations=1), tmp_path, workers=0)


def test_overlapping_start_is_refused(tmp_path):
    positions = START.positions.copy()
    # Across the periodic face: the nearest image counts.
    positions[5], positions[40] = [0.1, 1.0, 1.0], [31.8, 1.0, 1.0]
    bad = State(positions, START.cell, START.topology)
    with pytest.raises(UserError, match=r"0.300 A \(molecules 5 and 40\)") as error:
        calibrate(build, bad, REGIONS, zero_force(), settings(), tmp_path)
    assert "start of the calibration" in error.value.where


def test_force_of_other_regions_is_refused_before_any_step(tmp_path):
    force = zero_force()
    force.window = (2.0, 13.0)
    with pytest.raises(UserError, match="does not fit regions"):
        calibrate(build, START, REGIONS, force, settings(), tmp_path)


def test_volumes_of_regions_that_move_are_averaged_over_the_run():
    edges = np.arange(0.0, 13.0)
    hook = ShellVolumeHook(edges, 1)
    apart, together = ((4.0, 6.0, 6.0, 20.0, 6.0, 6.0), (4.0, 6.0, 6.0, 6.0, 6.0, 6.0))
    cell = np.diag([32.0, 12.0, 12.0])
    each = []
    for centres in (apart, together):
        regions = Spheres(centres, 3.0, 2.0, 0.0, (32.0, 12.0, 12.0))
        each.append(regions.shell_volumes(edges, cell))
        hook(SimpleNamespace(regions=regions, initial=SimpleNamespace(cell=cell)))
    np.testing.assert_allclose(hook.mean(None), np.mean(each, axis=0))
    assert each[0][1] == pytest.approx(2 * 4 / 3 * np.pi * (2**3 - 1), rel=0.01)
    assert each[1][1] < 0.9 * each[0][1]


def test_a_sphere_is_calibrated_like_a_slab(tmp_path):
    start = lattice_fluid((5, 5, 5), 4.0, seed=2)
    sphere = Sphere((10.0, 10.0, 10.0), 3.5, 3.0, 0.0, (20.0, 20.0, 20.0))
    force = ThermodynamicForce(("argon",), sphere.reach, 0.5, (3.5, 8.5))

    def gas(task, hooks):
        coupling = SubtractiveCoupling(Zero(), Zero())
        thermostat = Thermostat(10.0, 300.0, (0.01, 0.02, 0.02))
        return Simulation(task.start, coupling, sphere, thermostat, task.force, task.number, "open", task.inside, hooks, task.discard)

    outcome = calibrate(gas, start, sphere, force, settings(steps=1500, iterations=1, sample=10), tmp_path)
    only = outcome.windows[0]
    # An ideal gas is uniform: every block of shells on target within its error, and no force outside the window.
    assert (np.abs(only.blocks) < 4 * np.array(only.block_errors)).all()
    assert only.layer == pytest.approx(125 / 20**3 * 4 / 3 * np.pi * (6.5**3 - 3.5**3), rel=0.25)
    assert np.all(outcome.force.tables[:, ~force.in_window()] == 0.0)
