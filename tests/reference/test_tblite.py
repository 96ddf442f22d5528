"""xTB through tblite."""

from __future__ import annotations

import numpy as np
import pytest
from finite_differences import water_box, water_cluster

from halocline.reference import tblite_engine
from halocline.reference.base import NotConverged
from halocline.reference.tblite_engine import TbliteEngine


def test_an_unconverged_field_is_a_failure_and_never_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tblite_engine, "MAX_CYCLES", 3)
    with pytest.raises(NotConverged, match="not converged in 3 cycles"):
        TbliteEngine().compute(water_cluster(2), ["energy"])


def test_a_molecule_in_a_huge_box_is_an_isolated_molecule() -> None:
    cluster = water_cluster(1)
    box = water_box(1, 60.0).with_positions(cluster.positions)
    one, other = (TbliteEngine().compute(state, ["energy", "forces", "charges"]) for state in (cluster, box))
    assert one["energy"] == pytest.approx(float(other["energy"]), abs=2e-4)
    assert np.allclose(one["forces"], other["forces"], atol=2e-4)


def test_water_has_the_dipole_of_its_wave_function_about_the_oxygen_side() -> None:
    """The dipole points from oxygen to the hydrogens; GFN1 inflates its 1.85 D."""
    state = water_cluster(1)
    dipole = TbliteEngine().compute(state, ["dipole"])["dipole"]
    bisector = state.positions[1:].mean(axis=0) - state.positions[0]
    assert dipole @ bisector / np.linalg.norm(bisector) == pytest.approx(np.linalg.norm(dipole), rel=0.02)
    assert 1.8 < np.linalg.norm(dipole) / 0.20819434 < 3.0
