"""A model as calculator of ASE (Hjorth Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017), doi:10.1088/1361-648X/aa680e)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from halocline.errors import UserError
from halocline.export.engine import Engine
from halocline.export.membership import Membership, from_distances, from_numbers
from halocline.models.model import Model
from halocline.state import State
from halocline.topology import IntArray


class HaloclineCalculator(Calculator):
    """Energy, forces, stress, charges, dipole and whatever else the model predicts.

    Units are those of ASE: eV, eV/Å, eV/Å^3 with tension positive, e, e Å. What ASE has no word for is in units of
    ``halocline.labels``, for example ``calculator.get_property("polarizability", atoms)`` in Å^3. Dipoles are about the centre of mass of
    all atoms. Cells may repeat in all, some
    or no directions and have any shape; the stress exists where all directions repeat.

    Molecules come from ``molecules``, or else from the array ``molecule`` of the atoms (``State.to_ase`` writes it), or else they are
    recognised from distances, once, and again when a bond has become longer than a bond can be.

    Args:
        model: a model, the file of one, or the name of a shipped one.
        molecules: (n_atoms,) any integers, equal for the atoms of one molecule.
        parameters: of :class:`ase.calculators.calculator.Calculator`.

    Raises:
        UserError: no such model.
    """

    def __init__(self, model: Model | Path | str, molecules: IntArray | Sequence[int] | None = None, **parameters: Any) -> None:
        self._engine = Engine(model)
        self._molecules = None if molecules is None else np.asarray(molecules)
        self._members: Membership | None = None
        self._key: tuple[Any, ...] = ()
        super().__init__(**parameters)
        self.implemented_properties = _properties(self._engine.model)
        self.ignored_changes = {"initial_charges", "initial_magmoms"}

    def calculate(
        self, atoms: ase.Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = tuple(all_changes)
    ) -> None:
        """Fill ``results``; called by ASE.

        Raises:
            UserError: an element or species that the model does not know, or ``molecules`` for another number of atoms.
            RunFailure: atoms that form no known molecule, or forces that are not finite.
            PropertyNotImplementedError: stress where a direction does not repeat.
        """
        super().calculate(atoms, properties, system_changes)
        assert isinstance(self.atoms, ase.Atoms)  # a copy, which the base class has made
        members, state = self._arranged(self.atoms)
        if "energy" in self.implemented_properties:
            result = self._engine.evaluate(members, state)
            self.results.update(energy=result.energy, free_energy=result.energy, forces=result.forces)
            if self.atoms.pbc.all() and result.virial is not None:
                # The virial is symmetric but for rounding.
                self.results["stress"] = full_3x3_to_voigt_6_stress(-result.virial / state.volume)
            elif "stress" in properties:
                raise PropertyNotImplementedError("stress needs a cell that repeats in all directions")
        if not set(properties) <= set(self.results):
            self.results.update(self._engine.others(members, state))

    def _arranged(self, atoms: ase.Atoms) -> tuple[Membership, State]:
        """Molecules of the atoms and their whole state; the same molecules as before as long as these hold together."""
        given = atoms.arrays.get("molecule") if self._molecules is None else self._molecules
        numbers = np.asarray(atoms.numbers, dtype=np.int64)
        positions, cell = atoms.positions, np.array(atoms.cell)
        key = (numbers.tobytes(), None if given is None else np.asarray(given).tobytes())
        members = self._members if key == self._key else None
        if members is not None:
            state = self._engine.arrange(members, positions, cell, atoms.pbc)
            if members.holds(state):
                return members, state
        if not np.isfinite(positions).all():
            raise UserError("positions hold NaN or infinity", "atoms", "Go back to an earlier configuration, with a shorter time step.")
        if given is None:
            members = from_distances(numbers, positions, cell, atoms.pbc)
        else:
            members = from_numbers(numbers, given, self._engine.species)
        self._members, self._key = members, key
        return members, self._engine.arrange(members, positions, cell, atoms.pbc)


def _properties(model: Model) -> list[str]:
    names = ["energy", "free_energy", "forces", "stress"] if "energy" in model.heads else []
    others = [name for name in model.heads if name != "energy"]
    # Dipoles and quadrupoles are made of charges, whether or not these have a head of their own.
    made_of_charges = bool({"dipole", "quadrupole"} & set(others)) and "charges" not in others
    return [*names, *others, *(["charges"] if made_of_charges else [])]
