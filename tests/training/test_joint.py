"""One model of energies, forces and multipoles; every frame counts for the labels that it has, and for those alone."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import LEVEL, charge_frames, toy_frames

from halocline.config.study import Model as ModelSection
from halocline.config.study import MultipoleModel
from halocline.datasets.frame import Frame
from halocline.errors import UserError
from halocline.models.heads.base import Head
from halocline.models.model import Model, make_representation
from halocline.training.data import fingerprint, identity
from halocline.training.evaluate import evaluate_energy_forces, evaluate_multipoles
from halocline.training.joint import JointMatching, JointOptions, _Part, train_joint
from halocline.training.label_matching import LabelledGraphs, LabelMatching, _checked_weights, require_heads, set_means
from halocline.training.multipoles import train_multipoles

SECTION = ModelSection(name="painn", features=16, layers=1, cutoff="3.5 A")  # type: ignore[arg-type]
CHARGES = np.array([-0.8, 0.4, 0.4])
WATER: dict[str, float] = {"water": 0.0}
FIXED = ["charges", "dipole", "quadrupole"]


def with_charges(frames: Sequence[Frame], missing: str = "", slope: float = 0.0) -> list[Frame]:
    """Frames with charges and their dipole added; every third one lacks the labels ``missing``.

    The dipole along an OH bond grows by ``slope`` (e) with its length; without it the charges are fixed.
    """
    labelled = []
    for number, frame in enumerate(frames):
        positions = frame.state.positions.reshape(-1, 3, 3)
        bonds = positions[:, 1:] - positions[:, :1]
        lengths = np.linalg.norm(bonds, axis=2, keepdims=True)
        dipole = (bonds * (0.4 + slope * (lengths - 0.97) / lengths)).sum(axis=(0, 1))
        labels = {**frame.labels, "dipole": dipole, "charges": np.tile(CHARGES, len(positions))}
        if missing and number % 3 == 0:
            labels = {name: value for name, value in labels.items() if name not in missing.split()}
        labelled.append(Frame(frame.state, labels, level=LEVEL, trajectory=frame.trajectory))
    return labelled


def new_model(heads: Sequence[str]) -> Model:
    torch.manual_seed(0)
    return Model("atoms", make_representation("painn", [1, 8], 16, 1, 3.5), heads, None, {"molecular_charges": WATER})


def test_one_model_learns_forces_and_dipoles(tmp_path: Path) -> None:
    train, valid = with_charges(toy_frames(24, 0), slope=2.0), with_charges(toy_frames(8, 1), slope=2.0)
    section = SECTION.model_copy(update={"layers": 2, "learning_rate": 5e-3})
    outcome = train_joint(section, train, valid, tmp_path, 60.0, 1, ["dipole"], steps=100)
    model = Model.load(outcome.model)
    forces, labels = evaluate_energy_forces(model, valid), evaluate_multipoles(model, valid)
    assert forces.values["force_rmse"] < 0.8 * outcome.prior_error
    means = new_model(["dipole"])
    set_means(means, LabelledGraphs(train, ["dipole"], 3.5, WATER))
    assert means.sources is not None
    means.sources.scale.fill_(0.0)
    assert labels.values["dipole_relative"] < 0.5 * evaluate_multipoles(means, valid).values["dipole_relative"]
    # All of the eight frames are validated by, so that the curve and the evaluation agree.
    assert outcome.errors["force"] == pytest.approx(forces.values["force_rmse"], rel=1e-3)
    assert outcome.errors["dipole"] == pytest.approx(labels.values["dipole_relative"], rel=0.05)
    assert train_joint(section, train, valid, tmp_path, 60.0, 1, ["dipole"], steps=100).reused


@pytest.mark.parametrize("missing", ["dipole", "forces", "energy", "forces energy"])
def test_gradient_of_a_mixture_ignores_labels_that_are_missing(missing: str) -> None:
    """NaN and absence of a label are the same, and neither puts a NaN into any gradient."""
    frames = with_charges(toy_frames(6, 0), missing)
    shape = {"dipole": (3,), "forces": (24, 3), "energy": ()}
    marked = []
    for frame in frames:
        size = {**shape, "forces": frame.state.positions.shape}
        absent = {name: np.full(size[name], math.nan) for name in missing.split() if name not in frame.labels}
        marked.append(Frame(frame.state, {**frame.labels, **absent}, level=LEVEL))
    gradients = []
    for data in (frames, marked):
        model = new_model(["energy", "dipole"])
        part = _Part.of(data, ["dipole"], 3.5, WATER)
        objective = JointMatching(model, part, part, JointOptions())
        objective.loss(list(range(6))).backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]))
        assert all(math.isfinite(value) for value in objective.validation_errors().values())
    assert torch.isfinite(gradients[0]).all()
    assert float(gradients[0].norm()) > 1e-3
    torch.testing.assert_close(gradients[0], gradients[1])


def test_frames_without_a_label_change_nothing_of_its_loss() -> None:
    full, bare = with_charges(toy_frames(4, 0)), with_charges(toy_frames(3, 1))
    bare = [Frame(frame.state, {"charges": frame.labels["charges"]}, level=LEVEL) for frame in bare]
    losses = []
    for frames, weights in ((full, {}), ([*full, *bare], {"charges": 0.0})):
        heads = ["dipole"] if frames is full else ["dipole", "charges"]
        model = new_model(["dipole", "charges"])
        samples = LabelledGraphs(frames, heads, 3.5, WATER)
        losses.append(float(LabelMatching(model, samples, samples, weights).loss(list(range(len(frames)))).detach()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_labels_that_nobody_has_are_refused(tmp_path: Path) -> None:
    frames = with_charges(toy_frames(6, 0))
    with pytest.raises(UserError, match="none of 6 frames has a label 'quadrupole'"):
        train_joint(SECTION, frames, frames, tmp_path, 1.0, 1, ["quadrupole"])
    with pytest.raises(UserError, match="1 of 7 frames have no label at all, the first is frame 6"):
        train_joint(SECTION, [*frames, Frame(frames[0].state, {}, level=LEVEL)], frames, tmp_path, 1.0, 1, ["dipole"])
    with pytest.raises(UserError, match="cannot be trained here"):
        train_joint(SECTION, frames, frames, tmp_path, 1.0, 1, ["forces"])
    infinite = Frame(frames[0].state, {**frames[0].labels, "dipole": np.full(3, np.inf)}, level=LEVEL)
    with pytest.raises(UserError, match="infinity, first in frame 6"):
        train_joint(SECTION, [*frames, infinite], frames, tmp_path, 1.0, 1, ["dipole"])


def test_means_alone_solve_point_charges_exactly() -> None:
    """Fixed charges are found by least squares from any one of their moments: before the first step nothing is left to learn."""
    for name in FIXED:
        frames = []
        for frame in charge_frames(12, 3):
            positions = frame.state.positions
            charges = np.tile(CHARGES, len(positions) // 3)
            arms = positions - frame.state.topology.masses @ positions / frame.state.topology.masses.sum()
            second = np.einsum("i,ia,ib->ab", charges, arms, arms)
            labels = {"charges": charges, "dipole": charges @ arms, "quadrupole": 0.5 * (3 * second - np.trace(second) * np.eye(3))}
            frames.append(Frame(frame.state, labels, level=LEVEL))
        model = new_model(FIXED)
        set_means(model, LabelledGraphs(frames, [name], 3.5, WATER))
        assert model.sources is not None
        np.testing.assert_allclose(model.sources.type_charge[0] - model.sources.type_charge[1], 1.2, atol=1e-4)
        model.sources.scale.fill_(0.0)
        errors = evaluate_multipoles(model, frames)
        assert errors.values["charges_rmse"] < 1e-5
        assert errors.values["dipole_relative"] < 1e-4
        assert errors.values["quadrupole_relative"] < 1e-4


def test_spread_is_the_error_of_the_best_constant_by_size() -> None:
    """Copies of one molecule far apart: sums grow with N, and by size all frames count alike."""
    frames = charge_frames(40, 0)
    model = new_model(["polarizability", "dipole", "charges"])
    graph, labels = LabelledGraphs(frames, ["polarizability", "dipole"], 3.5, WATER).everything()
    index = model.representation.type_index[graph.types]
    sizes = np.array([frame.state.topology.n_molecules for frame in frames])
    alpha = np.array([frame.labels["polarizability"] for frame in frames]) / sizes[:, None, None]
    constant = np.trace(alpha, axis1=1, axis2=2).mean() / 3 * np.eye(3)
    heads = {name: head for name, head in model.heads.items() if isinstance(head, Head)}
    found = heads["polarizability"].spread(labels["polarizability"], graph, index)
    assert found == pytest.approx(float(np.sqrt(np.mean((alpha - constant) ** 2))), rel=1e-4)
    dipole = np.array([frame.labels["dipole"] for frame in frames]) / np.sqrt(sizes)[:, None]
    assert heads["dipole"].spread(labels["dipole"], graph, index) == pytest.approx(float(np.sqrt(np.mean(dipole**2))), rel=1e-4)
    charges = torch.tensor(np.where(graph.types.numpy() == 8, -0.8, 0.4))
    assert heads["charges"].spread(charges, graph, index) < 1e-6


def test_epochs_rates_and_batches_are_arguments(tmp_path: Path) -> None:
    section = MultipoleModel(features=8, layers=1, cutoff="3.5 A", heads=["dipole"])  # type: ignore[arg-type]
    train, valid = charge_frames(10, 0), charge_frames(4, 1)
    outcome = train_multipoles(section, train, valid, tmp_path, 60.0, 1, learning_rate=1e-3, batch=4, epochs=2)
    assert outcome.steps == 6
    training = Model.load(outcome.model).metadata["card"]["training"]
    assert (training["learning_rate"], training["batch"]) == (1e-3, 4)


@pytest.mark.parametrize("head", ["molecular_dipole", "forces", "energy", "dipol"])
def test_what_no_head_predicts_is_refused_before_any_work(head: str) -> None:
    with pytest.raises(UserError, match="cannot be trained here"):
        require_heads(["dipole", head], ("energy",), "heads")


@pytest.mark.parametrize("weights", [{"dipol": 5.0}, {"dipole": -1.0}, {"dipole": math.nan}])
def test_a_loss_weight_that_acts_on_nothing_or_is_no_weight_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(UserError, match="loss weight"):
        _checked_weights(weights, ["dipole", "quadrupole"])
    assert _checked_weights({"dipole": 2.0}, ["dipole", "quadrupole"]) == {"dipole": 2.0, "quadrupole": 1.0}


def test_the_same_atoms_in_another_cell_or_as_other_molecules_are_other_data() -> None:
    state = toy_frames(1, 0)[0].state
    topology = state.topology
    whole = [replace(state, cell=1.01 * state.cell), state]
    assert len({fingerprint(identity(item)) for item in whole}) == 2
    assert any(np.array_equal(item, topology.molecule_of_atom) for item in identity(state))
