"""Every coupling in every geometry against plain sums over pairs; gradients, third law, limits, identical potentials."""

import itertools

import numpy as np
import pytest
from exact_systems import BOX, COUPLINGS, SHAPES, bound, coarse, couple, fine, fluid, geometry, plain_weight, resolve

from halocline.adress.regions import RESERVOIR, Resolution, Slab
from halocline.dynamics.integrator import maxwell_boltzmann
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.state import State

GRADIENT = [name for name in COUPLINGS if name != "force-interpolation"]


def plain_sums(name: str, state: State, shape: str, weighting: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and drift forces in double loops over pairs of atoms."""
    x, n = state.positions, len(state.positions)
    centres = {"slab": None, "sphere": [np.array([8.0, 8.0, 8.0])], "moving-sphere": [x[5]], "spheres": [x[5], x[42]]}[shape]
    weight, gradient, levels = np.zeros(n), np.zeros((n, 3)), np.zeros(n, dtype=int)
    for a in range(n):
        offsets = [np.array([x[a, 0] - 8.0, 0.0, 0.0])] if centres is None else [x[a] - centre for centre in centres]
        offsets = [offset - 16.0 * np.round(offset / 16.0) for offset in offsets]
        offset = min(offsets, key=lambda one: float(one @ one))
        d = float(np.sqrt(offset @ offset))
        levels[a] = 0 if d < 2.5 else 1 if d < 5.5 else 2
        weight[a] = plain_weight(d, weighting)
        slope = (plain_weight(d + 1e-6, weighting) - plain_weight(d - 1e-6, weighting)) / 2e-6
        gradient[a] = slope * offset / d if d > 0 else 0.0
    step = np.array([1.0, 0.5 if name == "abrupt-half" else 1.0, 0.0])[levels]
    energy, forces, own = 0.0, np.zeros((n, 3)), np.zeros((2, n))
    potentials = (fine(), coarse())
    for a in range(n):
        for b in range(a + 1, n):
            delta = x[b] - x[a]
            delta = delta - 16.0 * np.round(delta / 16.0)
            r = float(np.sqrt(delta @ delta))
            if name in ("subtractive", "abrupt", "abrupt-half"):
                share = step[a] * step[b]
            elif name == "force-interpolation":
                share = weight[a] * weight[b]
            else:
                w = weight if name == "hamiltonian" else step
                share = 0.5 * (w[a] + w[b])
            for k, (potential, factor) in enumerate(zip(potentials, (share, 1 - share))):
                if r < potential.cutoff:
                    energy += factor * float(potential.value(np.array(r)))
                    pull = factor * float(potential.slope(np.array(r))) * delta / r
                    forces[a] += pull
                    forces[b] -= pull
                    own[k, [a, b]] += 0.5 * float(potential.value(np.array(r)))
    drift = -(own[0] - own[1])[:, None] * gradient if name == "hamiltonian" else np.zeros((n, 3))
    return energy, forces + drift, drift


@pytest.mark.parametrize("weighting", ["cosine", "smoothstep"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", COUPLINGS)
def test_energy_and_forces_are_those_of_plain_sums(name, shape, weighting):
    state = fluid()
    regions = geometry(shape, state, weighting)
    result = bound(name, state).evaluate(state.positions, resolve(regions, state))
    energy, forces, drift = plain_sums(name, state, shape, weighting)
    assert result.energy == pytest.approx(energy, rel=1e-11)
    np.testing.assert_allclose(result.forces, forces, atol=2e-10)
    # Third law, or its known violation.
    np.testing.assert_allclose(result.forces.sum(0), drift.sum(0), atol=1e-9)
    if name != "hamiltonian":
        assert np.abs(result.forces.sum(0)).max() < 1e-12 * np.abs(result.forces).sum()
    else:
        assert np.abs(drift.sum(0)).max() > 1e-5


@pytest.mark.parametrize("weighting", ["cosine", "smoothstep"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", GRADIENT)
def test_forces_are_the_gradient_at_fixed_membership(name, shape, weighting):
    state = fluid()
    regions, coupling = geometry(shape, state, weighting), bound(name, state)
    start = resolve(regions, state)

    def energy(positions: np.ndarray) -> float:
        distance = regions.distance(positions)
        return coupling.evaluate(positions, Resolution(start.inside, regions, positions, distance, start.levels)).energy

    forces, h = coupling.evaluate(state.positions, start).forces.copy(), 1e-5
    directions = [*np.random.default_rng(2).normal(size=(2, *forces.shape)), np.zeros_like(forces)]
    # One molecule alone, in the middle of the layer.
    chosen = int(np.argmin(np.abs(start.weight - 0.5)))
    directions[-1][chosen] = regions.direction(state.positions)[chosen]
    assert 0 < start.weight[chosen] < 1
    for direction in directions:
        slope = (energy(state.positions + h * direction) - energy(state.positions - h * direction)) / (2 * h)
        assert -slope == pytest.approx(float((forces * direction).sum()), rel=1e-6, abs=1e-9)


def layer_pair(distance: float, apart: float) -> tuple[State, Slab]:
    """Two atoms side by side at a distance from the middle of the box."""
    state = fluid().select([0, 1])
    regions = Slab(8.0, 2.5, 3.0, 0.0, 16.0)
    return state.with_positions(np.array([[8.0 + distance, 8.0, 8.0], [8.0 + distance, 8.0 + apart, 8.0]])), regions


def closed_loop(name: str, low: float, high: float) -> float:
    """Work of a pair that goes in together, apart, out, and together again, eV."""
    state, regions = layer_pair(low, 3.6)
    coupling = bound(name, state)
    corners = [(low, 3.6), (high, 3.6), (high, 4.4), (low, 4.4), (low, 3.6)]
    inside, levels, work = np.ones(2, dtype=bool), np.ones(2, dtype=np.int8), 0.0
    nodes, weights = np.polynomial.legendre.leggauss(16)
    for (d0, r0), (d1, r1) in itertools.pairwise(corners):
        for node, weight in zip(0.5 * (nodes + 1), 0.5 * weights):
            here, _ = layer_pair(d0 + node * (d1 - d0), r0 + node * (r1 - r0))
            distance = regions.distance(here.positions)
            forces = coupling.evaluate(here.positions, Resolution(inside, regions, here.positions, distance, levels)).forces
            work += weight * (forces[:, 0].sum() * (d1 - d0) + forces[1, 1] * (r1 - r0))
    return float(work)


@pytest.mark.parametrize("name", GRADIENT)
def test_a_closed_loop_in_the_layer_does_no_work(name):
    assert closed_loop(name, 3.2, 4.6) == pytest.approx(0.0, abs=1e-10)


def test_a_closed_loop_does_work_under_force_interpolation_in_the_layer_and_nowhere_else():
    # Only the way apart depends on the resolution: w^2 (dU_AT - dU_CG) there, and back at another w.
    apart = [float(potential.value(np.array(4.4)) - potential.value(np.array(3.6))) for potential in (fine(), coarse())]
    squares = plain_weight(3.2, "cosine") ** 2 - plain_weight(4.6, "cosine") ** 2
    expected = squares * (apart[0] - apart[1])
    assert closed_loop("force-interpolation", 3.2, 4.6) == pytest.approx(expected, abs=1e-10)
    assert abs(expected) > 1e-4
    assert closed_loop("force-interpolation", 0.5, 2.0) == pytest.approx(0.0, abs=1e-12)
    assert closed_loop("force-interpolation", 5.6, 7.0) == pytest.approx(0.0, abs=1e-12)


def test_force_interpolation_fails_the_gradient_test_in_the_layer():
    state = fluid()
    regions, coupling = geometry("slab", state), bound("force-interpolation", state)
    start, h = resolve(regions, state), 1e-5
    chosen = int(np.argmin(np.abs(start.weight - 0.5)))
    direction = np.zeros_like(state.positions)
    direction[chosen, 0] = 1.0
    energies = [coupling.evaluate(moved.positions, resolve(regions, moved)).energy for moved in
                (state.with_positions(state.positions + h * direction), state.with_positions(state.positions - h * direction))]  # fmt: skip
    here = coupling.evaluate(state.positions, start)
    missing = here.sites[chosen] * start.weight_gradient[chosen, 0]
    gradient = -(energies[0] - energies[1]) / (2 * h)
    assert abs(gradient - here.forces[chosen, 0]) > 1e-4
    assert gradient == pytest.approx(here.forces[chosen, 0] - missing, abs=1e-9)


@pytest.mark.parametrize("name", ["force-interpolation", "abrupt", "abrupt-half", "subtractive"])
def test_third_law_holds_for_every_pair(name):
    state = fluid()
    regions = geometry("sphere", state)
    for a, b in [(21, 22), (21, 25), (5, 6), (5, 21), (37, 38)]:
        two = state.select([a, b])
        forces = bound(name, two).evaluate(two.positions, resolve(regions, two)).forces
        np.testing.assert_array_equal(forces[0], -forces[1])
        assert np.abs(forces).max() > 1e-5


@pytest.mark.parametrize("name", COUPLINGS)
def test_limits_are_the_potentials_alone_to_the_last_bit(name):
    state = fluid()
    velocities = maxwell_boltzmann(state.topology.masses, 100.0, np.random.default_rng(3))
    state = State(state.positions, state.cell, state.topology, velocities)

    def trajectory(coupling, **more) -> Simulation:
        run = Simulation(state, coupling, Slab(8.0, 2.5, 3.0, 0.0, 16.0), Thermostat(2.0, 100.0, (0.0, 0.0, 0.0)), seed=1, **more)
        run.run(20)
        return run

    one, alone = trajectory(couple(name), resolution="full"), trajectory(couple("subtractive", fine(), fine()), resolution="full")
    np.testing.assert_array_equal(one.state.positions, alone.state.positions)
    assert one.potential == alone.potential
    nobody = bound(name, state).evaluate(state.positions, Resolution(np.zeros(64, dtype=bool)))
    plain = coarse()
    plain.bind(state.topology, state.cell)
    exact = plain.evaluate(state.positions)
    assert nobody.energy == exact.energy
    np.testing.assert_array_equal(nobody.forces, exact.forces)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", COUPLINGS)
def test_identical_potentials_do_not_feel_the_resolution(name, shape):
    state = fluid()
    result = bound(name, state, fine(), fine()).evaluate(state.positions, resolve(geometry(shape, state), state))
    plain = fine()
    plain.bind(state.topology, state.cell)
    np.testing.assert_allclose(result.forces, plain.evaluate(state.positions).forces, atol=1e-12)
    assert result.energy == pytest.approx(plain.evaluate(state.positions).energy, abs=1e-12)
    if name == "hamiltonian":
        np.testing.assert_allclose(result.sites, 0.0, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
def test_abrupt_with_weight_one_is_subtractive(shape):
    state = fluid()
    resolution = resolve(geometry(shape, state), state)
    one, other = (bound(name, state).evaluate(state.positions, resolution) for name in ("abrupt", "subtractive"))
    assert one.energy == pytest.approx(other.energy, abs=1e-12)
    np.testing.assert_allclose(one.forces, other.forces, atol=1e-12)


@pytest.mark.parametrize("name", COUPLINGS)
@pytest.mark.parametrize("shape", ["slab", "sphere"])
def test_box_shifts_permutation_and_reflections_change_nothing(name, shape):
    state, rng = fluid(), np.random.default_rng(4)
    regions = geometry(shape, state)
    forces = bound(name, state).evaluate(state.positions, resolve(regions, state)).forces.copy()
    assert (resolve(regions, state).levels == RESERVOIR).any()
    shifted = state.with_positions(state.positions + np.array(BOX) * rng.integers(-2, 3, size=(64, 3)))
    np.testing.assert_allclose(bound(name, state).evaluate(shifted.positions, resolve(regions, shifted)).forces, forces, atol=1e-11)
    order = rng.permutation(64)
    permuted = state.select(order)
    np.testing.assert_allclose(
        bound(name, state).evaluate(permuted.positions, resolve(regions, permuted)).forces, forces[order], atol=1e-12
    )
    turned = state.with_positions(state.positions[:, [0, 2, 1]])
    turned_forces = bound(name, state).evaluate(turned.positions, resolve(regions, turned)).forces
    np.testing.assert_allclose(turned_forces, forces[:, [0, 2, 1]], atol=1e-12)
