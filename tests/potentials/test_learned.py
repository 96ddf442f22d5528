"""The compiled kernel against torch, against its own energy, and against the symmetries of physics."""

from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from random_models import random_model, random_prior, water_box

from halocline.errors import RunFailure, UserError
from halocline.models.base import Features
from halocline.models.model import Model
from halocline.models.painn import PaiNN
from halocline.potentials.agreement import compare_engines
from halocline.potentials.base import Potential, Zero
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.potentials.torch_model import TorchAtoms, TorchBeads
from halocline.state import State


class Changed(PaiNN):
    """A representation without a kernel: same parameters, other features."""

    name = "changed"

    def forward(self, types: torch.Tensor, pairs: torch.Tensor, displacements: torch.Tensor) -> Features:
        features = super().forward(types, pairs, displacements)
        return Features(0.5 * features.scalars, features.vectors)


CASES = [("atoms", 16, 1), ("atoms", 16, 2), ("atoms", 64, 3), ("beads", 16, 2)]


@pytest.fixture(autouse=True)
def one_thread():
    numba.set_num_threads(1)
    torch.set_num_threads(1)


def learned(model: Model, state: State, **options: float) -> Potential:
    potential = (LearnedAtoms if model.kind == "atoms" else LearnedBeads)(model, **options)
    potential.bind(state.topology, state.cell)
    return potential


@pytest.mark.parametrize(("kind", "features", "layers"), CASES)
@pytest.mark.parametrize("prior", [True, False])
def test_kernel_equals_torch_in_double_precision(kind: str, features: int, layers: int, prior: bool) -> None:
    model = random_model(kind, features, layers, prior=prior)
    agreement = compare_engines(model, [water_box(40, seed) for seed in (1, 2)])
    assert agreement.n_states == 2
    assert agreement.agrees
    assert agreement.force_error < 1e-5
    assert agreement.energy_error < 1e-6
    assert agreement.table().rows


@pytest.mark.parametrize(("kind", "features", "layers"), CASES)
def test_forces_are_the_gradient_of_the_kernels_own_energy(kind: str, features: int, layers: int) -> None:
    state = water_box(40, 3)
    potential = learned(random_model(kind, features, layers), state)
    forces = potential.evaluate(state.positions).forces
    direction = np.random.default_rng(0).normal(size=forces.shape)
    h = 2e-3
    plus, minus = (potential.evaluate(state.positions + sign * h * direction).energy for sign in (1, -1))
    assert -(plus - minus) / (2 * h) == pytest.approx(float((forces * direction).sum()), rel=2e-4, abs=2e-4)


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_virial_is_minus_the_derivative_with_respect_to_strain(kind: str) -> None:
    state = water_box(40, 4)
    model = random_model(kind, 16, 2)
    virial = learned(model, state).evaluate(state.positions, virial=True).virial
    assert virial is not None
    assert np.allclose(virial, virial.T, atol=1e-5 * abs(virial).max())
    h = 1e-4
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            scale = np.ones(3)
            scale[axis] += sign * h
            strained = replace(state, positions=state.positions * scale, cell=state.cell * scale)
            energies.append(learned(model, strained).evaluate(strained.positions).energy)
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(virial[axis, axis], rel=1e-3, abs=0.02)
    assert learned(model, state).evaluate(state.positions).virial is None


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_subset_equals_the_selected_molecules_alone(kind: str) -> None:
    state = water_box(60, 5)
    model = random_model(kind, 16, 2)
    subset = np.random.default_rng(1).random(60) < 0.5
    part = learned(model, state).evaluate(state.positions, subset, virial=True)
    alone = state.select(np.flatnonzero(subset))
    whole = learned(model, alone).evaluate(alone.positions, virial=True)
    atoms = state.topology.atom_mask(subset)
    assert part.energy == whole.energy
    assert (part.forces[atoms] == whole.forces).all()
    assert (part.forces[~atoms] == 0).all()
    assert (part.virial == whole.virial).all()
    assert (part.capped[subset] == whole.capped).all()


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_invariance_under_wrapping_translation_and_permutation(kind: str) -> None:
    state = water_box(60, 6)
    model = random_model(kind, 16, 2)
    rng = np.random.default_rng(2)
    plain = learned(model, state).evaluate(state.positions)
    images = state.edges * rng.integers(-1, 2, size=(60, 3))
    moved = state.positions + images[state.topology.molecule_of_atom] + rng.normal(size=3)
    other = learned(model, state).evaluate(moved)
    assert other.energy == pytest.approx(plain.energy, abs=1e-3 * 1e-3)
    assert np.allclose(other.forces, plain.forces, atol=1e-5)
    order = rng.permutation(60)
    permuted = state.select(order)
    third = learned(model, permuted).evaluate(permuted.positions)
    assert third.energy == pytest.approx(plain.energy, abs=1e-6)
    assert np.allclose(third.forces, plain.forces[state.topology.atoms_of(order)], atol=1e-5)
    assert np.abs(plain.forces.sum(axis=0)).max() < 1e-10, "third law"


