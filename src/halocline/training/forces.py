"""Matching energies and forces, of atoms or beads, after the prior."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from halocline.errors import UserError
from halocline.models.heads.energy import EnergyHead
from halocline.models.model import Model
from halocline.models.priors.fit import prior_energy_and_forces
from halocline.topology import FloatArray
from halocline.training.data import Batch, Sites, join, make_batch
from halocline.training.loop import Objective
from halocline.training.steps import make_step

VALIDATION_BATCH = 8
VALIDATION_FRAMES = 24
"""Frames that the learning curve and the choice of weights go by; the errors that are reported use all frames."""


@dataclass(frozen=True)
class EnergyWeights:
    """Weight of the energies in the loss in the course of a training, dimensionless.

    Forces carry most of the information and are learned first. Energies, one number for a whole configuration, gain from a
    larger weight when the learning rate is already small.

    Attributes:
        early: up to one half of the training.
        late: from three quarters on; in between it changes by a constant factor per step.
    """

    early: float
    late: float

    def __post_init__(self) -> None:
        if not (self.early >= 0 and self.late >= 0):
            raise UserError(f"energy weights {self.early} and {self.late}", "training", "Use weights of zero or more.")

    def at(self, fraction: float) -> float:
        """Weight after a fraction of the training."""
        share = min(1.0, max(0.0, 4 * fraction - 2))
        if self.early > 0 and self.late > 0:
            return self.early ** (1 - share) * self.late**share
        return (1 - share) * self.early + share * self.late


class ForceMatching(Objective):
    """Mean squared error of force components, plus squared errors of energies per site.

    L = [ <(F - F*)^2> + w <(E - E*)^2 / n_sites> / Å^2 ] / s^2, with s the root mean square of the residual forces. An energy error
    made of independent site errors grows with the square root of the number of sites, hence the division by their number.

    Args:
        model: with an energy head whose references are set.
        train, valid: residual labels; energies and forces that are NaN are left out.
        energy_weight: w, dimensionless; one number, or how it changes. The weights that are kept are those with the smallest
            validation error of forces and energies together, weighted as in the end.
    """

    note = (1000.0, "meV/A")

    def __init__(self, model: Model, train: Sequence[Batch], valid: Sequence[Batch], energy_weight: float | EnergyWeights) -> None:
        self.model, self.train, self.n_samples = model, list(train), len(train)
        self.weights = energy_weight if isinstance(energy_weight, EnergyWeights) else EnergyWeights(energy_weight, energy_weight)
        chosen = [valid[int(k)] for k in np.linspace(0, len(valid) - 1, min(len(valid), VALIDATION_FRAMES))]
        self.valid = [join(chosen[start : start + VALIDATION_BATCH]) for start in range(0, len(chosen), VALIDATION_BATCH)]
        shortest = min(float(batch.distances.min()) for batch in [*train, *valid] if len(batch.distances))
        self.step = make_step(model, shortest)
        self.scale = math.sqrt(_mean_square([batch.forces for batch in train]))
        self.seen = _Errors()

    def loss(self, samples: list[int]) -> Tensor:
        batch, energy_weight = join([self.train[index] for index in samples]), self.weights.at(self.fraction)

        def slopes(energy: Tensor, forces: Tensor) -> tuple[Tensor, Tensor]:
            delta_f, delta_e = _force_error(forces, batch), _energy_error(energy, batch)
            self.seen.add(batch, delta_f, delta_e)
            n_energies, n_forces = max(1, _known(batch.energies)), max(1, _known(batch.forces))
            by_energy = batch.weights * delta_e / batch.counts * (2.0 * energy_weight / (self.scale**2 * n_energies))
            by_force = batch.weights[batch.frame][:, None] * delta_f * (2.0 / (self.scale**2 * n_forces))
            return by_energy, by_force

        return self.step.surrogate(batch, slopes)

    def training_errors(self) -> dict[str, float]:
        errors, self.seen = self.seen.rms(), _Errors()
        return errors

    def validation_errors(self) -> dict[str, float]:
        errors = _Errors()
        for batch in self.valid:
            energy, forces = self.step.energy_and_forces(batch)
            errors.add(batch, _force_error(forces, batch), _energy_error(energy, batch))
        return errors.rms()

    def score(self, errors: Mapping[str, float]) -> float:
        """Square root of the loss of the validation set with the energy weight of the end, eV/Å."""
        sites = sum(float(batch.counts.sum()) for batch in self.valid) / sum(batch.n_frames for batch in self.valid)
        return math.sqrt(errors["force"] ** 2 + self.weights.late * sites * errors.get("energy", 0.0) ** 2)


class _Errors:
    """Sums of squares."""

    def __init__(self) -> None:
        self.force, self.n_force, self.energy, self.n_energy = 0.0, 0, 0.0, 0

    def add(self, batch: Batch, delta_f: Tensor, delta_e: Tensor) -> None:
        self.force += float(delta_f.square().sum())
        self.n_force += _known(batch.forces)
        self.energy += float((delta_e / batch.counts).square().sum())
        self.n_energy += _known(batch.energies)

    def rms(self) -> dict[str, float]:
        """``force`` in eV/Å by component and, where there are energies, ``energy`` in eV per site."""
        if self.n_force == 0:
            return {}
        result = {"force": math.sqrt(self.force / self.n_force)}
        if self.n_energy:
            result["energy"] = math.sqrt(self.energy / self.n_energy)
        return result


def _known(labels: Tensor) -> int:
    """Number of components that are not NaN."""
    return int((~torch.isnan(labels)).sum())


def _force_error(forces: Tensor, batch: Batch) -> Tensor:
    """(n_sites, 3) eV/Å; zero where there is no label."""
    return torch.nan_to_num(forces - batch.forces, nan=0.0)


def _energy_error(energy: Tensor, batch: Batch) -> Tensor:
    """(n_frames,) eV; zero where there is no label."""
    return torch.nan_to_num(energy - batch.energies.to(energy.dtype), nan=0.0)


def _mean_square(tensors: Sequence[Tensor]) -> float:
    return sum(float(tensor.double().square().nansum()) for tensor in tensors) / sum(_known(tensor) for tensor in tensors)


PriorTerms = list[tuple[float, FloatArray]]
"""Energy in eV and forces (n, 3) in eV/Å of the prior, for each configuration."""


def prior_terms(model: Model, sites: Sequence[Sites]) -> PriorTerms:
    """What the prior says of each configuration; zeros without a prior."""
    if model.prior is None:
        return [(0.0, np.zeros_like(item.forces)) for item in sites]
    return [prior_energy_and_forces(model.prior, item, model.types) for item in sites]


def force_error(sites: Sequence[Sites], terms: PriorTerms) -> float:
    """Root mean square of the force components that the prior leaves, eV/Å."""
    squares = sum(float(np.nansum((item.forces - forces) ** 2)) for item, (_, forces) in zip(sites, terms))
    return math.sqrt(squares / sum(int(np.isfinite(item.forces).sum()) for item in sites))


def residual_batches(model: Model, sites: Sequence[Sites], terms: PriorTerms, dtype: torch.dtype = torch.float32) -> list[Batch]:
    """Labels less prior and energy references, ready to learn."""
    index = {kind: position for position, kind in enumerate(model.types)}
    shift = _energy_head(model).shift.numpy()
    batches = []
    for item, (energy, forces) in zip(sites, terms):
        reference = float(shift[[index[int(kind)] for kind in item.types]].sum())
        residual = math.nan if item.energy is None else item.energy - energy - reference
        batches.append(make_batch(item, index, residual, item.forces - forces, dtype))
    return batches


def set_references(model: Model, sites: Sequence[Sites], terms: PriorTerms) -> None:
    """Energy of each type by least squares of what the prior leaves, and the scale of site energies.

    Types that always come in the same proportion, as in a pure liquid, share the energy by the minimum-norm solution.
    """
    head = _energy_head(model)
    counts = np.array([[float((item.types == kind).sum()) for kind in model.types] for item in sites])
    energies = [0.0 if item.energy is None else item.energy - energy for item, (energy, _) in zip(sites, terms)]
    solution = np.linalg.lstsq(counts, np.array(energies), rcond=None)[0]
    head.shift.copy_(torch.as_tensor(solution))
    # A site energy changes over about one Å by about the force times that length.
    head.scale.fill_(max(force_error(sites, terms), 1e-6))


def _energy_head(model: Model) -> EnergyHead:
    head = model.heads["energy"]
    assert isinstance(head, EnergyHead)
    return head
