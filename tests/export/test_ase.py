"""The calculator of ASE: cells of every shape, molecules, exact derivatives, refusals."""

from __future__ import annotations

import ase
import numba
import numpy as np
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError
from random_models import random_model, water_box
from test_same_numbers import painn_model

from halocline.errors import RunFailure, UserError
from halocline.export.ase import HaloclineCalculator
from halocline.models.model import Model
from halocline.state import State


@pytest.fixture(autouse=True)
def one_thread() -> None:
    numba.set_num_threads(1)
    torch.set_num_threads(1)


def bare(state: State) -> ase.Atoms:
    atoms = state.to_ase()
    del atoms.arrays["molecule"]
    return atoms


def compute(atoms: ase.Atoms, model: Model, **options: object) -> tuple[float, np.ndarray]:
    atoms.calc = HaloclineCalculator(model, **options)
    return atoms.get_potential_energy(), atoms.get_forces()


def close(found: tuple[float, np.ndarray], expected: tuple[float, np.ndarray]) -> None:
    assert found[0] == pytest.approx(expected[0], abs=1e-4)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


@pytest.mark.parametrize("kind", ["atoms", "beads"])
def test_a_skew_cell_of_the_same_lattice_gives_the_same_numbers(kind: str) -> None:
    """The straight cell goes through the kernel, the skew one through torch."""
    model, atoms = random_model(kind), bare(water_box(40, 8))
    straight = compute(atoms, model)
    atoms.cell[1] += atoms.cell[0]
    atoms.cell[2] -= 2 * atoms.cell[1]
    close(compute(atoms, model), straight)


def test_a_small_cell_gives_the_numbers_of_its_copies() -> None:
    """The edge of the small cell is shorter than twice the cut-off, that of eight copies is not."""
    model, atoms = random_model("atoms"), bare(water_box(8, 9))
    assert atoms.cell.lengths().min() < 2 * model.cutoff < 2 * atoms.cell.lengths().min()
    energy, forces = compute(atoms, model)
    many_energy, many_forces = compute(atoms.repeat(2), model)
    assert many_energy == pytest.approx(8 * energy, abs=1e-3)
    np.testing.assert_allclose(many_forces, np.tile(forces, (8, 1)), atol=1e-5)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, True), (True, False, False), (False, False, False)])
@pytest.mark.parametrize("kind", ["atoms", "beads"])
@pytest.mark.parametrize("skew", [False, True])
def test_directions_that_do_not_repeat_see_vacuum(pbc: tuple[bool, bool, bool], kind: str, skew: bool) -> None:
    """The same as a cell that repeats everywhere but has wide gaps along these directions."""
    model, atoms = random_model(kind), bare(water_box(40, 10))
    if skew:
        atoms.set_cell(atoms.cell + 0.2 * np.roll(np.array(atoms.cell), 1, axis=1), scale_atoms=True)
    atoms.wrap()
    state_atoms = atoms.copy()
    # Molecules are made whole first: those cut by a face that no longer repeats would otherwise fall apart.
    calculator = HaloclineCalculator(model)
    _, state = calculator._arranged(atoms)
    atoms.positions = calculator._members.back(state.positions)
    wide = atoms.copy()
    for axis in range(3):
        if not pbc[axis]:
            others = [wide.cell[other] for other in range(3) if other != axis]
            normal = np.cross(*others)
            wide.cell[axis] += normal / np.linalg.norm(normal) * np.sign(normal @ wide.cell[axis]) * 60.0
    atoms.pbc = pbc
    close(compute(atoms, model), compute(wide, model))
    if not all(pbc):
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_stress()
    assert state_atoms.pbc.all()


