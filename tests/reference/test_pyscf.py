"""Molecular properties through PySCF."""

from __future__ import annotations

import numpy as np
import pytest
from finite_differences import water_cluster

from halocline.errors import UserError
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.reference import pyscf_engine
from halocline.reference.base import NotConverged
from halocline.reference.dispersion import d4
from halocline.reference.pyscf_engine import PyscfEngine, finite_field_polarizability, response_polarizability
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import DEBYE


def experimental_water() -> State:
    """r(OH) 0.9572 Å, 104.52 degrees, bisector along z."""
    half = np.radians(104.52) / 2
    ends = 0.9572 * np.array([[np.sin(half), 0, np.cos(half)], [-np.sin(half), 0, np.cos(half)]])
    return State(np.concatenate([np.zeros((1, 3)), ends]), np.zeros((3, 3)), build_topology([(WATER, 1)]), periodic=False)


def brute_force_quadrupole(engine: PyscfEngine, state: State) -> FloatArray:
    """1/2 sum q (3 r r - r^2 1) about the centre of mass, the electrons summed point by point on an integration grid."""
    from pyscf import dft

    field = engine.solve(state)
    grid = dft.gen_grid.Grids(field.mol)
    grid.level = 4
    grid.build()
    values = dft.numint.eval_ao(field.mol, grid.coords)
    electrons = -np.einsum("gi,ij,gj->g", values, field.make_rdm1(), values) * grid.weights
    centre = state.topology.masses @ state.positions / state.topology.masses.sum()
    points = np.concatenate([grid.coords * 0.529177210903, state.positions]) - centre
    charges = np.concatenate([electrons, state.topology.atomic_numbers])
    squares = np.sum(points**2, axis=1)
    return 0.5 * (3 * (points * charges[:, None]).T @ points - (charges @ squares) * np.eye(3))


def test_the_quadrupole_is_the_traceless_one_about_the_centre_of_mass() -> None:
    engine, state = PyscfEngine("PBE", "def2-svp"), experimental_water()
    quadrupole = engine.compute(state, ["quadrupole"])["quadrupole"]
    assert np.trace(quadrupole) == pytest.approx(0.0, abs=1e-10)
    assert np.allclose(quadrupole, brute_force_quadrupole(engine, state), atol=2e-4)


def test_water_has_its_symmetry_and_known_properties() -> None:
    """PBE with a small diffuse basis, within the wide margins of the basis; the converged values are a slow test."""
    labels = PyscfEngine().compute(experimental_water(), ["dipole", "quadrupole", "polarizability", "homo", "lumo"])
    assert labels["dipole"][2] / DEBYE == pytest.approx(1.83, abs=0.06)
    assert np.abs(labels["dipole"][:2]).max() < 1e-6
    alpha = labels["polarizability"]
    assert np.trace(alpha) / 3 == pytest.approx(1.48, abs=0.06)
    assert np.abs(alpha - np.diag(np.diag(alpha))).max() < 1e-5
    # experiment (about the centre of mass): 2.63, -2.50, -0.13 D Å along x (in plane), y, z; Verhoeven and Dymanus 1970
    assert np.allclose(np.diag(labels["quadrupole"]) / DEBYE, [2.63, -2.50, -0.13], atol=0.15)
    assert labels["homo"] < labels["lumo"]
    assert -8.0 < labels["homo"] < -6.5  # PBE, eV


@pytest.mark.slow
def test_water_in_a_large_basis_has_published_values() -> None:
    labels = PyscfEngine("PBE", "aug-cc-pvdz").compute(experimental_water(), ["dipole", "polarizability"])
    assert np.linalg.norm(labels["dipole"]) / DEBYE == pytest.approx(1.80, abs=0.02)
    assert np.trace(labels["polarizability"]) / 3 == pytest.approx(1.46, abs=0.06)


def test_the_response_is_the_limit_of_a_small_finite_field(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = PyscfEngine("PBE", "def2-svp")
    monkeypatch.setattr(pyscf_engine, "RESPONSE_GRID_LEVEL", pyscf_engine.GRID_LEVEL)
    field = engine.solve(water_cluster(1))
    exact = response_polarizability(field)
    small = np.abs(finite_field_polarizability(field) - exact).max()
    monkeypatch.setattr(pyscf_engine, "FIELD", 2 * pyscf_engine.FIELD)
    large = np.abs(finite_field_polarizability(field) - exact).max()
    assert small < 5e-4 * np.trace(exact) / 3
    assert large == pytest.approx(4 * small, rel=0.2)  # central differences err by the square of the field


def test_dispersion_is_added_to_energy_and_forces() -> None:
    state = water_cluster(2)
    plain = PyscfEngine("PBE", "sto-3g", "none").compute(state, ["energy", "forces"])
    full = PyscfEngine("PBE", "sto-3g").compute(state, ["energy", "forces", "dispersion_energy"])
    correction = d4(state, "PBE")
    assert full["dispersion_energy"] == pytest.approx(float(correction["dispersion_energy"]), rel=1e-12)
    assert full["energy"] - plain["energy"] == pytest.approx(float(correction["dispersion_energy"]), abs=1e-9)
    assert np.allclose(full["forces"] - plain["forces"], correction["forces"], atol=1e-6)


def test_an_unconverged_field_is_a_failure_and_never_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyscf_engine, "MAX_CYCLES", 2)
    with pytest.raises(NotConverged, match="2 cycles"):
        PyscfEngine("PBE", "sto-3g").compute(water_cluster(1), ["energy"])


@pytest.mark.filterwarnings("ignore:Basis may be available")
def test_an_unknown_basis_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"basis 'nope'.*def2-svpd"):
        PyscfEngine("PBE", "nope").compute(water_cluster(1), ["energy"])


def test_a_functional_without_dispersion_parameters_needs_none() -> None:
    with pytest.raises(UserError, match="dispersion: none"):
        PyscfEngine("LDA,VWN")
    assert PyscfEngine("LDA,VWN", dispersion="none").level()["dispersion"] == "none"
