"""Test molecules against exact integrals, the virial series and each other's estimates."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial.transform import Rotation

from halocline.dynamics.chemical_potential import insertion_free_energy
from halocline.dynamics.free_energy import free_energy_chain
from halocline.dynamics.insertion import WidomInsertion, widom, widom_estimate
from halocline.dynamics.nvt import make_mover, run
from halocline.dynamics.staged_insertion import StagedInsertion, sample_window, schedule, staged_insertion, with_ghost
from halocline.errors import RunFailure, UserError
from halocline.molecules.base import Molecule, Nonbonded, build_topology
from halocline.molecules.spce import SPCE
from halocline.potentials.classical import ClassicalMolecules
from halocline.potentials.insertion import BeadInsertion, MoleculeInsertion
from halocline.state import State
from halocline.topology import FloatArray
from halocline.units import BOLTZMANN

SIGMA, EPSILON = 3.4, 0.0103
TEMPERATURE = 1.5 * EPSILON / BOLTZMANN
KT = 1.5 * EPSILON
CUTOFF = 2.5 * SIGMA
TAU = SIGMA * math.sqrt(40.0 / (EPSILON * 9.648533e-3))


def atom(name: str, sigma: float, epsilon: float) -> Molecule:
    return Molecule(name, name, ("Ar",), ((0.0, 0.0, 0.0),), nonbonded=(Nonbonded(0.0, sigma, epsilon),), formula_masses=(40.0,))


ARGON, SMALL, GHOST = atom("a", SIGMA, EPSILON), atom("b", 0.8 * SIGMA, 0.5 * EPSILON), atom("g", SIGMA, 0.0)
PARAMETERS = {molecule.name: molecule.nonbonded for molecule in (ARGON, SMALL, GHOST)}


def lennard_jones() -> ClassicalMolecules:
    return ClassicalMolecules(CUTOFF, "none", parameters=PARAMETERS, skin=0.1 * SIGMA, precision="double")


def mayer_integral(sigma: float, epsilon: float) -> float:
    """Integral of exp(-u/kT) - 1 over space, Å^3, of the truncated and shifted interaction."""

    def energy(r: float) -> float:
        return 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6 - (sigma / CUTOFF) ** 12 + (sigma / CUTOFF) ** 6)

    inner = quad(lambda r: 4 * math.pi * r**2 * math.expm1(-energy(r) / KT), 0.2 * SIGMA, CUTOFF, points=[sigma], limit=200)[0]
    return inner - 4 / 3 * math.pi * (0.2 * SIGMA) ** 3


def gas(n: int, density: float, seed: int, species: Molecule = ARGON) -> State:
    """n atoms on a jittered grid at a reduced density."""
    edge = (n / density) ** (1 / 3) * SIGMA
    side = math.ceil(n ** (1 / 3))
    rng = np.random.default_rng(seed)
    grid = (np.indices((side,) * 3).reshape(3, -1).T + 0.5) * edge / side
    positions = grid[rng.permutation(side**3)[:n]] + rng.uniform(-0.02, 0.02, size=(n, 3)) * SIGMA
    return State(positions, np.eye(3) * edge, build_topology([(species, n)]))


def sampled(state: State, steps: int, equilibration: int, interval: int, seed: int) -> list[State]:
    potential = lennard_jones()
    potential.bind(state.topology, state.cell)
    mover = make_mover(state, 0.004 * TAU, TEMPERATURE, 1 / TAU, seed)
    run(mover, potential, equilibration)
    states: list[State] = []
    run(mover, potential, steps, interval, lambda positions: states.append(state.with_positions(positions.copy())))
    return states


def test_ideal_gas_has_no_excess_chemical_potential() -> None:
    state = gas(50, 0.2, 1, GHOST)
    estimate = widom([state] * 10, MoleculeInsertion(lennard_jones(), GHOST), 10, TEMPERATURE)
    assert estimate.value == 0.0
    assert estimate.error == 0.0
    assert estimate.effective_insertions == pytest.approx(estimate.n_insertions)


def test_one_particle_in_a_box_gives_the_exact_integral() -> None:
    """< exp(-dU/kT) > = 1 + (1/V) INT (exp(-u/kT) - 1) d3r."""
    edge = 5.2 * SIGMA
    state = State(np.array([[1.0, 2.0, 3.0]]), np.eye(3) * edge, build_topology([(ARGON, 1)]))
    estimate = widom([state] * 200, MoleculeInsertion(lennard_jones(), ARGON), 2000, TEMPERATURE, seed=2)
    exact = -KT * math.log(1 + mayer_integral(SIGMA, EPSILON) / edge**3)
    assert estimate.error < 2e-3 * KT
    assert abs(estimate.value - exact) < 3.5 * estimate.error
    assert estimate.warning == ""


def test_bead_insertion_gives_the_same_integral() -> None:
    edge = 5.2 * SIGMA
    state = State(np.array([[1.0, 2.0, 3.0]]), np.eye(3) * edge, build_topology([(ARGON, 1)]))

    def energy(r: FloatArray) -> FloatArray:
        r = np.maximum(r, 0.5 * SIGMA)
        return 4 * EPSILON * ((SIGMA / r) ** 12 - (SIGMA / r) ** 6 - (SIGMA / CUTOFF) ** 12 + (SIGMA / CUTOFF) ** 6)

    estimate = widom([state] * 200, BeadInsertion(energy, CUTOFF), 2000, TEMPERATURE, seed=3)
    exact = -KT * math.log(1 + mayer_integral(SIGMA, EPSILON) / edge**3)
    assert abs(estimate.value - exact) < 3.5 * estimate.error


@pytest.mark.parametrize("inserted", [ARGON, SMALL])
def test_dilute_gas_has_the_second_virial_coefficient(inserted: Molecule) -> None:
    """mu_ex = 2 n B2 kT of either species among argon; the third coefficient adds about 1.5 n^2 C kT, below 0.001 kT here."""
    states = sampled(gas(64, 0.012, 4), 4000, 1000, 20, 5)
    estimate = widom(states, MoleculeInsertion(lennard_jones(), inserted), 500, TEMPERATURE, seed=6)
    sigma, epsilon = 0.5 * (SIGMA + inserted.nonbonded[0].sigma), math.sqrt(EPSILON * inserted.nonbonded[0].epsilon)
    expected = -KT * 0.012 / SIGMA**3 * mayer_integral(sigma, epsilon)
    assert estimate.error < 0.004 * KT
    assert abs(estimate.value - expected) < 3 * estimate.error + 0.001 * KT


def test_jackknife_error_is_the_spread_of_repeated_estimates() -> None:
    """Correlated log-normal weights: the error must know about the correlation."""
    rng, values, errors = np.random.default_rng(7), [], []
    for _ in range(100):
        noise = rng.normal(size=2000)
        x = np.empty(2000)
        x[0] = noise[0]
        for t in range(1, 2000):
            x[t] = 0.9 * x[t - 1] + math.sqrt(1 - 0.81) * noise[t]
        weights = np.exp(x)
        estimate = widom_estimate(weights, weights**2, 1, 300.0)
        values.append(estimate.value)
        errors.append(estimate.error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)


def test_few_lucky_insertions_and_no_insertion_are_told() -> None:
    weights = np.zeros(100)
    weights[3] = 1.0
    assert "1.0 of 1000 insertions carry the estimate" in widom_estimate(weights, weights**2 * 10, 10, 300.0).warning
    nothing = widom_estimate(np.zeros(100), np.zeros(100), 10, 300.0)
    assert math.isinf(nothing.value)
    assert "no insertion fitted" in nothing.warning
    with pytest.raises(UserError, match="no configurations"):
        widom([], MoleculeInsertion(lennard_jones(), ARGON), 1, 300.0)


def test_charges_without_a_core_that_meet_are_a_failure_and_not_a_number() -> None:
    bare = {"a": (Nonbonded(1.0, 1.0, 0.0),), "g": (Nonbonded(-1.0, 1.0, 0.0),)}
    sampler = WidomInsertion(MoleculeInsertion(ClassicalMolecules(8.0, parameters=bare), GHOST), 1, 300.0)
    sampler.bind(build_topology([(ARGON, 1)]), np.eye(3) * 20.0)
    sampler.insertion.energies = lambda *_: np.array([-40.0])  # type: ignore[method-assign]
    with pytest.raises(RunFailure, match="repulsive core"):
        sampler.add(np.zeros((1, 3)))


def test_chain_of_oscillators_has_the_known_free_energies() -> None:
    """F/kT = 1/2 ln k of u = k x^2/2, for MBAR and BAR, with correlated samples and errors that hold."""
    springs, rng = np.array([1.0, 2.0, 4.0, 8.0]), np.random.default_rng(10)
    deviations = []
    for _ in range(20):
        energies = []
        for k in springs:
            x = np.repeat(rng.normal(size=300), 2) / math.sqrt(k)
            energies.append(0.5 * springs * x[:, None] ** 2)
        chain = free_energy_chain(energies)
        exact = 0.5 * np.log(springs)
        assert np.abs(chain.values - exact)[1:].max() < 5 * chain.errors[1:].max()
        assert np.abs(chain.steps - np.diff(exact)).max() < 5 * chain.step_errors.max()
        assert (chain.n_samples < 450).all()
        assert chain.warning == ""
        deviations.append((chain.values[-1] - exact[-1]) / chain.errors[-1])
    assert 0.5 < np.std(deviations) < 1.6


def test_windows_without_overlap_or_samples_are_told_and_nonsense_is_refused() -> None:
    rng = np.random.default_rng(11)
    energies = [np.column_stack([0.5 * x**2, 0.5 * (x - 12.0) ** 2]) for x in (rng.normal(size=200), 12 + rng.normal(size=200))]
    assert "put another one between them" in free_energy_chain(energies).warning
    with pytest.raises(UserError, match="not finite"):
        free_energy_chain([np.full((5, 2), np.nan)] * 2)
    with pytest.raises(UserError, match="for each window"):
        free_energy_chain([np.zeros((5, 3))] * 2)


def settings(state: State, steps: int, **options: object) -> StagedInsertion:
    ghost = with_ghost(state, ARGON, lennard_jones(), 12)
    couplings = schedule(False)
    return StagedInsertion(
        ghost, lennard_jones(), ghost.topology.n_molecules - 1, couplings, TEMPERATURE, 0.004 * TAU, 1 / TAU, steps, 500, 20, **options
    )


def test_finished_windows_are_read_back_and_those_of_other_settings_are_not(tmp_path) -> None:
    state = gas(64, 0.3, 13)
    first = sample_window(settings(state, 100), tmp_path, 1)
    before = (tmp_path / "window-01.npz").stat().st_mtime_ns
    assert np.array_equal(sample_window(settings(state, 100), tmp_path, 1), first)
    assert (tmp_path / "window-01.npz").stat().st_mtime_ns == before
    assert len(sample_window(settings(state, 140), tmp_path, 1)) == 7


def test_ghost_of_an_ideal_gas_costs_nothing() -> None:
    ghost = with_ghost(gas(64, 0.3, 14), GHOST, lennard_jones(), 1)
    job = StagedInsertion(ghost, lennard_jones(), 64, schedule(False), TEMPERATURE, 0.004 * TAU, 1 / TAU, 100, 0, 5)
    for window in (0, 8):
        assert not sample_window(job, None, window).any()


@pytest.mark.slow
def test_widom_and_growth_agree_on_a_liquid(tmp_path) -> None:
    state = sampled(gas(125, 0.6, 15), 100, 4000, 100, 16)[-1]
    by_insertion = widom(sampled(state, 30000, 0, 50, 17), MoleculeInsertion(lennard_jones(), ARGON), 1000, TEMPERATURE, seed=18)
    by_growth = staged_insertion(settings(state, 20000), tmp_path)
    assert by_growth.warning == ""
    assert by_insertion.error < 0.05 * EPSILON
    assert by_growth.error < 0.2 * EPSILON
    assert abs(by_growth.value - by_insertion.value) < 2 * math.hypot(by_growth.error, by_insertion.error)
    assert abs(by_growth.by_neighbours - by_growth.value) < 2 * by_growth.by_neighbours_error


def test_one_call_inserts_any_species_by_either_method() -> None:
    """A small atom in a dilute gas of argon: both ways give a value, and the one by Widom's method is the virial's."""
    state = gas(64, 0.02, 19)
    arguments = (state, SMALL, lennard_jones(), TEMPERATURE, 0.004 * TAU)
    found = insertion_free_energy(*arguments, 1000, 300, "widom", insertions=500, molecules=(ARGON,), seed=20)
    expected = -KT * 0.02 / SIGMA**3 * mayer_integral(0.9 * SIGMA, math.sqrt(0.5) * EPSILON)
    assert abs(found.value - expected) < 3 * found.error + 0.003 * KT
    grown = insertion_free_energy(*arguments, 400, 50, molecules=(ARGON,), seed=21)
    assert abs(grown.value - expected) < 4 * grown.error
    with pytest.raises(UserError, match="'random'"):
        insertion_free_energy(*arguments, 10, 1, "random", molecules=(ARGON,))  # type: ignore[arg-type]


def test_rigid_water_grows_without_leaving_its_shape() -> None:
    """A few steps in the window of full charges: distances within all molecules stay, energies are finite."""
    rng = np.random.default_rng(22)
    edge, shape = 18.0, np.array(SPCE.geometry)
    grid = (np.indices((3, 3, 3)).reshape(3, -1).T + 0.5) * edge / 3
    positions = np.concatenate([point + Rotation.random(random_state=rng).apply(shape) for point in grid])
    state = State(positions, np.eye(3) * edge, build_topology([(SPCE, 27)]))
    found = insertion_free_energy(state, "spce", ClassicalMolecules(7.0, skin=0.1), 298.0, 1.0, 60, 20, sample=20, seed=23)
    assert len(found.chain.values) == 14
    assert "independent samples" in found.warning
    with pytest.raises(UserError, match="is flexible"):
        insertion_free_energy(state, "water", ClassicalMolecules(7.0), 298.0, 1.0, 60, 20)


def test_growing_molecule_starts_in_the_widest_gap_and_not_on_another_one() -> None:
    """Any place of a liquid is within 0.8 sigma of some atom, on average; the best of many is not."""
    state = sampled(gas(125, 0.6, 24), 10, 500, 10, 25)[-1]
    whole = with_ghost(state, ARGON, lennard_jones(), 26)
    apart = whole.positions[:-1] - whole.positions[-1]
    edge = state.edges[0]
    assert np.linalg.norm(apart - edge * np.rint(apart / edge), axis=1).min() > 0.9 * SIGMA
    assert np.array_equal(whole.positions[:-1], state.positions)
