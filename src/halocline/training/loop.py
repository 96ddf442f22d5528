"""The optimisation loop: a wall-time budget, averaged weights, checkpoints that survive being killed, a learning curve.

Lightning runs the steps; what to learn is an :class:`Objective`. Lightning takes seconds to import, so that its parts live
in ``lightning_loop`` and are imported when a training starts.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halocline import files
from halocline.errors import RunFailure, UserError
from halocline.models.model import Model
from halocline.progress import Progress


class Objective(ABC):
    """What is learned: the loss of some samples, and the errors that are shown and selected by.

    Attributes:
        model: its parameters are trained.
        n_samples: number of training samples.
        note: unit of the first validation error, and factor to it, for the progress bar.
        fraction: of the training that is done; the loop sets it before every step.
    """

    model: Model
    n_samples: int
    note: tuple[float, str] = (1.0, "")
    fraction: float = 0.0

    @abstractmethod
    def loss(self, samples: list[int]) -> Tensor:
        """A scalar whose gradient is that of the loss of these samples; its value need not be the loss."""

    @abstractmethod
    def training_errors(self) -> dict[str, float]:
        """Errors of the training samples since the last call, for the learning curve."""

    @abstractmethod
    def validation_errors(self) -> dict[str, float]:
        """Errors on held-back samples with the present weights; the first one is shown."""

    def score(self, errors: Mapping[str, float]) -> float:
        """One number of validation errors; the weights with the smallest are kept. The first error unless a kind knows better."""
        return next(iter(errors.values()))


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        budget: s, wall time of the loop.
        learning_rate: peak of the cosine.
        batch: samples per step.
        seed: of the order of the samples.
        steps: exact number of steps instead of a budget: the way to repeat a training, whatever the machine.
        warmup: share of the training in which the learning rate rises.
        final: learning rate at the end, relative to the peak.
        validations: about how often errors are measured.
        checkpoint_interval: s.
        clip: largest norm of the gradient of the (dimensionless) loss.
        averaging: largest decay of the running average of the weights.
    """

    budget: float
    learning_rate: float = 2e-3
    batch: int = 2
    seed: int = 1
    steps: int | None = None
    warmup: float = 0.02
    final: float = 0.01
    validations: int = 20
    checkpoint_interval: float = 15.0
    clip: float = 5.0
    averaging: float = 0.999

    def rate(self, fraction: float) -> float:
        """Learning rate after a fraction of the training."""
        if fraction < self.warmup:
            return self.learning_rate * max(fraction / self.warmup, 0.02)
        angle = math.pi * min(1.0, (fraction - self.warmup) / (1 - self.warmup))
        return self.learning_rate * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(angle)))


