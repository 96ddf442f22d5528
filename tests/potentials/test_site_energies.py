"""Energies scaled by weights of molecules: derivatives by weights and positions, sums of plain energies, networks against torch."""

import numpy as np
import pytest
import torch
from brute_force import lattice_fluid, triatomic_fluid
from random_models import random_model, water_box
from weighted_pairs import WeightedPairs

from halocline.errors import UserError
from halocline.molecules.base import build_topology
from halocline.molecules.spce import SPCE
from halocline.potentials.base import Potential, Zero
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.dipole_beads import DipoleBeads
from halocline.potentials.intramolecular import Intramolecular
from halocline.potentials.learned import LearnedAtoms, LearnedBeads
from halocline.potentials.lennard_jones import LennardJones
from halocline.potentials.pair_table import PairTable
from halocline.potentials.torch_model import TorchAtoms, TorchBeads
from halocline.state import State

RULES = ("site", "product", "complement")


def check_weighted(potential: Potential, state: State, exact: float = 1e-11, h: float = 1e-5, slope: float = 1e-6) -> None:
    """Every rule of a potential: limits, dE/dw in ``sites``, forces as gradient; ``exact`` and ``slope`` relative tolerances."""
    potential.bind(state.topology, state.cell)
    rng, n = np.random.default_rng(5), state.topology.n_molecules
    plain, weights = potential.evaluate(state.positions), rng.uniform(0.2, 0.8, n)
    plain_forces, scale = plain.forces.copy(), np.abs(plain.forces).max()
    for rule in potential.rules:
        ones = potential.evaluate_weighted(state.positions, np.ones(n), rule)
        sign = 0.0 if rule == "complement" else 1.0
        assert ones.energy == pytest.approx(sign * plain.energy, rel=exact, abs=exact)
        np.testing.assert_allclose(ones.forces, sign * plain_forces, atol=exact * scale)
        here = potential.evaluate_weighted(state.positions, weights, rule)
        forces, sites = here.forces.copy(), here.sites.copy()
        for molecule in (0, n // 2):
            step = 0.1 * (np.arange(n) == molecule)
            energies = [potential.evaluate_weighted(state.positions, weights + side * step, rule).energy for side in (1, -1)]
            # All rules are linear in one weight.
            assert (energies[0] - energies[1]) / 0.2 == pytest.approx(
                sites[molecule], rel=exact, abs=10 * exact * max(1, abs(plain.energy))
            )
        direction = rng.normal(size=forces.shape)
        moved = [potential.evaluate_weighted(state.positions + side * h * direction, weights, rule).energy for side in (1, -1)]
        expected = float((forces * direction).sum())
        assert -(moved[0] - moved[1]) / (2 * h) == pytest.approx(expected, abs=slope * np.linalg.norm(forces))


@pytest.mark.parametrize("centres", [False, True])
def test_reference_potential_keeps_the_rules(centres):
    assert WeightedPairs(0.01, 2.6, 5.0, centres).rules == set(RULES)
    check_weighted(WeightedPairs(0.005, 2.4, 5.0, centres, taper=True), triatomic_fluid((3, 3, 3), 4.0), h=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("centres", [False, True])
def test_lennard_jones_scales_pairs_like_plain_sums(rule, centres):
    state = triatomic_fluid((3, 3, 3), 4.2) if centres else lattice_fluid((4, 4, 4), 4.0, 2, 0.3)
    weights = np.random.default_rng(6).random(state.topology.n_molecules)
    weights[:5], weights[-5:] = 0.0, 1.0
    results = []
    for potential in (LennardJones(3.4, 0.0103, 6.0, centres=centres), WeightedPairs(0.0103, 3.4, 6.0, centres)):
        potential.bind(state.topology, state.cell)
        results.append(potential.evaluate_weighted(state.positions, weights, rule))
    one, other = results
    assert one.energy == pytest.approx(other.energy, rel=1e-11)
    np.testing.assert_allclose(one.forces, other.forces, atol=1e-13)
    seen = weights > 0
    np.testing.assert_allclose(one.sites[seen], other.sites[seen], atol=1e-13)


def test_networks_keep_the_rule_of_sites():
    state = water_box(40, 3)
    for potential in (LearnedAtoms(random_model("atoms")), LearnedBeads(random_model("beads")), Intramolecular(random_model("atoms"))):
        assert potential.rules == {"site"}
        # Features are single precision.
        check_weighted(potential, state, 1e-7, 1e-3, 1e-3)
        with pytest.raises(UserError, match="no energies that can be scaled by the rule 'product'"):
            potential.evaluate_weighted(state.positions, np.ones(40), "product")


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_weighted_network_energies_are_those_of_torch(kind):
    state, model = water_box(40, 4), random_model(kind)
    weights = np.random.default_rng(7).random(40)
    weights[:10], weights[30:] = 0.0, 1.0
    potential = LearnedAtoms(model) if kind == "atoms" else LearnedBeads(model)
    potential.bind(state.topology, state.cell)
    result = potential.evaluate_weighted(state.positions, weights, "site")
    energy, own, forces = torch_energy(model, state, weights, kind)
    assert result.energy == pytest.approx(energy, rel=2e-6)
    np.testing.assert_allclose(result.sites, own, rtol=1e-5, atol=2e-4)
    np.testing.assert_allclose(result.forces, forces, atol=2e-3 * np.abs(forces).max())


def torch_energy(model, state: State, weights: np.ndarray, kind: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Weighted energy, energies of molecules and forces in double precision by autograd."""
    potential = (TorchAtoms if kind == "atoms" else TorchBeads)(model, torch.float64)
    potential.bind(state.topology, state.cell)
    points = state.positions if kind == "atoms" else state.centres_of_mass
    graph, model = potential.graph(points), potential.model
    graph.positions.requires_grad_(True)
    vectors = graph.displacements()
    index = model.representation.type_index[graph.types]
    features = model.representation(graph.types, graph.pairs, vectors)
    head = model.heads["energy"]
    sites = head(features, graph, index)["site_energy"].double() + head.shift[index] + model.prior(index, graph, vectors)
    own = torch.zeros(len(weights), dtype=torch.float64).index_add(0, graph.molecule, sites)
    energy = (own * torch.as_tensor(weights)).sum()
    forces = -torch.autograd.grad(energy, graph.positions)[0].numpy()
    if kind == "beads":
        topology = state.topology
        forces = forces[topology.molecule_of_atom] * (topology.masses / topology.molecule_masses[topology.molecule_of_atom])[:, None]
    return float(energy), own.detach().numpy(), forces


def test_nothing_has_nothing_to_scale():
    state = lattice_fluid((2, 2, 2), 4.0)
    check_weighted(Zero(), state)


def test_threads_do_not_change_weighted_energies():
    import numba

    state, weights = water_box(64, 8), np.random.default_rng(8).random(64)
    potential = LearnedAtoms(random_model("atoms"))
    potential.bind(state.topology, state.cell)
    one = potential.evaluate_weighted(state.positions, weights, "site")
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        two = potential.evaluate_weighted(state.positions, weights, "site")
    finally:
        numba.set_num_threads(before)
    assert two.energy == pytest.approx(one.energy, rel=1e-9)
    np.testing.assert_allclose(two.forces, one.forces, atol=1e-4)
    np.testing.assert_allclose(two.sites, one.sites, rtol=1e-6)


@pytest.mark.parametrize("kind", ["classical", "table", "dipoles"])
def test_classical_potentials_keep_the_rules(kind):
    generator, points = np.random.default_rng(8), np.stack(np.meshgrid(*[np.arange(4) * 4.5] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    turns = [np.linalg.qr(generator.normal(size=(3, 3)))[0] for _ in points]
    positions = np.concatenate([point + np.array(SPCE.geometry) @ turn for point, turn in zip(points, turns)])
    state = State(positions, np.diag([18.0] * 3), build_topology([(SPCE, 64)]))
    well = {("spce", "spce"): lambda r: 0.02 * ((3.0 / r) ** 9 - (3.0 / r) ** 6)}
    potential: Potential = {
        "classical": ClassicalMolecules(6.5, precision="double"),
        "table": PairTable.from_functions(well, 2.0, 6.0),
        "dipoles": DipoleBeads(6.0),
    }[kind]
    # Sums over many pairs in another order.
    check_weighted(potential, state, 1e-10)
