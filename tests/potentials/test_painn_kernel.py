"""The PaiNN kernel against torch in double precision, against its own energy, and against the symmetries of physics."""

from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from random_models import random_model, water_box
from scipy.spatial.transform import Rotation
from test_site_energies import check_weighted, torch_energy

from halocline.errors import RunFailure
from halocline.models.model import Model
from halocline.models.painn import PaiNN
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.potentials.agreement import compare_engines
from halocline.potentials.base import Potential
from halocline.potentials.kernels.kernel import has_kernel, make_kernel
from halocline.potentials.kernels.neighbours import NeighbourList
from halocline.potentials.kernels.painn_tables import LANES, painn_arrays, spline_coefficients
from halocline.potentials.kernels.results import SiteOutputs
from halocline.potentials.learned import LearnedAtoms, LearnedBeads, type_indices
from halocline.potentials.torch_model import TorchAtoms, TorchBeads
from halocline.state import State

# Features below, at and above the number that the loops take at a time.
CASES = [("atoms", 16, 1), ("atoms", 32, 2), ("atoms", 64, 3), ("atoms", 40, 2), ("beads", 16, 2)]


@pytest.fixture(autouse=True)
def one_thread():
    numba.set_num_threads(1)
    torch.set_num_threads(1)


def painn(kind: str = "atoms", features: int = 16, layers: int = 2, **options: object) -> Model:
    return random_model(kind, features, layers, representation=PaiNN, **options)


def learned(model: Model, state: State, **options: float) -> Potential:
    potential = (LearnedAtoms if model.kind == "atoms" else LearnedBeads)(model, **options)
    potential.bind(state.topology, state.cell)
    return potential


@pytest.mark.parametrize(("kind", "features", "layers"), CASES)
@pytest.mark.parametrize("prior", [True, False])
def test_energy_forces_and_virial_are_those_of_torch_in_double_precision(kind: str, features: int, layers: int, prior: bool) -> None:
    model, state = painn(kind, features, layers, prior=prior), water_box(40, 1)
    exact = (TorchAtoms if kind == "atoms" else TorchBeads)(model, torch.float64)
    exact.bind(state.topology, state.cell)
    expected, result = exact.evaluate(state.positions, virial=True), learned(model, state).evaluate(state.positions, virial=True)
    assert np.sqrt((expected.forces**2).mean()) > 3e-3
    assert np.abs(result.forces - expected.forces).max() < 1e-4, "eV/A"
    assert result.energy == pytest.approx(expected.energy, abs=1e-6 * state.topology.n_atoms)
    assert np.allclose(result.virial, expected.virial, atol=2e-5 * np.abs(expected.virial).max())
    agreement = compare_engines(model, [state])
    assert agreement.agrees, agreement


def test_knots_of_the_tables_are_enough_for_filters_of_the_highest_frequency() -> None:
    model, r = painn(features=16), torch.rand(500, dtype=torch.float64) * 3.5 + 0.5
    layer, network = model.representation.messages[0].double(), model.representation.double()
    with torch.no_grad():
        basis = network.basis(r)
        x = r / network.cutoff
        exact = (layer.filter(basis) * (1 - 10 * x**3 + 15 * x**4 - 6 * x**5)[:, None]).numpy()
    errors = []
    for n_knots in (256, 512):
        arrays = painn_arrays(network, model.heads["energy"], n_knots)
        position = r.numpy() / arrays.spacing
        knot, t = position.astype(int), position % 1
        pieces = [(1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4) / 6, t**3 / 6]
        table = arrays.filters[0, 0].reshape(-1, 3, LANES)
        value = sum(piece[:, None, None] * table[knot + k] for k, piece in enumerate(pieces))[:, :, :16].reshape(-1, 48)
        errors.append(np.abs(value - exact).max() / np.abs(exact).max())
    assert errors[1] < 2e-6
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.5), "fourth order"


def test_spline_goes_through_its_values_and_is_flat_at_the_ends() -> None:
    values = np.cos(np.linspace(0, np.pi, 9))[:, None]
    c = spline_coefficients(values)
    assert np.allclose((c[:-2] + 4 * c[1:-1] + c[2:]) / 6, values)
    assert c[0] == c[2]
    assert c[-1] == c[-3]


