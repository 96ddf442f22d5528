"""Charges, dipoles and quadrupoles of one model are moments of the same sources, and those are what electrostatics says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_model import cluster, make, rotation_matrix

from halocline.errors import UserError
from halocline.models.base import Graph, Sources
from halocline.models.heads import _moments as moments
from halocline.models.heads.dipole import DipoleHead
from halocline.models.heads.sources import AtomicSources
from halocline.models.model import Model, make_representation

HEADS = ["charges", "dipole", "quadrupole"]
FILES = Path(__file__).parent / "files"


def potential(point: np.ndarray, positions: np.ndarray, charges: np.ndarray) -> float:
    """Of point charges, e/Å."""
    return float((charges / np.linalg.norm(point - positions, axis=1)).sum())


def one_molecule(model: Model, n: int = 2) -> tuple[Graph, np.ndarray]:
    """All atoms of a cluster as one molecule, and positions about its centre of mass."""
    graph = model.graph(cluster(n))
    none = torch.zeros(len(graph.types), dtype=torch.long)
    graph = replace(graph, molecule=none, n_molecules=1, molecule_frame=none[:1], molecule_charges=graph.masses.new_zeros(1))
    arms = graph.positions - (graph.masses[:, None] * graph.positions).sum(0) / graph.masses.sum()
    return graph, arms.numpy()


def random_sources(n: int, seed: int = 0) -> Sources:
    """Charges that add up to zero, dipoles and traceless quadrupoles."""
    rng = np.random.default_rng(seed)
    charges, tensor = rng.normal(size=n), rng.normal(size=(n, 3, 3))
    tensor = tensor + tensor.transpose(0, 2, 1)
    tensor -= np.trace(tensor, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    arrays = (charges - charges.mean(), rng.normal(size=(n, 3)), tensor, np.zeros(1))
    return Sources(*(torch.tensor(array) for array in arrays))


def test_moments_of_point_charges_give_their_potential_far_away() -> None:
    """V = mu.r/r^3 + r.Theta.r/r^5 + O(r^-4) of a neutral molecule: sign, factor and convention of both moments at once."""
    model = make("painn", HEADS)
    graph, arms = one_molecule(model)
    sources = replace(random_sources(len(arms)), dipoles=None, quadrupoles=None)
    dipole = moments.molecular_dipoles(sources, graph)[0].numpy()
    quadrupole = moments.molecular_quadrupoles(sources, graph)[0].numpy()
    np.testing.assert_allclose(dipole, sources.charges.numpy() @ arms, atol=1e-12)
    assert abs(np.trace(quadrupole)) < 1e-12
    for direction in (np.array([1.0, 0.0, 0.0]), np.array([0.3, -0.5, 0.81])):
        left, quadrupolar = [], abs(direction @ quadrupole @ direction) / np.linalg.norm(direction) ** 2 / 100.0**3
        for distance in (100.0, 200.0):
            r = distance * direction / np.linalg.norm(direction)
            expansion = dipole @ r / distance**3 + r @ quadrupole @ r / distance**5
            left.append(abs(potential(r, arms, sources.charges.numpy()) - expansion))
        assert left[0] < 0.1 * quadrupolar
        assert left[0] / left[1] == pytest.approx(16.0, rel=0.15)


def test_dipoles_and_quadrupoles_of_sites_act_as_limits_of_charges() -> None:
    """A dipole is two close charges, a quadrupole two close dipoles: both moments of the molecule must agree with that."""
    model = make("painn", HEADS)
    graph, arms = one_molecule(model)
    rng, n, step = np.random.default_rng(2), len(arms), 1e-4
    a, b = rng.normal(size=(2, n, 3))
    none = torch.zeros(n, dtype=torch.float64)
    total = torch.zeros(1, dtype=torch.float64)
    dipoles = Sources(none, torch.tensor(a), None, total)
    positions = np.concatenate([arms + step * a / 2, arms - step * a / 2])
    charges = np.concatenate([np.full(n, 1 / step), np.full(n, -1 / step)])
    np.testing.assert_allclose(moments.molecular_dipoles(dipoles, graph)[0], charges @ positions, atol=1e-9)
    np.testing.assert_allclose(moments.molecular_quadrupoles(dipoles, graph)[0], traceless_moment(charges, positions), atol=1e-6)
    # Dipoles a at +b/2 and -a at -b/2, all over the step: a site quadrupole of 3/2 (ab + ba) - (a.b) 1, and no dipole.
    site = 1.5 * (a[:, :, None] * b[:, None, :] + b[:, :, None] * a[:, None, :]) - (a * b).sum(1)[:, None, None] * np.eye(3)
    only = Sources(none, None, torch.tensor(site), total)
    pairs = [(sa * sb, arms + step * (sa * a + sb * b) / 2) for sa in (1, -1) for sb in (1, -1)]
    positions = np.concatenate([place for _, place in pairs])
    charges = np.concatenate([np.full(n, sign / step**2) for sign, _ in pairs])
    np.testing.assert_allclose(moments.molecular_quadrupoles(only, graph)[0], traceless_moment(charges, positions), atol=1e-5)


def traceless_moment(charges: np.ndarray, positions: np.ndarray) -> np.ndarray:
    second = np.einsum("i,ia,ib->ab", charges, positions, positions)
    return 0.5 * (3 * second - np.trace(second) * np.eye(3))


def test_frame_moments_are_those_of_all_sites_about_the_centre_of_mass() -> None:
    """Summed over molecules with their charges, dipoles and arms, or at once: the same, for charged molecules too."""
    model = make("painn", HEADS)
    model.metadata["molecular_charges"] = {"water": -1.0}
    graph = model.graph(cluster(4))
    output = model(graph)
    together = replace(
        graph,
        molecule=torch.zeros_like(graph.molecule),
        n_molecules=1,
        molecule_frame=torch.zeros(1, dtype=torch.long),
        molecule_charges=torch.tensor([-4.0], dtype=torch.float64),
    )
    assert model.sources is not None
    features = model.representation(graph.types, graph.pairs, graph.displacements())
    sources = model.sources(features, graph, model.representation.type_index[graph.types])
    torch.testing.assert_close(output["dipole"], moments.molecular_dipoles(sources, together))
    torch.testing.assert_close(output["quadrupole"], moments.molecular_quadrupoles(sources, together))


def test_charges_dipole_and_quadrupole_of_one_model_are_consistent() -> None:
    """Without atomic multipoles, dipole and quadrupole are the moments of exactly the charges that the same model reports."""
    model = make("painn", HEADS)
    assert model.sources is not None
    with torch.no_grad():
        model.sources.mix.weight.zero_()
        model.sources.left.weight.zero_()
    graph = model.graph(cluster(3))
    output = {name: value.detach().numpy() for name, value in model(graph).items()}
    charges, masses = output["charges"], graph.masses.numpy()
    assert np.abs(charges).max() > 1e-3
    arms = graph.positions.numpy() - masses @ graph.positions.numpy() / masses.sum()
    np.testing.assert_allclose(output["dipole"][0], charges @ arms, atol=1e-12)
    np.testing.assert_allclose(output["quadrupole"][0], traceless_moment(charges, arms), atol=1e-12)
    assert [name for name in model.state_dict() if name.startswith("heads.")] == [], "no head has charges of its own"


def test_charge_is_exact_per_molecule_or_per_frame() -> None:
    state = cluster(3)
    for conserved in ("molecule", "frame"):
        torch.manual_seed(0)
        metadata = {"molecular_charges": {"water": 1.0}, "charge_conserved_per": conserved}
        model = Model("atoms", make_representation("painn", [1, 8], 16, 2, 3.5), HEADS, None, metadata).convert(torch.float64)
        charges = model(model.graph([state, state]))["charges"].detach().numpy().reshape(2, 3, 3)
        np.testing.assert_allclose(charges.sum(axis=(1, 2)), 3.0, atol=1e-12)
        exact = np.abs(charges.sum(axis=2) - 1.0).max() < 1e-12
        assert exact == (conserved == "molecule")
    with pytest.raises(UserError, match="cannot be conserved per 'atom'"):
        AtomicSources(make_representation("painn", [1], 8, 1, 3.0), 1, "atom")


def test_quadrupoles_turn_and_do_not_move() -> None:
    model, state, rotation = make("painn", HEADS), cluster(3), rotation_matrix()
    model.metadata["molecular_charges"] = {"water": 1.0}
    before = model(model.graph(state))["quadrupole"].detach().numpy()
    after = model(model.graph(state.with_positions(state.positions @ rotation.T + 7.0)))["quadrupole"].detach().numpy()
    np.testing.assert_allclose(after, rotation @ before @ rotation.T, atol=1e-9)
    np.testing.assert_allclose(np.trace(before, axis1=1, axis2=2), 0.0, atol=1e-12)


def test_quadrupole_of_a_cell_does_not_depend_on_the_images_shown() -> None:
    model, state = make("painn", HEADS), cluster(8, edge=6.0)
    graph = model.graph(state)
    expected = model(graph)
    shifted = model(model.graph(state.with_positions(state.positions + np.array([3.3, -7.1, 0.4])).wrap()))
    torch.testing.assert_close(shifted["quadrupole"], expected["quadrupole"])
    torch.testing.assert_close(expected["quadrupole"][0], expected["molecular_quadrupole"].sum(dim=0))


def test_charges_of_format_1_are_what_they_were() -> None:
    """A head of charges alone had a hidden layer half as wide."""
    model = Model.load(FILES / "format-1-charges.safetensors")
    expected = json.loads((FILES / "format-1-charges-alone.json").read_text())["charges"]
    np.testing.assert_allclose(model(model.graph(cluster(3)))["charges"].detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_files_with_two_sets_of_charges_are_refused(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(str(FILES / "format-1-painn.safetensors"), framework="pt") as archive:
        header = json.loads(archive.metadata()["halocline"])
        tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    header["heads"].append("charges")
    save_file(tensors, tmp_path / "two.safetensors", {"halocline": json.dumps(header)})
    with pytest.raises(UserError, match="two different sets of charges"):
        Model.load(tmp_path / "two.safetensors")
    header["format_version"] = 99
    save_file(tensors, tmp_path / "new.safetensors", {"halocline": json.dumps(header)})
    with pytest.raises(UserError, match="format 99 is newer"):
        Model.load(tmp_path / "new.safetensors")


def test_bond_terms_are_axial_traceless_and_end_smoothly() -> None:
    """Two equal atoms: what is left of isotropic and product terms lies along their axis, as 2 : -1 : -1, and fades at the cut-off."""
    from halocline.molecules.base import Molecule, build_topology
    from halocline.state import State

    model = make("painn", ["polarizability"])
    topology = build_topology([(Molecule("ox", "one atom", ("O",), ((0.0, 0.0, 0.0),)), 2)])
    model.metadata["molecular_charges"] = {"ox": 0.0}
    with torch.no_grad():
        model.heads["polarizability"].net[2].weight.zero_()  # type: ignore[index,union-attr]
        model.heads["polarizability"].net[2].bias.zero_()  # type: ignore[index,union-attr]

    def alpha(r: float) -> np.ndarray:
        state = State(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, r]]), np.zeros((3, 3)), topology, periodic=False)
        return np.asarray(model(model.graph(state))["polarizability"][0].detach())

    along = alpha(1.5)[2, 2]
    assert abs(along) > 1e-3
    np.testing.assert_allclose(alpha(1.5), along * np.diag([-0.5, -0.5, 1.0]), atol=1e-12)
    assert np.abs(alpha(3.5 + 1e-6)).max() == 0.0
    assert np.abs(alpha(3.49)).max() < 0.2 * np.abs(alpha(3.48)).max()


def test_charges_of_types_come_out_right_beside_an_ion() -> None:
    """Two waters of charges 0.4 and -0.8 and a chloride: dipoles that these charges give exactly, and nothing left to learn."""
    rng, n_frames = np.random.default_rng(3), 6
    kinds, charges = np.array([8, 1, 1, 8, 1, 1, 17]), np.array([-0.8, 0.4, 0.4, -0.8, 0.4, 0.4, -1.0])
    masses, positions = np.where(kinds == 1, 1.0, np.where(kinds == 8, 16.0, 35.5)), rng.normal(scale=3.0, size=(n_frames, 7, 3))
    centre = (masses[:, None] * positions).sum(axis=1, keepdims=True) / masses.sum()
    label = torch.as_tensor((charges[:, None] * (positions - centre)).sum(axis=1))
    molecule = np.array([0, 0, 0, 1, 1, 1, 2])
    graph = Graph(
        types=torch.as_tensor(np.tile(kinds, n_frames)),
        positions=torch.as_tensor(positions.reshape(-1, 3)),
        pairs=torch.zeros(2, 0, dtype=torch.long),
        shifts=torch.zeros(0, 3, dtype=torch.float64),
        frame=torch.as_tensor(np.repeat(np.arange(n_frames), 7)),
        molecule=torch.as_tensor((3 * np.arange(n_frames)[:, None] + molecule).ravel()),
        n_frames=n_frames,
        n_molecules=3 * n_frames,
        molecule_frame=torch.as_tensor(np.repeat(np.arange(n_frames), 3)),
        masses=torch.as_tensor(np.tile(masses, n_frames)),
        molecule_charges=torch.as_tensor(np.tile([0.0, 0.0, -1.0], n_frames)),
    )
    representation = make_representation("painn", [1, 8, 17], 8, 1, 3.0)
    sources, head = AtomicSources(representation, 1), DipoleHead(representation)
    type_index = representation.type_index[graph.types]
    sources.set_means([head], {"dipole": label}, graph, type_index)
    found = sources.type_charge.double()
    assert float(found[0] - found[1]) == pytest.approx(1.2, abs=1e-5)
    assert float(sources.scale) < 1e-5