@dataclass
class Progression:
    """Where a training stands; everything that a checkpoint keeps besides weights and optimiser.

    Attributes:
        step: optimisation steps done.
        seconds: wall time of the loop so far.
        curve: one dictionary per validation: step, epoch, seconds, learning_rate and errors.
        average: running average of each parameter.
        best, best_error, best_row: averaged parameters with the smallest score so far, that score, and its place in the curve.
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    average: list[Tensor] = field(default_factory=list)
    best: list[Tensor] = field(default_factory=list)
    best_error: float = math.inf
    best_row: int = -1

    def fraction(self, schedule: Schedule) -> float:
        """Share of the training that is done."""
        if schedule.steps is not None:
            return self.step / schedule.steps
        return self.seconds / schedule.budget


class Batches:
    """Endless shuffled batches of sample indices; batch n is a function of seed and n alone, so that resuming is exact."""

    def __init__(self, n_samples: int, schedule: Schedule, start: Callable[[], int], more: Callable[[int], bool]) -> None:
        self.n_samples, self.schedule, self.start, self.more = n_samples, schedule, start, more

    def __iter__(self) -> Iterator[list[int]]:
        size = min(self.schedule.batch, self.n_samples)
        per_epoch = math.ceil(self.n_samples / size)
        step, epoch, order = self.start(), -1, np.zeros(0, dtype=np.int64)
        while self.more(step):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = np.random.default_rng([self.schedule.seed, epoch]).permutation(self.n_samples)
            place = step % per_epoch
            yield order[place * size : (place + 1) * size].tolist()
            step += 1


class Loop:
    """One training; driven by Lightning through the hooks below.

    Args:
        objective: what is learned.
        schedule: how long.
        curve_file: JSON file that the learning curve is written to as it grows.
        report: called after every step with how much was done, in seconds or steps, and with the last validation error.
    """

    def __init__(self, objective: Objective, schedule: Schedule, curve_file: Path, report: Callable[[float, float], None]) -> None:
        self.objective, self.schedule, self.curve_file, self.report = objective, schedule, curve_file, report
        self.progression = Progression()
        self.parameters = [parameter for parameter in objective.model.parameters() if parameter.requires_grad]
        self.last = time.monotonic()
        self.shown = math.nan

    def begin(self) -> None:
        """Start the clock; also after a checkpoint was read."""
        state = self.progression
        if not state.average:
            state.average = [parameter.detach().clone() for parameter in self.parameters]
        if state.step:
            self.report(state.seconds if self.schedule.steps is None else state.step, self.shown)
        self.objective.fraction = state.fraction(self.schedule)
        self.last = time.monotonic()

    def more(self, step: int) -> bool:
        """Whether batch ``step`` is still wanted."""
        if self.schedule.steps is not None:
            return step < self.schedule.steps
        return self.progression.seconds + time.monotonic() - self.last < self.schedule.budget

    @property
    def learning_rate(self) -> float:
        return self.schedule.rate(self.progression.fraction(self.schedule))

    def after_step(self) -> None:
        """Average the weights, advance the clock, validate when it is time."""
        now, state = time.monotonic(), self.progression
        state.step += 1
        decay = min(self.schedule.averaging, (1 + state.step) / (10 + state.step))
        torch._foreach_lerp_(state.average, [parameter.detach() for parameter in self.parameters], 1 - decay)
        before = self._validation_number()
        state.seconds += now - self.last
        self.objective.fraction = state.fraction(self.schedule)
        self.report(now - self.last if self.schedule.steps is None else 1.0, self.shown)
        self.last = now
        # Few steps fill a short budget: the first one always shows whether anything works at all.
        if self._validation_number() > before or state.step == 1:
            self.validate()

    def _validation_number(self) -> int:
        """Validations due so far: denser early, when errors fall fast."""
        fraction = min(1.0, self.progression.fraction(self.schedule))
        return int(self.schedule.validations * fraction**0.6)

    def validate(self) -> None:
        """Errors of the averaged weights; keeps the best ones."""
        state = self.progression
        with self.weights(state.average):
            errors = self.objective.validation_errors()
        first, score = next(iter(errors.values())), self.objective.score(errors)
        if not (math.isfinite(first) and math.isfinite(score)):
            raise RunFailure(f"the validation error is {first} after {state.step} steps", "training", _DIVERGED)
        epoch = state.step * self.schedule.batch / self.objective.n_samples
        head = {"step": float(state.step), "epoch": epoch, "seconds": state.seconds, "learning_rate": self.learning_rate}
        training = {f"train_{name}": value for name, value in self.objective.training_errors().items()}
        state.curve.append({**head, **training, **{f"valid_{name}": value for name, value in errors.items()}})
        self.shown = first
        if score < state.best_error:
            state.best_error, state.best_row = score, len(state.curve) - 1
            state.best = [tensor.clone() for tensor in state.average]
        files.write_json(self.curve_file, {"n_samples": self.objective.n_samples, "curve": state.curve})

    def finish(self) -> None:
        """Last validation; leave the best averaged weights in the model."""
        if self.progression.step == 0:
            raise RunFailure("the budget ended before the first step", "training", "Give it more time.")
        if not self.progression.curve or self.progression.curve[-1]["step"] != self.progression.step:
            self.validate()
        _copy(self.parameters, self.progression.best)

    @contextmanager
    def weights(self, values: list[Tensor]) -> Iterator[None]:
        """The model with other weights for a while."""
        kept = [parameter.detach().clone() for parameter in self.parameters]
        _copy(self.parameters, values)
        try:
            yield
        finally:
            _copy(self.parameters, kept)

    def state_dict(self) -> dict[str, Any]:
        """Of the progression, for a checkpoint."""
        return dict(vars(self.progression))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.progression = Progression(**state)
        if self.progression.curve:
            self.shown = next(value for name, value in self.progression.curve[-1].items() if name.startswith("valid_"))


_DIVERGED = "Lower model.learning_rate, or look for wrong labels with `halocline inspect`."


def _copy(targets: list[torch.nn.Parameter], values: list[Tensor]) -> None:
    with torch.no_grad():
        for target, value in zip(targets, values):
            target.copy_(value)


def run_loop(
    objective: Objective, schedule: Schedule, checkpoint: Path, curve_file: Path, progress: Progress, description: str
) -> Progression:
    """Train until the budget is spent, from the checkpoint if there is one; the best averaged weights end up in the model.

    Args:
        objective: what is learned.
        schedule: how long and how fast.
        checkpoint: file that is written every few seconds and removed by nobody: the caller does, once it has saved the model.
        curve_file: JSON file of the learning curve.
        progress: one bar, in seconds of the budget.
        description: of the bar.

    Raises:
        UserError: a budget or batch that is not positive.
        RunFailure: the loss is not finite, or the checkpoint cannot be read.
    """
    if not (schedule.budget > 0 or schedule.steps) or schedule.batch < 1:
        raise UserError(f"budget {schedule.budget} s, batch {schedule.batch}", "training", "Both must be positive.")
    from halocline.training.lightning_loop import run

    factor, unit = objective.note
    threads = torch.get_num_threads()
    # A second thread gains nothing on layers this small and loses much when the other core is busy.
    torch.set_num_threads(1)
    try:
        objective.loss(list(range(min(schedule.batch, objective.n_samples)))).backward()  # compiles what needs compiling
        objective.model.zero_grad(set_to_none=True)
        objective.training_errors()
        total = float(schedule.steps) if schedule.steps is not None else schedule.budget
        with progress.task(description, total) as task:

            def report(amount: float, error: float) -> None:
                task.advance(amount)
                if math.isfinite(error):
                    task.note(f"{error * factor:.3g} {unit}".strip())

            loop = Loop(objective, schedule, curve_file, report)
            run(loop, checkpoint)
            loop.finish()
    finally:
        torch.set_num_threads(threads)
    return loop.progression
