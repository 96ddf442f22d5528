"""Named quantities with unit, shape and origin; the words that engines, datasets and heads share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from halocline.errors import RunFailure
from halocline.topology import FloatArray

Extent = Literal["frame", "atom", "molecule"]


@dataclass(frozen=True)
class Quantity:
    """One kind of label.

    Attributes:
        unit: internal unit.
        extent: one value per frame, per atom or per molecule.
        shape: of one value; () for a scalar.
        origin: where multipoles are taken about; "" where it does not matter.
    """

    name: str
    unit: str
    extent: Extent
    shape: tuple[int, ...]
    origin: str = ""


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity("energy", "eV", "frame", ()),
        Quantity("dispersion_energy", "eV", "frame", ()),
        Quantity("forces", "eV/A", "atom", (3,)),
        Quantity("stress", "eV/A^3", "frame", (3, 3)),
        Quantity("charges", "e", "atom", ()),
        Quantity("dipole", "e A", "frame", (3,), "centre of mass"),
        Quantity("quadrupole", "e A^2", "frame", (3, 3), "centre of mass"),
        Quantity("polarizability", "A^3", "frame", (3, 3)),
        Quantity("molecular_dipole", "e A", "molecule", (3,), "centre of mass of each molecule"),
        Quantity("molecular_polarizability", "A^3", "molecule", (3, 3)),
        Quantity("homo", "eV", "frame", ()),
        Quantity("lumo", "eV", "frame", ()),
    )
}
"""stress: tensile positive, (1/V) dE/d(strain). quadrupole: traceless, 1/2 sum q (3 r r - r^2 1).

A frame may lack any of them: its labels then do not have the name. A label that is there is finite.
"""


Labels = dict[str, FloatArray]
"""Quantity name -> array of shape ``(n_atoms,) + shape``, ``(n_molecules,) + shape`` or ``shape``; scalars are 0-d arrays."""


def check_labels(labels: Mapping[str, FloatArray], n_atoms: int, where: str, n_molecules: int | None = None) -> None:
    """Refuse labels of unknown name, wrong shape or non-finite value; the number of molecules is not checked where it is None.

    Raises:
        RunFailure: with the name, the shape and the place.
    """
    for name, value in labels.items():
        if name not in QUANTITIES:
            raise RunFailure(f"'{name}' is not a known quantity", where, f"Known: {', '.join(QUANTITIES)}.")
        quantity = QUANTITIES[name]
        count = {"frame": (), "atom": (n_atoms,), "molecule": (np.shape(value)[:1] if n_molecules is None else (n_molecules,))}
        expected = count[quantity.extent] + quantity.shape
        if np.shape(value) != expected:
            raise RunFailure(f"'{name}' has shape {np.shape(value)}, expected {expected}", where, "Label this frame again.")
        if not np.all(np.isfinite(value)):
            raise RunFailure(f"'{name}' holds NaN or infinity", where, "Remove this frame, or label it again.")
