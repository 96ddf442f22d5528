"""The coupling of a study."""

from __future__ import annotations

import inspect
from typing import Any

from halocline import registry
from halocline.adress.coupling.base import Coupling
from halocline.potentials.base import Potential


def make_coupling(section: Any, fine: Potential, coarse: Potential, *further: Potential) -> Coupling:
    """The coupling named by a study's ``coupling`` section, with that section's options.

    Args:
        section: with ``name``; further arguments of the coupling that are keys of the section are taken from there.
        fine, coarse: potentials of S1 and of the reservoir.
        further: potentials of a deeper stack, outwards, for couplings that take them.

    Raises:
        UserError: unknown coupling, an option or a potential that it refuses.
    """
    kind: type[Coupling] = registry.get("couplings", section.name, "study file: coupling.name")
    names = list(inspect.signature(kind).parameters)[2:]
    return kind(fine, coarse, *further, **{name: getattr(section, name) for name in names if hasattr(section, name)})
