"""Tabulated beads that carry the dipoles of their molecules."""

from __future__ import annotations

from pathlib import Path

from halocline.adress.reservoir.table import TableReservoir
from halocline.config.study import Study
from halocline.potentials.base import Potential
from halocline.potentials.dipole_beads import DipoleBeads
from halocline.potentials.pair_table import PairTable


class DipoleReservoir(TableReservoir):
    """The table is inverted with the dipoles in place."""

    name = "dipole"
    summary = "a liquid of beads with a tabulated pair potential and the dipoles of the molecules"
    is_pair_table = False

    def between(self, study: Study, trained: Path | None) -> Potential | None:
        assert trained is not None
        table = PairTable.load(trained, study.dynamics.force_cap)
        return table + DipoleBeads(study.coarse_table.cutoff, dielectric=study.force_field.dielectric)
