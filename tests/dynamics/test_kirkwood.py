"""Kirkwood's integration against integrals that are known."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_insertion import ARGON, CUTOFF, EPSILON, SIGMA, TAU, TEMPERATURE, gas, lennard_jones, sampled

import halocline.dynamics.kirkwood as kirkwood_module
from halocline.adress.chemical_potential import Term, pressure_per_molecule
from halocline.dynamics.bulk import molecular_pressure
from halocline.dynamics.insertion import widom
from halocline.dynamics.kirkwood import kirkwood, weight_grid
from halocline.dynamics.statistics import mean_and_error
from halocline.errors import UserError
from halocline.molecules.base import Molecule, Nonbonded, build_topology
from halocline.potentials.base import BoolArray, Evaluation, Potential, Zero
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.insertion import MoleculeInsertion
from halocline.state import State
from halocline.topology import FloatArray, Topology
from halocline.units import thermal_energy

DUMBBELL = Molecule("d", "two atoms", ("Ar", "Ar"), ((0.0, 0.0, 0.0), (0.1, 0.0, 0.0)), formula_masses=(20.0, 20.0))


class Springs(Potential):
    """k r^2/2 within dumbbells."""

    def __init__(self, k: float) -> None:
        self.k = k

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self.n = topology.n_molecules

    def evaluate(self, positions: FloatArray, subset: BoolArray | None = None, virial: bool = False) -> Evaluation:
        apart = positions[1::2] - positions[::2]
        forces = np.empty_like(positions)
        forces[1::2], forces[::2] = -self.k * apart, self.k * apart
        tensor = -self.k * apart.T @ apart if virial else None
        return Evaluation(0.5 * self.k * float((apart**2).sum()), forces, tensor, np.zeros(self.n, dtype=np.int64))


def test_grid_integrates_the_divergence_of_an_ideal_gas_end() -> None:
    weights, shares = weight_grid(6, 4)
    assert 0 < weights.min() < 1e-5
    assert shares @ weights**-0.75 == pytest.approx(4.0, rel=1e-12)
    assert shares @ weights**-0.25 == pytest.approx(4 / 3, rel=1e-12)
    with pytest.raises(UserError):
        weight_grid(1, 4)


def test_stiffer_springs_cost_three_halves_of_kt_and_leave_the_pressure_of_an_ideal_gas() -> None:
    rng = np.random.default_rng(1)
    n, kT = 40, thermal_energy(300.0)
    centres = rng.uniform(size=(n, 3)) * 30
    positions = np.stack([centres, centres + 0.1 * rng.normal(size=(n, 3))], axis=1).reshape(-1, 3)
    state = State(positions, np.eye(3) * 30.0, build_topology([(DUMBBELL, n)]))
    result = kirkwood(state, Springs(4.0), Springs(1.0), 300.0, 10.0, 0.01, 3000, n_weights=4, power=1, seed=2)
    assert result.free_energy.error < 0.04 * kT
    assert abs(result.free_energy.value - 1.5 * kT * math.log(4)) < 3 * result.free_energy.error
    assert np.abs(result.pressures - n * kT / 30.0**3).max() < 1e-12


def test_way_to_the_ideal_gas_has_no_sudden_overlaps() -> None:
    """Atoms that pass through each other at a small weight would explode at a larger one: the energy of all runs stays moderate."""
    start = sampled(gas(125, 0.6, 7), 10, 300, 10, 8)[-1]
    result = kirkwood(start, lennard_jones(), Zero(), TEMPERATURE, 0.004 * TAU, 1 / TAU, 400, 5, 4, seed=9)
    assert (np.diff(result.weights) > 0).all()
    assert (result.weights * result.integrand < 3 * TEMPERATURE * thermal_energy(1.0)).all()
    assert (np.diff(result.integrand) < 0).all(), "the derivative of a free energy by the weight falls (Gibbs and Bogoliubov)"
    assert result.state.velocities is not None


def test_killed_integration_goes_on_with_the_next_run_and_ends_the_same(tmp_path, monkeypatch) -> None:
    start = sampled(gas(64, 0.3, 10), 10, 300, 10, 11)[-1]
    arguments = (start, lennard_jones(), Zero(), TEMPERATURE, 0.004 * TAU, 1 / TAU, 200, 4, 4)
    whole = kirkwood(*arguments, seed=12, folder=tmp_path / "whole")
    run, calls = kirkwood_module.run, [0]

    def killed(*rest: object, **options: object) -> None:
        calls[0] += 1
        if calls[0] == 6:  # each window has a dropped and a sampled part: the third one dies while it samples
            raise KeyboardInterrupt
        run(*rest, **options)

    monkeypatch.setattr(kirkwood_module, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        kirkwood(*arguments, seed=12, folder=tmp_path / "part")
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == ["kirkwood-02.npz", "kirkwood-03.npz"]
    again = kirkwood(*arguments, seed=12, folder=tmp_path / "part")
    assert calls[0] == 6 + 2 * 2, "finished windows are not run again"
    np.testing.assert_array_equal(again.integrand, whole.integrand)
    np.testing.assert_array_equal(again.pressures, whole.pressures)
    np.testing.assert_array_equal(again.state.positions, whole.state.positions)
    longer = (*arguments[:6], 240, *arguments[7:])
    kirkwood(*longer, seed=12, folder=tmp_path / "part")
    assert calls[0] == 10 + 2 * 4, "windows of another length are not those of this integration"


def test_windows_of_another_potential_or_of_other_velocities_are_not_taken_for_those_of_an_integration(tmp_path, monkeypatch) -> None:
    start = sampled(gas(64, 0.3, 10), 10, 300, 10, 11)[-1]
    moving = replace(start, velocities=np.random.default_rng(12).normal(size=start.positions.shape) * 1e-3)
    softer = ClassicalMolecules(
        CUTOFF, "none", parameters={"a": (Nonbonded(0.0, SIGMA, 0.999 * EPSILON),)}, skin=0.1 * SIGMA, precision="double"
    )
    made, original = [0], kirkwood_module.make_mover

    def counting(*arguments: Any) -> Any:
        made[0] += 1
        return original(*arguments)

    monkeypatch.setattr(kirkwood_module, "make_mover", counting)
    jobs = [(start, lennard_jones(), Zero()), (start, softer, Zero()), (start, lennard_jones(), softer), (moving, lennard_jones(), Zero())]
    for number, job in enumerate(jobs):
        for _ in range(2):
            kirkwood(*job, TEMPERATURE, 0.004 * TAU, 1 / TAU, 100, 2, 4, folder=tmp_path)
            assert made[0] == 2 * (number + 1), "run once, read back the second time"


@pytest.mark.slow
def test_lennard_jones_free_energy_is_the_difference_of_insertion_and_pressure() -> None:
    """f_ex from the ideal gas by integration equals mu_ex - p_ex/n, and is not mu_ex."""
    n, density = 343, 0.6
    start = gas(n, density, 3)
    states = sampled(start, 15000, 3000, 25, 4)
    inserted = widom(states, MoleculeInsertion(lennard_jones(), ARGON), 2000, TEMPERATURE, seed=5)
    potential = lennard_jones()
    potential.bind(start.topology, start.cell)
    pressures = []
    for state in states:
        found = potential.evaluate(state.positions, None, True)
        pressures.append(molecular_pressure(state, found.virial, found.forces, TEMPERATURE))
    mean, error, _ = mean_and_error(pressures)
    p = pressure_per_molecule(Term(mean, error), density / SIGMA**3, TEMPERATURE)
    expected = Term(inserted.value, inserted.error) - p
    result = kirkwood(states[-1], lennard_jones(), Zero(), TEMPERATURE, 0.004 * TAU, 1 / TAU, 4000, 8, 4, seed=6)
    combined = math.hypot(result.free_energy.error, expected.error)
    assert combined < 0.06 * EPSILON
    assert abs(result.free_energy.value - expected.value) < 2 * combined + 0.02 * EPSILON, "1/N of 343 atoms is below 0.02 eps"
    assert abs(expected.value - inserted.value) > 5 * combined
