"""Pair tables recover known potentials and stay safe where there are no data."""

import numpy as np
import pytest
import torch

from halocline.errors import UserError
from halocline.models.graphs import half_pairs
from halocline.models.priors.fit import PairFit, fit_pair_prior, prior_energy_and_forces
from halocline.models.priors.pair_tables import PairTables
from halocline.training.data import Sites

CUTOFF = 5.0


def window(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A pair potential between molecules with value, slope and curvature zero at the cut-off, and its derivative."""
    x = np.clip(1 - r / CUTOFF, 0.0, None)
    return 8.0 * x**4 - 2.0 * x**3, (-32.0 * x**3 + 6.0 * x**2) / CUTOFF


def spring(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Morse bond: 4 eV deep, 1 Å long."""
    decay = np.exp(-2.0 * (r - 1.0))
    return 4.0 * (1 - decay) ** 2, 16.0 * (1 - decay) * decay


def analytic_sites(n_frames: int, seed: int = 0, n: int = 27) -> list[Sites]:
    """Dumb-bells of two types in a periodic box, with the forces of ``window`` between them and ``spring`` within."""
    rng, edge, sites = np.random.default_rng(seed), 9.6, []
    for _ in range(n_frames):
        centres = 3.2 * np.array(list(np.ndindex(3, 3, 3))) + rng.uniform(-0.6, 0.6, (n, 3))
        axis = rng.normal(size=(n, 3))
        axis /= np.linalg.norm(axis, axis=1)[:, None]
        positions = np.stack([centres, centres + rng.uniform(0.85, 1.2, (n, 1)) * axis], axis=1).reshape(-1, 3)
        types, molecule = np.tile([1, 8], n), np.repeat(np.arange(n), 2)
        i, j, shifts = half_pairs(positions, np.eye(3) * edge, True, CUTOFF)
        item = Sites(types, molecule, positions, i, j, shifts, np.zeros((2 * n, 3)), 0.0)
        vectors, same = item.displacements, item.same_molecule == 1
        r = np.linalg.norm(vectors, axis=1)
        energy = np.where(same, spring(r)[0], window(r)[0]).sum()
        slope = np.where(same, spring(r)[1], window(r)[1])
        forces = np.zeros((2 * n, 3))
        np.add.at(forces, i, (slope / r)[:, None] * vectors)
        np.add.at(forces, j, -(slope / r)[:, None] * vectors)
        sites.append(Sites(types, molecule, positions, i, j, shifts, forces, float(energy)))
    return sites


@pytest.fixture(scope="module")
def fit() -> PairFit:
    return fit_pair_prior(analytic_sites(12), [1, 8], CUTOFF)


def pair_curve(tables: PairTables, kind: int, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distances = torch.tensor(r, requires_grad=True)
    energy = tables.pair_energy(distances, torch.full((len(r),), kind))
    (slope,) = torch.autograd.grad(energy.sum(), distances)
    return energy.detach().numpy(), -slope.numpy()


def test_fit_recovers_a_known_pair_potential(fit: PairFit) -> None:
    assert fit.residual < 0.03 * fit.rms
    for number, kind in enumerate(fit.classes):
        r = np.linspace(kind.low + 0.1, kind.high - 0.02, 50)
        function = spring if kind.within else window
        energy, force = pair_curve(fit.tables, number, r)
        np.testing.assert_allclose(force, -function(r)[1], atol=0.05 if kind.within else 0.03)
        difference = energy - function(r)[0]
        assert np.ptp(difference) < 0.01


def test_tables_end_with_zero_value_and_slope(fit: PairFit) -> None:
    assert torch.all(fit.tables.values[:, -1] == 0)
    assert torch.all(fit.tables.slopes[:, -1].abs() < 1e-12)
    assert fit.tables.cutoff == pytest.approx(CUTOFF)


def test_tables_are_the_integral_of_their_slopes(fit: PairFit) -> None:
    r = np.linspace(0.4, 4.9, 400)
    for number in range(len(fit.classes)):
        energy, force = pair_curve(fit.tables, number, r)
        np.testing.assert_allclose(np.gradient(energy, r)[2:-2], -force[2:-2], atol=0.03 * max(1.0, np.abs(force).max()))


def test_molecules_are_confined_beyond_the_sampled_bond_lengths(fit: PairFit) -> None:
    kinds = [number for number, kind in enumerate(fit.classes) if kind.within]
    assert len(kinds) == 1
    kind = fit.classes[kinds[0]]
    assert kind.bounded
    stretched, compressed = np.linspace(kind.high, CUTOFF - 0.7, 60), np.linspace(0.3, kind.low, 30)
    energy, force = pair_curve(fit.tables, kinds[0], stretched)
    assert np.all(force[1:] < -1.0)
    assert energy[-1] - energy[0] > 10.0
    _, force = pair_curve(fit.tables, kinds[0], compressed)
    assert np.all(force[:-1] > 1.0)
    assert np.all(np.diff(force) < 1e-9)


def test_pairs_below_the_shortest_distance_meet_a_growing_wall() -> None:
    """Even an attractive pair turns repulsive a little below the shortest sampled distance."""
    rng, sites = np.random.default_rng(0), []
    for _ in range(300):
        positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, rng.uniform(2.0, 4.9)]])
        r = positions[1, 2]
        pull = (CUTOFF - r) ** 3 * 0.05
        forces = np.array([[0.0, 0.0, pull], [0.0, 0.0, -pull]])
        sites.append(Sites(np.array([1, 1]), np.arange(2), positions, np.array([0]), np.array([1]), np.zeros((1, 3)), forces, 0.0))
    fit = fit_pair_prior(sites, [1], CUTOFF)
    _, force = pair_curve(fit.tables, 0, np.array([2.5]))
    assert force[0] == pytest.approx(-0.05 * 2.5**3, rel=0.03)
    r = np.linspace(0.5, 1.7, 40)
    energy, force = pair_curve(fit.tables, 0, r)
    assert np.all(force[r < 1.6] > 2.0)
    assert np.all(np.diff(force) <= 1e-9)
    assert energy[0] > 10.0


