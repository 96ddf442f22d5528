"""What every reference engine must do: forces and stress are derivatives, labels do not depend on the frame of reference."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from finite_differences import force, stress, water_box, water_cluster
from scipy.spatial.transform import Rotation

from halocline.config.study import Multipoles, Reference
from halocline.errors import UserError
from halocline.labels import QUANTITIES
from halocline.reference.analytic import AnalyticEngine
from halocline.reference.base import BadInput, ReferenceEngine, make_engine
from halocline.reference.dispersion import d4
from halocline.reference.pyscf_engine import PyscfEngine
from halocline.reference.tblite_engine import TbliteEngine
from halocline.registry import available
from halocline.state import State

PERIODIC = [TbliteEngine("GFN1-xTB"), TbliteEngine("GFN2-xTB"), AnalyticEngine()]
MOLECULAR = [TbliteEngine("GFN1-xTB"), AnalyticEngine(), PyscfEngine("PBE", "def2-svp"), PyscfEngine("PBE0", "sto-3g", "none")]


def name(engine: ReferenceEngine) -> str:
    return "-".join([engine.name, *map(str, engine.options.values())])


def energy_of(engine: ReferenceEngine, state: State) -> float:
    return float(engine.compute(state, ["energy"])["energy"])


@pytest.mark.parametrize("engine", PERIODIC, ids=name)
def test_forces_and_stress_of_a_box_are_derivatives_of_its_energy(engine: ReferenceEngine) -> None:
    state = water_box(2, 6.2) if "GFN2" not in name(engine) else water_box(1, 4.0)
    labels = engine.compute(state, ["energy", "forces", "stress", "charges"])
    for atom, axis in ((0, 0), (2, 1)):
        found = force(lambda s: energy_of(engine, s), state, atom, axis)
        assert labels["forces"][atom, axis] == pytest.approx(found, abs=1e-4)
    for axis in (0, 2):
        found = stress(lambda s: energy_of(engine, s), state, axis, axis)
        assert labels["stress"][axis, axis] == pytest.approx(found, abs=3e-6)
    assert np.allclose(labels["stress"], labels["stress"].T, atol=1e-8)
    assert np.abs(labels["forces"].sum(axis=0)).max() < 1e-8
    assert labels["charges"].sum() == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("engine", MOLECULAR, ids=name)
def test_forces_of_a_molecule_are_derivatives_of_its_energy(engine: ReferenceEngine) -> None:
    state = water_cluster(1)
    labels = engine.compute(state, ["energy", "forces"])
    found = force(lambda s: energy_of(engine, s), state, 1, 0)
    assert abs(found) > 0.1
    assert labels["forces"][1, 0] == pytest.approx(found, abs=1e-4)
    assert np.abs(labels["forces"].sum(axis=0)).max() < 1e-6


def test_dispersion_forces_and_stress_are_derivatives() -> None:
    state = water_box(2, 6.2)
    labels = d4(state, "PBE")

    def energy(s: State) -> float:
        return float(d4(s, "PBE")["dispersion_energy"])

    assert labels["forces"][4, 1] == pytest.approx(force(energy, state, 4, 1), abs=1e-5)
    assert labels["stress"][0, 0] == pytest.approx(stress(energy, state, 0, 0), abs=5e-6)


def test_dispersion_attracts_more_where_molecules_are_nearer() -> None:
    near, far = water_box(2, 6.2), water_box(2, 8.0)
    assert d4(near, "PBE")["dispersion_energy"] < d4(far, "PBE")["dispersion_energy"] < 0


def test_a_compressed_box_pushes_outwards() -> None:
    """The sign convention: stress is tensile positive, so a liquid under pressure has a negative one."""
    labels = AnalyticEngine().compute(water_box(3, 7.0), ["stress"])
    assert np.trace(labels["stress"]) < 0


@pytest.mark.parametrize("engine", PERIODIC[:1] + PERIODIC[2:], ids=name)
def test_labels_of_a_box_do_not_depend_on_which_image_a_molecule_is(engine: ReferenceEngine) -> None:
    state = water_box(2, 6.2)
    shifted = state.with_positions(state.positions + np.array([1.7, 2.2, -0.4])).wrap()
    one, other = (engine.compute(s, ["energy", "forces", "stress"]) for s in (state, shifted))
    for quantity in one:
        assert np.allclose(one[quantity], other[quantity], atol=2e-5)


@pytest.mark.parametrize("engine", [*MOLECULAR[:2], PyscfEngine("PBE", "sto-3g")], ids=name)
def test_properties_of_a_cluster_turn_with_it_and_do_not_move_with_it(engine: ReferenceEngine) -> None:
    state = water_cluster(2)
    quantities = sorted(engine.provides & {"energy", "dipole", "quadrupole", "polarizability"})
    turn = Rotation.from_euler("xyz", [0.4, -0.9, 1.7]).as_matrix()
    moved = state.with_positions(state.positions @ turn.T + np.array([3.0, -8.0, 5.0]))
    one, other = engine.compute(state, quantities), engine.compute(moved, quantities)
    for quantity in quantities:
        rank = len(QUANTITIES[quantity].shape)
        expected = one[quantity] if rank == 0 else turn @ one[quantity] if rank == 1 else turn @ one[quantity] @ turn.T
        # Integration grids are not rotationally invariant.
        assert np.allclose(other[quantity], expected, atol=2e-3 if engine.name == "pyscf" else 1e-6), quantity


def test_a_stress_is_left_out_for_a_cluster_and_a_dipole_for_a_box() -> None:
    engine, quantities = AnalyticEngine(), ["energy", "stress", "dipole"]
    assert set(engine.compute(water_cluster(2), quantities)) == {"energy", "dipole"}
    assert set(engine.compute(water_box(2, 6.2), quantities)) == {"energy", "stress"}


def test_requests_that_cannot_be_met_are_refused_with_what_is_provided() -> None:
    with pytest.raises(UserError, match=r"does not provide polarizability.*It provides: charges"):
        TbliteEngine().compute(water_cluster(1), ["polarizability"])
    with pytest.raises(UserError, match="does not treat periodic boxes"):
        PyscfEngine(basis="sto-3g").compute(water_box(1, 5.0), ["energy"])
    with pytest.raises(UserError, match="unknown quantity dipol"):
        TbliteEngine().compute(water_cluster(1), ["dipol"])


@pytest.mark.parametrize("engine", [TbliteEngine(), AnalyticEngine()], ids=name)
def test_broken_configurations_are_refused(engine: ReferenceEngine) -> None:
    state = water_box(2, 6.2)
    holes = state.positions.copy()
    holes[3, 1] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        engine.compute(state.with_positions(holes), ["energy"])
    overlap = state.positions.copy()
    overlap[3] = overlap[0] + np.array([6.2, 0.1, 0.0])  # across the periodic face
    with pytest.raises(BadInput, match="nearer than"):
        engine.compute(state.with_positions(overlap), ["energy"])
    with pytest.raises(BadInput, match="orthorhombic"):
        engine.compute(replace(state, cell=state.cell + np.eye(3)[::-1]), ["energy"])


def test_all_engines_are_found_and_declare_known_quantities() -> None:
    entries = available("engines")
    assert {"tblite", "pyscf", "analytic"} <= set(entries)
    for entry in entries.values():
        assert entry.value.provides <= set(QUANTITIES)
        assert entry.value.periodic or entry.value.molecular


@pytest.mark.parametrize("engine", PERIODIC + MOLECULAR, ids=name)
def test_an_engine_survives_the_way_to_another_process(engine: ReferenceEngine) -> None:
    copy = pickle.loads(pickle.dumps(engine))
    assert copy.level() == engine.level()
    assert copy.level_hash() == engine.level_hash()


def test_levels_of_theory_differ_where_the_labels_would() -> None:
    engines = [*PERIODIC, *MOLECULAR[2:], PyscfEngine("PBE", "def2-svp", "none"), PyscfEngine("PBE", "def2-svpd")]
    assert len({engine.level_hash() for engine in engines}) == len(engines)


def test_engines_are_made_from_the_study() -> None:
    engine = make_engine(Multipoles(method="PBE0", basis="def2-svp", dispersion="none", quantities=["energy", "dipole"]))
    assert engine.options == {"method": "PBE0", "basis": "def2-svp", "dispersion": "none"}
    assert make_engine(Reference()).level()["method"] == "GFN1-xTB"
    with pytest.raises(UserError, match="does not provide polarizability"):
        make_engine(Reference(quantities=["polarizability"]))
    with pytest.raises(UserError, match="no method 'GFN3'"):
        make_engine(Reference(method="GFN3"))
    with pytest.raises(UserError, match="Did you mean 'tblite'"):
        make_engine(Reference(engine="tblight"))
    with pytest.raises(UserError, match="no functional 'PEB'"):
        make_engine(Multipoles(method="PEB"))
