"""Worked examples: a published one, and others of the same kind integrated in plain loops."""

import numpy as np
import pytest
from brute_force import monatomic
from weighted_pairs import WeightedPairs

from halocline.adress.compensation import FreeEnergyCompensation
from halocline.adress.coupling.abrupt import AbruptCoupling
from halocline.adress.coupling.force_interpolation import ForceInterpolationCoupling
from halocline.adress.coupling.hamiltonian import HamiltonianCoupling
from halocline.adress.regions import MovingSphere, Regions, Slab, Sphere
from halocline.adress.thermodynamic_force import ThermodynamicForce, update_prefactor
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.state import State
from halocline.units import ACCELERATION

BOX = (10.0, 10.0, 10.0)
SLAB = Slab(5.0, 2.0, 1.0, 0.0, 10.0)
LINE = np.array([[5.5, 5.0, 5.0], [6.5, 5.0, 5.0], [7.5, 5.0, 5.0], [8.5, 5.0, 5.0], [9.5, 5.0, 5.0]])
TIMESTEP = 0.01


def strong() -> WeightedPairs:
    return WeightedPairs(1.0, 1.0, 1.4)


def weak() -> WeightedPairs:
    return WeightedPairs(0.5, 1.0, 1.4)


def unit_state(positions: np.ndarray) -> State:
    """Mass one in units of energy, length and time: the acceleration is the force."""
    return State(positions, np.diag(BOX), monatomic(len(positions), ACCELERATION), np.zeros_like(positions))


def run(coupling, regions: Regions, positions=LINE, steps: int = 10, force=None) -> Simulation:
    simulation = Simulation(unit_state(positions), coupling, regions, Thermostat(TIMESTEP, 1.0, (0.0, 0.0, 0.0)), force)
    simulation.run(steps)
    return simulation


def test_force_interpolation_in_a_slab_has_the_published_positions_and_energies():
    # ESPResSo++ test of force-interpolation AdResS in a slab (github.com/espressopp/espressopp, testsuite/AdResS).
    coupling = ForceInterpolationCoupling(strong(), weak())
    start = run(coupling, SLAB, steps=0)
    assert start.potential == pytest.approx(1.266889, abs=1e-6)
    end = run(coupling, SLAB)
    np.testing.assert_allclose(end.state.positions[:, 0], [5.413171, 6.500459, 7.522099, 8.512569, 9.551701], atol=1e-6)
    np.testing.assert_allclose(end.state.positions[:, 1:], 5.0, atol=1e-12)
    assert end.potential == pytest.approx(-0.209015, abs=1e-6)


def lennard_jones(r: float, epsilon: float) -> tuple[float, float]:
    """Energy, cut at 1.4 and shifted, and minus its slope."""
    if r >= 1.4:
        return 0.0, 0.0
    shift = 4 * (1.4**-12 - 1.4**-6)
    return epsilon * (4 * (r**-12 - r**-6) - shift), epsilon * 24 * (2 * r**-13 - r**-7)


def plain_forces(x: np.ndarray, centre: np.ndarray, mask: np.ndarray, rule: str, slope=lambda w: 0.0, outward=lambda d: 0.0) -> np.ndarray:
    """Forces in loops; ``mask`` picks the directions that count for the distance, ``slope`` is dDH/dw, ``outward`` a radial force."""
    n, forces = len(x), np.zeros_like(x)
    offset = (x - centre) * mask
    offset -= 10.0 * np.round(offset / 10.0)
    d = np.array([float(np.sqrt(row @ row)) for row in offset])
    w, dw, own = np.zeros(n), np.zeros(n), np.zeros(n)
    for a in range(n):
        if rule == "abrupt":
            w[a] = 1.0 if d[a] < 2.0 else 0.5 if d[a] < 3.0 else 0.0
        elif d[a] < 3.0:
            w[a] = 1.0 if d[a] < 2.0 else np.cos(0.5 * np.pi * (d[a] - 2.0)) ** 2
            dw[a] = 0.0 if d[a] < 2.0 else -0.5 * np.pi * np.sin(np.pi * (d[a] - 2.0))
    for a in range(n):
        for b in range(n):
            if a == b:
                continue
            delta = x[a] - x[b]
            delta -= 10.0 * np.round(delta / 10.0)
            r = float(np.sqrt(delta @ delta))
            share = 0.5 * (w[a] + w[b]) if rule == "hamiltonian" else w[a] * w[b]
            forces[a] += (share * lennard_jones(r, 1.0)[1] + (1 - share) * lennard_jones(r, 0.5)[1]) * delta / r
            own[a] += 0.5 * (lennard_jones(r, 1.0)[0] - lennard_jones(r, 0.5)[0])
    for a in range(n):
        unit = offset[a] / d[a] if d[a] > 0 else 0.0
        if rule == "hamiltonian":
            forces[a] += -(own[a] - slope(w[a])) * dw[a] * unit
        forces[a] += outward(d[a]) * unit
    return forces


