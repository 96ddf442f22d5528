"""Molecules read from OpenMM force fields have OpenMM's energies and forces."""

import numpy as np
import openmm
import pytest
from openmm import app, unit

from halocline.errors import UserError
from halocline.molecules.base import Molecule, build_topology
from halocline.molecules.from_xml import molecule_from_xml
from halocline.potentials.bonded import Bonded
from halocline.state import State
from halocline.units import KILOJOULE_PER_MOLE


def template(file: str, residue: str) -> tuple[app.ForceField, app.Topology]:
    field = app.ForceField(file)
    found = field._templates[residue]
    topology = app.Topology()
    place = topology.addResidue(residue, topology.addChain())
    atoms = [topology.addAtom(atom.name, atom.element, place) for atom in found.atoms]
    for i, j in found.bonds:
        topology.addBond(atoms[i], atoms[j])
    return field, topology


def spread_out(topology: app.Topology, seed: int) -> np.ndarray:
    """A tree of bonds of about 1.3 A grown without overlaps: any geometry serves to compare energies."""
    random, placed = np.random.default_rng(seed), {0: np.zeros(3)}
    bonds = [(bond[0].index, bond[1].index) for bond in topology.bonds()]
    while len(placed) < topology.getNumAtoms():
        for i, j in [*bonds, *((b, a) for a, b in bonds)]:
            if i in placed and j not in placed:
                trials = placed[i] + 1.3 * (lambda v: v / np.linalg.norm(v, axis=1)[:, None])(random.normal(size=(200, 3)))
                others = np.array(list(placed.values()))
                nearest = np.linalg.norm(trials[:, None] - others, axis=2).min(axis=1)
                placed[j] = trials[np.argmax(nearest)]
    return np.array([placed[index] for index in range(topology.getNumAtoms())])


def openmm_energy(field: app.ForceField, topology: app.Topology, positions: np.ndarray) -> tuple[float, np.ndarray]:
    system = field.createSystem(topology, nonbondedMethod=app.NoCutoff, constraints=None, rigidWater=False)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions / 10.0)
    state = context.getState(getEnergy=True, getForces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KILOJOULE_PER_MOLE
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom) * KILOJOULE_PER_MOLE
    return energy, np.array(forces)


def halocline_energy(molecule: Molecule, positions: np.ndarray) -> tuple[float, np.ndarray]:
    potential = Bonded({molecule.name: molecule})
    topology = build_topology([(molecule, 1)])
    potential.bind(topology, np.diag([60.0] * 3))
    state = State(positions, np.diag([60.0] * 3), topology)
    result = potential.evaluate(state.positions)
    return result.energy, result.forces


@pytest.mark.parametrize(("file", "residue"), [("spce.xml", "HOH"), ("amber14/lipid17.xml", "DLPC")])
def test_energy_and_forces_of_a_molecule_by_itself_are_those_of_openmm(file: str, residue: str) -> None:
    field, topology = template(file, residue)
    positions = spread_out(topology, 1)
    expected, expected_forces = openmm_energy(field, topology, positions)
    molecule = molecule_from_xml(file, residue, "some", positions.tolist())
    energy, forces = halocline_energy(molecule, positions)
    assert abs(expected) > 0.01
    assert energy == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(forces, expected_forces, rtol=1e-4, atol=1e-4 * np.abs(expected_forces).max())


def test_a_lipid_brings_torsions_and_scaled_pairs() -> None:
    _, topology = template("amber14/lipid17.xml", "DLPC")
    lipid = molecule_from_xml("amber14/lipid17.xml", "DLPC", "dlpc", spread_out(topology, 1).tolist())
    assert lipid.n_atoms == 106
    assert lipid.charge == 0
    assert lipid.mass == pytest.approx(621.8, abs=0.5), "C32H64NO8P"
    assert len(lipid.torsions) > 100
    excluded = 106 * 105 // 2 - len(lipid.pairs)
    assert excluded >= len(lipid.bonds) + len(lipid.angles)


def test_what_a_molecule_cannot_hold_is_refused() -> None:
    water = [[0.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.8, 0.6, 0.0]]
    with pytest.raises(UserError, match="no residue 'WAT'"):
        molecule_from_xml("spce.xml", "WAT", "water", water)
    with pytest.raises(UserError, match="2 atoms, the residue 3"):
        molecule_from_xml("spce.xml", "HOH", "water", water[:2])
    with pytest.raises(UserError, match="cannot read the force field"):
        molecule_from_xml("no-such-field.xml", "HOH", "water", water)
    with pytest.raises(UserError, match="CustomBondForce"):
        molecule_from_xml("amoeba2018.xml", "HOH", "water", water)
