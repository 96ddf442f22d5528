"""Units: eV, Å, fs, amu, K and e inside; text with a unit at the edge.

Constants are CODATA 2018; conversions follow from them. Quantities written by people (``0.5 fs``, ``0.997 g/cm3``) are
parsed once, by :func:`parse_quantity`, and never travel as text.
"""

from __future__ import annotations

import math
import re

from halocline.errors import UserError

BOLTZMANN = 8.617333262e-5
"""Boltzmann constant, eV/K."""
COULOMB = 14.399645478
"""e^2/(4 pi epsilon_0), eV Å."""
ACCELERATION = 9.648533212e-3
"""One (eV/Å)/amu in Å/fs^2; also one eV/amu in Å^2/fs^2."""
HARTREE = 27.211386245988
"""One hartree in eV."""
BOHR = 0.529177210903
"""One bohr in Å."""
DEBYE = 0.20819434
"""One debye in e Å."""
ATOMIC_POLARIZABILITY = BOHR**3
"""One atomic unit of polarizability in Å^3."""
KILOJOULE_PER_MOLE = 1.0 / 96.48533212
"""One kJ/mol in eV."""
KILOCALORIE_PER_MOLE = 4.184 * KILOJOULE_PER_MOLE
BAR = 6.241509074e-7
"""One bar in eV/Å^3."""
AMU_PER_CUBIC_ANGSTROM = 0.602214076
"""One g/cm^3 in amu/Å^3."""

_UNITS: dict[str, dict[str, float]] = {
    "length": {"A": 1.0, "Å": 1.0, "angstrom": 1.0, "nm": 10.0, "bohr": BOHR, "pm": 0.01},
    "time": {"fs": 1.0, "ps": 1e3, "ns": 1e6},
    "duration": {"s": 1.0, "min": 60.0, "h": 3600.0},
    "temperature": {"K": 1.0},
    "energy": {"eV": 1.0, "meV": 1e-3, "kJ/mol": KILOJOULE_PER_MOLE, "kcal/mol": KILOCALORIE_PER_MOLE, "Ha": HARTREE},
    "force": {"eV/A": 1.0, "eV/Å": 1.0, "meV/A": 1e-3, "kJ/mol/nm": KILOJOULE_PER_MOLE / 10.0},
    "density": {"g/cm3": AMU_PER_CUBIC_ANGSTROM, "kg/m3": AMU_PER_CUBIC_ANGSTROM / 1000.0, "g/ml": AMU_PER_CUBIC_ANGSTROM},
    "rate": {"/fs": 1.0, "1/fs": 1.0, "/ps": 1e-3, "1/ps": 1e-3},
    "pressure": {"eV/A3": 1.0, "bar": BAR, "kbar": 1e3 * BAR, "GPa": 1e4 * BAR, "MPa": 10 * BAR},
    "compressibility": {"/bar": 1.0 / BAR, "1/bar": 1.0 / BAR, "/GPa": 1e-4 / BAR, "1/GPa": 1e-4 / BAR, "A3/eV": 1.0},
    "fraction": {"%": 0.01, "": 1.0},
    "dipole": {"eA": 1.0, "D": DEBYE},
    "inverse length": {"/A": 1.0, "1/A": 1.0, "/nm": 0.1, "1/nm": 0.1},
}

DISPLAY_UNIT = {
    "length": "A", "time": "fs", "duration": "s", "temperature": "K", "energy": "eV", "force": "eV/A",
    "density": "g/cm3", "rate": "/ps", "pressure": "bar", "compressibility": "/bar", "fraction": "", "dipole": "D",
    "inverse length": "/A",
}  # fmt: skip
"""Unit in which a dimension is written for people."""

_QUANTITY = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")


def parse_quantity(text: str | float | int, dimension: str, where: str = "value") -> float:
    """Turn ``0.5 fs`` into a number in internal units.

    A bare number is refused unless the dimension is ``fraction``: a number without a unit is the commonest silent error.

    Raises:
        UserError: unknown unit, missing unit, or not a finite number.
    """
    units = _UNITS[dimension]
    example = f"1 {DISPLAY_UNIT[dimension]}".strip()
    match = _QUANTITY.match(str(text))
    if match is None or isinstance(text, bool):
        raise UserError(f"'{text}' is not a quantity of {dimension}", where, f"Write a number and a unit, for example '{example}'.")
    number, unit = float(match.group(1)), match.group(2).replace("**", "").replace("^", "")
    if unit not in units:
        known = ", ".join(name for name in units if name)
        problem = f"'{text}' has no unit" if not unit else f"'{unit}' is not a unit of {dimension}"
        raise UserError(problem, where, f"Use one of: {known} (for example '{example}').")
    value = number * units[unit]
    if not math.isfinite(value):
        raise UserError(f"'{text}' is not finite", where, "Give a finite number.")
    return value


def format_quantity(value: float, dimension: str) -> str:
    """Write an internal value as text that :func:`parse_quantity` reads back."""
    unit = DISPLAY_UNIT[dimension]
    return f"{value / _UNITS[dimension][unit]:.6g} {unit}".strip()


def thermal_energy(temperature: float) -> float:
    """kT in eV of a temperature in K."""
    return BOLTZMANN * temperature
