"""A mixture of three species with sites of every kind, and its potential."""

from __future__ import annotations

import math

from site_sums import random_box

from halocline.molecules.base import Molecule, Nonbonded
from halocline.molecules.spce import SPCE
from halocline.potentials.classical import ClassicalMolecules
from halocline.state import State

SALT = Molecule("salt", "two charged sites and a bare one", ("Na", "Cl", "H"), ((0.0, 0, 0), (1.6, 0, 0), (2.4, 0.5, 0)))
ATOM = Molecule("atom", "one neutral site", ("Ar",), ((0.0, 0, 0),))
SITES = {
    "spce": SPCE.nonbonded,
    "salt": (Nonbonded(0.5, 2.6, 0.004), Nonbonded(-0.5, 3.9, 0.006), Nonbonded(0.0, 2.0, 0.001)),
    "atom": (Nonbonded(0.0, 3.4, 0.0104),),
}
ELECTROSTATICS = {
    "reaction field": {"electrostatics": "reaction-field", "dielectric": 80.0},
    "conductor": {"electrostatics": "reaction-field", "dielectric": math.inf},
    "shifted force": {"electrostatics": "damped-shifted-force"},
    "damped": {"electrostatics": "damped-shifted-force", "damping": 0.25},
    "none": {"electrostatics": "none"},
}


def mixture(seed: int = 1) -> State:
    return random_box([(SPCE, 20), (SALT, 8), (ATOM, 8)], 18.0, seed)


def make(state: State, cutoff: float = 5.5, precision: str = "double", **options) -> ClassicalMolecules:
    potential = ClassicalMolecules(cutoff, precision=precision, parameters=SITES, **options)
    potential.bind(state.topology, state.cell)
    return potential
