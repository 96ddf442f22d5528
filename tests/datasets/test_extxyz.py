"""Extended XYZ in and out: nothing lost in ASE's calculator, molecules whole, units and signs kept."""

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from published import shared

from halocline.datasets.connectivity import known_molecules, recognise
from halocline.datasets.extxyz import read_extxyz, write_extxyz
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.errors import RunFailure, UserError
from halocline.molecules.base import build_topology
from halocline.molecules.water import WATER
from halocline.state import State
from halocline.units import DEBYE

LEVEL = {"engine": "toy", "method": "exact 'quoted' \"text\""}


def grid_of_water(count: int, edge: float, seed: int = 0) -> State:
    rng = np.random.default_rng(seed)
    side = int(np.ceil(count ** (1 / 3)))
    corners = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:count] * edge / side
    geometry = np.array(WATER.geometry)
    molecules = [corner + geometry @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for corner in corners]
    return State(np.concatenate(molecules), np.diag([edge] * 3), build_topology([(WATER, count)]))


def labelled(seed: int, periodic: bool = True) -> Frame:
    rng = np.random.default_rng(seed)
    state = grid_of_water(5, 9.0, seed)
    if not periodic:
        state = State(state.positions, np.zeros((3, 3)), state.topology, periodic=False, info={"temperature": 350.0})
    labels = {
        "energy": np.array(-1234.567890123 + seed),
        "forces": rng.normal(size=(15, 3)),
        "charges": rng.normal(size=15),
        "polarizability": rng.normal(size=(3, 3)),
        "dipole": rng.normal(size=3),
        **({"stress": rng.normal(size=(3, 3))} if periodic else {}),
    }
    return Frame(state, labels, trajectory=f"run {seed}/a", level=LEVEL, source="made up", weight=2.0)


@pytest.mark.parametrize("name", ["a.xyz", "a.extxyz", "a.xyz.gz"])
def test_a_written_file_reads_back_with_every_label_and_word(tmp_path, name):
    frames = [labelled(0), labelled(1, periodic=False), labelled(2)]
    assert write_extxyz(tmp_path / name, frames) == 3
    imported = read_extxyz(tmp_path / name)
    assert imported.skipped == {}
    for read, frame in zip(imported.frames, frames, strict=True):
        assert (read.trajectory, read.level, read.source, read.weight) == (frame.trajectory, frame.level, frame.source, frame.weight)
        assert read.state.periodic == frame.state.periodic
        assert read.state.info == frame.state.info
        np.testing.assert_array_equal(read.state.topology.offsets, frame.state.topology.offsets)
        np.testing.assert_allclose(read.state.topology.masses, frame.state.topology.masses, rtol=1e-7)
        np.testing.assert_allclose(read.state.positions, frame.state.positions, atol=1e-8)
        assert set(read.labels) == set(frame.labels)
        for label, value in frame.labels.items():
            np.testing.assert_allclose(read.labels[label], value, atol=1e-8)


def test_ase_energy_and_forces_are_found_where_ase_hides_them(tmp_path):
    """ASE >= 3.23 removes them from info and arrays on reading."""
    state = grid_of_water(3, 8.0)
    atoms = state.to_ase()
    forces = np.random.default_rng(0).normal(size=(9, 3))
    voigt = np.array([0.1, 0.2, 0.3, 0.04, 0.05, 0.06])
    atoms.calc = SinglePointCalculator(atoms, energy=-5.0, forces=forces, stress=voigt)
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    frame = read_extxyz(tmp_path / "a.xyz", LEVEL, quantities=["energy", "forces", "stress"]).frames[0]
    assert frame.labels["energy"] == -5.0
    np.testing.assert_allclose(frame.labels["forces"], forces, atol=1e-8)
    expected = [[0.1, 0.06, 0.05], [0.06, 0.2, 0.04], [0.05, 0.04, 0.3]]
    np.testing.assert_allclose(frame.labels["stress"], expected, atol=1e-12)


def test_molecules_are_recognised_in_shuffled_order_and_across_the_cell_boundary():
    state = grid_of_water(27, 9.4, seed=3)
    rng = np.random.default_rng(1)
    order = rng.permutation(81)
    atoms = state.to_ase()[order]
    atoms.wrap()
    found, index = recognise(atoms, known_molecules(), "test")
    assert found.topology.species == ("water",)
    assert found.topology.n_molecules == 27
    np.testing.assert_array_equal(found.topology.atomic_numbers, np.tile([8, 1, 1], 27))
    original = order[index].reshape(27, 3) // 3
    np.testing.assert_array_equal(original, original[:, :1].repeat(3, axis=1))
    bonds = np.linalg.norm(np.diff(found.positions.reshape(27, 3, 3), axis=1)[:, 0], axis=1)
    np.testing.assert_allclose(bonds, 0.9572, atol=1e-4)


def test_a_torn_molecule_is_not_taken_for_water():
    atoms = ase.Atoms("OH2OH3", [[0, 0, 0], [0.96, 0, 0], [0, 0.96, 0], [3, 0, 0], [3.96, 0, 0], [3, 0.96, 0], [3, 0, 0.96]])
    with pytest.raises(RunFailure, match="fragment OHHH") as caught:
        recognise(atoms, known_molecules(), "frame 7 of file")
    assert caught.value.where == "frame 7 of file, atoms [3, 4, 5, 6]"
    atoms = ase.Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [0, 4.0, 0]])
    with pytest.raises(RunFailure, match="no known molecule"):
        recognise(atoms, known_molecules(), "x")
    with pytest.raises(RunFailure, match="some directions only"):
        recognise(ase.Atoms("OH2", np.eye(3), cell=[9, 9, 9], pbc=[1, 1, 0]), known_molecules(), "x")


