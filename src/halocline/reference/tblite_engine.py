"""Extended tight binding through tblite: fast electronic structure of boxes and clusters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np

from halocline.errors import UserError
from halocline.labels import Labels
from halocline.reference.base import (
    BadInput,
    NotConverged,
    ReferenceEngine,
    package_missing,
    package_version,
    total_charge,
)
from halocline.state import State
from halocline.units import BOHR, HARTREE

METHODS = ("GFN1-xTB", "GFN2-xTB")
ACCURACY = 0.1
"""tblite's accuracy factor (default 1). Costs 1 % more time in water and makes GFN2 forces 50 times closer to the gradient."""
MAX_CYCLES = 250


class TbliteEngine(ReferenceEngine):
    """GFN1-xTB (J. Chem. Theory Comput. 13, 1989, doi 10.1021/acs.jctc.7b00118) or GFN2-xTB (15, 1652,
    doi 10.1021/acs.jctc.8b01176), whose own dispersion correction is part of the method.

    Its dipoles are inflated and its polarizabilities useless (0.42 Å^3 for water, 1.45 measured): take those from
    another engine. It therefore provides no polarizability.
    """

    name = "tblite"
    summary = "GFN1-xTB or GFN2-xTB of periodic boxes and clusters: energy, forces, stress, charges"
    provides: ClassVar[frozenset[str]] = frozenset({"energy", "forces", "stress", "charges", "dipole"})
    periodic = True
    molecular = True

    def __init__(self, method: str = "GFN1-xTB") -> None:
        if method not in METHODS:
            raise UserError(f"tblite has no method '{method}'", "reference.method", f"Use one of: {', '.join(METHODS)}.")
        self.method = method

    def level(self) -> dict[str, Any]:
        return {"engine": self.name, "method": self.method, "accuracy": ACCURACY, "tblite": package_version("tblite")}

    @classmethod
    def missing(cls) -> str | None:
        return package_missing("tblite")

    def calculate(self, state: State, quantities: Collection[str]) -> Labels:
        """One self-consistent calculation from scratch, so that a label never depends on what was computed before it."""
        from tblite.exceptions import TBLiteRuntimeError, TBLiteValueError
        from tblite.interface import Calculator

        topology = state.topology
        cell: dict[str, Any] = {"lattice": state.cell / BOHR, "periodic": np.ones(3, dtype=bool)} if state.periodic else {}
        charge = total_charge(topology)
        try:
            calculator = Calculator(self.method, topology.atomic_numbers, state.positions / BOHR, charge=float(charge), **cell)
            for key, value in (("verbosity", 0), ("accuracy", ACCURACY), ("max-iter", MAX_CYCLES)):
                calculator.set(key, value)
            result = calculator.singlepoint()
        except (TBLiteRuntimeError, TBLiteValueError) as error:
            raise _typed(error, self.method) from error
        labels: Labels = {
            "energy": np.asarray(result["energy"]) * HARTREE,
            "forces": -np.asarray(result["gradient"]) * HARTREE / BOHR,
            "charges": np.asarray(result["charges"]),
        }
        if state.periodic:
            # tblite's virial is dE/d(strain)
            labels["stress"] = np.asarray(result["virial"]) * HARTREE / state.volume
        else:
            centre = topology.masses @ state.positions / topology.masses.sum()
            labels["dipole"] = np.asarray(result["dipole"]) * BOHR - charge * centre
        return labels


def _typed(error: Exception, method: str) -> NotConverged | BadInput:
    message = " ".join(str(error).split())
    if "not converged" in message:
        return NotConverged(message, f"{method} (tblite)", "Look at the geometry; this configuration gets no label.")
    return BadInput(message, f"{method} (tblite)", "Look at the elements and the geometry; this configuration gets no label.")