def test_results_do_not_depend_on_the_age_of_the_list_to_the_last_bit() -> None:
    state = water_box(60, 7)
    model = random_model("atoms", 16, 2)
    lasting, rng = learned(model, state), np.random.default_rng(3)
    positions, subset = state.positions.copy(), np.arange(60) < 40
    for _ in range(25):
        positions += rng.normal(scale=0.05, size=positions.shape)
        subset = subset ^ (rng.random(60) < 0.02)
        fresh = learned(model, state)
        old, new = lasting.evaluate(positions, subset), fresh.evaluate(positions, subset)
        assert old.energy == new.energy
        assert (old.forces == new.forces).all()
    assert lasting._list.builds < 25


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba was started with one thread")
def test_two_threads_give_the_same_numbers_as_one() -> None:
    state = water_box(60, 8)
    potential = learned(random_model("atoms", 16, 2), state, force_cap=1.0)
    one = potential.evaluate(state.positions, virial=True)
    numba.set_num_threads(2)
    try:
        two = potential.evaluate(state.positions, virial=True)
    finally:
        numba.set_num_threads(1)
    assert two.energy == pytest.approx(one.energy, abs=1e-6)
    assert np.allclose(two.forces, one.forces, atol=1e-6)
    assert np.allclose(two.virial, one.virial, atol=1e-5)
    assert (two.capped == one.capped).all()


def test_bead_forces_reach_the_atoms_by_their_share_of_the_mass() -> None:
    state = water_box(40, 9)
    forces = learned(random_model("beads"), state).evaluate(state.positions).forces
    accelerations = forces / state.topology.masses[:, None]
    assert np.abs(forces).max() > 1e-3
    assert np.allclose(accelerations[0::3], accelerations[1::3])
    assert np.allclose(accelerations[0::3], accelerations[2::3])


