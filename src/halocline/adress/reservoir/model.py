"""Beads of a learned model, taught by the atomistic one."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from halocline.adress.reservoir.base import Reservoir
from halocline.config.study import Study
from halocline.potentials.base import Potential
from halocline.potentials.learned import LearnedBeads


class ModelReservoir(Reservoir):
    """One bead for each molecule, with forces learned from the mean forces on centres of mass."""

    name = "model"
    summary = "a liquid of learned beads"
    force_fields: ClassVar[frozenset[str]] = frozenset({"learned"})
    is_trained = True

    def between(self, study: Study, trained: Path | None) -> Potential | None:
        assert trained is not None
        return LearnedBeads(trained, force_cap=study.dynamics.force_cap)

    def thickness(self, study: Study) -> float:
        return study.coarse_model.cutoff

    def notes(self, study: Study) -> list[str]:
        reach, transition = study.coarse_model.cutoff * study.coarse_model.layers, study.regions.transition
        if reach <= transition:
            return []
        return [
            f"the bead model reaches {reach:.1f} A, further than the transition layer ({transition:.1f} A): its correction at "
            "the border acts on some atomistic molecules; lower coarse_model.cutoff or coarse_model.layers to avoid it"
        ]
