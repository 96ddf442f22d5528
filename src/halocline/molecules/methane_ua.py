"""United-atom methane of TraPPE: Martin and Siepmann, J. Phys. Chem. B 102, 2569 (1998), doi 10.1021/jp972543+."""

from halocline.molecules.base import Molecule, Nonbonded
from halocline.units import BOLTZMANN

METHANE_UA = Molecule(
    name="methane_ua",
    summary="CH4 as one united atom, TraPPE-UA (J. Phys. Chem. B 102, 2569)",
    symbols=("C",),
    geometry=((0.0, 0.0, 0.0),),
    nonbonded=(Nonbonded(0.0, 3.73, 148.0 * BOLTZMANN),),
    formula_masses=(16.043,),
)
