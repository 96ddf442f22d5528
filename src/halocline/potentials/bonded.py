"""Interactions within classical molecules: bonds, angles, torsions and pairs of atoms further apart along the chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numba import njit

from halocline import registry
from halocline.errors import UserError
from halocline.molecules.base import Molecule
from halocline.potentials.base import BoolArray, Evaluation, Potential, Rule
from halocline.potentials.learned import require_finite
from halocline.topology import FloatArray, IntArray, Topology
from halocline.units import COULOMB

_BOND, _ANGLE, _TORSION, _PAIR = range(4)


class Bonded(Potential):
    """Sum over molecules of the terms of their species; rigid species contribute nothing.

        bonds     k/2 (r - r0)^2
        angles    k/2 (theta - theta0)^2
        torsions  k (1 + cos(n phi - phi0))
        pairs     4 eps [(s/r)^12 - (s/r)^6] + k_e q q/r, without a cut-off

    With the rule "site", the energy of a molecule is scaled by its weight.

    Args:
        species: name -> molecule; by default the molecules of the registry.
    """

    additive_over_molecules = True
    rules = frozenset({"site"})

    def __init__(self, species: Mapping[str, Molecule] | None = None) -> None:
        self.species = species

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        molecules = [self._molecule(name) for name in topology.species]
        for name, molecule, kind in zip(topology.species, molecules, range(len(molecules))):
            sizes = np.unique(np.diff(topology.offsets)[topology.molecule_species == kind])
            if len(sizes) and (len(sizes) > 1 or sizes[0] != molecule.n_atoms):
                found = f"species '{name}' has {molecule.n_atoms} atoms but molecules of {sizes.tolist()}"
                raise UserError(found, "Bonded", "Give the molecule that the topology was made of.")
        self._topology, self._terms = topology, _terms(molecules)

    def _molecule(self, name: str) -> Molecule:
        if self.species is None:
            molecule: Molecule = registry.get("molecules", name, "Bonded")
            return molecule
        if name not in self.species:
            raise UserError(f"no molecule of species '{name}'", "Bonded", f"Known: {', '.join(self.species) or 'none'}.")
        return self.species[name]

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        weights = np.ones(self._topology.n_molecules) if subset is None else subset.astype(np.float64)
        return self._evaluate(positions, weights, virial)

    def evaluate_weighted(self, positions: FloatArray, weights: FloatArray, rule: Rule) -> Evaluation:
        if rule != "site":
            return super().evaluate_weighted(positions, weights, rule)
        return self._evaluate(positions, np.asarray(weights, dtype=np.float64), False)

    def _evaluate(self, positions: FloatArray, weights: FloatArray, virial: bool) -> Evaluation:
        topology, n = self._topology, self._topology.n_molecules
        positions = np.ascontiguousarray(positions, dtype=np.float64)
        forces, energies, tensor = np.zeros_like(positions), np.zeros(n), np.zeros((3, 3))
        _evaluate_terms(positions, weights, topology.molecule_species, topology.offsets, self._terms, forces, energies, tensor)
        energy = float(weights @ energies)
        require_finite(energy, forces, topology)
        return Evaluation(energy, forces, tensor if virial else None, np.zeros(n, dtype=np.int64), energies)


class _Terms(NamedTuple):
    """Terms of species s are rows ``start[s]:start[s + 1]``.

    Attributes:
        kind: (n_terms,) bond, angle, torsion or pair.
        atoms: (n_terms, 4) within the molecule.
        parameters: (n_terms, 3) r0, k; theta0, k; n, phi0, k; k_e q q, sigma, epsilon.
    """

    start: IntArray
    kind: IntArray
    atoms: IntArray
    parameters: FloatArray


def _terms(molecules: list[Molecule]) -> _Terms:
    start, rows = [0], []
    for molecule in molecules:
        if not molecule.rigid:
            rows += [(_BOND, (x.i, x.j, 0, 0), (x.length, x.force_constant, 0.0)) for x in molecule.bonds]
            rows += [(_ANGLE, (x.i, x.j, x.k, 0), (x.angle, x.force_constant, 0.0)) for x in molecule.angles]
            rows += [(_TORSION, (x.i, x.j, x.k, x.l), (float(x.multiplicity), x.phase, x.force_constant)) for x in molecule.torsions]
            rows += [(_PAIR, (x.i, x.j, 0, 0), (COULOMB * x.charge_product, x.sigma, x.epsilon)) for x in molecule.pairs]
        start.append(len(rows))
    return _Terms(
        np.array(start, dtype=np.int64), np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64).reshape(-1, 4), np.array([row[2] for row in rows]).reshape(-1, 3),
    )  # fmt: skip


@njit(error_model="numpy", cache=True)
def _evaluate_terms(
    positions: FloatArray, weights: FloatArray, species: IntArray, offsets: IntArray, terms: _Terms,
    forces: FloatArray, energies: FloatArray, virial: FloatArray,
) -> None:  # fmt: skip
    for m in range(len(species)):
        if weights[m] == 0.0:
            continue
        first, last = offsets[m], offsets[m + 1]
        x, f = positions[first:last], forces[first:last]
        for term in range(terms.start[species[m]], terms.start[species[m] + 1]):
            kind, atoms, parameters = terms.kind[term], terms.atoms[term], terms.parameters[term]
            if kind == _ANGLE:
                energies[m] += _angle(x, atoms, parameters, weights[m], f)
            elif kind == _TORSION:
                energies[m] += _torsion(x, atoms, parameters, weights[m], f)
            else:
                energies[m] += _distance(x, atoms, parameters, kind == _BOND, weights[m], f)
        # The forces within a molecule add up to zero, so that any origin will do.
        for atom in range(len(x)):
            for c in range(3):
                for d in range(3):
                    virial[c, d] += (x[atom, c] - x[0, c]) * f[atom, d]


@njit(error_model="numpy", cache=True)
def _distance(x: FloatArray, atoms: IntArray, parameters: FloatArray, harmonic: bool, weight: float, f: FloatArray) -> float:
    """A bond, or Lennard-Jones and Coulomb."""
    i, j = atoms[0], atoms[1]
    delta = x[j] - x[i]
    r = np.sqrt(np.dot(delta, delta))
    if harmonic:
        stretch = r - parameters[0]
        energy, slope = 0.5 * parameters[1] * stretch * stretch, parameters[1] * stretch
    else:
        power = (parameters[1] / r) ** 6
        energy = 4 * parameters[2] * (power * power - power) + parameters[0] / r
        slope = -24 * parameters[2] / r * (2 * power * power - power) - parameters[0] / (r * r)
    for c in range(3):
        pull = weight * slope / r * delta[c]
        f[i, c] += pull
        f[j, c] -= pull
    return energy


@njit(error_model="numpy", cache=True)
def _angle(x: FloatArray, atoms: IntArray, parameters: FloatArray, weight: float, f: FloatArray) -> float:
    i, j, k = atoms[0], atoms[1], atoms[2]
    u, v = x[i] - x[j], x[k] - x[j]
    lu, lv = np.sqrt(np.dot(u, u)), np.sqrt(np.dot(v, v))
    normal = np.cross(u, v)
    sine, cosine = np.sqrt(np.dot(normal, normal)) / (lu * lv), np.dot(u, v) / (lu * lv)
    bend = np.arctan2(sine, cosine) - parameters[0]
    # The direction of the force is not defined for a straight angle; its size is bounded.
    torque = weight * parameters[1] * bend / max(sine, 1e-8)
    for c in range(3):
        on_i = torque * (v[c] / lv - cosine * u[c] / lu) / lu
        on_k = torque * (u[c] / lu - cosine * v[c] / lv) / lv
        f[i, c] += on_i
        f[k, c] += on_k
        f[j, c] -= on_i + on_k
    return 0.5 * parameters[1] * bend * bend


@njit(error_model="numpy", cache=True)
def _torsion(x: FloatArray, atoms: IntArray, parameters: FloatArray, weight: float, f: FloatArray) -> float:
    """Derivatives of the dihedral angle after Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996)."""
    i, j, k, m = atoms[0], atoms[1], atoms[2], atoms[3]
    u, v, w = x[i] - x[j], x[j] - x[k], x[m] - x[k]
    a, b, axis = np.cross(u, v), np.cross(w, v), np.sqrt(np.dot(v, v))
    aa, bb = np.dot(a, a), np.dot(b, b)
    phi = np.arctan2(np.dot(np.cross(b, a), v) / axis, np.dot(a, b))
    multiplicity, phase, force_constant = parameters[0], parameters[1], parameters[2]
    slope = -force_constant * multiplicity * np.sin(multiplicity * phi - phase)
    along_u, along_w = np.dot(u, v) / (aa * axis), np.dot(w, v) / (bb * axis)
    for c in range(3):
        d_i, d_m, twist = -axis / aa * a[c], axis / bb * b[c], along_u * a[c] - along_w * b[c]
        f[i, c] -= weight * slope * d_i
        f[m, c] -= weight * slope * d_m
        f[j, c] -= weight * slope * (twist - d_i)
        f[k, c] += weight * slope * (twist + d_m)
    return force_constant * (1 + np.cos(multiplicity * phi - phase))
