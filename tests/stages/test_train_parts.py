"""Parts of the train stage that can be wrong without anything failing: structure, splits, sampling."""

from pathlib import Path

import numpy as np
import pytest
import torch
from MDAnalysis.lib.distances import self_capped_distance
from random_models import random_model

from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.errors import RunFailure
from halocline.files import write_json
from halocline.models.model import Model
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.progress import Silent
from halocline.stages import _active_learning, _sampling
from halocline.stages._active_learning import run_round, split_round
from halocline.stages._coarse import BeadHook, bead_frames, judge_structure, radial_distribution
from halocline.stages._sampling import Job, Sampled, sample_frames
from halocline.state import State

CELL = np.diag([18.0, 16.0, 20.0])


def ideal_gas(n_samples: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n_samples, 150, 3)) * np.diag(CELL)


def water_box(seed: int) -> State:
    rng = np.random.default_rng(seed)
    topology = build_topology([(WATER, 4)])
    centres = np.repeat(rng.random((4, 3)) * 10, 3, axis=0)
    return State(np.tile(np.array(WATER.geometry), (4, 1)) + centres, np.eye(3) * 10, topology)


def test_radial_distribution_of_an_ideal_gas_is_one_within_its_error() -> None:
    r, g, error = radial_distribution(ideal_gas(200, 1), CELL, 8.0)
    beyond = r > 2.0
    deviations = (g[beyond] - 1.0) / error[beyond]
    assert np.abs(deviations.mean()) < 4 / np.sqrt(beyond.sum())
    # Ten blocks give a t distribution with nine degrees of freedom, of variance 9/7.
    assert 0.6 < deviations.var() < 2.6


def test_radial_distribution_counts_the_pairs_that_mdanalysis_counts() -> None:
    positions = ideal_gas(1, 2)
    r, g, _ = radial_distribution(positions, CELL, 8.0)
    box = np.array([*np.diag(CELL), 90, 90, 90], dtype=np.float32)
    _, distances = self_capped_distance(positions[0].astype(np.float32), 8.0, box=box)
    counts, edges = np.histogram(distances, bins=np.arange(0, 8.05, 0.1))
    ideal = 150 * 149 / np.diag(CELL).prod() * 4 / 3 * np.pi * np.diff(edges**3) / 2
    assert np.allclose(g * ideal, counts, atol=1.01)  # single precision may move a pair across an edge
    assert np.allclose(g.sum(), (counts / ideal).sum(), rtol=0.02)
    assert np.allclose(r, 0.5 * (edges[1:] + edges[:-1]))


def test_a_liquid_differs_from_itself_by_noise_and_from_a_lattice_by_far_more() -> None:
    gas = ideal_gas(100, 3)
    grid = np.stack(np.meshgrid(*[np.arange(5) / 5] * 3, indexing="ij"), -1).reshape(-1, 3)
    lattice = np.repeat((grid * np.diag(CELL))[None], 100, axis=0) + np.random.default_rng(4).normal(0, 0.1, (100, 125, 3))
    _, same = judge_structure(CELL, gas, ideal_gas(100, 5))
    _, other = judge_structure(CELL, gas, lattice)
    assert same[0].error is not None
    assert same[0].value < 3 * same[0].error
    assert other[0].value > 10 * same[0].value


def test_error_of_the_ratio_of_peaks_is_that_of_a_ratio() -> None:
    """Peaks of height ten: the ratio is known to their relative, not to their absolute error."""
    cell, generator = np.eye(3) * 20.0, np.random.default_rng(8)
    grid = np.stack(np.meshgrid(*[np.arange(5) * 4.0] * 3, indexing="ij"), -1).reshape(-1, 3)

    def crystal() -> np.ndarray:
        return grid + generator.normal(0, 0.1, (80, 125, 3))

    ratios = [judge_structure(cell, crystal(), crystal())[1][1] for _ in range(8)]
    found, stated = np.std([number.value for number in ratios], ddof=1), np.mean([number.error for number in ratios])
    assert 0.4 < found / stated < 2.0


