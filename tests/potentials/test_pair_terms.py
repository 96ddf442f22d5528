"""Lennard-Jones against its formula, tables within molecules against mechanics."""

import numpy as np
import pytest
from ase.data import atomic_masses
from random_models import random_model, water_box

from halocline.errors import RunFailure, UserError
from halocline.models.priors.pair_tables import PairTables
from halocline.potentials.intramolecular import Intramolecular
from halocline.potentials.lennard_jones import LennardJones
from halocline.topology import Topology

SIGMA, EPSILON = 3.4, 0.0104


def argon(n: int) -> Topology:
    return Topology(("argon",), np.zeros(n, dtype=np.int64), np.arange(n + 1), np.full(n, 18), np.full(n, atomic_masses[18]))


def dimer(distance: float, **options: float) -> tuple[float, float]:
    """Energy and force along the axis on the second atom."""
    potential = LennardJones(SIGMA, EPSILON, 8.5, **options)
    potential.bind(argon(2), np.eye(3) * 20.0)
    result = potential.evaluate(np.array([[0.2, 1.0, 1.0], [0.2 - distance, 1.0, 1.0]]))
    return result.energy, -float(result.forces[1, 0])


def test_dimer_has_the_energy_and_force_of_the_formula() -> None:
    shift = 4 * EPSILON * ((SIGMA / 8.5) ** 12 - (SIGMA / 8.5) ** 6)
    energy, force = dimer(2 ** (1 / 6) * SIGMA)
    assert energy == pytest.approx(-EPSILON - shift, rel=1e-12)
    assert force == pytest.approx(0.0, abs=1e-14)
    energy, force = dimer(SIGMA)
    assert energy == pytest.approx(-shift, rel=1e-12)
    assert force == pytest.approx(24 * EPSILON / SIGMA, rel=1e-12)
    assert dimer(8.4999)[0] == pytest.approx(0.0, abs=1e-7)
    assert dimer(8.6) == (0.0, 0.0)


def test_capped_force_is_the_cap_and_the_energy_continues_linearly() -> None:
    cap = 500 * EPSILON / SIGMA
    assert dimer(0.82417464 * SIGMA)[1] == pytest.approx(cap, rel=1e-6), "distance from the literature for a cap of 500 eps/sigma"
    inside, at_cap = dimer(0.5 * SIGMA, force_cap=cap), dimer(0.82417464 * SIGMA)
    assert inside[1] == pytest.approx(cap, rel=1e-9)
    assert inside[0] == pytest.approx(at_cap[0] + cap * 0.32417464 * SIGMA, rel=1e-6)
    assert dimer(0.9 * SIGMA, force_cap=cap) == dimer(0.9 * SIGMA)


def test_liquid_third_law_gradient_virial_and_caps() -> None:
    rng = np.random.default_rng(0)
    n, edge = 200, 22.0
    positions = rng.uniform(-1, 2, size=(n, 3)) * edge
    potential = LennardJones(SIGMA, EPSILON, 8.5, force_cap=0.5)
    potential.bind(argon(n), np.eye(3) * edge)
    result = potential.evaluate(positions, virial=True)
    assert np.abs(result.forces.sum(axis=0)).max() < 1e-9
    assert result.capped.sum() > 0
    assert result.capped.sum() % 2 == 0
    direction, h = rng.normal(size=positions.shape), 1e-6
    plus, minus = (potential.evaluate(positions + sign * h * direction).energy for sign in (1, -1))
    assert -(plus - minus) / (2 * h) == pytest.approx(float((result.forces * direction).sum()), rel=1e-5)
    energies = []
    for factor in (1 + h, 1 - h):
        strained = LennardJones(SIGMA, EPSILON, 8.5, force_cap=0.5)
        strained.bind(argon(n), np.eye(3) * edge * factor)
        energies.append(strained.evaluate(positions * factor).energy)
    assert result.virial is not None
    assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(float(np.trace(result.virial)), rel=1e-5)