@pytest.mark.parametrize(("kind", "features", "layers"), CASES)
def test_forces_are_the_gradient_of_the_kernels_own_energy(kind: str, features: int, layers: int) -> None:
    state = water_box(40, 3)
    potential = learned(painn(kind, features, layers), state)
    forces = potential.evaluate(state.positions).forces
    direction = np.random.default_rng(0).normal(size=forces.shape)
    h = 2e-3
    energies = [potential.evaluate(state.positions + k * h * direction).energy for k in (-2, -1, 1, 2)]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * h)
    assert -slope == pytest.approx(float((forces * direction).sum()), rel=2e-4, abs=2e-4)


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_virial_is_minus_the_derivative_with_respect_to_strain(kind: str) -> None:
    state, model = water_box(40, 4), painn(kind)
    virial = learned(model, state).evaluate(state.positions, virial=True).virial
    assert virial is not None
    assert np.allclose(virial, virial.T, atol=1e-5 * abs(virial).max())
    h = 1e-4
    for axis in range(3):
        scale, energies = np.ones((2, 3)), []
        scale[:, axis] += h, -h
        for factors in scale:
            strained = replace(state, positions=state.positions * factors, cell=state.cell * factors)
            energies.append(learned(model, strained).evaluate(strained.positions).energy)
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(virial[axis, axis], rel=1e-3, abs=0.02)


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_subset_equals_the_selected_molecules_alone(kind: str) -> None:
    state, model = water_box(60, 5), painn(kind)
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
    state, model, rng = water_box(60, 6), painn(kind), np.random.default_rng(2)
    plain = learned(model, state).evaluate(state.positions)
    images = state.edges * rng.integers(-1, 2, size=(60, 3))
    moved = state.positions + images[state.topology.molecule_of_atom] + rng.normal(size=3)
    other = learned(model, state).evaluate(moved)
    assert other.energy == pytest.approx(plain.energy, abs=1e-5)
    assert np.allclose(other.forces, plain.forces, atol=1e-5)
    order = rng.permutation(60)
    permuted = state.select(order)
    third = learned(model, permuted).evaluate(permuted.positions)
    assert third.energy == pytest.approx(plain.energy, abs=1e-5)
    assert np.allclose(third.forces, plain.forces[state.topology.atoms_of(order)], atol=1e-5)
    assert np.abs(plain.forces.sum(axis=0)).max() < 1e-10, "third law"


def test_forces_on_an_isolated_cluster_turn_with_it_and_exert_no_torque() -> None:
    cluster = water_box(12, 7)
    centres = cluster.centres_of_mass
    positions = cluster.positions - (np.floor(centres / cluster.edges) * cluster.edges)[cluster.topology.molecule_of_atom]
    positions -= positions.mean(axis=0)
    state = State(positions, np.diag([60.0] * 3), build_topology([(WATER, 12)]))
    potential = learned(painn(features=32, layers=3), state)
    plain = potential.evaluate(positions, virial=True)
    turn = Rotation.random(random_state=3).as_matrix()
    turned = potential.evaluate(positions @ turn.T, virial=True)
    assert np.abs(plain.forces).max() > 0.1
    assert turned.energy == pytest.approx(plain.energy, abs=1e-5)
    assert np.allclose(turned.forces, plain.forces @ turn.T, atol=1e-5)
    assert np.allclose(turned.virial, turn @ plain.virial @ turn.T, atol=1e-4)
    assert np.abs(np.cross(positions, plain.forces).sum(axis=0)).max() < 1e-4


def test_results_do_not_depend_on_the_age_of_the_list_to_the_last_bit() -> None:
    state, model, rng = water_box(60, 7), painn(), np.random.default_rng(3)
    lasting, positions, subset = learned(model, state), state.positions.copy(), np.arange(60) < 40
    for _ in range(15):
        positions += rng.normal(scale=0.05, size=positions.shape)
        subset = subset ^ (rng.random(60) < 0.02)
        old, new = lasting.evaluate(positions, subset), learned(model, state).evaluate(positions, subset)
        assert old.energy == new.energy
        assert (old.forces == new.forces).all()
    assert lasting._list.builds < 15


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="numba was started with one thread")
@pytest.mark.parametrize("n_molecules", [60, 400])
def test_two_threads_give_the_same_bits_as_one(n_molecules: int) -> None:
    state, weights = water_box(n_molecules, 8), np.random.default_rng(9).random(n_molecules)
    potential = learned(painn(features=64), state, force_cap=1.0)
    one, part = potential.evaluate(state.positions, virial=True), potential.evaluate_weighted(state.positions, weights, "site")
    numba.set_num_threads(2)
    try:
        two, other = potential.evaluate(state.positions, virial=True), potential.evaluate_weighted(state.positions, weights, "site")
    finally:
        numba.set_num_threads(1)
    for a, b in ((one, two), (part, other)):
        assert a.energy == b.energy
        assert (a.forces == b.forces).all()
        assert (a.capped == b.capped).all()
    assert (one.virial == two.virial).all()
    assert (part.sites == other.sites).all()


