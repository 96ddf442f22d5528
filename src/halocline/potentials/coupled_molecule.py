"""One molecule whose interaction with all others is turned on by degrees: first its soft cores, then its charges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from halocline.errors import UserError
from halocline.potentials.base import BoolArray, Evaluation, Potential
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.insertion import relative_sites, surroundings
from halocline.potentials.kernels import single_molecule
from halocline.potentials.kernels.neighbours import require_room
from halocline.potentials.learned import require_finite
from halocline.topology import FloatArray, Topology

SOFTNESS = 0.5
"""alpha of the soft core for a coupling that enters linearly (Shirts and Pande, 10.1063/1.1877132)."""


@dataclass(frozen=True)
class CouplingStrength:
    """How much of a molecule's interaction is there.

    Attributes:
        lennard_jones: from 0 (a ghost) to 1.
        charge: factor of its Coulomb energies, from 0 to 1; more than zero only on full cores, since charges collapse on soft ones.

    Raises:
        UserError: out of these bounds.
    """

    lennard_jones: float
    charge: float

    def __post_init__(self) -> None:
        if not (0 <= self.lennard_jones <= 1 and 0 <= self.charge <= 1):
            found = f"couplings are {self.lennard_jones} and {self.charge}"
            raise UserError(found, "CouplingStrength", "Give numbers from 0 to 1.")
        if self.charge > 0 and self.lennard_jones < 1:
            found = f"charges are coupled by {self.charge} while Lennard-Jones is at {self.lennard_jones}"
            raise UserError(found, "CouplingStrength", "Turn the charges on after the cores: lennard_jones = 1.")


class CoupledMolecule(Potential):
    """Interaction of one tagged molecule with all others at a coupling; the others do not feel each other.

        U = sum over pairs of sites of U_LJ(r; lennard_jones) + charge k q q g(r)

    with the soft-core form of Beutler et al., Chem. Phys. Lett. 222, 529 (1994), doi 10.1016/0009-2614(94)00397-1, in
    :mod:`halocline.potentials.kernels.single_molecule`. At (1, 1) it is the energy that the tagged molecule adds to
    :class:`ClassicalMolecules`, at (0, 0) nothing.

    Args:
        classical: where parameters, cut-off and electrostatics come from.
        tagged: number of the molecule.
        strength: coupling; may be changed at any time.
        alpha: softness.

    Raises:
        UserError: the potential has a force cap, which is of no use for a molecule that grows.
    """

    def __init__(
        self, classical: ClassicalMolecules, tagged: int, strength: CouplingStrength | None = None, alpha: float = SOFTNESS
    ) -> None:
        if np.isfinite(classical.force_cap):
            found = f"the potential has a force cap of {classical.force_cap:g} eV/A"
            raise UserError(found, "CoupledMolecule", "Leave the cap away: soft cores grow without overlaps.")
        self.classical, self.tagged, self.alpha = classical, tagged, alpha
        self.strength = CouplingStrength(1.0, 1.0) if strength is None else strength
        self.interaction_range = classical.cutoff

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        if not 0 <= self.tagged < topology.n_molecules:
            found = f"molecule {self.tagged} of {topology.n_molecules} is tagged"
            raise UserError(found, "CoupledMolecule", "Count from zero.")
        self._topology = topology
        self._around = surroundings(self.classical, topology, cell, topology.species[topology.molecule_species[self.tagged]])
        self._n_own = int(topology.offsets[self.tagged + 1] - topology.offsets[self.tagged])
        self._others = np.arange(topology.n_molecules) != self.tagged

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        topology, strength = self._topology, self.strength
        forces, tensor, energy = np.zeros((topology.n_atoms, 3)), np.zeros((3, 3)), 0.0
        if subset is None or subset[self.tagged]:
            points, sites, radius = self._sites(positions)
            around = self._around._replace(present=self._others if subset is None else self._others & subset)
            energy = single_molecule.coupled(
                self.tagged, self._n_own, points, sites, radius, strength.lennard_jones, strength.charge, self.alpha, around, forces, tensor
            )
        require_finite(energy, forces, topology)
        return Evaluation(energy, forces, tensor if virial else None, np.zeros(topology.n_molecules, dtype=np.int64))

    def energies(self, positions: FloatArray, couplings: FloatArray) -> FloatArray:
        """Energies of the tagged molecule at many couplings.

        Args:
            positions: (n_atoms, 3), Å.
            couplings: (n, 2) of Lennard-Jones and of charges.

        Returns:
            (n,), eV.
        """
        points, sites, radius = self._sites(positions)
        around, result = self._around._replace(present=self._others), np.zeros(len(couplings))
        table = np.ascontiguousarray(couplings, dtype=np.float64)
        single_molecule.coupled_energies(self.tagged, self._n_own, points, sites, radius, table, self.alpha, around, result)
        return result

    def _sites(self, positions: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        points, sites, radius = relative_sites(self._topology, positions)
        require_room(self.classical.cutoff + 2 * radius, self._around.edges)
        return points, sites, radius


class PartlyCoupled(Potential):
    """Classical molecules, one of them coupled to the others by degrees only.

    Args:
        classical: interaction of all molecules but the tagged one.
        coupled: interaction of the tagged molecule.
        within: energy within molecules, of all of them, or None for rigid ones. It is not scaled: the molecule grows from an
            ideal gas of whole molecules.
    """

    def __init__(self, classical: ClassicalMolecules, coupled: CoupledMolecule, within: Potential | None = None) -> None:
        self.classical, self.coupled, self.within = classical, coupled, within
        self.interaction_range = classical.interaction_range

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        for part in (self.classical, self.coupled, self.within):
            if part is not None:
                part.bind(topology, cell)
        self._others = np.arange(topology.n_molecules) != self.coupled.tagged

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        others = self._others if subset is None else self._others & subset
        parts = [self.classical.evaluate(positions, others, virial), self.coupled.evaluate(positions, subset, virial)]
        if self.within is not None:
            parts.append(self.within.evaluate(positions, subset, virial))
        total = parts[0]
        for part in parts[1:]:
            both = None if total.virial is None or part.virial is None else total.virial + part.virial
            total = Evaluation(total.energy + part.energy, total.forces + part.forces, both, total.capped + part.capped)
        return total

    def reset(self) -> None:
        self.classical.reset()
        if self.within is not None:
            self.within.reset()
