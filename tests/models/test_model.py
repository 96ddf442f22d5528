"""Symmetries, exact forces, smooth cut-offs and files of models."""

from pathlib import Path

import numpy as np
import pytest
import torch

from halocline.errors import UserError
from halocline.models.base import Graph
from halocline.models.model import Model, make_representation
from halocline.models.priors.pair_tables import PairTables
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State

CUTOFF = 3.5
VECTOR_HEADS = ["energy", "dipole", "polarizability", "charges", "quadrupole"]


def cluster(n: int = 4, seed: int = 0, edge: float | None = None) -> State:
    """Randomly rotated waters about 2.8 Å apart."""
    rng = np.random.default_rng(seed)
    cells = np.array(list(np.ndindex(2, 2, 2)))[:n]
    positions = []
    for cell in cells:
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        positions.append(np.array(WATER.geometry) @ rotation.T + rng.normal(0, 0.05, (3, 3)) + 2.9 * cell + rng.normal(0, 0.1, 3))
    box = np.zeros((3, 3)) if edge is None else np.eye(3) * edge
    return State(np.concatenate(positions), box, build_topology([(WATER, n)]), periodic=edge is not None)


def harmonic_tables(cutoff: float = CUTOFF) -> PairTables:
    """One repulsive class for pairs between molecules: (r_c - r)^3, zero value and slope at the end."""
    grid = torch.linspace(0.5, cutoff, 301, dtype=torch.float64)
    lookup = torch.full((2, 2, 2), -1)
    lookup[:, :, 0] = 0
    values, slopes = 0.02 * (cutoff - grid) ** 3, -0.06 * (cutoff - grid) ** 2
    return PairTables(0.5, float(grid[1] - grid[0]), values[None], slopes[None], lookup)


def make(name: str, heads: list[str], seed: int = 0, prior: bool = True) -> Model:
    torch.manual_seed(seed)
    representation = make_representation(name, [1, 8], 16, 2, CUTOFF)
    return Model("atoms", representation, heads, harmonic_tables() if prior else None).convert(torch.float64)


@pytest.fixture(params=["schnet", "painn"])
def model(request: pytest.FixtureRequest) -> Model:
    return make(request.param, ["energy"] if request.param == "schnet" else VECTOR_HEADS)


def rotation_matrix(seed: int = 3) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.sign(np.linalg.det(q))
    return q


def test_forces_are_minus_the_gradient_of_the_energy(model: Model) -> None:
    for state in (cluster(), cluster(8, edge=6.0)):
        _, forces = model.energy_and_forces(model.graph(state))
        assert forces.abs().max() > 1e-3
        rng, step = np.random.default_rng(1), 1e-5
        for _ in range(3):
            direction = rng.normal(size=state.positions.shape)
            moved = [state.with_positions(state.positions + sign * step * direction) for sign in (1, -1)]
            energies = [float(model(model.graph(other))["energy"].detach()) for other in moved]
            numerical = -(energies[0] - energies[1]) / (2 * step)
            assert numerical == pytest.approx(float((forces.numpy() * direction).sum()), rel=1e-6, abs=1e-9)


def test_virial_is_the_derivative_with_respect_to_strain(model: Model) -> None:
    state = cluster(8, edge=6.0)
    _, _, virial = model.energy_forces_virial(model.graph(state))
    strain = np.random.default_rng(0).normal(size=(3, 3))
    strain, step = strain + strain.T, 1e-5
    energies = []
    for sign in (1, -1):
        deformation = np.eye(3) + sign * step * strain
        moved = State(state.positions @ deformation, state.cell @ deformation, state.topology)
        energies.append(float(model(model.graph(moved))["energy"].detach()))
    assert (energies[0] - energies[1]) / (2 * step) == pytest.approx(-float((virial[0].numpy() * strain).sum()), rel=1e-6)