def test_labels_without_a_level_of_theory_and_useless_files_are_refused(tmp_path):
    atoms = grid_of_water(2, 8.0).to_ase()
    atoms.calc = SinglePointCalculator(atoms, energy=-5.0)
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    with pytest.raises(UserError, match="level of theory"):
        read_extxyz(tmp_path / "a.xyz")
    with pytest.raises(UserError, match=r"none of the 1 frames is usable \(1 x no forces\)"):
        read_extxyz(tmp_path / "a.xyz", LEVEL, quantities=["energy", "forces"])
    with pytest.raises(UserError, match="no such file"):
        read_extxyz(tmp_path / "b.xyz", LEVEL)
    (tmp_path / "c.xyz").write_text("this is a letter\nto a friend\n")
    with pytest.raises(UserError, match="not a readable extended XYZ file"):
        read_extxyz(tmp_path / "c.xyz", LEVEL)


SETS = [
    # folder/file, quantities, periodic, molecules in the first frame, least number of usable frames
    ("water_pbe0ts_64/train.extxyz.gz", ["energy", "forces"], True, 64, 250),
    ("water_rpbe_d3_64/train.extxyz.gz", ["energy", "forces"], True, 64, 30),
    ("water_bulk_dipole_polarizability/train.extxyz.gz", ["dipole", "polarizability"], True, 32, 740),
    ("water_clusters_ccsd/train_monomer.extxyz.gz", ["energy", "dipole", "polarizability"], False, 1, 800),
    ("water_clusters_ccsd/train_dimer.extxyz.gz", ["energy", "dipole", "polarizability"], False, 2, 780),
]


@pytest.mark.parametrize(("name", "quantities", "periodic", "molecules", "usable"), SETS)
def test_published_water_sets_are_read_whole(name, quantities, periodic, molecules, usable):
    imported = read_extxyz(shared(name), {"set": name}, quantities)
    assert len(imported.frames) >= usable
    frame = imported.frames[0]
    assert set(frame.labels) == set(quantities)
    assert frame.state.periodic is periodic
    assert frame.state.topology.n_molecules == molecules
    for frame in imported.frames[:: max(1, len(imported.frames) // 20)]:
        positions = frame.state.positions.reshape(-1, 3, 3)
        lengths = np.linalg.norm(positions[:, 1:] - positions[:, :1], axis=-1)
        assert lengths.max() < 1.6
        assert 0.8 < lengths.mean() < 1.1


def test_published_forces_stay_with_their_atoms():
    """O-H stretching forces point along the bond only if the atoms were not mixed up when molecules were formed."""
    frame = read_extxyz(shared("water_pbe0ts_64/train.extxyz.gz"), {"set": "pbe0"}, ["forces"], index="3:4").frames[0]
    positions, forces = frame.state.positions.reshape(-1, 3, 3), frame.labels["forces"].reshape(-1, 3, 3)
    bond = positions[:, 1] - positions[:, 0]
    length = np.linalg.norm(bond, axis=1)
    pull = np.sum((forces[:, 1] - forces[:, 0]) * bond, axis=1) / length
    assert np.corrcoef(length, pull)[0, 1] < -0.8


def test_dipole_and_polarizability_of_the_monomer_at_ccsd_are_those_of_water():
    frames = read_extxyz(shared("water_clusters_ccsd/train_monomer.extxyz.gz"), {"method": "CCSD"}, ["dipole", "polarizability"]).frames
    polarizability = np.median([np.trace(frame.labels["polarizability"]) / 3 for frame in frames])
    dipole = np.median([np.linalg.norm(frame.labels["dipole"]) for frame in frames])
    assert polarizability == pytest.approx(1.5, abs=0.1)  # 1.43 Å^3 at the equilibrium geometry; these molecules are stretched
    assert dipole / DEBYE == pytest.approx(1.85, abs=0.1)


def test_stress_and_dissociated_frames_of_the_scan_set(tmp_path):
    imported = read_extxyz(
        shared("water_scan_wannier/train.extxyz.gz"), {"method": "SCAN"}, ["energy", "forces", "stress", "dipole"], index="::4"
    )
    assert sum(imported.skipped.values()) + len(imported.frames) == 101
    assert len(imported.frames) > 80
    assert all("no known molecule" in reason or reason == "no dipole" for reason in imported.skipped)
    for frame in imported.frames[:5]:
        np.testing.assert_allclose(frame.labels["stress"], frame.labels["stress"].T, atol=1e-12)
    with Dataset.create(tmp_path / "scan.h5") as dataset:
        assert dataset.extend(imported.frames) == len(imported.frames)


def test_frames_without_named_trajectories_can_be_cut_into_blocks():
    frames = read_extxyz(shared("water_rpbe_d3_64/train.extxyz.gz"), {"method": "RPBE-D3"}, block=10).frames
    assert sorted({frame.trajectory for frame in frames}) == ["RPBE-D3_test/0", "RPBE-D3_test/1", "RPBE-D3_test/2"]
