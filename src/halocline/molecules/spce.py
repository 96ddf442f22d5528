"""Rigid SPC/E water of Berendsen, Grigera and Straatsma, J. Phys. Chem. 91, 6269 (1987), doi 10.1021/j100308a038."""

import math

from halocline.molecules.base import Angle, Bond, Molecule, Nonbonded
from halocline.units import KILOCALORIE_PER_MOLE, KILOJOULE_PER_MOLE

_HALF = math.radians(109.47) / 2
_X, _Y = math.cos(_HALF), math.sin(_HALF)  # bonds of 1 Å
_BOND = 2 * 529.581 * KILOCALORIE_PER_MOLE
_ANGLE = 2 * 37.95 * KILOCALORIE_PER_MOLE

SPCE = Molecule(
    name="spce",
    summary="H2O, rigid SPC/E (J. Phys. Chem. 91, 6269)",
    symbols=("O", "H", "H"),
    geometry=((0.0, 0.0, 0.0), (_X, _Y, 0.0), (_X, -_Y, 0.0)),
    # Stiffness of SPC/Fw about the rigid geometry: equilibration only.
    bonds=(Bond(0, 1, 1.0, _BOND), Bond(0, 2, 1.0, _BOND)),
    angles=(Angle(1, 0, 2, 2 * _HALF, _ANGLE),),
    nonbonded=(
        Nonbonded(-0.8476, 3.166, 0.650 * KILOJOULE_PER_MOLE),
        Nonbonded(0.4238, 1.0, 0.0),
        Nonbonded(0.4238, 1.0, 0.0),
    ),
    rigid=True,
)
