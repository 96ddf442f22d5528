"""An ideal gas: particles of the mass of argon that do not interact, for null tests with known answers."""

from halocline.molecules.base import Molecule, Nonbonded

IDEAL = Molecule(
    name="ideal",
    summary="ideal gas of argon's mass: no interaction at all, for null tests",
    symbols=("He",),
    geometry=((0.0, 0.0, 0.0),),
    nonbonded=(Nonbonded(0.0, 3.405, 0.0),),
    formula_masses=(39.948,),
)
