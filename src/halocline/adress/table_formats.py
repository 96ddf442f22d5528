"""Thermodynamic forces in the files of other programs.

| format | columns | coordinate | sign |
| --- | --- | --- | --- |
| GROMACS | distance, potential, force | from the centre, nm; kJ/mol; kJ/mol/nm | force = -dpotential/ddistance, positive outwards |
| ESPResSo++ | x, energy, force | from the centre, in units that the caller states | the same |
| MRMD | line 1 bin centres, line 2 forces | x in the whole box from 0, stated units | along +x: antisymmetric halves |

Ours is positive outwards at all distances, so the left half of an MRMD table changes its sign. Potentials are zero in AT. A file
holds one species; numbers are printed with all digits of double precision, in which a table that is read again agrees.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.errors import UserError
from halocline.files import write_text
from halocline.topology import FloatArray
from halocline.units import KILOJOULE_PER_MOLE

NANOMETRE = 10.0
"""Å."""


def write_gromacs(force: ThermodynamicForce, path: Path, species: str | None = None) -> None:
    """A table for GROMACS: distance (nm), potential (kJ/mol), force (kJ/mol/nm), from zero in steps of half a bin.

    Args:
        species: which table; may be left out if there is one only.

    Raises:
        UserError: unknown species.
    """
    _write_columns(force, path, species, NANOMETRE, KILOJOULE_PER_MOLE)


def read_gromacs(path: Path, force: ThermodynamicForce, species: str | None = None) -> ThermodynamicForce:
    """``force`` with the table of one species taken from a GROMACS table.

    Raises:
        UserError: not such a table, or one that does not cover the window.
    """
    return _read_columns(path, force, species, NANOMETRE, KILOJOULE_PER_MOLE)


def write_espressopp(force: ThermodynamicForce, path: Path, length_unit: float, energy_unit: float, species: str | None = None) -> None:
    """A table for ESPResSo++: distance, energy, force, in the units of that simulation.

    Args:
        length_unit: Å per unit (sigma of reduced units, or 10 for nm).
        energy_unit: eV per unit (epsilon, or :data:`~halocline.units.KILOJOULE_PER_MOLE`).

    Raises:
        UserError: unknown species.
    """
    _write_columns(force, path, species, length_unit, energy_unit)


def read_espressopp(
    path: Path, force: ThermodynamicForce, length_unit: float, energy_unit: float, species: str | None = None
) -> ThermodynamicForce:
    """``force`` with the table of one species taken from an ESPResSo++ table; units as in :func:`write_espressopp`.

    Raises:
        UserError: not such a table, or one that does not cover the window.
    """
    return _read_columns(path, force, species, length_unit, energy_unit)


def write_mrmd(force: ThermodynamicForce, path: Path, length_unit: float, energy_unit: float, species: str | None = None) -> None:
    """A table for MRMD: bin centres over the whole box, of which ours is one half, and the forces along x.

    Raises:
        UserError: unknown species.
    """
    kind = _kind(force, species)
    outward = force.force(force.centres, kind)
    x = np.concatenate([force.length - force.centres[::-1], force.length + force.centres])
    along = np.concatenate([-outward[::-1], outward])
    rows = (x / length_unit, along * length_unit / energy_unit)
    write_text(path, "".join(" ".join(f"{value:.15e}" for value in row) + "\n" for row in rows))


def read_mrmd(
    path: Path, force: ThermodynamicForce, length_unit: float, energy_unit: float, species: str | None = None
) -> ThermodynamicForce:
    """``force`` with the table of one species taken from an MRMD table; what is not antisymmetric averages out.

    Raises:
        UserError: not such a table, another box, or a table that does not cover the window.
    """
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    try:
        x, along = (np.array(line.split(), dtype=np.float64) for line in lines)
        if len(x) != len(along) or len(x) < 4:
            raise ValueError(f"{len(x)} centres and {len(along)} forces")
    except ValueError as error:
        raise UserError(f"not an MRMD table ({error})", str(path), "It has two lines: bin centres and forces.") from error
    x, along = x * length_unit, along * energy_unit / length_unit
    middle = 0.5 * (x[0] + x[-1])
    if abs(middle - force.length) > 0.5 * (x[1] - x[0]):
        raise UserError(
            f"the table is centred at {middle:.4g} A but half the box is {force.length:.4g} A",
            str(path),
            "Give the length unit of that simulation, and a force of the same box.",
        )
    right = x > middle
    left_values = np.interp(2.0 * middle - x[right], x, along)
    return _fill(force, species, x[right] - middle, 0.5 * (along[right] - left_values), path)


def _kind(force: ThermodynamicForce, species: str | None) -> int:
    if species is None and len(force.species) == 1:
        return 0
    if species not in force.species:
        what = f"the thermodynamic force has no single table '{species}'" if species else "the thermodynamic force has several species"
        raise UserError(what, "species", f"Name one of: {', '.join(force.species)}.")
    return force.species.index(species)


def _write_columns(force: ThermodynamicForce, path: Path, species: str | None, length: float, energy: float) -> None:
    kind = _kind(force, species)
    # Steps of half a bin from zero hit every bin centre.
    distance = np.arange(2 * len(force.centres) + 1, dtype=np.float64) * (0.5 * force.width)
    distance[1::2] = force.centres
    columns = (distance / length, force.energy(distance, kind) / energy, force.force(distance, kind) * length / energy)
    write_text(path, "".join(" ".join(f"{value:.15e}" for value in row) + "\n" for row in zip(*columns)))


def _read_columns(path: Path, force: ThermodynamicForce, species: str | None, length: float, energy: float) -> ThermodynamicForce:
    try:
        rows = np.loadtxt(path, comments=("#", "@"), ndmin=2)
        if rows.shape[1] < 3 or len(rows) < 2:
            raise ValueError(f"{len(rows)} rows of {rows.shape[1]} columns")
    except ValueError as error:
        remedy = "It has three columns: distance, potential, force."
        raise UserError(f"not a table of a thermodynamic force ({error})", str(path), remedy) from error
    return _fill(force, species, rows[:, 0] * length, rows[:, 2] * energy / length, path)


def _fill(force: ThermodynamicForce, species: str | None, distance: FloatArray, outward: FloatArray, path: Path) -> ThermodynamicForce:
    """One table replaced by the interpolated values, zero outside the window."""
    kind, inside = _kind(force, species), force.in_window()
    if not (np.diff(distance) > 0).all() or not np.isfinite(outward).all():
        raise UserError("distances do not increase, or forces are not finite", str(path), "Sort the table and remove bad rows.")
    first, last = force.centres[inside][[0, -1]]
    if distance[0] > first + 1e-6 or distance[-1] < last - 1e-6:
        raise UserError(
            f"the table covers {distance[0]:.4g} to {distance[-1]:.4g} A, the window of the thermodynamic force needs "
            f"{first:.4g} to {last:.4g} A",
            str(path),
            "Check the units, extend the table, or make the window narrower (calibration.margin).",
        )
    tables = force.tables.copy()
    tables[kind] = np.where(inside, np.interp(force.centres, distance, outward), 0.0)
    return force.copy(tables)
