"""Published sets are cut by trajectory, cleaned, and read as completely as their descriptions say."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from published import shared
from test_checks import water
from test_extxyz import labelled

from halocline.datasets.cleaning import largest_force, remove_net_force, without_large_forces, without_repeats
from halocline.datasets.extxyz import read_extxyz
from halocline.datasets.frame import Frame
from halocline.datasets.multipoles import traceless
from halocline.errors import UserError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import _data


def frames(sizes: dict[str, int]) -> list[Frame]:
    return [water(index, name) for name, count in sizes.items() for index in range(count)]


def names(part: list[Frame]) -> set[str]:
    return {frame.trajectory for frame in part}


def test_a_cut_holds_back_whole_trajectories_in_the_order_of_their_hashes():
    sizes = {f"run {index}": 3 for index in range(20)}
    parts = _data.split(frames(sizes), lambda name: "")
    order = sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert names(parts.test) == set(order[:2])
    assert names(parts.validation) == set(order[2:4])
    assert names(parts.train) == set(order[4:])
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 60


def test_a_cut_keeps_long_trajectories_and_the_only_one_of_a_kind_in_training():
    sizes = {**{f"run {index}": 2 for index in range(12)}, "long": 10, "rare": 2}
    for trial in range(10):
        renamed = {f"{name} {trial}": size for name, size in sizes.items()}
        parts = _data.split(frames(renamed), lambda name: "rare" if name.startswith("rare") else "")
        assert {f"long {trial}", f"rare {trial}"} <= names(parts.train)
        assert len(parts.test) >= 0.1 * 36 <= len(parts.validation)


def test_net_force_is_removed_and_nothing_else():
    frame = labelled(0)
    cleaned = remove_net_force(frame)
    np.testing.assert_allclose(cleaned.labels["forces"].sum(axis=0), 0.0, atol=1e-12)
    difference = frame.labels["forces"] - cleaned.labels["forces"]
    np.testing.assert_allclose(difference, difference[:1].repeat(15, axis=0), atol=1e-12)
    assert cleaned.key == frame.key
    assert cleaned.labels["energy"] == frame.labels["energy"]


def test_torn_and_repeated_configurations_are_left_out():
    boxes = [labelled(seed) for seed in range(5)]
    limit = sorted(largest_force(frame) for frame in boxes)[2]
    assert [frame.key for frame in without_large_forces(boxes, limit)] == [f.key for f in boxes if largest_force(f) <= limit]
    first, other = labelled(0, periodic=False), labelled(1, periodic=False)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = Frame(first.state.with_positions(first.state.positions @ rotation + 1.0))
    assert without_repeats([first, other, turned, boxes[0], boxes[0]]) == [first, other, boxes[0], boxes[0]]


def test_an_unknown_or_absent_set_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no set 'nacl'"):
        _data.load("nacl")
    monkeypatch.setenv("HALOCLINE_DATA", str(tmp_path))
    with pytest.raises(UserError, match="files of 'nacl_aq_cp2k' are missing") as caught:
        _data.load("nacl_aq_cp2k")
    assert caught.value.where == str(tmp_path)


FIGURES = {
    # name: frames of training, validation and test, and of the extra tests
    "nacl_aq_cp2k": (491, 99, 72, {}),
    "water_dcr2scan": (256, 64, 64, {"348 K": 32}),
    "water_scan_wannier": (269, 38, 49, {}),
    "water_bulk_dipole_polarizability": (537, 75, 72, {"densest": 76}),
    "water_clusters_ccsd": (1205, 160, 161, {"monomer": 81, "dimer": 80}),
    "spice_dipeptides_multipoles": (256, 70, 70, {}),
}


QUICK = {"water_clusters_ccsd", "spice_dipeptides_multipoles"}


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in _data.SETS])
def test_a_published_set_is_cut_into_parts_without_common_frames_or_trajectories(name):
    shared(_data.SETS[name].files[0])
    parts = _data.load(name)
    assert (len(parts.train), len(parts.validation), len(parts.test), {k: len(v) for k, v in parts.extra_tests.items()}) == FIGURES[name]
    assert not names(parts.train) & (names(parts.test) | names(parts.validation))
    assert not names(parts.validation) & names(parts.test)
    seen = {frame.key for frame in [*parts.train, *parts.validation]}
    for extra in parts.extra_tests.values():
        assert not seen & {frame.key for frame in extra}
    for frame in parts.train[::50]:
        assert set(frame.labels) == set(_data.SETS[name].quantities)
        if "forces" in frame.labels:
            assert np.abs(frame.labels["forces"].sum(axis=0)).max() < 1e-9


def test_brine_is_neutral_water_with_equal_numbers_of_both_ions_at_the_concentrations_of_its_names():
    imported = read_extxyz(shared("nacl_aq_cp2k/train_revpbe0d3.extxyz.gz"), {"set": "brine"}, ["energy", "forces"], index="::20")
    assert imported.skipped == {}
    for frame in imported.frames:
        topology = frame.state.topology
        assert topology.species == ("chloride", "sodium", "water")
        ions, sodium, waters = np.bincount(topology.molecule_species).tolist()
        assert ions == sodium
        assert frame.trajectory.endswith(f"{ions}NaCl_{waters}H2O")


def test_the_electrolyte_holds_the_molecules_that_its_description_counts():
    imported = read_extxyz(shared("na_electrolyte_carbonate/train.extxyz.gz"), {"set": "carbonate"}, unknown="fragment")
    assert len(imported.frames) == 16
    topology = imported.frames[0].state.topology
    counts = dict(zip([name.split("-")[0] for name in topology.species], np.bincount(topology.molecule_species).tolist()))
    assert counts == {"C2BF2O4": 1, "C3H2O3": 3, "C3H4O3": 38, "C3H6O3S": 2, "C4H4N2": 1, "C4H6O3": 30, "F6P": 6, "sodium": 7}
    assert {frame.state.topology.species for frame in imported.frames} == {topology.species}
    charges = imported.frames[0].state.info["species_charges"]
    assert {name.split("-")[0]: charge for name, charge in charges.items() if charge} == {"C2BF2O4": -1, "F6P": -1}


def test_molecular_dipoles_of_wannier_centres_add_up_to_the_dipole_of_the_cell():
    wanted = ["dipole", "molecular_dipole"]
    for file in ("water_scan_wannier/train.extxyz.gz", "water_pbe0_wannier_tensor/train_molecular.extxyz.gz"):
        imported = read_extxyz(shared(file), {"set": file}, wanted, index="::8", optional=["polarizability", "molecular_polarizability"])
        for frame in imported.frames:
            np.testing.assert_allclose(frame.labels["molecular_dipole"].sum(axis=0), frame.labels["dipole"], atol=5e-4)
            if "molecular_polarizability" in frame.labels:
                total = frame.labels["molecular_polarizability"].sum(axis=0)
                np.testing.assert_allclose(total, frame.labels["polarizability"], atol=1e-2)


def test_temperatures_of_a_file_stay_with_its_frames():
    imported = read_extxyz(shared("water_dcr2scan/train_liquid_256mol.extxyz.gz"), {"set": "dcr2scan"}, ["energy"], index="::64")
    for frame in imported.frames:
        assert frame.trajectory == f"liquid_{frame.state.info['temperature']:.0f}K"


def test_quadrupoles_of_dipeptides_are_those_of_their_charges_about_one_point():
    """The file takes them about a point one bohr beside the centre of mass: about that alone does the rest stay small."""
    file = shared("spice_dipeptides_multipoles/train.extxyz.gz")
    rest = {}
    for origin in ("coordinates", "centre of mass", _data.SETS["spice_dipeptides_multipoles"].origin):
        imported = read_extxyz(file, {"set": "spice"}, ["charges", "dipole", "quadrupole"], unknown="fragment", origin=origin, index="::4")
        differences, values = [], []
        for frame in imported.frames:
            away = frame.state.positions - frame.state.centres_of_mass
            of_charges = traceless(np.einsum("i,ia,ib", frame.labels["charges"], away, away))
            differences.append(frame.labels["quadrupole"] - of_charges)
            values.append(frame.labels["quadrupole"])
        rest[origin] = np.std(differences) / np.std(values)
    right = rest.pop((-_data.BOHR,) * 3)
    assert right < 0.15
    assert all(wrong > 2 * right for wrong in rest.values())
