"""DFT-D4 dispersion with the three-body term, for functionals that lack it.

Caldeweyher et al., J. Chem. Phys. 150, 154122 (2019), doi 10.1063/1.5090222. D4 depends on the geometry alone, so adding
it outside the electronic-structure program is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from halocline.errors import UserError
from halocline.labels import Labels
from halocline.reference.base import BadInput, package_version, total_charge
from halocline.state import State
from halocline.units import BOHR, HARTREE

PAIR_CUTOFF = 60.0
"""bohr; real-space cutoff of the two-body sum, the program's default."""
TRIPLE_CUTOFF = 20.0
"""bohr; of the three-body sum. The default of 40 costs 40 times more in a box of 32 water molecules and changes its energy
by 0.006 kJ/mol per molecule."""
COORDINATION_CUTOFF = 30.0
"""bohr; of the coordination numbers, the program's default."""


def d4(state: State, functional: str) -> Labels:
    """``dispersion_energy``, and its ``forces`` and (periodic) ``stress``, eV, eV/Å, eV/Å^3.

    Args:
        state: box or cluster.
        functional: density functional whose damping parameters are used.

    Raises:
        UserError: there are no D4 parameters for the functional.
        BadInput: the library refuses the configuration.
    """
    from dftd4.interface import DispersionModel

    parameters = damping(functional)
    topology = state.topology
    cell: dict[str, Any] = {"lattice": state.cell / BOHR, "periodic": np.ones(3, dtype=bool)} if state.periodic else {}
    try:
        model = DispersionModel(topology.atomic_numbers, state.positions / BOHR, charge=float(total_charge(topology)), **cell)
        model.set_realspace_cutoff(PAIR_CUTOFF, TRIPLE_CUTOFF, COORDINATION_CUTOFF)
        result = model.get_dispersion(parameters, grad=True)
    except (RuntimeError, ValueError) as error:
        raise BadInput(f"{error}", "DFT-D4", "Look at the elements and the geometry; this configuration gets no label.") from error
    labels: Labels = {
        "dispersion_energy": np.asarray(result["energy"]) * HARTREE,
        "forces": -np.asarray(result["gradient"]) * HARTREE / BOHR,
    }
    if state.periodic:
        labels["stress"] = np.asarray(result["virial"]) * HARTREE / state.volume
    return labels


def damping(functional: str) -> Any:
    """Damping parameters of a functional, three-body term on.

    Raises:
        UserError: none known.
    """
    from dftd4.interface import DampingParam

    try:
        return DampingParam(method=functional.lower(), atm=True)
    except RuntimeError as error:
        remedy = "Set dispersion: none, or use a functional with D4 parameters such as PBE, PBE0, revPBE, B3LYP, r2SCAN."
        raise UserError(f"DFT-D4 has no parameters for '{functional}'", "method", remedy) from error


def d4_level() -> dict[str, Any]:
    """Part of the level of theory that describes the correction."""
    cutoffs = [PAIR_CUTOFF, TRIPLE_CUTOFF, COORDINATION_CUTOFF]
    return {"model": "D4", "three_body": True, "cutoffs_bohr": cutoffs, "dftd4": package_version("dftd4")}
