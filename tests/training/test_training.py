"""Training learns what there is to learn, refuses what it must, and survives being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from random_models import random_model, water_box

from halocline.config.study import CoarseModel, MultipoleModel
from halocline.config.study import Model as ModelSection
from halocline.datasets.frame import Frame
from halocline.errors import RunFailure, UserError
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

SECTION = ModelSection(features=16, layers=2, cutoff="3.5 A")  # type: ignore[arg-type]
LEVEL = {"method": "analytic"}


def toy_energy_forces(state: State) -> tuple[float, np.ndarray]:
    """Bond springs, and a Gaussian three-body-like term: the square of the coordination of each oxygen by hydrogens."""
    x = torch.tensor(state.positions, requires_grad=True)
    energy = torch.zeros((), dtype=torch.float64)
    molecules = x.reshape(-1, 3, 3)
    bonds = (molecules[:, 1:] - molecules[:, :1]).norm(dim=2)
    hh = (molecules[:, 1] - molecules[:, 2]).norm(dim=1)
    energy = energy + 20.0 * (bonds - 0.97).square().sum() + 5.0 * (hh - 1.53).square().sum()
    vectors = x[None] - molecules[:, :1]
    if state.periodic:
        vectors = vectors - torch.tensor(state.edges) * torch.round(vectors.detach() / torch.tensor(state.edges))
    r = (vectors.square().sum(dim=2) + 1e-12).sqrt()
    outside = torch.tensor(state.topology.molecule_of_atom[None] != np.arange(len(molecules))[:, None])
    close = torch.where(outside & (r < 3.4), torch.exp(-((r - 1.8) ** 2)) * (1 - (r / 3.4).clamp(max=1.0) ** 2) ** 3, 0.0).sum(dim=1)
    energy = energy + 0.15 * (close - 2.0).square().sum() - 100.0 * len(molecules)
    (gradient,) = torch.autograd.grad(energy, x)
    return float(energy.detach()), -gradient.numpy()


def toy_frames(n: int, seed: int) -> list[Frame]:
    """Boxes of eight waters and droplets of four, labelled by :func:`toy_energy_forces`."""
    rng, frames = np.random.default_rng(seed), []
    for number in range(n):
        periodic, count = number % 4 != 3, 8 if number % 4 != 3 else 4
        cells = np.array(list(np.ndindex(2, 2, 2)))[:count]
        positions = []
        for cell in cells:
            rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            positions.append(np.array(WATER.geometry) @ rotation.T + rng.normal(0, 0.03, (3, 3)) + 3.1 * cell + rng.normal(0, 0.1, 3))
        box = np.eye(3) * 6.2 if periodic else np.zeros((3, 3))
        state = State(np.concatenate(positions), box, build_topology([(WATER, count)]), periodic=periodic)
        energy, forces = toy_energy_forces(state)
        frames.append(Frame(state, {"energy": np.array(energy), "forces": forces}, level=LEVEL, trajectory=f"t{number % 5}"))
    return frames


@pytest.fixture(scope="module")
def frames() -> tuple[list[Frame], list[Frame]]:
    return toy_frames(40, 0), toy_frames(12, 1)


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


def test_same_seed_and_steps_give_the_same_model(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    paths = [train_energy_forces(SECTION, *frames, tmp_path / name, 60.0, 1, steps=12).model for name in ("a", "b")]
    first, second = (Model.load(path).state_dict() for path in paths)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_finished_training_is_not_repeated_but_other_inputs_are(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    first = train_energy_forces(SECTION, *frames, tmp_path, 60.0, 1, steps=5)
    assert not first.reused
    assert train_energy_forces(SECTION, *frames, tmp_path, 60.0, 1, steps=5).reused
    assert not train_energy_forces(SECTION, *frames, tmp_path, 60.0, 2, steps=5).reused
    assert not list(tmp_path.glob("*.checkpoint"))
    assert not (Path.cwd() / "lightning_logs").exists()
    assert not (tmp_path / "lightning_logs").exists()


_SCRIPT = """
import sys; sys.path[:0] = [{tests!r}, {helpers!r}]
from pathlib import Path
from halocline.training import lightning_loop, loop
from test_training import SECTION, toy_frames, train_energy_forces
import time
original = loop.Loop.after_step
def slow(self):
    original(self)
    self.schedule.__dict__["checkpoint_interval"] = 0.0
    print(self.progression.step, flush=True)
    time.sleep({pause})
loop.Loop.after_step = slow
train_energy_forces(SECTION, toy_frames(40, 0), toy_frames(12, 1), Path({folder!r}), 60.0, 1, steps=16)
"""


def test_killed_training_continues_to_the_same_model(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    """SIGKILL in the middle; what comes out is what an uninterrupted training gives, bit for bit."""
    whole = train_energy_forces(SECTION, *frames, tmp_path / "whole", 60.0, 1, steps=16)
    broken = tmp_path / "broken"
    script = _SCRIPT.format(tests=str(Path(__file__).parent), helpers=str(Path(__file__).parents[1]), folder=str(broken), pause=0.02)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 6 and list(broken.glob("*.checkpoint")):
                process.send_signal(signal.SIGKILL)
                break
    assert not (broken / "atomistic.safetensors").exists()
    assert len(list(broken.glob("*.checkpoint"))) == 1
    resumed = train_energy_forces(SECTION, *frames, broken, 60.0, 1, steps=16)
    steps = [row["step"] for row in resumed.curve]
    assert steps == [row["step"] for row in whole.curve]
    first, second = Model.load(whole.model).state_dict(), Model.load(resumed.model).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_corrupt_checkpoint_is_named(frames: tuple[list[Frame], list[Frame]], tmp_path: Path) -> None:
    from halocline.training import energy_forces

    names: list[Path] = []
    original = energy_forces.train_objective

    def spoil(objective, schedule, place, *rest):  # type: ignore[no-untyped-def]
        place.checkpoint.write_bytes(b"half a checkpoint")
        names.append(place.checkpoint)
        return original(objective, schedule, place, *rest)

    energy_forces.train_objective = spoil
    try:
        with pytest.raises(RunFailure, match="the checkpoint is corrupt") as caught:
            train_energy_forces(SECTION, *frames, tmp_path, 60.0, 1, steps=5)
    finally:
        energy_forces.train_objective = original
    assert str(names[0]) in str(caught.value)
    assert "Delete the file" in caught.value.remedy


def test_budget_is_wall_time(frames: tuple[list[Frame], list[Frame]], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_energy_forces(SECTION, *frames, tmp_path / "first", 60.0, 1, steps=1)
    start = time.monotonic()
    outcome = train_energy_forces(SECTION, *frames, tmp_path / "second", 1.5, 1)
    assert 1.5 <= outcome.seconds < 3.0
    assert time.monotonic() - start < 20.0
    assert outcome.curve[-1]["learning_rate"] < 0.05 * SECTION.learning_rate
    assert capfd.readouterr() == ("", "")


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
    with pytest.raises(UserError, match="none of 40 frames has a label 'dipole'"):
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
