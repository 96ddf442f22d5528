"""Training learns what there is to learn, and refuses what it must."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from random_models import random_model, water_box
from toy_training import LEVEL, SECTION, toy_frames

from halocline.config.study import CoarseModel, MultipoleModel
from halocline.datasets.frame import Frame
from halocline.errors import UserError
from halocline.mapping.centre_of_mass import to_beads
from halocline.models.model import Model
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State
from halocline.training.beads import train_beads
from halocline.training.energy_forces import train_energy_forces
from halocline.training.evaluate import bootstrap, evaluate_beads, evaluate_energy_forces, evaluate_multipoles, rms
from halocline.training.multipoles import train_multipoles
from halocline.units import BAR


@pytest.mark.parametrize("name", ["schnet", "painn"])
def test_model_learns_a_many_body_potential_of_boxes_and_droplets(
    name: str, frames: tuple[list[Frame], list[Frame]], tmp_path: Path
) -> None:
    section = SECTION.model_copy(update={"name": name, "features": 16})
    steps = 300 if name == "schnet" else 60
    outcome = train_energy_forces(section, *frames, tmp_path, 60.0, 1, steps=steps)
    assert outcome.steps == steps
    errors = evaluate_energy_forces(Model.load(outcome.model), frames[1])
    assert errors.values["force_rms"] > 1.0
    assert outcome.prior_error < 0.3 * errors.values["force_rms"]
    assert errors.values["force_rmse"] < (0.93 if name == "schnet" else 0.9) * outcome.prior_error
    assert errors.values["force_rmse"] == pytest.approx(outcome.errors["force"], rel=1e-3)
    assert errors.values["energy_rmse"] < 0.02
    assert {number.unit for number in errors.numbers} == {"meV/A", "meV"}
    assert all(number.error > 0 for number in errors.numbers if number.error is not None)
    assert [figure.kind for figure in errors.figures] == ["parity", "parity"]


def test_fine_tuning_keeps_prior_and_starts_from_the_old_errors(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    first = train_energy_forces(SECTION, *frames, tmp_path / "first", 60.0, 1, steps=150)
    more = [*frames[0], *toy_frames(8, 5)]
    second = train_energy_forces(SECTION, more, frames[1], tmp_path / "second", 60.0, 1, initial=first.model, steps=100)
    old, new = Model.load(first.model), Model.load(second.model)
    assert old.prior is not None
    assert new.prior is not None
    assert torch.equal(old.prior.values, new.prior.values)
    assert second.curve[0]["valid_force"] < 1.1 * first.errors["force"]
    assert second.errors["force"] < first.errors["force"]
    wider = SECTION.model_copy(update={"features": 32})
    with pytest.raises(UserError, match="same shape"):
        train_energy_forces(wider, more, frames[1], tmp_path / "third", 60.0, 1, initial=first.model, steps=1)


def test_missing_labels_empty_sets_and_mixed_levels_are_refused(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    train, valid = frames
    bare = Frame(train[3].state, {"energy": train[3].labels["energy"]}, level=LEVEL)
    with pytest.raises(UserError, match="1 of 3 frames have no label 'forces', the first is frame 1"):
        train_energy_forces(SECTION, [train[0], bare, train[1]], valid, tmp_path, 1.0, 1)
    with pytest.raises(UserError, match="there is no frame"):
        train_energy_forces(SECTION, train, [], tmp_path, 1.0, 1)
    other = Frame(valid[0].state, valid[0].labels, level={"method": "other"})
    with pytest.raises(UserError, match="2 different levels"):
        train_energy_forces(SECTION, train, [other], tmp_path, 1.0, 1)
    wrong = Frame(train[0].state, {"energy": np.array(0.0), "forces": np.full((24, 3), np.nan)}, level=LEVEL)
    with pytest.raises(UserError, match="NaN"):
        train_energy_forces(SECTION, [wrong], valid, tmp_path, 1.0, 1)
    with pytest.raises(UserError, match="no label 'dipole'"):
        train_multipoles(MultipoleModel(), train, valid, tmp_path, 1.0, 1)
    with pytest.raises(UserError, match="has no forces"):
        train_beads(CoarseModel(), [to_beads(train[0].state)], [to_beads(train[0].state)], tmp_path, 1.0, 1)


def test_model_card_says_where_the_model_has_data(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    outcome = train_energy_forces(SECTION, *frames, tmp_path, 60.0, 1, steps=3)
    model = Model.load(outcome.model)
    card = json.loads(json.dumps(model.metadata["card"]))
    assert card["level_of_theory"] == LEVEL
    assert card["training"]["steps"] == 3
    within = [item["shortest"] for item in card["domain"]["shortest_distances"] if item["types"] == [1, 8] and item["within"]]
    bonds = [np.linalg.norm(f.state.positions[1::3] - f.state.positions[::3], axis=1).min() for f in frames[0]]
    assert 0.8 < within[0] <= min(bonds) + 1e-3
    assert model.metadata["species"] == ["water"]


def charge_frames(n: int, seed: int) -> list[Frame]:
    """Clusters of one or two waters with fixed charges and a polarizability along the bonds."""
    rng, result = np.random.default_rng(seed), []
    for number in range(n):
        count = 1 + number % 2
        blocks = []
        for place in range(count):
            rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            blocks.append(np.array(WATER.geometry) @ rotation.T + rng.normal(0, 0.05, (3, 3)) + [2.9 * place, 0, 0])
        positions = np.concatenate(blocks)
        state = State(positions, np.zeros((3, 3)), build_topology([(WATER, count)]), periodic=False)
        charges = np.tile([-0.8, 0.4, 0.4], count)
        bonds = (positions.reshape(-1, 3, 3)[:, 1:] - positions.reshape(-1, 3, 3)[:, :1]).reshape(-1, 3)
        alpha = 1.2 * count * np.eye(3) + 0.3 * bonds.T @ bonds
        labels = {"dipole": charges @ positions, "polarizability": alpha}
        result.append(Frame(state, labels, level=LEVEL))
    return result


def test_multipole_heads_learn_charges_and_anisotropic_polarizabilities(tmp_path: Path) -> None:
    train, valid = charge_frames(40, 0), charge_frames(16, 1)
    section = MultipoleModel(features=16, layers=1, cutoff="3.5 A")  # type: ignore[arg-type]
    outcome = train_multipoles(section, train, valid, tmp_path, 60.0, 1, steps=150)
    errors = evaluate_multipoles(Model.load(outcome.model), valid)
    assert errors.values["dipole_relative"] < 0.05
    assert errors.values["polarizability_relative"] < 0.25
    assert Model.load(outcome.model).metadata["molecular_charges"] == {"water": 0.0}


def test_bead_model_beats_its_pair_prior_where_forces_are_many_body(tmp_path: Path) -> None:
    train, valid = (
        [to_beads(f.state, f.labels["forces"]) for f in toy_frames(n, seed) if f.state.periodic] for n, seed in ((60, 0), (20, 1))
    )
    section = CoarseModel(features=16, layers=2, cutoff="4.5 A")  # type: ignore[arg-type]
    outcome = train_beads(section, train, valid, tmp_path, 60.0, 1, steps=60, temperature=300.0)
    model = Model.load(outcome.model)
    assert model.kind == "beads"
    assert model.metadata["temperature"] == 300.0
    errors = evaluate_beads(model, valid)
    assert errors.values["force_rmse"] < 1.02 * errors.values["prior_rmse"] < errors.values["force_rms"]
    assert errors.values["force_rmse"] == pytest.approx(outcome.errors["force"], rel=1e-3)
    energy, forces = model.energy_and_forces(model.graph(toy_frames(1, 3)[0].state))
    assert forces.shape == (8, 3)
    assert torch.isfinite(energy).all()


def test_error_bars_come_from_blocks_not_from_components() -> None:
    """Frames of one trajectory that share an error do not shrink its error bar."""
    rng = np.random.default_rng(0)
    offsets = rng.normal(1.0, 0.3, 10)
    deltas = [np.full(300, offset) for offset in offsets for _ in range(20)]
    blocks = np.repeat(np.arange(10), 20)
    value, error, count = bootstrap(deltas, blocks, rms, rng)
    assert value == pytest.approx(float(np.sqrt(np.mean(offsets**2))))
    assert count == 10
    expected = float(np.std(offsets**2)) / np.sqrt(10) / (2 * value)
    assert error == pytest.approx(expected, rel=0.3)


def test_pressure_error_is_the_shift_of_the_labelled_stress() -> None:
    model = random_model("atoms", 16, 1).convert(torch.float64)
    frames = []
    for seed in range(5):
        state = water_box(27, seed)
        energy, forces, virial = model.energy_forces_virial(model.graph(state))
        stress = -virial[0].double().numpy() / state.volume
        labels = {
            "energy": energy[0].double().numpy(),
            "forces": forces.detach().double().numpy(),
            "stress": stress - 100.0 * BAR * np.eye(3),
        }
        frames.append(Frame(state, trajectory=str(seed)).with_labels(labels, {"method": "itself"}))
    number = next(n for n in evaluate_energy_forces(model, frames).numbers if n.name.startswith("pressure error"))
    assert number.value == pytest.approx(-100.0, rel=1e-3)
    assert number.error is not None
    assert number.error < 0.1
    assert number.n_effective == 5