def test_energy_is_invariant_and_forces_rotate(model: Model) -> None:
    state, rotation = cluster(), rotation_matrix()
    energy, forces = model.energy_and_forces(model.graph(state))
    turned = state.with_positions(state.positions @ rotation.T + np.array([1.0, -2.0, 30.0]))
    energy_turned, forces_turned = model.energy_and_forces(model.graph(turned))
    assert float(energy_turned) == pytest.approx(float(energy), abs=1e-10)
    np.testing.assert_allclose(forces_turned.numpy(), forces.numpy() @ rotation.T, atol=1e-10)
    np.testing.assert_allclose(forces.sum(dim=0).numpy(), 0.0, atol=1e-12)


def test_swapping_molecules_swaps_forces(model: Model) -> None:
    state, order = cluster(), [2, 0, 3, 1]
    energy, forces = model.energy_and_forces(model.graph(state))
    energy_swapped, forces_swapped = model.energy_and_forces(model.graph(state.select(order)))
    assert float(energy_swapped) == pytest.approx(float(energy), abs=1e-10)
    np.testing.assert_allclose(forces_swapped.numpy(), forces.numpy()[state.topology.atoms_of(order)], atol=1e-10)


def test_batch_equals_one_by_one(model: Model) -> None:
    states = [cluster(), cluster(3, 5), cluster(8, 2, edge=6.0)]
    together, forces = model.energy_and_forces(model.graph(states))
    single = [model.energy_and_forces(model.graph(state)) for state in states]
    np.testing.assert_allclose(together.numpy(), [float(energy) for energy, _ in single], atol=1e-10)
    np.testing.assert_allclose(forces.numpy(), np.concatenate([part.numpy() for _, part in single]), atol=1e-10)


def test_forces_vanish_smoothly_at_the_cutoff() -> None:
    """Two single-atom molecules: force and its change go to zero where the neighbour list loses the pair."""
    from halocline.molecules.base import Molecule

    atom = Molecule("oxygen", "one atom", ("O",), ((0.0, 0.0, 0.0),))
    topology = build_topology([(atom, 2)])
    for name in ("schnet", "painn"):
        model = make(name, ["energy"])

        def force(r: float, model: Model = model) -> float:
            state = State(np.array([[0.0, 0.0, 0.0], [r, 0.0, 0.0]]), np.zeros((3, 3)), topology, periodic=False)
            return float(model.energy_and_forces(model.graph(state))[1][1, 0])

        assert abs(force(2.0)) > 1e-3
        assert force(CUTOFF + 1e-6) == 0.0
        near, nearer = abs(force(CUTOFF - 0.02)), abs(force(CUTOFF - 0.01))
        # Quadratic approach to zero: half the distance, a quarter of the force.
        assert nearer < 0.3 * near
        assert near < 1e-3


def test_dipoles_rotate_and_polarizabilities_transform_as_tensors() -> None:
    model, state, rotation = make("painn", VECTOR_HEADS), cluster(), rotation_matrix()
    before = model(model.graph(state))
    after = model(model.graph(state.with_positions(state.positions @ rotation.T)))
    assert before["dipole"].abs().max() > 1e-3
    np.testing.assert_allclose(after["dipole"].detach().numpy(), before["dipole"].detach().numpy() @ rotation.T, atol=1e-10)
    alpha = before["molecular_polarizability"].detach().numpy()
    assert np.abs(alpha - np.trace(alpha, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)).max() > 1e-4
    np.testing.assert_allclose(after["molecular_polarizability"].detach().numpy(), rotation @ alpha @ rotation.T, atol=1e-10)
    np.testing.assert_allclose(alpha, alpha.transpose(0, 2, 1), atol=1e-12)


def test_molecular_dipoles_survive_translation_wrapping_and_permutation() -> None:
    model, state = make("painn", VECTOR_HEADS), cluster(8, edge=6.0)
    expected = model(model.graph(state))["molecular_dipole"].detach().numpy()
    shifted = state.with_positions(state.positions + np.array([3.3, -7.1, 0.4]))
    for other in (shifted, shifted.wrap()):
        np.testing.assert_allclose(model(model.graph(other))["molecular_dipole"].detach().numpy(), expected, atol=1e-10)
    order = [5, 1, 7, 0, 2, 3, 6, 4]
    np.testing.assert_allclose(model(model.graph(state.select(order)))["molecular_dipole"].detach().numpy(), expected[order], atol=1e-10)
    output = model(model.graph(shifted.wrap()))
    np.testing.assert_allclose(output["dipole"].detach().numpy()[0], expected.sum(axis=0), atol=1e-10)