def test_force_cap_limits_pairs_between_molecules_keeps_the_gradient_and_is_counted() -> None:
    state = water_box(40, 10)
    positions = state.positions.copy()
    positions[3:6] += positions[0] - positions[3] + np.array([0.9, 0.0, 0.0])
    free, capped = learned(painn(), state), learned(painn(), state, force_cap=0.3)
    assert (free.evaluate(positions).capped == 0).all()
    result = capped.evaluate(positions)
    assert result.capped[0] >= 1
    assert result.capped[1] >= 1
    assert result.energy < free.evaluate(positions).energy - 0.05
    direction = np.random.default_rng(4).normal(size=positions.shape)
    h = 1e-3
    plus, minus = (capped.evaluate(positions + sign * h * direction).energy for sign in (1, -1))
    assert -(plus - minus) / (2 * h) == pytest.approx(float((result.forces * direction).sum()), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_weighted_energies_are_those_of_torch(kind: str) -> None:
    state, model = water_box(40, 4), painn(kind)
    weights = np.random.default_rng(7).random(40)
    weights[:10], weights[30:] = 0.0, 1.0
    result = learned(model, state).evaluate_weighted(state.positions, weights, "site")
    energy, own, forces = torch_energy(model, state, weights, kind)
    assert result.energy == pytest.approx(energy, rel=1e-7)
    np.testing.assert_allclose(result.sites, own, atol=1e-4)
    np.testing.assert_allclose(result.forces, forces, atol=1e-4)


def test_weights_keep_the_rule_of_sites() -> None:
    check_weighted(LearnedAtoms(painn()), water_box(40, 3), 1e-7, 1e-3, 1e-3)


def test_empty_subset_single_molecule_and_coinciding_atoms() -> None:
    state = water_box(40, 13)
    potential = learned(painn(), state)
    empty = potential.evaluate(state.positions, np.zeros(40, dtype=bool), virial=True)
    assert empty.energy == 0
    assert (empty.forces == 0).all()
    single = potential.evaluate(state.positions, np.arange(40) == 7)
    assert abs(single.energy) > 1
    assert np.abs(single.forces[21:24]).max() > 0.1
    positions = state.positions.copy()
    positions[3] = positions[0]
    with pytest.raises(RunFailure, match=r"atom 0 \(molecule 0, water\)"):
        potential.evaluate(positions)


@pytest.mark.parametrize("name", ["schnet", "painn"])
@pytest.mark.parametrize("charged", [False, True])
def test_charges_dipoles_and_hidden_features_are_those_of_torch(name: str, charged: bool) -> None:
    heads = ("energy", "charges", "dipole") if name == "painn" else ("energy", "charges")
    state = water_box(40, 14)
    model = painn(features=24, heads=heads) if name == "painn" else random_model(features=24, heads=heads)
    assert has_kernel(type(model.representation))
    if name == "painn":
        assert model.sources is not None
        model.sources.type_charge[:] = torch.tensor([0.4, -0.8])
    total = np.random.default_rng(5).integers(-1, 2, 40).astype(float) if charged else None
    outputs = site_outputs(model, state, total)
    exact = TorchAtoms(model, torch.float64)
    exact.bind(state.topology, state.cell)
    graph = exact.graph(state.positions)
    graph.molecule_charges = None if total is None else torch.as_tensor(total)
    graph.positions = torch.as_tensor(state.positions)
    features = exact.model.representation(graph.types, graph.pairs, graph.displacements())
    hidden = exact.model.heads["energy"].net[1](exact.model.heads["energy"].net[0](features.scalars))
    np.testing.assert_allclose(outputs.hidden, hidden.numpy(), atol=1e-5)
    type_index = exact.model.representation.type_index[graph.types]
    sources = exact.model.sources(features, graph, type_index)
    assert outputs.charges is not None
    np.testing.assert_allclose(outputs.charges, sources.charges.numpy(), atol=1e-5)
    sums = np.bincount(state.topology.molecule_of_atom, outputs.charges)
    np.testing.assert_allclose(sums, 0.0 if total is None else total, atol=1e-12)
    assert (outputs.dipoles is None) == (name == "schnet")
    if outputs.dipoles is not None:
        arms = state.positions - np.repeat(state.centres_of_mass, 3, axis=0)
        molecular = (outputs.charges[:, None] * arms + outputs.dipoles).reshape(40, 3, 3).sum(axis=1)
        predicted = exact.model.heads["dipole"].moments(sources, graph)
        np.testing.assert_allclose(molecular, predicted["molecular_dipole"].numpy(), atol=2e-5)


def site_outputs(model: Model, state: State, total: np.ndarray | None) -> SiteOutputs:
    pairs = NeighbourList(model.cutoff, state.edges).pairs(state.positions)
    molecules = state.topology.molecule_of_atom.astype(np.int64)
    return make_kernel(model).forward(pairs, type_indices(state.topology.atomic_numbers, model), molecules, total)