def test_force_cap_limits_pairs_between_molecules_keeps_the_gradient_and_is_counted() -> None:
    state = water_box(40, 10)
    positions = state.positions.copy()
    positions[3:6] += positions[0] - positions[3] + np.array([0.9, 0.0, 0.0])
    model = random_model("atoms")
    free, capped = learned(model, state), learned(model, state, force_cap=0.3)
    assert (free.evaluate(positions).capped == 0).all()
    result = capped.evaluate(positions)
    assert result.capped[0] >= 1
    assert result.capped[1] >= 1
    assert result.energy < free.evaluate(positions).energy - 0.05
    direction = np.random.default_rng(4).normal(size=positions.shape)
    h = 1e-3
    plus, minus = (capped.evaluate(positions + sign * h * direction).energy for sign in (1, -1))
    assert -(plus - minus) / (2 * h) == pytest.approx(float((result.forces * direction).sum()), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("shared", [False, True])
def test_capped_pair_of_the_prior_exerts_exactly_the_cap(shared: bool) -> None:
    state = water_box(27, 11).select([0, 1])
    model = random_model("atoms")
    model.prior = random_prior(2, 3.9, 0)
    if shared:
        model.prior.pair_class[:, :, 1] = model.prior.pair_class[:, :, 0]
    for parameter in model.heads["energy"].parameters():
        parameter.data.zero_()
    positions = np.tile(np.array([[0.0, 0, 0], [3.0, 3.0, 0], [3.0, 0, 3.0]]), (2, 1))
    positions[3:] = np.array([[-0.5, 0, 0], [-3.5, -3.0, 0], [-3.5, 0, -3.0]])
    uncapped, capped = (learned(model, state, force_cap=cap).evaluate(positions).forces for cap in (np.inf, 1e-3))
    assert np.linalg.norm(uncapped[0]) > 0.1
    within = learned(model, state.select([0])).evaluate(positions[:3]).forces
    assert np.linalg.norm(capped[0] - within[0]) == pytest.approx(1e-3, rel=0.7)


def test_zero_potential_sums_and_differences() -> None:
    state = water_box(40, 12)
    model = random_model("atoms")
    one = learned(model, state).evaluate(state.positions, virial=True)
    combination = 2.0 * LearnedAtoms(model) - LearnedAtoms(model) + Zero()
    combination.bind(state.topology, state.cell)
    result = combination.evaluate(state.positions, virial=True)
    assert result.energy == pytest.approx(one.energy)
    assert np.allclose(result.forces, one.forces)
    assert np.allclose(result.virial, one.virial)
    nothing = LearnedAtoms(model) - LearnedAtoms(model)
    nothing.bind(state.topology, state.cell)
    assert (nothing.evaluate(state.positions).forces == 0).all()
    assert combination.interaction_range == 8.0


def test_empty_subset_and_single_molecule() -> None:
    state = water_box(40, 13)
    potential = learned(random_model("atoms"), state)
    empty = potential.evaluate(state.positions, np.zeros(40, dtype=bool), virial=True)
    assert empty.energy == 0
    assert (empty.forces == 0).all()
    single = potential.evaluate(state.positions, np.arange(40) == 7)
    assert abs(single.energy) > 1
    assert np.abs(single.forces[21:24]).max() > 0.1


def test_wrong_models_are_refused_with_a_remedy() -> None:
    atoms, beads = random_model("atoms"), random_model("beads")
    with pytest.raises(UserError, match="LearnedBeads"):
        LearnedAtoms(beads)
    with pytest.raises(UserError, match="LearnedAtoms"):
        LearnedBeads(atoms)
    with pytest.raises(UserError, match=r"no compiled kernel.*torch_model.*schnet, painn"):
        LearnedAtoms(Model("atoms", Changed([1, 8], 16, 2, 4.0), ["energy"]))
    state = water_box(40, 14)
    hydrogen = random_model("atoms")
    hydrogen.representation.type_index[8] = -1
    with pytest.raises(UserError, match=r"type \[8\]"):
        learned(hydrogen, state)
    with pytest.raises(UserError, match="twice the cut-off"):
        learned(atoms, water_box(8, 1))
    tilted = state.cell.copy()
    tilted[0, 1] = 1.0
    with pytest.raises(UserError, match="right angles"):
        LearnedAtoms(atoms).bind(state.topology, tilted)


def test_forces_that_are_not_numbers_name_atom_and_molecule() -> None:
    state = water_box(40, 15)
    positions = state.positions.copy()
    positions[3] = positions[0]
    with pytest.raises(RunFailure, match=r"atom 0 \(molecule 0, water\)"):
        learned(random_model("atoms"), state).evaluate(positions)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_potentials_run_representations_without_a_kernel(dtype: torch.dtype) -> None:
    state = water_box(40, 16)
    torch.manual_seed(1)
    potential = TorchAtoms(Model("atoms", Changed([1, 8], 16, 2, 4.0), ["energy"]), dtype)
    potential.bind(state.topology, state.cell)
    subset = np.arange(40) < 30
    result = potential.evaluate(state.positions, subset, virial=True)
    assert np.abs(result.forces[:90]).max() > 1e-4
    assert (result.forces[90:] == 0).all()
    assert potential.evaluate(state.positions, np.zeros(40, dtype=bool)).energy == 0
    beads = TorchBeads(random_model("beads"))
    beads.bind(state.topology, state.cell)
    assert beads.evaluate(state.positions).virial is None


def test_model_file_gives_the_same_potential(tmp_path) -> None:
    state = water_box(40, 17)
    model = random_model("atoms")
    model.save(tmp_path / "model.safetensors")
    again = LearnedAtoms(tmp_path / "model.safetensors")
    again.bind(state.topology, state.cell)
    assert (again.evaluate(state.positions).forces == learned(model, state).evaluate(state.positions).forces).all()