def test_sites_of_one_molecule_do_not_feel_each_other_and_mixing_is_lorentz_berthelot() -> None:
    state = water_box(27, 0).select([0, 1])
    positions = np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [4.0, 0, 0], [8.0, 0.1, 0], [8.0, 0, 0.1]])
    potential = LennardJones({8: 3.0, 1: 1.0}, {8: 0.01, 1: 0.0004}, 4.2)
    potential.bind(state.topology, np.eye(3) * 30)
    only = potential.evaluate(positions, np.array([True, False]))
    assert only.energy == 0

    def lj(r: float, s: float, e: float) -> float:
        return 4 * e * ((s / r) ** 12 - (s / r) ** 6)

    pairs = [(4.0, 3.0, 0.01), (3.5, 2.0, 0.002), (np.hypot(4.0, 0.5), 2.0, 0.002)]
    expected = sum(lj(r, s, e) - lj(4.2, s, e) for r, s, e in pairs)
    assert potential.evaluate(positions).energy == pytest.approx(expected, rel=1e-12)


def test_sites_at_centres_of_mass_push_whole_molecules() -> None:
    state = water_box(60, 2)
    potential = LennardJones(2.8, 0.01, 5.0, centres=True)
    potential.bind(state.topology, state.cell)
    accelerations = potential.evaluate(state.positions).forces / state.topology.masses[:, None]
    assert np.allclose(accelerations[0::3], accelerations[1::3])
    assert np.abs(accelerations).max() > 1e-5


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(UserError, match="sigma is -1"):
        LennardJones(-1.0, 0.01, 8.0)
    with pytest.raises(UserError, match="epsilon"):
        LennardJones({18: 3.4}, {18: -0.01}, 8.0)
    with pytest.raises(UserError, match="centres of mass"):
        LennardJones({18: 3.4}, 0.01, 8.0, centres=True)
    potential = LennardJones({8: 3.4}, 0.01, 8.0)
    with pytest.raises(UserError, match=r"no sigma for atomic numbers \[18\]"):
        potential.bind(argon(2), np.eye(3) * 20)


def test_overlapping_sites_without_a_cap_fail_with_names() -> None:
    potential = LennardJones(SIGMA, EPSILON, 8.5)
    potential.bind(argon(3), np.eye(3) * 20)
    with pytest.raises(RunFailure, match=r"atom 0 \(molecule 0, argon\)"):
        potential.evaluate(np.array([[1.0, 1, 1], [1.0, 1, 1], [5.0, 5, 5]]))


def test_tables_within_molecules_exert_no_net_force_or_torque_on_a_molecule() -> None:
    state = water_box(30, 3)
    potential = Intramolecular(random_model("atoms"))
    potential.bind(state.topology, state.cell)
    subset = np.arange(30) != 4
    result = potential.evaluate(state.positions, subset, virial=True)
    forces = result.forces.reshape(30, 3, 3)
    assert np.abs(forces.sum(axis=1)).max() < 1e-12
    assert np.abs(np.cross(state.positions.reshape(30, 3, 3), forces).sum(axis=1)).max() < 1e-10
    assert (forces[4] == 0).all()
    assert np.abs(forces).max() > 0.1
    direction, h = np.random.default_rng(1).normal(size=state.positions.shape), 1e-5
    plus, minus = (potential.evaluate(state.positions + sign * h * direction, subset).energy for sign in (1, -1))
    assert -(plus - minus) / (2 * h) == pytest.approx(float((result.forces * direction).sum()), rel=1e-6)


def test_tables_within_molecules_equal_the_models_own_prior() -> None:
    import torch

    from halocline.potentials.torch_model import TorchAtoms

    state, model = water_box(30, 4), random_model("atoms")
    assert isinstance(model.prior, PairTables)
    model.prior.pair_class[:, :, 0] = -1
    for parameter in model.heads["energy"].parameters():
        parameter.data.zero_()
    model.heads["energy"].shift.zero_()
    reference = TorchAtoms(model, torch.float64)
    reference.bind(state.topology, state.cell)
    potential = Intramolecular(model)
    potential.bind(state.topology, state.cell)
    expected, result = reference.evaluate(state.positions, virial=True), potential.evaluate(state.positions, virial=True)
    assert result.energy == pytest.approx(expected.energy, rel=1e-12)
    assert np.allclose(result.forces, expected.forces, atol=1e-10)
    assert np.allclose(result.virial, expected.virial, atol=1e-9)


def test_model_without_tables_within_molecules_is_refused() -> None:
    model = random_model("atoms", prior=False)
    with pytest.raises(UserError, match="no pair prior within molecules"):
        Intramolecular(model)


def test_broken_molecules_fail() -> None:
    state = water_box(30, 5)
    potential = Intramolecular(random_model("atoms"))
    potential.bind(state.topology, state.cell)
    positions = state.positions.copy()
    positions[4] = np.inf
    with pytest.raises(RunFailure, match="energy is nan"):
        potential.evaluate(positions)
