"""United-atom methanol of TraPPE: Chen, Potoff and Siepmann, J. Phys. Chem. B 105, 3093 (2001), doi 10.1021/jp003882x.

Bonds are rigid in that model and the angle is harmonic, k_theta/k_B = 55400 K/rad^2; here the whole molecule is rigid. The stiff bonds
serve equilibration only.
"""

import math

from halocline.molecules.base import Angle, Bond, Molecule, Nonbonded
from halocline.units import BOLTZMANN

_CO, _OH, _THETA = 1.43, 0.945, math.radians(108.5)
_BOND = 40.0  # eV/Å^2

METHANOL_UA = Molecule(
    name="methanol_ua",
    summary="CH3OH with a united methyl group, rigid TraPPE-UA (J. Phys. Chem. B 105, 3093)",
    symbols=("C", "O", "H"),
    geometry=((_CO, 0.0, 0.0), (0.0, 0.0, 0.0), (_OH * math.cos(_THETA), _OH * math.sin(_THETA), 0.0)),
    bonds=(Bond(0, 1, _CO, _BOND), Bond(1, 2, _OH, _BOND)),
    angles=(Angle(0, 1, 2, _THETA, 55400.0 * BOLTZMANN),),
    nonbonded=(
        Nonbonded(0.265, 3.75, 98.0 * BOLTZMANN),
        Nonbonded(-0.700, 3.02, 93.0 * BOLTZMANN),
        Nonbonded(0.435, 1.0, 0.0),
    ),
    rigid=True,
    formula_masses=(15.035, 15.999, 1.008),
)
