"""Lennard-Jones fluid with the parameters of argon of Rahman, Phys. Rev. 136, A405 (1964), doi 10.1103/PhysRev.136.A405.

T* = 1 is 119.8 K, one sigma is 3.405 Å and one tau = sigma sqrt(m/epsilon) is 2.156 ps; n* = 1 is 1.680 g/cm3.
"""

from halocline.molecules.base import Molecule, Nonbonded
from halocline.units import BOLTZMANN

LJ = Molecule(
    name="lj",
    summary="Lennard-Jones particle with sigma 3.405 A, epsilon 119.8 K and the mass of argon (Phys. Rev. 136, A405)",
    symbols=("Ar",),
    geometry=((0.0, 0.0, 0.0),),
    nonbonded=(Nonbonded(0.0, 3.405, 119.8 * BOLTZMANN),),
    formula_masses=(39.948,),
)
