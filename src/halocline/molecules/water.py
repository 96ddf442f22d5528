"""Water, with the flexible SPC/Fw model of Wu, Tepper and Voth, J. Chem. Phys. 124, 024503 (2006)."""

import math

from halocline.molecules.base import Angle, Bond, Molecule, Nonbonded
from halocline.units import KILOCALORIE_PER_MOLE

_BOND = 2 * 529.581 * KILOCALORIE_PER_MOLE  # V = K (r - r0)^2 in the paper
_ANGLE = 2 * 37.95 * KILOCALORIE_PER_MOLE
_THETA = math.radians(113.24)

WATER = Molecule(
    name="water",
    summary="H2O; flexible SPC/Fw for equilibration (J. Chem. Phys. 124, 024503)",
    symbols=("O", "H", "H"),
    geometry=((0.0, 0.0, 0.0), (0.9572, 0.0, 0.0), (-0.2400, 0.9266, 0.0)),
    bonds=(Bond(0, 1, 1.012, _BOND), Bond(0, 2, 1.012, _BOND)),
    angles=(Angle(1, 0, 2, _THETA, _ANGLE),),
    nonbonded=(
        Nonbonded(-0.82, 3.165492, 0.1554253 * KILOCALORIE_PER_MOLE),
        Nonbonded(0.41, 1.0, 0.0),
        Nonbonded(0.41, 1.0, 0.0),
    ),
)
