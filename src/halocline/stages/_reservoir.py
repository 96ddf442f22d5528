"""What the train stage does in a study with a classical force field: prepare the reservoir."""

from __future__ import annotations

from halocline.config.study import Study
from halocline.results import StageResult
from halocline.stages._classical import has_table
from halocline.stages.base import Context, Cost


def prepare_reservoir(context: Context) -> StageResult:
    """Nothing for tracers; for tables a run at full resolution and iterative Boltzmann inversion, file ``coarse``.

    Raises:
        RunFailure: a run blew up.
    """
    if not has_table(context.study):
        return StageResult("Nothing to prepare: the reservoir is an ideal gas of tracers.")
    raise NotImplementedError


def reservoir_cost(study: Study) -> Cost:
    """The run at full resolution and one of beads for each iteration."""
    if not has_table(study):
        return Cost(0.0, "nothing: tracers do not interact")
    raise NotImplementedError
