"""Constraints of rigid molecules: lengths, agreement with iterative SHAKE, orthogonality, and the free asymmetric top."""

import numpy as np
import pytest

from halocline.dynamics.constraints import LANES, fly_body, fly_triangles, half_rotation, project_body, project_triangle
from halocline.dynamics.rigid_bodies import reference_geometry, reference_lengths, triangle
from halocline.errors import UserError
from halocline.molecules.spce import SPCE

WATER = np.array(SPCE.geometry)
SKEW = np.array([[0.0, 0.0, 0.0], [1.1, 0.1, 0.0], [-0.4, 1.3, 0.2], [-0.3, -0.5, 1.2]])
SKEW_MASSES = np.array([12.0, 1.0, 16.0, 7.0])
PLANAR = np.array([[0.0, 0.0, 0.0], [1.4, 0.0, 0.0], [1.6, 1.1, 0.0], [-0.2, 1.5, 0.0]])


def random_rotation(generator: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(generator.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def turned(geometry: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in a random orientation somewhere, and random velocities of about 500 K."""
    generator = np.random.default_rng(seed)
    return geometry @ random_rotation(generator).T + generator.uniform(0, 30, 3), generator.normal(size=geometry.shape) * 0.01


def gradients(x: np.ndarray) -> np.ndarray:
    """(n_lengths, 3 n_sites) derivatives of half the squared lengths."""
    rows = []
    for i, j, _ in reference_lengths(x):
        row = np.zeros_like(x)
        row[i], row[j] = x[i] - x[j], x[j] - x[i]
        rows.append(row.ravel())
    return np.array(rows)


def projected(x: np.ndarray, v: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Least-squares projection, in the metric of the masses, onto velocities that keep all lengths."""
    root = np.repeat(np.sqrt(masses), 3)
    scaled = gradients(x) / root
    return ((v.ravel() * root - np.linalg.pinv(scaled) @ (scaled @ (v.ravel() * root))) / root).reshape(-1, 3)


def shake(x: np.ndarray, v: np.ndarray, masses: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """One RATTLE flight, constraint by constraint until nothing moves."""
    lengths, new = reference_lengths(x), x + h * v
    for _ in range(2000):
        largest = 0.0
        for i, j, d in lengths:
            old, now = x[i] - x[j], new[i] - new[j]
            excess = now @ now - d * d
            factor = excess / (2.0 * (now @ old) * (1 / masses[i] + 1 / masses[j]))
            new[i] -= factor / masses[i] * old
            new[j] += factor / masses[j] * old
            largest = max(largest, abs(excess))
        if largest < 1e-15:
            break
    return new, projected(new, (new - x) / h, masses)


def fly_water(x: np.ndarray, v: np.ndarray, h: float) -> None:
    """A of one triangle with the apex first, through the lanes."""
    _, row = triangle(WATER, SPCE.masses)
    lanes = np.zeros((12, LANES))
    lanes[:, 0] = np.concatenate([x[1] - x[0], x[2] - x[0], v[1] - v[0], v[2] - v[0]])
    fly_triangles(lanes.reshape(-1), 1, h, row)
    dx, dv = lanes[:6, 0].reshape(2, 3), lanes[6:, 0].reshape(2, 3)
    x += h * v
    x[1:] += dx
    x[0] -= row[4] * dx.sum(0)
    v[1:] += dv
    v[0] -= row[4] * dv.sum(0)


@pytest.mark.parametrize("seed", range(5))
def test_settle_keeps_lengths_and_agrees_with_shake(seed):
    x, v = turned(WATER, seed)
    expected = shake(x, v, SPCE.masses, 2.0)
    fly_water(x, v, 2.0)
    wanted = np.array([d for _, _, d in reference_lengths(WATER)])
    np.testing.assert_allclose([d for _, _, d in reference_lengths(x)], wanted, atol=1e-12, rtol=0)
    np.testing.assert_allclose(x, expected[0], atol=1e-12, rtol=0)
    np.testing.assert_allclose(v, expected[1], atol=1e-12, rtol=0)


@pytest.mark.parametrize(("geometry", "masses"), [(SKEW, SKEW_MASSES), (WATER, SPCE.masses), (WATER, np.array([16.0, 1.0, 2.0]))])
def test_flight_of_a_body_agrees_with_shake(geometry, masses):
    x, v = turned(geometry, 11)
    # From velocities on the constraints and off them: the flight may start with either.
    for start in (v, projected(x, v, masses)):
        expected = shake(x, start, masses, 2.0)
        new, velocity = x.copy(), start.copy()
        fly_body(new, velocity, masses, 0, len(masses), 2.0)
        np.testing.assert_allclose(new, expected[0], atol=1e-12, rtol=0)
        np.testing.assert_allclose(velocity, expected[1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("geometry", [SKEW, PLANAR, WATER])
def test_projection_of_a_body_is_the_orthogonal_one(geometry):
    masses = SKEW_MASSES[: len(geometry)]
    x, v = turned(geometry, 3)
    after = v.copy()
    project_body(x, after, masses, 0, len(x))
    np.testing.assert_allclose(gradients(x) @ after.ravel(), 0.0, atol=1e-15)
    # What is taken away is orthogonal to what stays, and the momentum stays.
    assert abs((masses[:, None] * (v - after) * after).sum()) < 1e-16
    np.testing.assert_allclose(masses @ after, masses @ v, atol=1e-14)
    if geometry is not PLANAR:  # distances do not hold a flat molecule flat to first order
        np.testing.assert_allclose(after, projected(x, v, masses), atol=1e-14)


def test_projection_of_a_triangle_is_the_orthogonal_one():
    x, v = turned(WATER, 4)
    _, row = triangle(WATER, SPCE.masses)
    after = v.copy()
    project_triangle(x, after, 0, 1, 2, row)
    np.testing.assert_allclose(after, projected(x, v, SPCE.masses), atol=1e-14)
    again = after.copy()
    project_triangle(x, again, 0, 1, 2, row)
    np.testing.assert_allclose(again, after, atol=1e-16)


def test_half_rotation_solves_its_equation_and_refuses_what_has_no_solution():
    inertia = np.array([[3.0, 0.4, -0.2], [0.4, 2.0, 0.1], [-0.2, 0.1, 1.5]])
    tensor = inertia[np.triu_indices(3)]
    momentum = np.array([0.3, -0.5, 0.4])
    s = np.array(half_rotation(*tensor, *momentum))
    left = np.sqrt(1 - s @ s) * inertia @ s + np.cross(s, inertia @ s)
    np.testing.assert_allclose(left, momentum, atol=1e-14)
    assert np.isnan(half_rotation(*tensor, 50.0, 0.0, 0.0)).all()


@pytest.mark.parametrize("kind", ["triangle", "body", "planar"])
def test_free_top_keeps_energy_and_angular_momentum_and_its_orientation_error_scales_as_the_step_squared(kind):
    """The discrete top moves on the orbits of the continuous one, at a slightly wrong pace (McLachlan and Zanna 2005)."""
    geometry, masses = {"triangle": (WATER, SPCE.masses), "body": (SKEW, SKEW_MASSES), "planar": (PLANAR, SKEW_MASSES)}[kind]

    def run(h: float) -> np.ndarray:
        x, v = turned(geometry, 8)
        project_body(x, v, masses, 0, len(x))

        def books() -> np.ndarray:
            spin = np.einsum("i,ij->j", masses, np.cross(x - masses @ x / masses.sum(), v))
            return np.array([0.5 * (masses[:, None] * v**2).sum(), *spin])

        start, largest = books(), 0.0
        for _ in range(round(200 / h)):
            if kind == "triangle":
                fly_water(x, v, h)
            else:
                fly_body(x, v, masses, 0, len(x), h)
            largest = max(largest, float(np.abs(books() - start).max()))
        assert largest < 1e-11 * np.abs(start).max()
        return x

    exact, errors = run(0.125), []
    for h in (2.0, 1.0):
        errors.append(float(np.linalg.norm(run(h) - exact)))
    assert errors[1] > 1e-5
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


def test_lengths_give_the_geometry_back_with_its_handedness():
    for hand in (1.0, -1.0):
        wanted = SKEW * np.array([hand, 1.0, 1.0])
        found = reference_geometry(reference_lengths(wanted), SKEW_MASSES, turned(wanted, 2)[0], "skew")
        np.testing.assert_allclose(SKEW_MASSES @ found, 0.0, atol=1e-12)
        assert [d for _, _, d in reference_lengths(found)] == pytest.approx([d for _, _, d in reference_lengths(wanted)], abs=1e-12)
        volume = np.linalg.det(found[1:] - found[0])
        assert volume == pytest.approx(np.linalg.det(wanted[1:] - wanted[0]), rel=1e-10)


def test_impossible_shapes_are_refused():
    guide, masses = np.zeros((3, 3)), np.ones(3)
    with pytest.raises(UserError, match="2 lengths for the 3 pairs"):
        reference_geometry([(0, 1, 1.0), (0, 2, 1.0)], masses, guide, "bent")
    with pytest.raises(UserError, match="off any geometry"):
        reference_geometry([(0, 1, 1.0), (0, 2, 1.0), (1, 2, 3.0)], masses, guide, "open")
    with pytest.raises(UserError, match="on one line"):
        reference_geometry([(0, 1, 1.0), (0, 2, 1.0), (1, 2, 2.0)], masses, guide, "line")
