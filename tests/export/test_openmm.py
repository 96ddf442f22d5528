"""The force for OpenMM: molecules of the topology, parts of it, boxes that change, refusals."""

from __future__ import annotations

import numba
import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit
from random_models import random_model, water_box
from test_same_numbers import by_graph, openmm_topology, painn_model, run_openmm

from halocline.errors import UserError
from halocline.export.openmm import add_force, create_system, molecules_of
from halocline.models.model import Model


@pytest.fixture(autouse=True)
def one_thread() -> None:
    numba.set_num_threads(1)
    torch.set_num_threads(1)


def without_bonds(topology: app.Topology) -> app.Topology:
    copy = app.Topology()
    chain = copy.addChain()
    for residue in topology.residues():
        other = copy.addResidue(residue.name, chain)
        for atom in residue.atoms():
            copy.addAtom(atom.name, atom.element, other)
    copy.setPeriodicBoxVectors(topology.getPeriodicBoxVectors())
    return copy


def test_molecules_are_bonded_atoms_or_residues_where_there_are_no_bonds() -> None:
    state = water_box(5, 0)
    topology = openmm_topology(state)
    expected = state.topology.molecule_of_atom
    for one in (topology, without_bonds(topology)):
        members = molecules_of(one, range(15))
        np.testing.assert_array_equal(members.topology.molecule_of_atom, expected)
        np.testing.assert_array_equal(members.order, np.arange(15))
        assert members.topology.species == ("water",)
    whole = app.Topology()
    residue = whole.addResidue("ALL", whole.addChain())
    atoms = [whole.addAtom(f"A{n}", app.Element.getByAtomicNumber(number), residue) for n, number in enumerate((1, 8, 8, 1, 1, 1, 11))]
    for i, j in ((0, 1), (1, 4), (2, 3), (2, 5)):
        whole.addBond(atoms[i], atoms[j])
    members = molecules_of(whole, range(7))
    of_atom = members.back(members.topology.molecule_of_atom)
    assert of_atom.tolist() == [of_atom[0], of_atom[0], of_atom[2], of_atom[2], of_atom[0], of_atom[2], of_atom[6]]
    assert len(set(of_atom.tolist())) == 3
    assert members.topology.species[0] == "water"
    assert members.topology.species[1] in ("Na", "sodium")


def test_masses_are_those_of_the_elements_and_nothing_is_constrained() -> None:
    system = create_system(openmm_topology(water_box(40, 1)), random_model("atoms"), remove_drift=True)
    assert [system.getParticleMass(n).value_in_unit(unit.dalton) for n in (0, 1)] == pytest.approx([15.999, 1.008], abs=1e-3)
    assert system.getNumConstraints() == 0
    assert [force.getName() for force in system.getForces()] == ["halocline", "CMMotionRemover"]
    assert system.usesPeriodicBoundaryConditions()


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_a_model_may_act_on_some_molecules_as_if_they_were_alone(kind: str) -> None:
    state = water_box(40, 2)
    chosen = np.arange(10, 30)
    atoms = state.topology.atoms_of(chosen)
    system = openmm.System()
    for mass in state.topology.masses:
        system.addParticle(mass)
    system.setDefaultPeriodicBoxVectors(*(state.cell * 0.1))
    add_force(system, openmm_topology(state), random_model(kind), atoms.tolist())
    energy, forces = run_openmm(system, state)
    alone_energy, alone_forces = by_graph(random_model(kind), state.select(chosen))
    assert energy == pytest.approx(alone_energy, abs=1e-4)
    np.testing.assert_allclose(forces[atoms], alone_forces, atol=1e-5)
    others = np.setdiff1d(np.arange(120), atoms)
    np.testing.assert_array_equal(forces[others], 0.0)


def test_a_box_that_changes_changes_the_energy() -> None:
    state = water_box(40, 3)
    context = openmm.Context(
        create_system(openmm_topology(state), random_model("atoms")),
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    context.setPositions(state.positions * 0.1)
    for scale in (1.0, 1.05, 1.0):
        wider = type(state)(state.positions, state.cell * scale, state.topology)
        context.setPeriodicBoxVectors(*(wider.cell * 0.1))
        energy = context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) / 96.48533212
        assert energy == pytest.approx(by_graph(random_model("atoms"), wider)[0], abs=1e-4)


def test_triclinic_boxes_and_clusters_are_computed() -> None:
    state = water_box(40, 4)
    edge = state.cell[0, 0]
    # Reduced as OpenMM wants it; it describes the same lattice with a shear that is one seventh of an edge.
    skew = np.array([[edge, 0, 0], [edge / 7, edge, 0], [0, 0, edge]])
    for one in (type(state)(state.positions, skew, state.topology), state.isolated()):
        energy, forces = run_openmm(create_system(openmm_topology(one), painn_model()), one)
        expected = by_graph(painn_model(), one)
        assert energy == pytest.approx(expected[0], abs=1e-5)
        np.testing.assert_allclose(forces, expected[1], atol=1e-5)


def test_dynamics_conserves_energy_to_the_error_of_the_time_step() -> None:
    state, drifts = water_box(40, 5), []
    for timestep in (2e-4, 1e-4):
        integrator = openmm.VerletIntegrator(timestep)
        system = create_system(openmm_topology(state), random_model("atoms"))
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(state.positions * 0.1)
        found = []
        for steps in (0, round(4e-3 / timestep)):
            integrator.step(steps)
            now = context.getState(getEnergy=True)
            found.append(now)
        total = [(one.getPotentialEnergy() + one.getKineticEnergy()).value_in_unit(unit.kilojoule_per_mole) for one in found]
        exchanged = found[1].getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
        drifts.append(abs(total[1] - total[0]))
        assert exchanged > 20 * drifts[-1]
    assert drifts[1] < 0.5 * drifts[0]


def test_what_cannot_be_computed_is_refused_before_the_first_step() -> None:
    state = water_box(40, 6)
    topology = openmm_topology(state)
    system = openmm.System()
    with pytest.raises(UserError, match="0 particles, the topology 120"):
        add_force(system, topology, random_model("atoms"))
    for mass in state.topology.masses:
        system.addParticle(mass)
    with pytest.raises(UserError, match="2 bonds lead from the chosen atoms"):
        add_force(system, topology, random_model("atoms"), [0, 3, 4, 5])
    with pytest.raises(UserError, match="predicts no energy"):
        add_force(system, topology, Model("atoms", painn_model().representation, ["dipole"], None))
    assert system.getNumForces() == 0
    argon = app.Topology()
    argon.addAtom("Ar", app.Element.getBySymbol("Ar"), argon.addResidue("AR", argon.addChain()))
    with pytest.raises(UserError, match="unknown to the model"):
        create_system(argon, random_model("atoms"))
    with pytest.raises(UserError, match="no bead of species Ar"):
        create_system(argon, random_model("beads"))
    argon.addAtom("M", None, next(iter(argon.residues())))
    with pytest.raises(UserError, match="has no element"):
        create_system(argon, random_model("atoms"))
