"""Tracers: molecules that do not feel each other."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from halocline import registry
from halocline.adress.reservoir.base import Reservoir
from halocline.config.study import Study
from halocline.potentials.base import Potential

STRONG_FRICTION = {False: 0.009, True: 0.02}
"""1/fs, below which the heat of tracers that become molecules is not carried away; without and with charges."""


class TracerReservoir(Reservoir):
    """Nothing between molecules, and what holds flexible ones together within them."""

    name = "tracer"
    summary = "an ideal gas of tracers"
    force_fields: ClassVar[frozenset[str]] = frozenset({"learned", "classical"})
    is_ideal = True
    kirkwood_power = 4

    def between(self, study: Study, trained: Path | None) -> Potential | None:
        return None

    def notes(self, study: Study) -> list[str]:
        if not study.is_classical:
            return []
        sites = [site for name in study.system.molecules for site in registry.get("molecules", name).nonbonded]
        if not any(site.epsilon > 0.0 for site in sites):
            return []
        notes, strong = [], STRONG_FRICTION[any(site.charge != 0.0 for site in sites)]
        friction = min(study.dynamics.friction_transition, study.dynamics.friction_reservoir)
        if study.regions.hysteresis > 0.0:
            notes.append(
                f"tracers overlap with molecules as they enter: a hysteresis of {study.regions.hysteresis:g} A makes that worse; "
                "regions.hysteresis: 0 A suits them"
            )
        if friction < strong:
            notes.append(
                f"tracers release much heat as they enter, and the weakest friction outside AT is {1e3 * friction:g} /ps: "
                f"use at least {1e3 * strong:g} /ps, or coupling.reservoir: table"
            )
        return notes
