"""Labels and words of other programs under our names, in our order, about our origin."""

import ase
import ase.io
import numpy as np
import pytest
from ase.build import molecule
from test_extxyz import LEVEL, grid_of_water
from test_multipoles import multipoles

from halocline.datasets.extxyz import read_extxyz, write_extxyz
from halocline.datasets.store import Dataset
from halocline.errors import UserError


def charged_clusters(path, charge=1, **info):
    """Acetamide shifted off the origin, with the multipoles of random charges about the origin of coordinates."""
    rng = np.random.default_rng(5)
    images, charges = [], []
    for _ in range(3):
        atoms = molecule("CH3CONH2")
        atoms.positions += rng.normal(size=3) + 0.02 * rng.normal(size=atoms.positions.shape)
        q = rng.normal(size=len(atoms))
        q += (charge - q.sum()) / len(atoms)
        labels = multipoles(q, atoms.positions, np.zeros(3))
        atoms.info = {"dipole": labels["dipole"], "quadrupole_traceless": labels["quadrupole"].ravel(), "charge": charge, **info}
        atoms.set_array("mbis_charge", q)
        images.append(atoms)
        charges.append(q)
    ase.io.write(path, images, format="extxyz")
    return images, charges


def test_multipoles_of_a_charged_unknown_molecule_are_read_about_its_centre_of_mass(tmp_path):
    images, charges = charged_clusters(tmp_path / "a.xyz", temperature=300.0, origin_of="x")
    imported = read_extxyz(tmp_path / "a.xyz", LEVEL, ["charges", "dipole", "quadrupole"], unknown="fragment")
    assert list(imported.species) == list(imported.frames[0].state.topology.species)
    for frame, atoms, q in zip(imported.frames, images, charges, strict=True):
        expected = multipoles(q, atoms.positions, atoms.get_center_of_mass())
        np.testing.assert_allclose(frame.labels["dipole"], expected["dipole"], atol=1e-6)
        np.testing.assert_allclose(frame.labels["quadrupole"], expected["quadrupole"], atol=1e-6)
        by_label = multipoles(frame.labels["charges"], frame.state.positions, frame.state.centres_of_mass[0])
        np.testing.assert_allclose(by_label["quadrupole"], expected["quadrupole"], atol=1e-6)
        assert frame.state.info["temperature"] == 300.0
        assert frame.state.info["species_charges"] == {frame.state.topology.species[0]: 1}


def test_a_file_may_take_its_multipoles_about_a_point_beside_the_centre_of_mass(tmp_path):
    images, charges = charged_clusters(tmp_path / "a.xyz", charge=0)
    beside = np.array([0.3, -0.2, 0.1])
    for atoms, q in zip(images, charges):
        labels = multipoles(q, atoms.positions, atoms.get_center_of_mass() + beside)
        atoms.info |= {"dipole": labels["dipole"], "quadrupole_traceless": labels["quadrupole"].ravel()}
    ase.io.write(tmp_path / "b.xyz", images, format="extxyz")
    frames = read_extxyz(tmp_path / "b.xyz", LEVEL, unknown="fragment", origin=tuple(beside)).frames
    for frame, atoms, q in zip(frames, images, charges, strict=True):
        expected = multipoles(q, atoms.positions, atoms.get_center_of_mass())
        np.testing.assert_allclose(frame.labels["quadrupole"], expected["quadrupole"], atol=1e-6)


def test_a_stated_charge_that_the_molecules_do_not_have_leaves_the_frame_out(tmp_path):
    atoms = grid_of_water(2, 9.0).to_ase()
    atoms.info = {"charge": 1, "homo": -1.0}
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    with pytest.raises(UserError, match="states a charge of 1 e, its molecules have 0 e"):
        read_extxyz(tmp_path / "a.xyz", LEVEL)


def test_a_cluster_of_unknown_charge_and_an_unknown_molecule_are_refused_unless_asked_for(tmp_path):
    atoms = molecule("CH3CONH2")
    atoms.info = {"homo": -1.0}
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    with pytest.raises(UserError, match="is no known molecule"):
        read_extxyz(tmp_path / "a.xyz", LEVEL)
    with pytest.raises(UserError, match="does not say the charge"):
        read_extxyz(tmp_path / "a.xyz", LEVEL, unknown="fragment")


def molecular_water(path, count=3):
    """Shuffled waters with a Wannier centroid and a polarizability at each oxygen; the second frame has no polarizabilities."""
    rng = np.random.default_rng(2)
    images = []
    for with_tensors in (True, False):
        state = grid_of_water(count, 9.0, seed=4)
        atoms = state.to_ase()
        atoms.info = {"n_H3O": 0}
        del atoms.arrays["molecule"]
        oxygen = atoms.numbers == 8
        centroid = np.where(oxygen[:, None], 0.1 * rng.normal(size=(3 * count, 3)), 0.0)
        atoms.set_array("wannier_centroid", centroid)
        if with_tensors:
            atoms.set_array("molecular_polarizability", np.where(oxygen[:, None], rng.normal(size=(3 * count, 9)), 0.0))
        atoms = atoms[rng.permutation(len(atoms))]
        atoms.wrap()
        images.append(atoms)
    ase.io.write(path, images, format="extxyz")
    return images


@pytest.mark.parametrize("count", [1, 3])
def test_molecular_labels_are_formed_in_the_order_of_the_molecules_and_survive_storage(tmp_path, count):
    images = molecular_water(tmp_path / "a.xyz", count)
    wanted = ["molecular_dipole"]
    imported = read_extxyz(tmp_path / "a.xyz", LEVEL, wanted, optional=["molecular_polarizability"])
    assert [set(frame.labels) for frame in imported.frames] == [{*wanted, "molecular_polarizability"}, set(wanted)]
    frame, atoms = imported.frames[0], images[0]
    displacements = frame.state.positions[::3, None] - atoms.positions
    displacements -= 9.0 * np.round(displacements / 9.0)
    oxygens = np.linalg.norm(displacements, axis=-1).argmin(axis=1)
    for molecule_index, oxygen in enumerate(oxygens):
        whole = frame.state.positions.reshape(-1, 3, 3)[molecule_index]
        # sum over hydrogens of (r_H - r_O) - 8 centroid, as published with such data
        expected = (whole[1:] - whole[0]).sum(axis=0) - 8 * atoms.arrays["wannier_centroid"][oxygen]
        np.testing.assert_allclose(frame.labels["molecular_dipole"][molecule_index], expected, atol=1e-6)
        tensor = atoms.arrays["molecular_polarizability"][oxygen].reshape(3, 3)
        np.testing.assert_allclose(frame.labels["molecular_polarizability"][molecule_index], tensor, atol=1e-6)
    write_extxyz(tmp_path / "again.xyz", imported.frames)
    with Dataset.create(tmp_path / "a.h5") as dataset:
        dataset.extend(imported.frames)
    for again in (read_extxyz(tmp_path / "again.xyz").frames[0], Dataset.open(tmp_path / "a.h5")[0]):
        assert again.state.info == {"n_H3O": 0}
        for name, value in frame.labels.items():
            np.testing.assert_allclose(again.labels[name], value, atol=1e-7)
