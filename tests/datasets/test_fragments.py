"""Unknown molecules are named by elements and bonds alone, and their charges add up."""

import ase
import numpy as np
import pytest
from ase.build import molecule

from halocline.datasets.connectivity import known_molecules, recognise
from halocline.datasets.fragments import WORD, Fragments, assign_charges, species_charges
from halocline.datasets.frame import Frame
from halocline.errors import RunFailure, UserError

NAMES = ["CH3CH2OH", "CH3OCH3", "C6H6", "isobutane", "trans-butane", "CH3COOH", "C5H5N", "bicyclobutane", "cyclobutane", "CH3CONH2"]


def found(atoms: ase.Atoms, fragments: Fragments) -> tuple[str, np.ndarray, ase.Atoms]:
    state, order = recognise(atoms, {}, "test", fragments)
    assert state.topology.n_molecules == 1
    return state.topology.species[0], order, atoms[order]


@pytest.mark.parametrize("name", NAMES)
def test_a_molecule_has_one_name_and_one_order_of_bonds_however_its_atoms_are_shuffled(name):
    fragments, rng, patterns = Fragments(), np.random.default_rng(0), set()
    for _ in range(6):
        atoms = molecule(name)[rng.permutation(len(molecule(name)))]
        species, _, ordered = found(atoms, fragments)
        lengths = ordered.get_all_distances()
        template = fragments.species[species]
        assert template.symbols == tuple(ordered.get_chemical_symbols())
        assert all(lengths[bond.i, bond.j] < 1.7 for bond in template.bonds)
        patterns.add((species, template.symbols))
    assert len(patterns) == 1
    assert len(fragments.species) == 1


def test_isomers_are_different_species_of_one_formula():
    fragments = Fragments()
    for pair in (("CH3CH2OH", "CH3OCH3"), ("isobutane", "trans-butane")):
        first, second = (found(molecule(name), fragments)[0] for name in pair)
        assert first != second
        assert first.split("-")[0] == second.split("-")[0]
    assert found(molecule("CH3CH2OH"), fragments)[0].startswith("C2H6O-")


def electrolyte(n_sodium: int, n_anion: int) -> ase.Atoms:
    octahedron = np.concatenate([np.zeros((1, 3)), 1.6 * np.eye(3), -1.6 * np.eye(3)])
    atoms = ase.Atoms(cell=[60.0, 12.0, 12.0], pbc=True)
    for index in range(n_anion):
        atoms += ase.Atoms("PF6", octahedron + np.array([59.0 - 8 * index, 11.5, 6.0]))
    for index in range(n_sodium):
        atoms += ase.Atoms("Na", [[4.0 + 8 * index, 3.0, 6.0]])
    benzene = molecule("C6H6")
    benzene.translate([30.0, 3.0, 6.0])
    atoms += benzene
    atoms.wrap()
    return atoms


def test_ions_across_the_cell_are_whole_and_their_charges_balance_those_of_known_species():
    known, fragments = known_molecules(), Fragments()
    state, _ = recognise(electrolyte(2, 2), known, "test", fragments)
    counts = dict(zip([name.split("-")[0] for name in state.topology.species], np.bincount(state.topology.molecule_species)))
    assert counts == {"C6H6": 1, "F6P": 2, "sodium": 2}
    anion = next(name for name in state.topology.species if name.startswith("F6P"))
    assert max(bond.length for bond in fragments.species[anion].bonds) == pytest.approx(1.6)
    charges = assign_charges(state, known, 0, "test")
    assert {name.split("-")[0]: charge for name, charge in charges.items()} == {"C6H6": 0, "F6P": -1}


def test_charges_that_the_rule_cannot_tell_are_refused():
    known = known_molecules()
    state, _ = recognise(electrolyte(1, 2), known, "test", Fragments())
    with pytest.raises(RunFailure, match="-1 e is left for 2 molecules with an odd number of electrons"):
        assign_charges(state, known, 0, "test")


def test_a_frame_of_one_molecule_has_the_charge_of_the_file():
    state, _ = recognise(molecule("CH3COOH"), {}, "test", Fragments())
    assert assign_charges(state, {}, -1, "test") == {state.topology.species[0]: -1}


def test_charges_of_species_come_from_the_frame_or_the_registry():
    state, _ = recognise(electrolyte(2, 2), known_molecules(), "test", Fragments())
    state.info[WORD] = assign_charges(state, known_molecules(), 0, "test")
    charges = species_charges([Frame(state)])
    assert sum(charges[state.topology.species[kind]] for kind in state.topology.molecule_species) == 0
    assert charges["sodium"] == 1.0
    del state.info[WORD]
    with pytest.raises(UserError, match="there is no 'C6H6-"):
        species_charges([Frame(state)])
