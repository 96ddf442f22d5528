"""Labels, words and charges of a published file, brought to our names and conventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import ase
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from halocline.datasets.fragments import WORD, assign_charges
from halocline.datasets.multipoles import sums_over_molecules, wannier_dipoles
from halocline.errors import RunFailure
from halocline.labels import QUANTITIES, Labels
from halocline.molecules.base import Molecule
from halocline.state import State
from halocline.topology import FloatArray, IntArray

PREFIX = "halocline_"
ALIASES = {"quadrupole_traceless": "quadrupole", "mbis_charge": "charges"}
"""Name in a file -> quantity, of equal unit and definition."""
WANNIER = {"wannier_centroid": 1.0, "wannier_sum4": 0.25}
"""Array of a file -> factor to the mean displacement of the Wannier centres from their atom, Å."""
_USED = {*QUANTITIES, *ALIASES, "config_type"}


def stored_labels(atoms: ase.Atoms) -> Labels:
    """Every known quantity, from our own names first, then from ASE's calculator, ``info`` and ``arrays``."""
    results = {} if atoms.calc is None else atoms.calc.results
    places = [("", results), ("", atoms.info), ("", atoms.arrays)]
    own = [(PREFIX, atoms.info), (PREFIX, atoms.arrays)]
    labels: Labels = {}
    for name in QUANTITIES:
        # Other programs keep values of molecules at atoms, see derived_labels.
        for prefix, place in own if QUANTITIES[name].extent == "molecule" else own + places:
            if prefix + name in place:
                labels[name] = _shaped(place[prefix + name], name)
                break
    for alias, name in ALIASES.items():
        found = [place[alias] for _, place in places if alias in place]
        if found and name not in labels:
            labels[name] = _shaped(found[0], name)
    return labels


def derived_labels(atoms: ase.Atoms, state: State, order: IntArray, charges: Mapping[str, int], where: str) -> Labels:
    """Molecular dipoles from Wannier centres and molecular polarizabilities from atoms, where the file has their arrays.

    Args:
        atoms: as in the file.
        state: its whole molecules.
        order: (n_atoms,) index into ``atoms`` of each atom of the state.
        charges: of the species, e.
        where: file and frame, for messages.

    Raises:
        RunFailure: see :func:`wannier_dipoles`.
    """
    labels: Labels = {}
    for name, factor in WANNIER.items():
        if name in atoms.arrays:
            displacements = factor * np.asarray(atoms.arrays[name], dtype=np.float64)[order]
            labels["molecular_dipole"] = wannier_dipoles(displacements, state, charges, where)
    if "molecular_polarizability" in atoms.arrays:
        tensors = np.asarray(atoms.arrays["molecular_polarizability"], dtype=np.float64)[order]
        labels["molecular_polarizability"] = sums_over_molecules(tensors.reshape(-1, 3, 3), state)
    return labels


def scalar_words(info: Mapping[str, Any]) -> dict[str, object]:
    """What a file says of a frame in single numbers and words, such as its temperature; labels and our own words left out."""
    words: dict[str, object] = {}
    for name, value in info.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, str | bool | int | float) and name not in _USED and not name.startswith(PREFIX):
            words[name] = plain
    return words


def with_charges(state: State, known: Mapping[str, Molecule], where: str) -> tuple[State, dict[str, int], int]:
    """The state with the charges of species that its file alone knows, the charges of all its species, and their sum.

    Raises:
        RunFailure: the charge stated in the file is not that of its molecules, or does not tell those of unknown ones.
    """
    names, stated = state.topology.species, state.info.get("charge")
    charges = {name: known[name].charge for name in names if name in known}
    if len(charges) < len(names):
        if stated is None and not state.periodic:
            remedy = "Add the word 'charge' to each frame."
            raise RunFailure("the file does not say the charge of a cluster of unknown molecules", where, remedy)
        # Boxes repeat and are neutral unless stated otherwise.
        found = assign_charges(state, known, round(cast(float, stated or 0)), where)
        state = replace(state, info={**state.info, WORD: found})
        charges |= found
    total = sum(charges[names[kind]] for kind in state.topology.molecule_species.tolist())
    if stated is not None and total != stated:
        remedy = "Look for missing atoms, or correct the word 'charge'."
        raise RunFailure(f"the file states a charge of {stated} e, its molecules have {total} e", where, remedy)
    return state, charges, total


def _shaped(value: Any, name: str) -> FloatArray:
    """Tensors written flat, and stresses in the order of Voigt, as square arrays."""
    quantity, array = QUANTITIES[name], np.asarray(value, dtype=np.float64)
    if quantity.extent == "molecule":
        return array.reshape(-1, *quantity.shape)
    if quantity.shape == (3, 3) and array.shape == (6,):
        return cast(FloatArray, voigt_6_to_full_3x3_stress(array))
    return array.reshape(3, 3) if quantity.shape == (3, 3) and array.shape == (9,) else array
