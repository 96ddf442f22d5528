"""The compiled PaiNN step computes the same energies, forces and loss gradients as automatic differentiation."""

import numpy as np
import pytest
import torch

from halocline.models.graphs import half_pairs
from halocline.models.model import Model
from halocline.models.painn import PaiNN
from halocline.training.data import Batch, Sites, join, make_batch
from halocline.training.forces import EnergyWeights, ForceMatching
from halocline.training.painn_step import PaiNNStep
from halocline.training.steps import GeneralStep, make_step

CUTOFF, EDGE, TYPES = 4.0, 7.0, [1, 6, 8, 11]


def random_sites(n: int, seed: int, edge: float = EDGE) -> Sites:
    """Atoms of four elements at random in a periodic box shorter than twice the cut-off, at least 0.8 Å apart."""
    rng, positions = np.random.default_rng(seed), np.zeros((0, 3))
    while len(positions) < n:
        candidate = rng.uniform(0, edge, 3)
        delta = positions - candidate
        delta -= edge * np.round(delta / edge)
        if not len(positions) or np.linalg.norm(delta, axis=1).min() > 0.8:
            positions = np.vstack([positions, candidate])
    i, j, shifts = half_pairs(positions, np.eye(3) * edge, True, CUTOFF)
    return Sites(rng.choice(TYPES, n), np.arange(n), positions, i, j, shifts, rng.normal(size=(n, 3)), 0.0)


def random_batch(dtype: torch.dtype) -> Batch:
    index = {kind: position for position, kind in enumerate(TYPES)}
    return join([make_batch(sites, index, 0.0, sites.forces, dtype) for sites in (random_sites(21, 0), random_sites(30, 1))])


def random_painn(dtype: torch.dtype, layers: int = 3) -> Model:
    torch.manual_seed(1)
    model = Model("atoms", PaiNN(TYPES, 24, layers, CUTOFF, 12)).convert(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            # Default biases are close to zero, and an error in one of them would hide.
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=torch.float64).to(dtype))
    model.heads["energy"].scale.fill_(0.7)  # type: ignore[operator]
    return model


def loss_gradient(model: Model, step: PaiNNStep | GeneralStep, batch: Batch) -> dict[str, torch.Tensor]:
    """Gradient by parameter for fixed random slopes that differ from frame to frame."""
    rng = np.random.default_rng(0)
    direction = torch.as_tensor(rng.normal(size=batch.forces.shape)).to(batch.forces.dtype)
    weights = torch.tensor([0.3, -1.0], dtype=batch.forces.dtype)
    model.zero_grad()
    step.surrogate(batch, lambda energy, forces: (weights, direction)).backward()
    return {name: parameter.grad.double().clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_energies_and_forces_equal_automatic_differentiation(layers: int) -> None:
    model, batch = random_painn(torch.float64, layers), random_batch(torch.float64)
    energy, forces = PaiNNStep(model).energy_and_forces(batch)
    energy_exact, forces_exact = GeneralStep(model).energy_and_forces(batch)
    assert forces_exact.abs().max() > 0.1
    torch.testing.assert_close(energy, energy_exact, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(forces, forces_exact, rtol=0, atol=1e-12 * float(forces_exact.abs().max()))


def test_single_precision_energies_and_forces_agree_with_double_precision() -> None:
    energy, forces = PaiNNStep(random_painn(torch.float32)).energy_and_forces(random_batch(torch.float32))
    energy_exact, forces_exact = GeneralStep(random_painn(torch.float64)).energy_and_forces(random_batch(torch.float64))
    torch.testing.assert_close(energy.double(), energy_exact, rtol=1e-5, atol=0)
    assert float((forces.double() - forces_exact).norm() / forces_exact.norm()) < 1e-5


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_gradient_of_every_parameter_equals_the_exact_second_derivative(layers: int) -> None:
    model, batch = random_painn(torch.float64, layers), random_batch(torch.float64)
    exact = loss_gradient(model, GeneralStep(model), batch)
    fast = loss_gradient(model, PaiNNStep(model), batch)
    assert set(fast) == set(exact)
    largest = max(float(value.norm()) for value in exact.values())
    for name, value in exact.items():
        assert float((fast[name] - value).norm()) <= 1e-11 * largest, name


def test_single_precision_gradient_points_where_the_exact_one_does() -> None:
    model, single = random_painn(torch.float64), random_painn(torch.float32)
    exact = loss_gradient(model, GeneralStep(model), random_batch(torch.float64))
    fast = loss_gradient(single, PaiNNStep(single), random_batch(torch.float32))
    one, other = (torch.cat([value.flatten() for _, value in sorted(item.items())]) for item in (fast, exact))
    assert float(torch.nn.functional.cosine_similarity(one, other, dim=0)) > 1 - 1e-8
    assert float((one - other).norm() / other.norm()) < 1e-4


def test_sites_without_neighbours_have_energy_but_no_force() -> None:
    sites = random_sites(3, 0, edge=60.0)
    assert len(sites.i) == 0
    batch = make_batch(sites, {kind: position for position, kind in enumerate(TYPES)}, 0.0, sites.forces, torch.float64)
    model = random_painn(torch.float64)
    energy, forces = PaiNNStep(model).energy_and_forces(batch)
    torch.testing.assert_close(energy, GeneralStep(model).energy_and_forces(batch)[0], rtol=1e-12, atol=0)
    assert float(energy.abs()) > 0
    assert float(forces.abs().max()) == 0


def test_a_subclass_of_painn_does_not_take_the_short_cut() -> None:
    class Changed(PaiNN):
        pass

    model = Model("atoms", Changed([1, 8], 8, 1, CUTOFF))
    assert isinstance(make_step(model, 0.9), GeneralStep)
    assert isinstance(make_step(random_painn(torch.float32), 0.9), PaiNNStep)
    with pytest.raises(TypeError, match="Changed"):
        PaiNNStep(model)


def test_energy_weight_of_the_loss_follows_the_progress_of_the_training() -> None:
    """The gradient is linear in the weight: force part plus weight times energy part."""
    model, batch = random_painn(torch.float64), random_batch(torch.float64)
    objective = ForceMatching(model, [batch], [batch], EnergyWeights(0.0, 3.0))
    constant = ForceMatching(model, [batch], [batch], 3.0)

    def gradient(of: ForceMatching, fraction: float) -> torch.Tensor:
        of.fraction = fraction
        model.zero_grad()
        of.loss([0]).backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])

    begin, middle, end = (gradient(objective, fraction) for fraction in (0.2, 0.625, 1.0))
    assert (begin - end).norm() > 1e-3 * end.norm()
    torch.testing.assert_close(middle, 0.5 * (begin + end), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(end, gradient(constant, 0.2))


def test_score_weighs_energies_as_the_final_loss_does() -> None:
    model, batch = random_painn(torch.float64), random_batch(torch.float64)
    objective = ForceMatching(model, [batch], [batch], EnergyWeights(0.0, 2.0))
    sites = 51 / 2
    assert objective.score({"force": 0.3, "energy": 0.01}) == pytest.approx(np.sqrt(0.09 + 2.0 * sites * 1e-4))
    assert objective.score({"force": 0.3}) == pytest.approx(0.3)
