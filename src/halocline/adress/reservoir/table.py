"""Beads with a tabulated pair potential between centres of mass."""

from __future__ import annotations

from pathlib import Path

from halocline.adress.reservoir.base import Reservoir
from halocline.config.study import Study
from halocline.potentials.base import Potential
from halocline.potentials.pair_table import PairTable


class TableReservoir(Reservoir):
    """The potential whose liquid has the g(r) of the molecules: iterative Boltzmann inversion."""

    name = "table"
    summary = "a liquid of beads with a tabulated pair potential"
    is_trained = True
    is_tabulated = True
    is_pair_table = True
    keys = ("coarse_table.cutoff",)

    def between(self, study: Study, trained: Path | None) -> Potential | None:
        assert trained is not None
        return PairTable.load(trained, study.dynamics.force_cap)

    def thickness(self, study: Study) -> float:
        # The reservoirs of two periodic images meet: half a cut-off on each side is room for one.
        return max(super().thickness(study), 0.5 * study.coarse_table.cutoff)
