"""Energies of one molecule among others: the same numbers as differences of whole systems, and gradients."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from halocline.errors import UserError
from halocline.molecules.base import Molecule, Nonbonded, build_topology
from halocline.molecules.spce import SPCE
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.coupled_molecule import CoupledMolecule, CouplingStrength, PartlyCoupled
from halocline.potentials.insertion import BeadInsertion, MoleculeInsertion
from halocline.topology import FloatArray, Topology

ION = Molecule("ion", "one charged site", ("Na",), ((0.0, 0.0, 0.0),), charge=1, nonbonded=(Nonbonded(1.0, 2.35, 0.0056),))
PARAMETERS = {"spce": SPCE.nonbonded, "ion": ION.nonbonded}
FIELDS = ({"electrostatics": "reaction-field"}, {"electrostatics": "damped-shifted-force", "damping": 0.2}, {"electrostatics": "none"})
EDGES = np.array([18.0, 17.0, 19.0])


def mixture(n_water: int, n_ion: int, seed: int) -> tuple[Topology, FloatArray]:
    """Waters and ions on a jittered grid, in random orientation, the last molecule a water or an ion."""
    rng = np.random.default_rng(seed)
    topology = build_topology([(SPCE, n_water), (ION, n_ion)])
    grid = (np.indices((5, 5, 5)).reshape(3, -1).T + 0.5) / 5 * EDGES
    centres = grid[rng.permutation(125)[: n_water + n_ion]] + rng.uniform(-0.4, 0.4, size=(n_water + n_ion, 3))
    shape = np.array(SPCE.geometry)
    waters = [centre + Rotation.random(random_state=rng).apply(shape) for centre in centres[:n_water]]
    return topology, np.concatenate([*waters, centres[n_water:]])


def potential(**options: object) -> ClassicalMolecules:
    return ClassicalMolecules(6.0, precision="double", parameters=PARAMETERS, **options)


@pytest.mark.parametrize("options", FIELDS)
@pytest.mark.parametrize("species", [SPCE, ION])
@pytest.mark.parametrize("cap", [math.inf, 3.0])
def test_insertion_energy_is_the_difference_of_systems_with_and_without_the_molecule(options: dict, species: Molecule, cap: float) -> None:
    topology, positions = mixture(60, 12, 1)
    rng = np.random.default_rng(2)
    classical = potential(force_cap=cap, **options)
    insertion = MoleculeInsertion(classical, species)
    insertion.bind(topology, np.diag(EDGES))
    counts = (61, 12) if species is SPCE else (60, 13)
    larger = build_topology([(SPCE, counts[0]), (ION, counts[1])])
    n = 12
    centres = rng.uniform(size=(n, 3)) * EDGES
    shapes = np.array([Rotation.random(random_state=rng).apply(insertion.conformations[0]) for _ in range(n)])
    found = insertion.energies_at(positions, centres, shapes)
    classical.bind(topology, np.diag(EDGES))
    without = classical.evaluate(positions).energy
    classical.bind(larger, np.diag(EDGES))
    for k in range(n):
        new = centres[k] + shapes[k]
        whole = np.concatenate([positions[:180], new, positions[180:]]) if species is SPCE else np.concatenate([positions, new])
        difference = classical.evaluate(whole).energy - without
        assert found[k] == pytest.approx(difference, rel=1e-10, abs=1e-10)


def test_random_places_are_uniform_and_orientations_isotropic() -> None:
    """A field-free water in an empty box sees nothing; where it is put is judged by the kernel's own input."""
    insertion = MoleculeInsertion(potential(), SPCE)
    topology, positions = mixture(1, 0, 3)
    insertion.bind(topology, np.diag(EDGES))
    seen: list[tuple[FloatArray, FloatArray]] = []
    insertion.energies_at = lambda _, centres, shapes: seen.append((centres, shapes)) or np.zeros(len(centres))  # type: ignore[method-assign,func-returns-value]
    insertion.energies(positions, 40000, np.random.default_rng(4))
    centres, shapes = seen[0]
    assert np.abs(centres.mean(0) / EDGES - 0.5).max() < 4 / math.sqrt(12 * 40000)
    axis = shapes[:, 1] - shapes[:, 0]
    assert np.abs(axis.mean(0)).max() < 4 / math.sqrt(3 * 40000)
    second = np.einsum("na,nb->ab", axis, axis) / 40000
    assert np.abs(second - np.eye(3) / 3).max() < 4 * math.sqrt(4 / 45 / 40000)


def coupled_system(lennard_jones: float, charge: float, options: dict, tagged: int = 17) -> tuple[PartlyCoupled, FloatArray]:
    topology, positions = mixture(60, 12, 5)
    classical = potential(**options)
    total = PartlyCoupled(classical, CoupledMolecule(classical, tagged, CouplingStrength(lennard_jones, charge)))
    total.bind(topology, np.diag(EDGES))
    return total, positions


@pytest.mark.parametrize("options", FIELDS)
@pytest.mark.parametrize("tagged", [17, 65])
def test_fully_coupled_molecule_is_an_ordinary_one_and_a_ghost_does_not_exist(options: dict, tagged: int) -> None:
    total, positions = coupled_system(1.0, 1.0, options, tagged)
    whole = potential(**options)
    whole.bind(mixture(60, 12, 5)[0], np.diag(EDGES))
    found, expected = total.evaluate(positions, virial=True), whole.evaluate(positions, virial=True)
    assert found.energy == pytest.approx(expected.energy, abs=1e-10)
    assert np.abs(found.forces - expected.forces).max() < 1e-10
    assert np.abs(found.virial - expected.virial).max() < 1e-9
    ghost, _ = coupled_system(0.0, 0.0, options, tagged)
    found = ghost.evaluate(positions)
    expected = whole.evaluate(positions, np.arange(72) != tagged)
    assert found.energy == pytest.approx(expected.energy, abs=1e-10)
    assert np.abs(found.forces - expected.forces).max() < 1e-12


