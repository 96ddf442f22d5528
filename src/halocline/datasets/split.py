"""Training, validation and test sets that never share a trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from halocline.datasets.frame import Frame
from halocline.errors import UserError

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")


def split_trajectories(
    trajectories: Iterable[str], valid: float, test: float, seed: int, strata: Mapping[str, str] | None = None
) -> dict[str, Part]:
    """Assign whole trajectories to parts, because neighbouring frames of one are nearly the same configuration.

    Shares are of the number of trajectories, rounded, but at least one. Held-back trajectories are taken from the
    stratum (such as a temperature) that has given the smallest share of its own so far, chance deciding between equals.

    Args:
        trajectories: names; repetitions are allowed.
        valid, test: shares held back, above zero.
        seed: same seed, same names, same split.
        strata: trajectory -> stratum.

    Returns:
        Trajectory name -> part, sorted by name.

    Raises:
        UserError: fewer than three trajectories, or shares that leave nothing to train on.
    """
    names = sorted(set(trajectories))
    if valid <= 0 or test <= 0:
        remedy = "Hold back at least one trajectory each: raise dataset.valid and dataset.test above 0 %."
        raise UserError(f"the split holds back {valid:.0%} for validation and {test:.0%} for testing", "dataset", remedy)
    n_valid, n_test = (max(1, round(share * len(names))) for share in (valid, test))
    if len(names) < n_valid + n_test + 1:
        what = f"{len(names)} trajectories cannot give {n_valid} for validation, {n_test} for testing and one for training"
        remedy = "Raise dataset.trajectories to 3 or more, or lower dataset.valid and dataset.test."
        raise UserError(what, "study file: dataset.trajectories", remedy)
    rng = np.random.default_rng(seed)
    shuffled = [names[index] for index in rng.permutation(len(names))]
    groups: dict[str, list[str]] = {}
    for name in shuffled:
        groups.setdefault((strata or {}).get(name, ""), []).append(name)
    sizes = {stratum: len(members) for stratum, members in groups.items()}
    parts: dict[str, Part] = dict.fromkeys(names, "train")
    for part, count in (("test", n_test), ("valid", n_valid)):
        for _ in range(count):
            fullest = max(groups, key=lambda stratum: (len(groups[stratum]) / sizes[stratum], sizes[stratum]))
            parts[groups[fullest].pop()] = part  # type: ignore[assignment]
    return parts


def strata_of(frames: Iterable[Frame]) -> dict[str, str]:
    """Trajectory -> temperature where the frames know it, else the part of the name before the last slash."""
    strata: dict[str, str] = {}
    for frame in frames:
        temperature = frame.state.info.get("temperature")
        fallback = frame.trajectory.rsplit("/", 1)[0] if "/" in frame.trajectory else ""
        strata.setdefault(frame.trajectory, fallback if temperature is None else f"{temperature} K")
    return strata


def select_part(frames: Sequence[Frame], split: Mapping[str, str], part: Part) -> list[Frame]:
    """Frames of one part.

    Raises:
        UserError: a trajectory that the split does not know, or no frame at all.
    """
    unknown = sorted({frame.trajectory for frame in frames} - set(split))
    if unknown:
        remedy = "Run `halocline inspect` again: it makes the split."
        raise UserError(f"{len(unknown)} trajectories are in no part of the split (first: '{unknown[0]}')", "split", remedy)
    chosen = [frame for frame in frames if split[frame.trajectory] == part]
    if not chosen:
        remedy = "Label more trajectories, or change dataset.valid and dataset.test."
        raise UserError(f"none of {len(frames)} frames is in the part '{part}'", "split", remedy)
    return chosen