def test_charges_of_a_molecule_add_up_to_its_charge() -> None:
    model, state = make("painn", VECTOR_HEADS), cluster(3)
    for total in (0.0, -1.0):
        model.metadata["molecular_charges"] = {"water": total}
        output = model(model.graph(state))
        assert output["charges"].abs().max() > 1e-3
        np.testing.assert_allclose(output["charges"].detach().numpy().reshape(3, 3).sum(axis=1), total, atol=1e-12)


def test_dipole_of_a_charged_cluster_is_about_its_centre_of_mass() -> None:
    model, state = make("painn", VECTOR_HEADS), cluster(3)
    model.metadata["molecular_charges"] = {"water": 1.0}
    first = model(model.graph(state))["dipole"]
    moved = model(model.graph(state.with_positions(state.positions + 11.0)))["dipole"]
    np.testing.assert_allclose(first.detach().numpy(), moved.detach().numpy(), atol=1e-9)


def test_type_charges_alone_give_the_point_charge_dipole() -> None:
    model, state = make("painn", ["dipole"]), cluster(2)
    assert model.sources is not None
    model.sources.scale.fill_(0.0)
    model.sources.type_charge.copy_(torch.tensor([0.4, -0.8]))
    dipole = model(model.graph(state))["molecular_dipole"].detach().numpy()
    charges = np.where(state.topology.atomic_numbers == 8, -0.8, 0.4)
    np.testing.assert_allclose(dipole, (charges[:, None] * state.positions).reshape(2, 3, 3).sum(axis=1), atol=1e-7)


def test_saved_model_is_the_same_model(model: Model, tmp_path: Path) -> None:
    model.metadata["card"] = {"purpose": "test", "numbers": [1, 2.5]}
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = Model.load(path)
    graph = model.graph(cluster())
    for name, value in model(graph).items():
        assert torch.equal(value, again(graph)[name])
    assert again.metadata == model.metadata
    assert (again.kind, again.types, again.cutoff) == ("atoms", [1, 8], CUTOFF)
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_single_precision_keeps_energy_references_exact() -> None:
    model = make("schnet", ["energy"]).convert(torch.float32)
    head = model.heads["energy"]
    head.shift.copy_(torch.tensor([-13.123456789012, -2041.987654321098], dtype=torch.float64))  # type: ignore[operator]
    graph = model.graph(cluster())
    with torch.no_grad():
        learned = model(graph)["site_energy"].double().sum() + model(graph)["site_prior"].double().sum()
    assert float(model(graph)["energy"].detach()) - float(learned) == pytest.approx(
        4 * (2 * -13.123456789012 - 2041.987654321098), abs=1e-9
    )


def test_wrong_files_types_and_heads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model"):
        Model.load(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not a model")
    with pytest.raises(UserError, match="not a readable model file"):
        Model.load(tmp_path / "broken.safetensors")
    with pytest.raises(UserError, match="vector features"):
        make("schnet", ["dipole"])
    only_hydrogen = Model("atoms", make_representation("schnet", [1], 8, 1, CUTOFF))
    with pytest.raises(UserError, match=r"\[8\] are unknown"):
        only_hydrogen.graph(cluster())
    with pytest.raises(UserError, match="the prior reaches"):
        Model("atoms", make_representation("schnet", [1, 8], 8, 1, 3.0), ["energy"], harmonic_tables())


def test_prior_is_part_of_energy_and_forces() -> None:
    with_prior, without = make("schnet", ["energy"]), make("schnet", ["energy"], prior=False)
    graph: Graph = with_prior.graph(cluster())
    i, j = graph.pairs
    r = graph.displacements().norm(dim=1)[graph.molecule[i] != graph.molecule[j]]
    expected = float((0.02 * (CUTOFF - r) ** 3).sum()) / 2
    assert expected > 0.1
    assert float((with_prior(graph)["energy"] - without(graph)["energy"]).detach()) == pytest.approx(expected, rel=1e-9)