@pytest.mark.parametrize("options", FIELDS[:2])
@pytest.mark.parametrize("strength", [(0.15, 0.0), (0.6, 0.0), (1.0, 0.3)])
def test_forces_and_virial_of_a_partly_coupled_molecule_are_derivatives(options: dict, strength: tuple[float, float]) -> None:
    total, positions = coupled_system(*strength, options)
    rng, h = np.random.default_rng(6), 1e-5
    for squeeze in (0.0, 0.9):  # as it is, and with the tagged molecule almost on top of another
        moved = positions.copy()
        moved[51:54] += squeeze * (positions[60] - positions[51])
        coupled = total.coupled
        result = coupled.evaluate(moved, virial=True)
        direction = rng.normal(size=positions.shape)
        slope = (coupled.evaluate(moved + h * direction).energy - coupled.evaluate(moved - h * direction).energy) / (2 * h)
        assert -(result.forces * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-7)
        assert np.abs(result.forces.sum(0)).max() < 1e-9 * max(1.0, np.abs(result.forces).max())


def test_virial_of_a_coupled_molecule_is_the_derivative_by_a_strain() -> None:
    total, positions = coupled_system(0.6, 0.0, FIELDS[0])
    h, energies = 1e-5, []
    for sign in (1, -1):
        stretch = np.array([1 + sign * h, 1.0, 1.0])
        coupled = CoupledMolecule(total.classical, 17, CouplingStrength(0.6, 0.0))
        coupled.bind(mixture(60, 12, 5)[0], np.diag(EDGES * stretch))
        energies.append(coupled.evaluate(positions * stretch).energy)
    assert total.coupled.evaluate(positions, virial=True).virial[0, 0] == pytest.approx(-(energies[0] - energies[1]) / (2 * h), rel=1e-6)


def test_one_pass_gives_the_energies_of_all_couplings() -> None:
    total, positions = coupled_system(1.0, 1.0, FIELDS[1])
    couplings = np.array([[0.0, 0.0], [0.2, 0.0], [0.7, 0.0], [1.0, 0.0], [1.0, 0.4], [1.0, 1.0]])
    found = total.coupled.energies(positions, couplings)
    for row, expected in zip(couplings, found):
        total.coupled.strength = CouplingStrength(*row)
        assert total.coupled.evaluate(positions).energy == pytest.approx(expected, rel=1e-12, abs=1e-13)


def test_soft_core_has_the_energy_of_its_formula_and_is_zero_at_the_cutoff() -> None:
    sigma, epsilon, cutoff, alpha, strength = 3.0, 0.01, 7.0, 0.5, 0.4
    argon = Molecule("a", "argon", ("Ar",), ((0.0, 0.0, 0.0),), nonbonded=(Nonbonded(0.0, sigma, epsilon),))
    classical = ClassicalMolecules(cutoff, "none", precision="double", parameters={"a": argon.nonbonded})
    coupled = CoupledMolecule(classical, 0, CouplingStrength(strength, 0.0), alpha)
    coupled.bind(build_topology([(argon, 2)]), np.eye(3) * 20)

    def soft(r: float) -> float:
        s = alpha * (1 - strength) + (r / sigma) ** 6
        return 4 * epsilon * strength * (1 / s**2 - 1 / s)

    for r in (0.0, 0.5, 2.0, 3.4, 6.99):
        energy = coupled.evaluate(np.array([[1.0, 1.0, 1.0], [1.0, 1.0 - r, 1.0]])).energy
        assert energy == pytest.approx(soft(r) - soft(cutoff), abs=1e-12)


def test_charges_on_soft_cores_capped_forces_and_small_boxes_are_refused() -> None:
    with pytest.raises(UserError, match="charges are coupled"):
        CouplingStrength(0.5, 0.1)
    with pytest.raises(UserError, match="force cap"):
        CoupledMolecule(potential(force_cap=1.0), 0)
    topology, positions = mixture(3, 0, 7)
    insertion = MoleculeInsertion(potential(), SPCE)
    insertion.bind(topology, np.eye(3) * 13.0)
    with pytest.raises(UserError, match="less than twice"):
        insertion.energies(positions, 1, np.random.default_rng(0))


def test_bead_insertion_is_the_sum_over_centres_of_mass() -> None:
    topology, positions = mixture(20, 4, 8)
    energy = {"spce": lambda r: (1 - r / 6.0) ** 2, "ion": lambda r: -3.0 * (1 - r / 6.0) ** 2}
    insertion = BeadInsertion(energy, 6.0)
    insertion.bind(topology, np.diag(EDGES))
    found = insertion.energies(positions, 5, np.random.default_rng(9))
    places = np.random.default_rng(9).uniform(size=(5, 3)) * EDGES
    delta = topology.centres_of_mass(positions)[None] - places[:, None]
    distances = np.linalg.norm(delta - EDGES * np.rint(delta / EDGES), axis=-1)
    expected = (np.where(distances < 6, (1 - distances / 6) ** 2, 0.0) * np.array([1.0] * 20 + [-3.0] * 4)).sum(1)
    assert found == pytest.approx(expected, abs=1e-5)
