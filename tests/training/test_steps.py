"""The compiled SchNet step computes the same energies, forces and loss gradients as automatic differentiation."""

import math

import numpy as np
import pytest
import torch

from halocline.models.graphs import half_pairs
from halocline.models.model import Model, make_representation
from halocline.training.data import Batch, Sites, join, make_batch
from halocline.training.forces import ForceMatching
from halocline.training.steps import GeneralStep, SchNetStep

CUTOFF = 4.0


def random_batch(n: int, seed: int, dtype: torch.dtype = torch.float64) -> Batch:
    """Atoms of two types at random in a box shorter than twice the cut-off, at least 0.7 Å apart, with random labels."""
    rng, positions = np.random.default_rng(seed), np.zeros((0, 3))
    while len(positions) < n:
        candidate = rng.uniform(0, 6.5, 3)
        delta = positions - candidate
        delta -= 6.5 * np.round(delta / 6.5)
        if not len(positions) or np.linalg.norm(delta, axis=1).min() > 0.7:
            positions = np.vstack([positions, candidate])
    i, j, shifts = half_pairs(positions, np.eye(3) * 6.5, True, CUTOFF)
    sites = Sites(rng.choice([1, 8], n), np.arange(n), positions, i, j, shifts, rng.normal(size=(n, 3)), 0.0)
    return make_batch(sites, {1: 0, 8: 1}, float(rng.normal()), sites.forces, dtype)


def make_model(name: str = "schnet") -> Model:
    torch.manual_seed(1)
    model = Model("atoms", make_representation(name, [1, 8], 24, 2, CUTOFF)).convert(torch.float64)
    model.heads["energy"].scale.fill_(0.7)  # type: ignore[operator]
    return model


def gradient(model: Model, value: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    value.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


@pytest.fixture(scope="module")
def batch() -> Batch:
    return join([random_batch(12, 0), random_batch(17, 1)])


def test_compiled_energies_and_forces_equal_automatic_differentiation(batch: Batch) -> None:
    model = make_model()
    fast, exact = SchNetStep(model, float(batch.distances.min())), GeneralStep(model)
    energy, forces = fast.energy_and_forces(batch)
    energy_exact, forces_exact = exact.energy_and_forces(batch)
    assert forces_exact.abs().max() > 1e-2
    torch.testing.assert_close(energy, energy_exact, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(forces, forces_exact, rtol=0, atol=3e-4 * float(forces_exact.abs().max()))


def test_general_step_is_the_model_itself() -> None:
    """Residual batches describe the same configuration as the graph that dynamics uses."""
    single = random_batch(12, 0)
    model = make_model()
    rng = np.random.default_rng(0)
    _, forces = GeneralStep(model).energy_and_forces(single)
    direction = torch.as_tensor(rng.normal(size=forces.shape))
    rate = (single.units * (direction[single.j.long()] - direction[single.i.long()])).sum(dim=1)
    assert rate.abs().max() > 0.1
    step = 1e-5
    energies = []
    for sign in (1, -1):
        vectors = single.units * single.distances[:, None]
        vectors = vectors + sign * step * (direction[single.j.long()] - direction[single.i.long()])
        distances = vectors.norm(dim=1)
        moved = Batch(**{**vars(single), "distances": distances, "units": vectors / distances[:, None]})
        energies.append(float(GeneralStep(model).energy_and_forces(moved)[0]))
    assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(float((forces * direction).sum()), rel=1e-6)


def test_gradient_without_second_derivatives_is_the_gradient_of_the_loss(batch: Batch) -> None:
    model = make_model()
    objective = ForceMatching(model, [batch], [batch], energy_weight=0.5)
    exact = GeneralStep(model)
    objective.step = exact
    surrogate = gradient(model, objective.loss([0]))
    energy, forces = exact._evaluate(batch, True)
    force_loss = (forces - batch.forces).square().mean()
    energy_loss = ((energy - batch.energies).square() / batch.counts).mean()
    expected = gradient(model, (force_loss + 0.5 * energy_loss) / objective.scale**2)
    assert expected.norm() > 1e-3
    torch.testing.assert_close(surrogate, expected, rtol=1e-8, atol=1e-12)


def test_compiled_gradient_points_where_the_exact_one_does(batch: Batch) -> None:
    model = make_model()
    rng = np.random.default_rng(0)
    direction, weights = torch.as_tensor(rng.normal(size=(29, 3))), torch.tensor([0.3, -1.0], dtype=torch.float64)
    fast, exact = SchNetStep(model, float(batch.distances.min())), GeneralStep(model)
    compiled = gradient(model, fast.surrogate(batch, lambda energy, forces: (weights, direction)))
    reference = gradient(model, exact.surrogate(batch, lambda energy, forces: (weights, direction)))
    assert float((compiled - reference).norm() / reference.norm()) < 1e-3
    assert float(torch.nn.functional.cosine_similarity(compiled, reference, dim=0)) > 1 - 1e-6


def test_finer_knots_converge_to_the_exact_forces(batch: Batch) -> None:
    model = make_model()
    exact = GeneralStep(model).energy_and_forces(batch)[1]
    errors = []
    for spacing in (0.1, 0.05):
        fast = SchNetStep(model, float(batch.distances.min()), spacing)
        errors.append(float((fast.energy_and_forces(batch)[1] - exact).norm()))
    # Slopes of cubic Hermite interpolation converge with the third power of the spacing.
    assert math.log2(errors[0] / errors[1]) > 2.5


def test_subclass_of_schnet_does_not_take_the_short_cut() -> None:
    from halocline.models.schnet import SchNet
    from halocline.training.steps import make_step

    class Changed(SchNet):
        name = ""

    model = make_model()
    assert isinstance(make_step(model, 0.5), SchNetStep)
    model.representation = Changed([1, 8], 24, 2, CUTOFF)
    assert isinstance(make_step(model, 0.5), GeneralStep)
