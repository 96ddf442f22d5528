"""Multipoles of published files brought to the conventions of :data:`halocline.labels.QUANTITIES`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from halocline.errors import RunFailure
from halocline.labels import Labels
from halocline.state import State
from halocline.topology import FloatArray

VALENCE = {1: 1, 5: 3, 6: 4, 7: 5, 8: 6, 9: 7, 14: 4, 15: 5, 16: 6, 17: 7, 35: 7, 53: 7}
"""Atomic number -> electrons outside the core, of elements whose pseudopotentials all leave the same."""


def move_origin(labels: Labels, charge: float, displacement: FloatArray) -> Labels:
    """Dipole and quadrupole about another origin, displaced by R from the one they are given about.

    With r' = r - R, dipole mu = sum q r and quadrupole Q = 1/2 sum q (3 r r - r^2 1)::

        mu' = mu - q R
        Q'  = Q - 1/2 (3 mu R + 3 R mu - 2 mu.R 1) + q/2 (3 R R - R^2 1)

    Args:
        labels: those without a dipole or quadrupole are passed on.
        charge: total charge q, e.
        displacement: R, (3,), Å.

    Raises:
        RunFailure: a quadrupole without the dipole that its shift needs.
    """
    if "quadrupole" in labels and "dipole" not in labels:
        remedy = "Take the dipole along, or leave the quadrupole out."
        raise RunFailure("a quadrupole cannot be moved to the centre of mass without a dipole", "multipoles", remedy)
    if "dipole" not in labels:
        return labels
    dipole, moved = labels["dipole"], dict(labels)
    moved["dipole"] = dipole - charge * displacement
    if "quadrupole" in labels:
        crossed = np.outer(dipole, displacement)
        shift = 1.5 * (crossed + crossed.T) - (dipole @ displacement) * np.eye(3)
        moved["quadrupole"] = labels["quadrupole"] - shift + charge * traceless(np.outer(displacement, displacement))
    return moved


def traceless(second_moment: FloatArray) -> FloatArray:
    """1/2 (3 M - tr(M) 1) of a second moment M = sum q r r, shape (3, 3)."""
    return 1.5 * second_moment - 0.5 * np.trace(second_moment) * np.eye(3)


def sums_over_molecules(values: FloatArray, state: State) -> FloatArray:
    """(n_molecules, ...) sums of (n_atoms, ...) values."""
    return np.add.reduceat(values, state.topology.offsets[:-1], axis=0)


def wannier_dipoles(displacements: FloatArray, state: State, charges: Mapping[str, int], where: str) -> FloatArray:
    """Molecular dipoles about centres of mass, e Å, from the Wannier centres of valence electrons.

    Every molecule keeps all of its doubly occupied centres at one atom c. With valence charges Z, displacement w of their
    mean from that atom and n = sum Z - q electrons::

        mu = sum Z (r - R) - n (r_c + w - R)

    Args:
        displacements: (n_atoms, 3) w in Å at that atom, zero at all others.
        state: whole molecules.
        charges: of the species, e.
        where: file and frame, for messages.

    Returns:
        (n_molecules, 3).

    Raises:
        RunFailure: an element of unknown number of valence electrons, or centres at none or several atoms of a molecule.
    """
    topology = state.topology
    missing = sorted(set(topology.atomic_numbers.tolist()) - set(VALENCE))
    if missing:
        what = f"Wannier centres cannot be turned into dipoles for the atomic numbers {missing}"
        raise RunFailure(what, where, "Their number of valence electrons depends on the pseudopotential: leave the frame out.")
    bearer = np.any(displacements != 0.0, axis=1)
    counts = sums_over_molecules(bearer.astype(np.int64), state)
    if np.any(counts != 1):
        remedy = "Each molecule needs the mean of its centres at one atom."
        raise RunFailure(f"Wannier centres are at {counts.min()} to {counts.max()} atoms of a molecule", where, remedy)
    valence = np.array([VALENCE[number] for number in topology.atomic_numbers.tolist()], dtype=np.float64)
    charge = np.array([charges[name] for name in topology.species], dtype=np.float64)[topology.molecule_species]
    away = state.positions - state.centres_of_mass[topology.molecule_of_atom]
    electrons = sums_over_molecules(valence, state) - charge
    return sums_over_molecules(valence[:, None] * away, state) - electrons[:, None] * (away + displacements)[bearer]
