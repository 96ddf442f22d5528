"""Splits never cut a trajectory, never leave a part empty, and do not depend on chance beyond the seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halocline.datasets.frame import Frame
from halocline.datasets.split import PARTS, select_part, split_trajectories, strata_of
from halocline.errors import UserError
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State

NAMES = [f"{temperature}K/{index}" for temperature in (300, 370) for index in range(4)]


def frame(trajectory: str, shift: float = 0.0, **info: object) -> Frame:
    return Frame(State(np.array(WATER.geometry) + shift, np.eye(3) * 10, build_topology([(WATER, 1)]), info=info), trajectory=trajectory)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.floats(0.01, 0.3), st.floats(0.01, 0.3), st.integers(0, 2**31))
def test_every_part_is_filled_and_the_shares_are_kept(count, valid, test, seed):
    names = [f"run {index}" for index in range(count)]
    split = split_trajectories(names, valid, test, seed)
    assert set(split) == set(names)
    counts = {part: list(split.values()).count(part) for part in PARTS}
    assert counts["valid"] == max(1, round(valid * count))
    assert counts["test"] == max(1, round(test * count))
    assert counts["train"] >= 1
    assert split_trajectories(reversed(names * 2), valid, test, seed) == split


def test_seeds_give_different_splits():
    assert len({tuple(split_trajectories(NAMES, 0.15, 0.15, seed).values()) for seed in range(20)}) > 5


def test_held_back_trajectories_come_from_all_temperatures():
    strata = {name: name.split("/")[0] for name in NAMES}
    for seed in range(10):
        split = split_trajectories(NAMES, 0.25, 0.25, seed, strata)
        for part in ("valid", "test"):
            assert {strata[name] for name in NAMES if split[name] == part} == {"300K", "370K"}


@pytest.mark.parametrize(
    ("names", "valid", "test", "message"),
    [
        (["a", "b"], 0.15, 0.15, "2 trajectories cannot give 1 for validation, 1 for testing"),
        (NAMES, 0.5, 0.5, "8 trajectories cannot give 4"),
        (NAMES, 0.0, 0.15, "holds back 0% for validation"),
        ([], 0.15, 0.15, "0 trajectories"),
    ],
)
def test_impossible_splits_are_refused_with_a_remedy(names, valid, test, message):
    with pytest.raises(UserError, match=message) as caught:
        split_trajectories(names, valid, test, 1)
    assert "dataset." in caught.value.remedy


def test_parts_of_frames_follow_their_trajectories():
    frames = [frame(name, shift) for name in NAMES for shift in (0.0, 1.0)]
    split = split_trajectories(NAMES, 0.15, 0.15, 1)
    chosen = {part: select_part(frames, split, part) for part in PARTS}
    assert sum(len(part) for part in chosen.values()) == len(frames)
    names = [{item.trajectory for item in part} for part in chosen.values()]
    assert names[0] & names[1] == names[0] & names[2] == names[1] & names[2] == set()
    with pytest.raises(UserError, match="1 trajectories are in no part"):
        select_part([frame("new")], split, "train")
    with pytest.raises(UserError, match="none of 2 frames is in the part 'test'"):
        select_part(frames[:2], dict.fromkeys(NAMES, "train"), "test")


def test_the_stratum_is_the_temperature_where_it_is_known():
    frames = [frame("a", temperature=300.0), frame("b", temperature=370.0), frame("ice/1"), frame("alone")]
    assert strata_of(frames) == {"a": "300.0 K", "b": "370.0 K", "ice/1": "ice", "alone": ""}
