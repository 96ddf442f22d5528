"""Terms within molecules against finite differences and OpenMM."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from site_sums import random_box, slope_along

from halocline.errors import UserError
from halocline.molecules.base import Angle, Bond, Molecule, Nonbonded, Torsion, build_topology, scaled_pairs
from halocline.molecules.spce import SPCE
from halocline.potentials.bonded import Bonded
from halocline.state import State
from halocline.units import KILOJOULE_PER_MOLE

SITES = tuple(Nonbonded(charge, 3.3, 0.004) for charge in (0.2, -0.1, -0.3, 0.1, 0.1))
CHAIN = Molecule(
    "chain", "five atoms in a row", ("C",) * 5, ((0.0, 0, 0), (1.5, 0.1, 0), (2.1, 1.4, 0.3), (3.5, 1.2, 0.9), (4.2, 2.5, 0.7)),
    bonds=tuple(Bond(i, i + 1, 1.48, 20.0) for i in range(4)),
    angles=tuple(Angle(i, i + 1, i + 2, math.radians(112), 3.0) for i in range(3)),
    torsions=(Torsion(0, 1, 2, 3, 3, 0.3, 0.05), Torsion(1, 2, 3, 4, 1, math.pi, 0.2), Torsion(1, 2, 3, 4, 2, 0.0, -0.1)),
    nonbonded=SITES,
    pairs=scaled_pairs(SITES, [(0, 3), (1, 4)], 0.8333, 0.5) + scaled_pairs(SITES, [(0, 4)], 1.0, 1.0),
)  # fmt: skip
KNOWN = {"chain": CHAIN, "spce": SPCE}


def distorted(seed: int = 0) -> State:
    state = random_box([(CHAIN, 12), (SPCE, 4)], 30.0, seed)
    return state.with_positions(state.positions + np.random.default_rng(seed).normal(scale=0.15, size=state.positions.shape))


def make(state: State, species=KNOWN) -> Bonded:
    potential = Bonded(species)
    potential.bind(state.topology, state.cell)
    return potential


def test_forces_are_the_gradient_without_net_force_or_torque() -> None:
    state = distorted()
    potential = make(state)
    result = potential.evaluate(state.positions, virial=True)
    direction = np.random.default_rng(1).normal(size=state.positions.shape)
    slope = slope_along(lambda x: potential.evaluate(x).energy, state.positions, direction, 1e-5)
    assert slope == pytest.approx(-float((result.forces * direction).sum()), rel=1e-8)
    for first, last in zip(state.topology.offsets[:-1], state.topology.offsets[1:]):
        assert np.abs(result.forces[first:last].sum(axis=0)).max() < 1e-12
        assert np.abs(np.cross(state.positions[first:last], result.forces[first:last]).sum(axis=0)).max() < 1e-10
    assert result.virial == pytest.approx(state.positions.T @ result.forces, abs=1e-9)
    h = 1e-6
    strained = [potential.evaluate(state.positions * (1 + sign * h)).energy for sign in (1, -1)]
    assert -(strained[0] - strained[1]) / (2 * h) == pytest.approx(float(np.trace(result.virial)), rel=1e-6)


def test_rigid_molecules_have_no_energy_and_others_own_theirs() -> None:
    state = distorted(2)
    topology = state.topology
    potential = make(state)
    whole = potential.evaluate(state.positions)
    rigid = topology.molecule_species == topology.species.index("spce")
    assert (whole.sites[rigid] == 0).all()
    assert (whole.forces[topology.atom_mask(rigid)] == 0).all()
    assert (np.abs(whole.sites[~rigid]) > 0).all()
    assert whole.sites.sum() == pytest.approx(whole.energy, rel=1e-12)
    weights = np.random.default_rng(3).uniform(size=topology.n_molecules)
    weights[:5] = 0
    scaled = potential.evaluate_weighted(state.positions, weights, "site")
    assert scaled.energy == pytest.approx(float(weights @ whole.sites), rel=1e-12)
    assert scaled.forces == pytest.approx(weights[topology.molecule_of_atom][:, None] * whole.forces, abs=1e-12)
    assert potential.evaluate(state.positions, weights > 0).energy == pytest.approx(float(whole.sites[weights > 0].sum()), rel=1e-12)
    with pytest.raises(UserError, match="rule 'product'"):
        potential.evaluate_weighted(state.positions, weights, "product")


def test_a_torsion_has_its_angle_by_the_iupac_convention() -> None:
    """Seen along j-k, the angle is positive when the far bond lies clockwise of the near one."""
    only = replace(CHAIN, symbols=("C",) * 4, bonds=(), angles=(), pairs=(), geometry=CHAIN.geometry[:4], nonbonded=())
    topology = build_topology([(only, 1)])
    for degrees in (-150.0, -60.0, 10.0, 90.0):
        phi = math.radians(degrees)
        # Looking along +z from j to k, x upwards, y to the left: clockwise is towards -y... of a right-handed frame.
        positions = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.5], [math.cos(phi), math.sin(phi), 1.5]])
        molecule = replace(only, torsions=(Torsion(0, 1, 2, 3, 1, 0.5, 2.0),))
        potential = Bonded({"chain": molecule})
        potential.bind(topology, np.eye(3) * 20)
        assert potential.evaluate(positions).energy == pytest.approx(2.0 * (1 + math.cos(phi - 0.5)), rel=1e-12)


def test_energy_and_forces_are_those_of_openmm() -> None:
    openmm = pytest.importorskip("openmm")
    state = random_box([(CHAIN, 1)], 30.0, 4)
    state = state.with_positions(state.positions + np.random.default_rng(4).normal(scale=0.2, size=(5, 3)))
    k = 1 / KILOJOULE_PER_MOLE
    system = openmm.System()
    bonds, angles, torsions, pairs = (
        openmm.HarmonicBondForce(), openmm.HarmonicAngleForce(), openmm.PeriodicTorsionForce(), openmm.NonbondedForce(),
    )  # fmt: skip
    for site in SITES:
        system.addParticle(12.0)
        pairs.addParticle(site.charge, 0.1 * site.sigma, site.epsilon * k)
    for x in CHAIN.bonds:
        bonds.addBond(x.i, x.j, 0.1 * x.length, 100 * k * x.force_constant)
    for x in CHAIN.angles:
        angles.addAngle(x.i, x.j, x.k, x.angle, k * x.force_constant)
    for x in CHAIN.torsions:
        torsions.addTorsion(x.i, x.j, x.k, x.l, x.multiplicity, x.phase, k * x.force_constant)
    listed = {(x.i, x.j): x for x in CHAIN.pairs}
    for i in range(5):
        for j in range(i + 1, 5):
            if (i, j) in listed:
                x = listed[(i, j)]
                pairs.addException(i, j, x.charge_product, 0.1 * x.sigma, k * x.epsilon)
            else:
                pairs.addException(i, j, 0.0, 0.1, 0.0)
    for force in (bonds, angles, torsions, pairs):
        system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(0.1 * state.positions)
    found = context.getState(getEnergy=True, getForces=True)
    result = make(state).evaluate(state.positions)
    assert result.energy == pytest.approx(found.getPotentialEnergy()._value / k, rel=1e-6)
    assert result.forces == pytest.approx(np.array(found.getForces(asNumpy=True)._value) / k / 10, abs=1e-6)
