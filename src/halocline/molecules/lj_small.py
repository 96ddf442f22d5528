"""A smaller Lennard-Jones particle, for mixtures with ``lj``: 0.85 of its diameter and 0.8 of its well depth, of equal mass."""

from halocline.molecules.base import Molecule, Nonbonded
from halocline.units import BOLTZMANN

LJ_SMALL = Molecule(
    name="lj_small",
    summary="Lennard-Jones particle of 0.85 sigma and 0.8 epsilon of 'lj', for mixtures",
    symbols=("Ne",),
    geometry=((0.0, 0.0, 0.0),),
    nonbonded=(Nonbonded(0.0, 0.85 * 3.405, 0.8 * 119.8 * BOLTZMANN),),
    formula_masses=(39.948,),
)
