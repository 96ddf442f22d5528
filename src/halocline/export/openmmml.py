"""Models as potentials of OpenMM-ML (Eastman et al., J. Phys. Chem. B 128, 109 (2024), doi:10.1021/acs.jpcb.3c06662).

OpenMM-ML finds this module by its entry point:

    MLPotential("halocline", model="water.safetensors").createSystem(topology)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

from halocline.errors import UserError
from halocline.export.openmm import add_force
from halocline.models.model import Model


class HaloclinePotentialImplFactory(MLPotentialImplFactory):
    """Makes the potential of the name ``halocline``."""

    def createImpl(self, name: str, model: Model | Path | str | None = None, **arguments: Any) -> HaloclinePotentialImpl:
        """
        Args:
            name: of the potential.
            model: a model, the file of one, or the name of a shipped one.
            arguments: none; refused.

        Raises:
            UserError: no model, or an unknown argument.
        """
        if model is None:
            raise UserError("no model is named", "MLPotential", "Give one: MLPotential('halocline', model='water.safetensors').")
        _refuse(arguments, "MLPotential")
        return HaloclinePotentialImpl(model)


class HaloclinePotentialImpl(MLPotentialImpl):
    """A model that acts on a whole topology, or on some of its molecules as if they were alone."""

    def __init__(self, model: Model | Path | str) -> None:
        self.model = model

    def addForces(self, topology: Any, system: Any, atoms: Iterable[int] | None, forceGroup: int, **arguments: Any) -> None:
        """Add the force; called by OpenMM-ML. See :func:`halocline.export.openmm.add_force`.

        Raises:
            UserError: an unknown argument, or whatever ``add_force`` refuses.
        """
        _refuse(arguments, "createSystem")
        periodic = topology.getPeriodicBoxVectors() is not None or system.usesPeriodicBoundaryConditions()
        add_force(system, topology, self.model, None if atoms is None else list(atoms), forceGroup, periodic)


def _refuse(arguments: dict[str, Any], where: str) -> None:
    if arguments:
        raise UserError(f"unknown arguments {', '.join(sorted(arguments))}", where, "A model of halocline takes no further arguments.")