def plain_trajectory(x: np.ndarray, steps: int, rule: str, mask, follow: int | None = None, **more) -> np.ndarray:
    """Velocity Verlet; a centre that follows a molecule moves after the forces of a step."""
    x, v = x.copy(), np.zeros_like(x)
    centre = x[follow].copy() if follow is not None else np.array([5.0, 5.0, 5.0])
    f = plain_forces(x, centre, mask, rule, **more)
    for _ in range(steps):
        v = v + 0.5 * TIMESTEP * f
        x = x + TIMESTEP * v
        v = v + 0.5 * TIMESTEP * plain_forces(x, centre, mask, rule, **more)
        centre = x[follow].copy() if follow is not None else centre
        f = plain_forces(x, centre, mask, rule, **more)
    return x


def scattered() -> np.ndarray:
    """Twelve atoms about the middle, no closer than 0.97."""
    rng, found = np.random.default_rng(11), [np.array([5.2, 5.1, 4.9])]
    while len(found) < 12:
        point = 5.0 + rng.normal(scale=1.6, size=3)
        if min(np.linalg.norm(point - other) for other in found) > 0.97:
            found.append(point)
    return np.array(found)


def coupling_of(rule: str):
    if rule == "abrupt":
        return AbruptCoupling(strong(), weak(), 0.5)
    return ForceInterpolationCoupling(strong(), weak()) if rule == "force-interpolation" else HamiltonianCoupling(strong(), weak())


SPHERE = Sphere((5.0, 5.0, 5.0), 2.0, 1.0, 0.0, BOX)
MOVING = MovingSphere((5.0, 5.0, 5.0), 2.0, 1.0, 0.0, BOX, molecule=3)
ALL, ALONG_X = np.ones(3), np.array([1.0, 0.0, 0.0])


@pytest.mark.parametrize("rule", ["abrupt", "force-interpolation", "hamiltonian"])
@pytest.mark.parametrize(
    ("regions", "mask", "follow"), [(SLAB, ALONG_X, None), (SPHERE, ALL, None), (MOVING, ALL, 3)], ids=["slab", "sphere", "moving"]
)
def test_trajectories_are_those_of_plain_loops(rule, regions, mask, follow):
    x = scattered()
    end = run(coupling_of(rule), regions, x, 20).state.positions
    expected = plain_trajectory(x, 20, rule, mask, follow)
    np.testing.assert_allclose(end, expected, atol=1e-9)
    assert np.abs(end - x).max() > 0.02


@pytest.mark.parametrize(
    ("regions", "mask", "follow"), [(SLAB, ALONG_X, None), (SPHERE, ALL, None), (MOVING, ALL, 3)], ids=["slab", "sphere", "moving"]
)
def test_tabulated_thermodynamic_force_acts_along_the_distance(regions, mask, follow):
    force = ThermodynamicForce(("argon",), 5.0, 0.5, (1.5, 4.5))
    force.tables = np.linspace(-1.0, 2.0, 10)[None]

    def outward(d: float) -> float:
        # Bin centres at 0.25, 0.75 ... 4.75: a straight line, zero beyond the window.
        return -1.0 + 3.0 * (d - 0.25) / 4.5 if 1.5 <= d <= 4.5 else 0.0

    x = scattered()
    end = run(coupling_of("force-interpolation"), regions, x, 20, force).state.positions
    np.testing.assert_allclose(end, plain_trajectory(x, 20, "force-interpolation", mask, follow, outward=outward), atol=1e-9)
    assert np.abs(end - run(coupling_of("force-interpolation"), regions, x, 20).state.positions).max() > 1e-3


def test_tabulated_compensation_cancels_its_share_of_the_drift_force():
    knots = np.linspace(0.0, 1.0, 6)
    coupling = HamiltonianCoupling(strong(), weak())
    coupling.table = FreeEnergyCompensation(("argon",), knots, (0.3 - knots + 2.0 * knots**3)[None])
    x = scattered()
    end = run(coupling, SPHERE, x, 20).state.positions

    def slope(w: float) -> float:
        # Cubic Hermite through DH and dDH/dw at the knots; DH is the integral of a cubic, which splines represent exactly.
        i = min(int(w * 5), 4)
        t, h = 5 * w - i, 0.2
        values = 0.3 * knots - knots**2 / 2 + knots**4 / 2
        slopes = 0.3 - knots + 2 * knots**3
        return float(
            (6 * t * (1 - t) * (values[i + 1] - values[i])) / h + (1 - t) * (1 - 3 * t) * slopes[i] + t * (3 * t - 2) * slopes[i + 1]
        )

    np.testing.assert_allclose(end, plain_trajectory(x, 20, "hamiltonian", ALL, slope=slope), atol=1e-9)
    assert np.abs(end - plain_trajectory(x, 20, "hamiltonian", ALL)).max() > 1e-3


def test_update_of_the_thermodynamic_force_is_that_of_plain_loops():
    force = ThermodynamicForce(("argon",), 5.0, 0.5, (1.6, 4.4))
    first, profile = np.linspace(0.1, -0.2, 10), 0.5 + 0.1 * np.sin(np.arange(10.0))
    force.tables = first[None]
    force.update(profile[None], update_prefactor(0.5, 2.0), 0.3)
    expected = first.copy()
    for i in range(10):
        before, after = profile[max(i - 1, 0)], profile[min(i + 1, 9)]
        if 1.6 <= 0.25 + 0.5 * i <= 4.4:
            expected[i] -= 0.3 / (0.5**2 * 2.0) * (after - before) / 1.0
    np.testing.assert_allclose(force.tables[0], expected, atol=1e-14)
