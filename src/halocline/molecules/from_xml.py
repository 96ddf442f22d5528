"""Molecules from OpenMM force-field files: the parameters of one residue, whichever of the many packaged force fields has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import openmm
from openmm import app, unit

from halocline.errors import UserError
from halocline.molecules.base import Angle, Bond, Molecule, Nonbonded, Pair, Torsion
from halocline.units import KILOJOULE_PER_MOLE

_PER_NM2 = KILOJOULE_PER_MOLE / 100.0
"""kJ/mol/nm^2 in eV/Å^2."""
SUPPORTED = (openmm.HarmonicBondForce, openmm.HarmonicAngleForce, openmm.PeriodicTorsionForce, openmm.NonbondedForce)
HARMLESS = (openmm.CMMotionRemover,)


def molecule_from_xml(
    files: str | Sequence[str], residue: str, name: str, geometry: Sequence[Sequence[float]], rigid: bool = False, summary: str = ""
) -> Molecule:
    """A species with the parameters of a residue template.

    Args:
        files: paths, or names of force fields that come with OpenMM, such as ``amber14/tip3p.xml``; the first one has the residue.
        residue: name of its template.
        name: of the species.
        geometry: (n_atoms, 3) Å, in the order of the template's atoms; virtual sites are not supported.
        rigid: whether the geometry is held fixed.
        summary: one sentence; by default where the parameters come from.

    Raises:
        UserError: unknown file or residue, a geometry of another number of atoms, or terms that no Molecule can hold.
    """
    names = [files] if isinstance(files, str) else list(files)
    where = f"{', '.join(names)}: residue {residue}"
    try:
        field = app.ForceField(*names)
    except Exception as error:
        raise UserError(
            f"cannot read the force field ({error})", ", ".join(names), "Give a path or a name packaged with OpenMM."
        ) from error
    template = field._templates.get(residue)
    if template is None:
        raise UserError(f"no residue '{residue}'", ", ".join(names), f"Known: {', '.join(sorted(field._templates)[:30])}.")
    if template.virtualSites:
        raise UserError("the residue has virtual sites", where, "Use a model whose sites all have mass.")
    if len(geometry) != len(template.atoms):
        what = f"the geometry has {len(geometry)} atoms, the residue {len(template.atoms)}"
        raise UserError(what, where, f"Give them in the order {' '.join(atom.name for atom in template.atoms)}.")
    topology = _topology(template)
    positions = [openmm.Vec3(*(0.1 * float(x) for x in row)) for row in geometry]
    system = field.createSystem(topology, nonbondedMethod=app.NoCutoff, constraints=None, rigidWater=False)
    forces = _forces(system, where)
    sites, pairs = _nonbonded(forces.get("NonbondedForce"), len(positions), where)
    return Molecule(
        name=name,
        summary=summary or f"residue {residue} of {', '.join(names)}",
        symbols=tuple(atom.element.symbol for atom in topology.atoms()),
        geometry=tuple((float(x), float(y), float(z)) for x, y, z in geometry),
        charge=round(sum(site.charge for site in sites)),
        bonds=_bonds(forces.get("HarmonicBondForce")),
        angles=_angles(forces.get("HarmonicAngleForce")),
        torsions=_torsions(forces.get("PeriodicTorsionForce")),
        nonbonded=sites,
        pairs=pairs,
        rigid=rigid,
        formula_masses=tuple(system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(system.getNumParticles())),
    )


def _topology(template: Any) -> app.Topology:
    """One residue by itself."""
    topology = app.Topology()
    residue = topology.addResidue(template.name, topology.addChain())
    atoms = [topology.addAtom(atom.name, atom.element, residue) for atom in template.atoms]
    for i, j in template.bonds:
        topology.addBond(atoms[i], atoms[j])
    return topology


def _forces(system: openmm.System, where: str) -> dict[str, Any]:
    """One force of each class; those that a Molecule cannot hold are refused, unless they do nothing."""
    found: dict[str, Any] = {}
    for force in system.getForces():
        if isinstance(force, SUPPORTED) and type(force).__name__ not in found:
            found[type(force).__name__] = force
        elif not isinstance(force, HARMLESS) and not _is_empty(force):
            known = ", ".join(kind.__name__ for kind in SUPPORTED)
            raise UserError(f"the residue uses {type(force).__name__}", where, f"Only one each of {known} is understood.")
    return found


def _is_empty(force: Any) -> bool:
    counts = [getattr(force, method)() for method in ("getNumTorsions", "getNumBonds", "getNumParticles") if hasattr(force, method)]
    return bool(counts) and not any(counts)


def _bonds(force: Any) -> tuple[Bond, ...]:
    made = []
    for index in range(force.getNumBonds() if force else 0):
        i, j, length, stiffness = force.getBondParameters(index)
        k = stiffness.value_in_unit(unit.kilojoule_per_mole / unit.nanometer**2)
        made.append(Bond(i, j, length.value_in_unit(unit.angstrom), k * _PER_NM2))
    return tuple(made)


def _angles(force: Any) -> tuple[Angle, ...]:
    made = []
    for index in range(force.getNumAngles() if force else 0):
        i, j, k, angle, stiffness = force.getAngleParameters(index)
        value = stiffness.value_in_unit(unit.kilojoule_per_mole / unit.radian**2)
        made.append(Angle(i, j, k, angle.value_in_unit(unit.radian), value * KILOJOULE_PER_MOLE))
    return tuple(made)


def _torsions(force: Any) -> tuple[Torsion, ...]:
    made = []
    for index in range(force.getNumTorsions() if force else 0):
        i, j, k, m, multiplicity, phase, height = force.getTorsionParameters(index)
        value = height.value_in_unit(unit.kilojoule_per_mole) * KILOJOULE_PER_MOLE
        if value != 0.0:
            made.append(Torsion(i, j, k, m, int(multiplicity), phase.value_in_unit(unit.radian), value))
    return tuple(made)


def _nonbonded(force: Any, n_atoms: int, where: str) -> tuple[tuple[Nonbonded, ...], tuple[Pair, ...]]:
    """Sites, and the pairs within the molecule that interact: all but those the force field leaves out."""
    if force is None:
        raise UserError("the force field has no charges and Lennard-Jones parameters", where, "Add a file with a NonbondedForce.")
    sites = []
    for index in range(n_atoms):
        charge, sigma, epsilon = force.getParticleParameters(index)
        values = (charge.value_in_unit(unit.elementary_charge), sigma.value_in_unit(unit.angstrom))
        sites.append(Nonbonded(*values, epsilon.value_in_unit(unit.kilojoule_per_mole) * KILOJOULE_PER_MOLE))
    special = {}
    for index in range(force.getNumExceptions()):
        i, j, product, sigma, epsilon = force.getExceptionParameters(index)
        strength = epsilon.value_in_unit(unit.kilojoule_per_mole) * KILOJOULE_PER_MOLE
        charges = product.value_in_unit(unit.elementary_charge**2)
        special[min(i, j), max(i, j)] = (charges, sigma.value_in_unit(unit.angstrom), strength)
    pairs = []
    for j in range(n_atoms):
        for i in range(j):
            a, b = sites[i], sites[j]
            plain = (a.charge * b.charge, 0.5 * (a.sigma + b.sigma), math.sqrt(a.epsilon * b.epsilon))
            charges, sigma, strength = special.get((i, j), plain)
            if charges != 0.0 or strength != 0.0:
                pairs.append(Pair(i, j, charges, sigma, strength))
    return tuple(sites), tuple(pairs)
