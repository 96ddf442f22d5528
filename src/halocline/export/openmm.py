"""A model as force of OpenMM 8.6 or newer (Eastman et al., J. Phys. Chem. B 128, 109 (2024), doi:10.1021/acs.jpcb.3c06662)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import unit

from halocline.errors import UserError
from halocline.export.engine import Engine
from halocline.export.membership import Membership, from_bonds, from_numbers
from halocline.models.model import Model
from halocline.models.shipped import find_model
from halocline.topology import FloatArray
from halocline.units import KILOJOULE_PER_MOLE


class ModelEnergy:
    """What OpenMM calls: energy in kJ/mol and forces in kJ/mol/nm from the state of a simulation.

    It can be pickled, so that a System that holds it can be written to XML.

    Args:
        model: a model, the file of one, or the name of a shipped one.
        members: molecules of the particles.
        periodic: whether the box repeats.
    """

    def __init__(self, model: Model | Path | str, members: Membership, periodic: bool) -> None:
        self.members, self.periodic = members, periodic
        self._engine = Engine(model)

    def __call__(self, state: Any) -> tuple[float, FloatArray]:
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        cell = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom) if self.periodic else np.zeros((3, 3))
        whole = self._engine.arrange(self.members, np.asarray(positions), np.asarray(cell), [self.periodic] * 3)
        result = self._engine.evaluate(self.members, whole)
        return result.energy / KILOJOULE_PER_MOLE, result.forces * (10.0 / KILOJOULE_PER_MOLE)

    def __reduce__(self) -> tuple[type, tuple[Model, Membership, bool]]:
        # Compiled kernels and neighbour lists are made anew.
        return (type(self), (self._engine.model, self.members, self.periodic))


def create_system(topology: Any, model: Model | Path | str, remove_drift: bool = False) -> Any:
    """An OpenMM System of all atoms of a topology whose only force is the model.

    Masses are those of the elements, nothing is constrained. A barostat scales every atom by itself, because OpenMM knows molecules
    by their bonds and constraints, and there are none.

    Args:
        topology: ``openmm.app.Topology``; it is periodic if it has box vectors.
        model: a model, the file of one, or the name of a shipped one.
        remove_drift: whether to remove the motion of the centre of mass.

    Raises:
        UserError: see :func:`add_force`.
    """
    system = openmm.System()
    for atom in topology.atoms():
        _require_element(atom)
        system.addParticle(atom.element.mass)
    vectors = topology.getPeriodicBoxVectors()
    if vectors is not None:
        system.setDefaultPeriodicBoxVectors(*vectors)
    add_force(system, topology, model)
    if remove_drift:
        system.addForce(openmm.CMMotionRemover())
    return system


def add_force(
    system: Any, topology: Any, model: Model | Path | str, atoms: Sequence[int] | None = None, group: int = 0, periodic: bool | None = None
) -> Any:
    """Let a model act on the atoms of a topology, or on some of them as if they were alone; returns the ``openmm.PythonForce``.

    Molecules are sets of bonded atoms; in a topology without any bond they are its residues.

    Args:
        system: ``openmm.System`` with one particle for each atom.
        topology: ``openmm.app.Topology``.
        model: a model, the file of one, or the name of a shipped one.
        atoms: indices of the atoms that the model acts on; all by default.
        group: force group.
        periodic: whether the box repeats; by default, whether the topology has box vectors.

    Raises:
        UserError: a particle without element, another number of particles, an element or species unknown to the model, an OpenMM
            without ``PythonForce``, or a model without energies.
    """
    if not hasattr(openmm, "PythonForce"):
        what = f"OpenMM {openmm.version.short_version} has no PythonForce"
        raise UserError(what, "OpenMM", "Install 8.6 or newer: pip install 'openmm>=8.6'.")
    if system.getNumParticles() != topology.getNumAtoms():
        what = f"the system has {system.getNumParticles()} particles, the topology {topology.getNumAtoms()} atoms"
        raise UserError(what, "OpenMM system", "Make both from one topology; extra particles have no place in a learned model.")
    repeats = topology.getPeriodicBoxVectors() is not None if periodic is None else periodic
    chosen = list(range(topology.getNumAtoms())) if atoms is None else sorted({int(atom) for atom in atoms})
    loaded = model if isinstance(model, Model) else Model.load(find_model(model))
    members = molecules_of(topology, chosen, loaded.metadata.get("species", ()))
    _require_known(loaded, members)
    force = openmm.PythonForce(ModelEnergy(loaded, members, repeats))
    force.setUsesPeriodicBoundaryConditions(repeats)
    force.setForceGroup(group)
    force.setName("halocline")
    if atoms is not None:
        force.setParticles(chosen)
    system.addForce(force)
    return force


def molecules_of(topology: Any, chosen: Sequence[int], species: Sequence[str] = ()) -> Membership:
    """Molecules of the chosen atoms of an OpenMM topology, which they must fill.

    Raises:
        UserError: an atom without element, or a part of a molecule.
    """
    atoms = list(topology.atoms())
    for index in chosen:
        _require_element(atoms[index])
    place = {index: position for position, index in enumerate(chosen)}
    numbers = np.array([atoms[index].element.atomic_number for index in chosen], dtype=np.int64)
    every_bond = [(first.index, second.index) for first, second in topology.bonds()]
    if not every_bond:
        residues = np.array([atoms[index].residue.index for index in chosen], dtype=np.int64)
        return from_numbers(numbers, residues, species)
    cut = [pair for pair in every_bond if (pair[0] in place) != (pair[1] in place)]
    if cut:
        what = f"{len(cut)} bonds lead from the chosen atoms to others, the first from atom {cut[0][0]} to {cut[0][1]}"
        raise UserError(what, "atoms", "Choose whole molecules: a model knows no bonds that are cut.")
    bonds = np.array([(place[i], place[j]) for i, j in every_bond if i in place], dtype=np.int64)
    return from_bonds(numbers, bonds, species)


def _require_element(atom: Any) -> None:
    if atom.element is None:
        what = f"atom {atom.index} ({atom.name} of residue {atom.residue.name}) has no element"
        raise UserError(what, "OpenMM topology", "Remove virtual sites: a learned model knows atoms only.")


def _require_known(model: Model, members: Membership) -> None:
    """Refuse at once what the first step would refuse."""
    if "energy" not in model.heads:
        what = "the model predicts no energy, so it exerts no forces"
        raise UserError(what, "model", f"It predicts {', '.join(model.heads)}.")
    n_atoms = members.topology.n_atoms
    far_apart = np.arange(3.0 * n_atoms).reshape(n_atoms, 3) * 1e3
    model.graph(members.state(far_apart, np.zeros((3, 3)), False))