@pytest.mark.parametrize("name", ["schnet", "painn", "beads"])
def test_stress_is_the_derivative_with_respect_to_strain(name: str) -> None:
    model = painn_model() if name == "painn" else random_model("beads" if name == "beads" else "atoms")
    atoms = bare(water_box(40, 11))
    atoms.calc = HaloclineCalculator(model)
    strain = np.random.default_rng(0).normal(size=(3, 3))
    strain, step = strain + strain.T, 1e-4
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.set_cell(atoms.cell @ (np.eye(3) + sign * step * strain), scale_atoms=False)
        moved.positions = atoms.positions @ (np.eye(3) + sign * step * strain)
        # A sheared cell goes through torch; the stress of the straight one comes from the kernel.
        moved.calc = HaloclineCalculator(model)
        energies.append(moved.get_potential_energy())
    expected = (energies[0] - energies[1]) / (2 * step * atoms.get_volume())
    assert expected == pytest.approx(float((atoms.get_stress(voigt=False) * strain).sum()), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize(("compiled", "step", "accuracy"), [(False, 1e-4, 1e-6), (True, 1e-3, 1e-3)])
def test_forces_are_minus_the_gradient_of_the_energy_in_a_partly_periodic_cell(compiled: bool, step: float, accuracy: float) -> None:
    """Kernels work in single precision, which a difference of energies shows."""
    atoms = bare(water_box(40, 12))
    atoms.pbc = (True, True, False)
    atoms.calc = HaloclineCalculator(painn_model())
    if not compiled:
        atoms.calc._engine.kernel = None
    direction = np.random.default_rng(1).normal(size=(len(atoms), 3))
    forces, start = atoms.get_forces(), atoms.positions.copy()
    energies = []
    for sign in (1, -1):
        atoms.positions = start + sign * step * direction
        energies.append(atoms.get_potential_energy())
    assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(float((forces * direction).sum()), rel=accuracy)


def test_charges_dipole_and_polarizability_are_those_of_the_model() -> None:
    model, state = painn_model(), water_box(12, 13).isolated()
    atoms = bare(state)[::-1]
    atoms.calc = HaloclineCalculator(model)
    direct = model.convert(torch.float64)(model.graph(state))
    np.testing.assert_allclose(atoms.get_charges()[::-1], direct["charges"].detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(atoms.get_dipole_moment(), direct["dipole"][0].detach().numpy(), atol=1e-10)
    tensor = atoms.calc.get_property("polarizability", atoms)
    np.testing.assert_allclose(tensor, direct["polarizability"][0].detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(atoms.get_charges().reshape(-1, 3).sum(axis=1), 0.0, atol=1e-12)


def test_a_model_without_energies_gives_dipoles_only() -> None:
    torch.manual_seed(0)
    whole = painn_model(("energy", "dipole"))
    model = Model("atoms", whole.representation, ["dipole"], None, {"species": ["water"]})
    atoms = bare(water_box(4, 14).isolated())
    atoms.calc = HaloclineCalculator(model)
    assert atoms.get_dipole_moment().shape == (3,)
    assert atoms.get_charges().shape == (12,)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_forces()


def test_molecules_may_be_given_and_change_the_energy_where_they_are_others() -> None:
    model, state = random_model("atoms"), water_box(40, 15)
    recognised = compute(bare(state), model)
    close(compute(bare(state), model, molecules=state.topology.molecule_of_atom), recognised)
    close(compute(state.to_ase(), model), recognised)
    close(compute(bare(state), model, molecules=7 - 3 * state.topology.molecule_of_atom), recognised)
    one_by_one = compute(bare(state), model, molecules=np.arange(120))
    assert abs(one_by_one[0] - recognised[0]) > 1.0, "the prior within molecules is not that between them"
    with pytest.raises(UserError, match="for 120 atoms"):
        compute(bare(state), model, molecules=[0, 0, 0])


def test_another_configuration_of_the_same_atoms_gets_molecules_of_its_own() -> None:
    """Hydrogens of two frames may be listed in another order; numbers and elements alone do not show it."""
    model, atoms = random_model("atoms"), bare(water_box(40, 16))
    atoms.calc = HaloclineCalculator(model)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    order = np.arange(120)
    order[[1, 40]] = order[[40, 1]]
    assert (atoms.numbers[order] == atoms.numbers).all()
    atoms.positions = atoms.positions[order]
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-4)
    np.testing.assert_allclose(atoms.get_forces(), forces[order], atol=1e-5)


def test_a_molecule_that_broke_is_named() -> None:
    atoms = bare(water_box(40, 17))
    atoms.calc = HaloclineCalculator(random_model("atoms"))
    atoms.get_potential_energy()
    oxygen = atoms.positions[0]
    others = atoms.positions[3::3]
    gap = min((oxygen + np.array(shift) for shift in np.random.default_rng(0).normal(scale=4.0, size=(400, 3))),
              key=lambda point: -np.linalg.norm(np.vstack([others, [oxygen]]) - point, axis=1).min())  # fmt: skip
    atoms.positions[1] = gap
    atoms.pbc = False
    with pytest.raises(RunFailure, match="no known molecule"):
        atoms.get_potential_energy()


def test_dynamics_in_ase_conserves_energy() -> None:
    from ase import units
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.md.verlet import VelocityVerlet

    atoms = bare(water_box(40, 18))
    atoms.calc = HaloclineCalculator(random_model("atoms"))
    MaxwellBoltzmannDistribution(atoms, temperature_K=50, rng=np.random.RandomState(0))
    drifts = []
    for timestep in (0.2, 0.1):
        copy = atoms.copy()
        copy.calc = atoms.calc
        energies = [copy.get_total_energy()]
        VelocityVerlet(copy, timestep * units.fs).run(int(4 / timestep))
        energies.append(copy.get_total_energy())
        drifts.append(abs(energies[1] - energies[0]))
        moved = abs(copy.get_kinetic_energy() - atoms.get_kinetic_energy())
        assert moved > 20 * drifts[-1]
    assert drifts[1] < 0.5 * drifts[0], "the error is that of the time step"


def test_unknown_elements_and_models_are_refused() -> None:
    with pytest.raises(UserError, match="unknown to the model"):
        compute(ase.Atoms("He2", [[0, 0, 0], [0, 0, 3]]), random_model("atoms"), molecules=[0, 1])
    with pytest.raises(UserError, match="no such model"):
        HaloclineCalculator("no-model-of-this-name")
    atoms = bare(water_box(40, 19))
    atoms.positions[3] = np.nan
    with pytest.raises(UserError, match="NaN"):
        compute(atoms, random_model("atoms"))
    flat = ase.Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.2, 0.93, 0]], pbc=(True, False, False))
    with pytest.raises(UserError, match="no extent"):
        compute(flat, random_model("atoms"))