def test_prior_forces_are_those_of_the_analytic_potential(fit: PairFit) -> None:
    item = analytic_sites(1, seed=7)[0]
    energy, forces = prior_energy_and_forces(fit.tables, item, [1, 8])
    assert np.sqrt(np.mean((forces - item.forces) ** 2)) < 0.02 * np.sqrt(np.mean(item.forces**2))
    moved = item.positions.copy()
    moved[3, 1] += 1e-4
    shifted = Sites(item.types, item.molecule, moved, item.i, item.j, item.shifts, item.forces, item.energy)
    assert (energy - prior_energy_and_forces(fit.tables, shifted, [1, 8])[0]) / 1e-4 == pytest.approx(forces[3, 1], abs=2e-2)


def test_no_pairs_are_refused() -> None:
    lonely = Sites(
        np.array([1]), np.zeros(1, dtype=int), np.zeros((1, 3)), *np.zeros((2, 0), dtype=int), np.zeros((0, 3)), np.zeros((1, 3)), 0.0
    )
    with pytest.raises(UserError, match="no pair"):
        fit_pair_prior([lonely], [1], CUTOFF)


def test_a_frame_in_which_a_pair_of_types_never_meets_takes_part_in_the_fit():
    sites = analytic_sites(12)
    first = sites[0]
    # Only the last dumb-bell of one frame carries a third type: pairs of it with itself exist in no other frame.
    types = first.types.copy()
    types[:4] = [3, 8, 3, 8]
    sites[0] = Sites(types, first.molecule, first.positions, first.i, first.j, first.shifts, first.forces, first.energy)
    tables = fit_pair_prior(sites, [1, 3, 8], CUTOFF).tables
    assert np.all(np.isfinite(np.concatenate([values.detach().numpy().ravel() for values in tables.state_dict().values()])))
