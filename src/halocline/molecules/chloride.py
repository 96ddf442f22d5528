"""Chloride ion of Joung and Cheatham for SPC/E water, J. Phys. Chem. B 112, 9020 (2008), doi 10.1021/jp8001614.

The paper gives half the distance of the minimum, 2.711 Å, and the well depth, 0.0127850 kcal/mol.
"""

from halocline.molecules.base import Molecule, Nonbonded
from halocline.units import KILOCALORIE_PER_MOLE

CHLORIDE = Molecule(
    name="chloride",
    summary="Cl-; Joung-Cheatham parameters for SPC/E (J. Phys. Chem. B 112, 9020)",
    symbols=("Cl",),
    geometry=((0.0, 0.0, 0.0),),
    charge=-1,
    nonbonded=(Nonbonded(-1.0, 2 * 2.711 * 2 ** (-1 / 6), 0.0127850 * KILOCALORIE_PER_MOLE),),
)
