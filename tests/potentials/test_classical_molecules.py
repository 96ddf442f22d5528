"""Classical molecules against formulas, finite differences, explicit sums and OpenMM."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from classical_systems import ELECTROSTATICS, SALT, SITES, make, mixture
from scipy.special import erfc
from site_sums import molecule_pairs, pair_factors, random_box, slope_along

from halocline.errors import UserError
from halocline.molecules.base import Nonbonded
from halocline.molecules.spce import SPCE
from halocline.potentials.base import Rule
from halocline.potentials.classical import ClassicalMolecules
from halocline.state import State
from halocline.topology import Topology
from halocline.units import COULOMB, KILOJOULE_PER_MOLE


def plain_coulomb(r: float, cutoff: float, electrostatics: str, dielectric: float = 80.0, damping: float = 0.0) -> tuple[float, float]:
    """Energy and minus its derivative for unit charges, over k."""
    if electrostatics == "none":
        return 0.0, 0.0
    if electrostatics == "reaction-field":
        k = 0.5 / cutoff**3 if math.isinf(dielectric) else (dielectric - 1) / (2 * dielectric + 1) / cutoff**3
        return 1 / r + k * r**2 - (1 / cutoff + k * cutoff**2), 1 / r**2 - 2 * k * r

    def damped_force(x: float) -> float:
        return float(erfc(damping * x)) / x**2 + 2 * damping / math.sqrt(math.pi) * math.exp(-((damping * x) ** 2)) / x

    end = damped_force(cutoff)
    return float(erfc(damping * r)) / r - float(erfc(damping * cutoff)) / cutoff + end * (r - cutoff), damped_force(r) - end


def plain_pair(state: State, cutoff: float, options: dict, cap: float = math.inf, geometric: bool = False):
    """Energy, repulsion and capping of a pair of sites, from the formulas."""
    topology = state.topology
    sites = [site for kind in topology.molecule_species for site in SITES[topology.species[kind]]]

    def uncapped(a: Nonbonded, b: Nonbonded, r: float) -> tuple[float, float]:
        s, e = (math.sqrt(a.sigma * b.sigma) if geometric else 0.5 * (a.sigma + b.sigma)), math.sqrt(a.epsilon * b.epsilon)
        x, y = (s / r) ** 6, (s / cutoff) ** 6
        value, repulsion = plain_coulomb(r, cutoff, **options)
        qq = COULOMB * a.charge * b.charge
        return 4 * e * (x * x - x - y * y + y) + qq * value, 24 * e / r * (2 * x * x - x) + qq * repulsion

    @functools.cache
    def rim_of(a: Nonbonded, b: Nonbonded) -> float:
        """Outermost distance with a force above the cap."""
        grid = np.linspace(0.05, cutoff, 4000)
        strong = [k for k, r in enumerate(grid) if abs(uncapped(a, b, r)[1]) > cap]
        if not strong:
            return 0.0
        low, high = grid[strong[-1]], grid[strong[-1] + 1]
        for _ in range(80):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if abs(uncapped(a, b, middle)[1]) > cap else (low, middle)
        return high

    def pair(i: int, j: int, r: float) -> tuple[float, float, bool]:
        rim = max(r, rim_of(sites[i], sites[j]))
        value, repulsion = uncapped(sites[i], sites[j], rim)
        return value + repulsion * (rim - r), repulsion, rim > r

    return pair


@pytest.mark.parametrize("name", ELECTROSTATICS)
def test_forces_are_the_gradient_of_the_energy_across_periodic_faces_and_in_capped_cores(name: str) -> None:
    state = mixture()
    rng = np.random.default_rng(2)
    # A shifted energy is continuous at the cut-off but its slope is not: no pair may cross it within the step.
    direction = rng.normal(size=state.positions.shape)
    for cap in (math.inf, 0.03):
        potential = make(state, force_cap=cap, **ELECTROSTATICS[name])
        result = potential.evaluate(state.positions)
        assert (result.capped.sum() > 0) == math.isfinite(cap)
        slope = slope_along(lambda x, p=potential: p.evaluate(x).energy, state.positions, direction, 2e-6)
        assert slope == pytest.approx(-float((result.forces * direction).sum()), rel=1e-6)


@pytest.mark.parametrize("name", ELECTROSTATICS)
@pytest.mark.parametrize("cap", [math.inf, 0.1])
def test_weighted_energies_forces_and_counts_are_those_of_an_explicit_sum(name: str, cap: float) -> None:
    state = mixture(3)
    options = ELECTROSTATICS[name]
    n = state.topology.n_molecules
    potential = make(state, force_cap=cap, **options)
    pairs, pair_forces, hits = molecule_pairs(state, plain_pair(state, 5.5, options, cap), 5.5)
    weights = np.random.default_rng(4).uniform(size=n)
    weights[:10], weights[10:15] = 0.0, 1.0
    tolerance = {"abs": 1e-8, "rel": 1e-8} if name == "damped" else {"abs": 1e-10, "rel": 1e-10}
    for rule in ("site", "product", "complement"):
        factor = np.triu(pair_factors(weights, rule), 1)
        result = potential.evaluate_weighted(state.positions, weights, rule)
        assert result.energy == pytest.approx(float((factor * pairs).sum()), **tolerance)
        assert result.forces == pytest.approx(np.einsum("ab,abic->ic", factor, pair_forces), **tolerance)
        counted = np.where(factor != 0, hits, 0)
        assert (result.capped == counted.sum(axis=0) + counted.sum(axis=1)).all()
        if rule == "site":
            own = 0.5 * (pairs.sum(axis=0) + pairs.sum(axis=1))
            assert result.sites[weights > 0] == pytest.approx(own[weights > 0], **tolerance)
            assert result.energy == pytest.approx(float(weights @ result.sites), rel=1e-10)
    whole = potential.evaluate(state.positions)
    assert whole.energy == pytest.approx(float(pairs.sum()), **tolerance)
    assert whole.sites.sum() == pytest.approx(whole.energy, rel=1e-12)


def test_forces_add_up_to_zero_and_the_virial_is_the_strain_derivative() -> None:
    state = random_box([(SPCE, 30), (SALT, 8)], 18.0, 5)
    potential = make(state, electrostatics="damped-shifted-force", force_cap=0.4)
    result = potential.evaluate(state.positions, virial=True)
    assert np.abs(result.forces.sum(axis=0)).max() < 1e-10 * np.abs(result.forces).sum()
    assert result.virial is not None
    topology, h = state.topology, 1e-6
    centres = topology.centres_of_mass(state.positions)[topology.molecule_of_atom]
    within = (state.positions - centres).T @ result.forces
    energies = []
    for factor in (1 + h, 1 - h):
        strained = ClassicalMolecules(5.5, "damped-shifted-force", force_cap=0.4, precision="double", parameters=SITES)
        strained.bind(topology, state.cell * factor)
        energies.append(strained.evaluate(state.positions + (factor - 1) * centres).energy)
    molecular = float(np.trace(result.virial - within))
    assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(molecular, rel=1e-5)


def test_mixing_rules_differ_for_unlike_sites_alone() -> None:
    state = random_box([(SALT, 6)], 17.5, 6)
    for mixing in ("lorentz-berthelot", "geometric"):
        expected, _, _ = molecule_pairs(state, plain_pair(state, 5.5, {"electrostatics": "none"}, geometric=mixing == "geometric"), 5.5)
        found = make(state, electrostatics="none", mixing=mixing).evaluate(state.positions).energy
        assert found == pytest.approx(float(expected.sum()), rel=1e-10)


@pytest.mark.parametrize("charge", [1.0, -1.0])
def test_the_force_of_a_capped_pair_is_the_cap_with_its_direction_and_opposite_on_the_partner(charge: float) -> None:
    sites = {"atom": (Nonbonded(charge, 2.0, 0.001),), "ion": (Nonbonded(1.0, 2.0, 0.0),)}
    topology = Topology(("atom", "ion"), np.array([1, 0]), np.arange(3), np.array([11, 18]), np.array([23.0, 40.0]))
    for cap in (5.0, 20.0):
        potential = ClassicalMolecules(9.0, precision="double", parameters=sites, force_cap=cap)
        potential.bind(topology, np.eye(3) * 20)
        direction = np.array([1.0, 2.0, -2.0]) / 3
        for r in np.geomspace(0.01, 8.9, 60):
            result = potential.evaluate(np.array([[0.1, 19.9, 3.0], [0.1, 19.9, 3.0] + r * direction]))
            assert (result.forces[0] == -result.forces[1]).all()
            size = float(result.forces[1] @ direction)
            assert np.abs(result.forces[1] - size * direction).max() < 1e-12 * cap
            assert abs(size) <= cap * (1 + 1e-12)
            assert (result.capped == int(abs(size) > cap * (1 - 1e-9))).all()
            assert size * charge >= -1e-2
    together = potential.evaluate(np.zeros((2, 3)))
    assert (together.forces == 0).all(), "two sites at one point push each other in no direction"
    assert np.isfinite(together.energy)


def test_energy_and_forces_are_those_of_openmm() -> None:
    openmm = pytest.importorskip("openmm")
    state = random_box([(SPCE, 216)], 18.7, 11)
    cutoff, dielectric = 0.7, 78.3
    system = openmm.System()
    shifted = "4*e*(x^2-x-y^2+y); x=(s/r)^6; y=(s/0.7)^6; s=0.5*(s1+s2); e=sqrt(e1*e2)"
    coulomb, dispersion = openmm.NonbondedForce(), openmm.CustomNonbondedForce(shifted)
    for name in ("s", "e"):
        dispersion.addPerParticleParameter(name)
    coulomb.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    dispersion.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    coulomb.setReactionFieldDielectric(dielectric)
    for force in (coulomb, dispersion):
        force.setCutoffDistance(cutoff)
    for atom in range(state.topology.n_atoms):
        site = SPCE.nonbonded[atom % 3]
        system.addParticle(1.0)
        coulomb.addParticle(site.charge, 1.0, 0.0)
        dispersion.addParticle([0.1 * site.sigma, site.epsilon / KILOJOULE_PER_MOLE])
    for first in range(0, state.topology.n_atoms, 3):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            coulomb.addException(first + i, first + j, 0.0, 1.0, 0.0)
            dispersion.addExclusion(first + i, first + j)
    system.setDefaultPeriodicBoxVectors(*(0.1 * state.cell))
    system.addForce(coulomb)
    system.addForce(dispersion)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(0.1 * state.positions)
    found = context.getState(getEnergy=True, getForces=True)
    energy = found.getPotentialEnergy()._value * KILOJOULE_PER_MOLE
    forces = np.array(found.getForces(asNumpy=True)._value) * KILOJOULE_PER_MOLE / 10
    result = make(state, 7.0, dielectric=dielectric).evaluate(state.positions)
    # The Coulomb constant of OpenMM differs from that of CODATA 2018 in the eighth digit.
    assert result.energy == pytest.approx(energy, rel=1e-6)
    assert result.forces == pytest.approx(forces, abs=1e-6 * np.abs(forces).max())


def test_the_word_that_is_wrong_is_named() -> None:
    with pytest.raises(UserError, match="electrostatics 'ewald'"):
        ClassicalMolecules(9.0, electrostatics="ewald")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="cutoff is -1"):
        ClassicalMolecules(-1.0)
    state = random_box([(SPCE, 8)], 24.0, 0)
    with pytest.raises(UserError, match="no parameters of species 'spce'"):
        ClassicalMolecules(9.0, parameters={}).bind(state.topology, state.cell)
    rule: Rule = "site"
    assert rule in ClassicalMolecules.rules


def test_a_molecule_too_large_for_the_kernel_is_refused():
    sites = [Nonbonded(0.0, 3.0, 0.01)] * 131
    numbers, masses = np.full(131, 6), np.full(131, 12.0)
    topology = Topology(("polymer",), np.zeros(1, dtype=np.int64), np.array([0, 131]), numbers, masses)
    with pytest.raises(UserError, match="131 sites, at most 130 fit"):
        ClassicalMolecules(9.0, "none", parameters={"polymer": sites}).bind(topology, 30.0 * np.eye(3))
