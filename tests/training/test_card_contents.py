"""What a training leaves in the card: errors against the spread of the labels, and the learning curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_training import LEVEL, SECTION, toy_frames

from halocline.config.study import CoarseModel, MultipoleModel
from halocline.datasets.frame import Frame
from halocline.mapping.centre_of_mass import to_beads
from halocline.models.card import render
from halocline.models.model import Model
from halocline.training.beads import train_beads
from halocline.training.energy_forces import train_energy_forces
from halocline.training.evaluate import evaluate_energy_forces, evaluate_multipoles
from halocline.training.multipoles import train_multipoles


def errors_of(model: Model) -> dict[str, dict]:
    return {row["quantity"]: row for row in model.metadata["card"]["errors"]}


def test_force_and_energy_errors_are_those_of_the_kept_weights_over_the_spread_of_the_labels(tmp_path: Path) -> None:
    train, valid = toy_frames(12, 0), toy_frames(6, 1)
    model = Model.load(train_energy_forces(SECTION, train, valid, tmp_path, 60.0, 1, steps=8).model)
    measured, rows = evaluate_energy_forces(model, valid).values, errors_of(model)
    assert rows["forces"]["error"] == pytest.approx(measured["force_rmse"], rel=1e-3)
    labels = np.concatenate([frame.labels["forces"].ravel() for frame in valid])
    assert rows["forces"]["spread"] == pytest.approx(np.sqrt(np.mean(labels**2)), rel=1e-9)
    assert rows["forces"]["relative"] == pytest.approx(rows["forces"]["error"] / rows["forces"]["spread"])
    assert rows["energy per site"]["error"] == pytest.approx(measured["energy_rmse"], rel=1e-2)
    shift = dict(zip(model.types, model.heads["energy"].shift.tolist()))
    sizes = [frame.state.topology.n_atoms for frame in valid]
    beyond = [float(frame.labels["energy"]) / n - (shift[1] * 2 + shift[8]) / 3 for frame, n in zip(valid, sizes)]
    assert rows["energy per site"]["spread"] == pytest.approx(np.std(beyond), rel=1e-9)
    curve = model.metadata["card"]["learning_curve"]
    assert curve[-1]["step"] == 8
    assert min(point["force"] for point in curve) == pytest.approx(rows["forces"]["error"], rel=1e-3)
    text = render(model, "m")
    assert f"{rows['forces']['relative']:.1%}" in text
    assert "H-O within molecules" in text


def test_errors_of_heads_are_in_their_unit_and_relative_to_the_spread(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = []
    for number, frame in enumerate(toy_frames(40, 2)):
        if not frame.state.periodic:
            frames.append(Frame(frame.state, {"dipole": rng.normal(size=3)}, level=LEVEL, trajectory=f"t{number}"))
    section = MultipoleModel(heads=["dipole"], features=8, layers=1, cutoff="3 A")  # type: ignore[arg-type]
    model = Model.load(train_multipoles(section, frames[:6], frames[6:], tmp_path, 60.0, 1, steps=3).model)
    measured, row = evaluate_multipoles(model, frames[6:]).values, errors_of(model)["dipole"]
    assert set(errors_of(model)) == {"dipole"}
    # Dipoles of N molecules grow as sqrt(N): the card says what its error is divided by.
    sizes = {frame.state.topology.n_molecules for frame in frames[6:]}
    assert row["unit"] == "e A/sqrt(molecule)"
    assert row["error"] == pytest.approx(measured["dipole_rmse"] / sizes.pop() ** 0.5, rel=1e-3)
    assert not sizes, "one size in this set"
    assert row["error"] == pytest.approx(row["relative"] * row["spread"])
    assert "e A" in render(model, "m")


def test_bead_errors_are_relative_to_the_mapped_forces(tmp_path: Path) -> None:
    frames = [frame for frame in toy_frames(24, 3) if frame.state.periodic]
    beads = [to_beads(frame.state, frame.labels["forces"]) for frame in frames]
    section = CoarseModel(features=8, layers=1, cutoff="3 A")  # type: ignore[arg-type]
    model = Model.load(train_beads(section, beads[:12], beads[12:], tmp_path, 60.0, 1, steps=3).model)
    forces = np.concatenate([item.forces.ravel() for item in beads[12:] if item.forces is not None])
    (row,) = model.metadata["card"]["errors"]
    assert row["spread"] == pytest.approx(np.sqrt(np.mean(forces**2)), rel=1e-9)
    assert 0 < row["relative"] < 2