def test_bead_frames_carry_the_species_and_the_forces() -> None:
    box = water_box(6)
    arrays = {"positions": np.zeros((2, 4, 3)), "forces": np.ones((2, 4, 3))}
    frames = bead_frames(box, arrays)
    assert [frame.species for frame in frames] == [("water",)] * 2
    assert np.array_equal(frames[1].forces, np.ones((4, 3)))
    assert np.allclose(frames[0].masses, WATER.mass)


def test_bead_hook_restarts_with_what_it_had() -> None:
    hook = BeadHook(3)
    hook.positions, hook.forces = [np.ones((4, 3))], [np.zeros((4, 3))]
    other = BeadHook(3)
    other.restore(hook.state())
    assert np.array_equal(other.positions[0], np.ones((4, 3)))
    assert len(other.forces) == 1


def test_a_round_is_split_by_trajectory_and_small_rounds_are_all_training() -> None:
    frames = [Frame(water_box(10 * number + part), trajectory=f"round-1-{number}") for number in range(6) for part in range(2)]
    train, valid = split_round(frames)
    assert {frame.trajectory for frame in valid} == {"round-1-4"}
    assert not {frame.trajectory for frame in train} & {frame.trajectory for frame in valid}
    assert len(train) + len(valid) == len(frames)
    assert split_round(frames[:6])[1] == []


def test_the_error_of_a_round_counts_the_frames_that_are_too_distorted_to_learn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is perfect on tame frames and blind to the distorted ones it visits is not called perfect."""
    frames = []
    for number in range(5):
        state = water_box(number)
        forces = np.zeros((12, 3)) if number else np.full((12, 3), 30.0)
        frames.append(Frame(state, {"energy": np.array(0.0), "forces": forces}, trajectory=f"round-0-{number}", level={"engine": "test"}))
    place = tmp_path / "round-0"
    place.mkdir()

    def store_labels(sampled, engine, quantities, store, *_: object) -> None:
        store.extend(frames)

    monkeypatch.setattr(_active_learning, "label_frames", store_labels)
    monkeypatch.setattr(_active_learning, "make_engine", lambda _: None)
    monkeypatch.setattr(_active_learning, "_sample_once", lambda *_: write_json(place / "stopped_early.json", []))
    blind = random_model("atoms")
    blind.save(tmp_path / "blind.safetensors")
    monkeypatch.setattr(Model, "energy_and_forces", lambda self, graph: (torch.zeros(1), torch.zeros(12, 3)))
    outcome, kept = run_round(Study(), tmp_path / "blind.safetensors", [], 0, 5, place, Silent())
    assert (outcome.frames, outcome.dropped, len(kept)) == (5, 1, 4)
    assert outcome.error.value == pytest.approx(1000.0 * 30.0 / np.sqrt(5))


def job(name: str) -> Job:
    return Job(Path("model"), water_box(7), 300.0, 0.5, 0.01, 10, 5, 1, name)


def fake_sample(outcome: Sampled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sampling, "run_tasks", lambda function, items, *_: [(index, outcome) for index in range(len(items))])


def test_a_trajectory_that_fails_half_way_still_gives_its_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sample(Sampled("a", [water_box(8), water_box(9)], "too hot"), monkeypatch)
    frames, failures = sample_frames([job("a")], 0.0, 1, 0, Silent())
    assert len(frames) == 2
    assert failures == ["a: too hot"]


def test_half_of_the_frames_become_droplets_without_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sample(Sampled("a", [water_box(seed) for seed in range(60)], None), monkeypatch)
    frames, _ = sample_frames([job("a")], 0.5, 1, 0, Silent())
    droplets = sum(not frame.state.periodic for frame in frames)
    assert abs(droplets - 30) < 4 * np.sqrt(15)


def test_no_surviving_configuration_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sample(Sampled("a", [], "too hot"), monkeypatch)
    with pytest.raises(RunFailure, match="too hot") as raised:
        sample_frames([job("a")], 0.0, 1, 0, Silent())
    assert "dataset.frames" in raised.value.remedy
