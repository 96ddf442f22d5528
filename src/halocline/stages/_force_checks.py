"""Checks on forces: of the model against quantum mechanics, and of the open system against full resolution."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from halocline.adress.coupling.base import Coupling
from halocline.adress.surface_error import surface_error
from halocline.consistency.check import Check, Verdict
from halocline.dynamics.record import Record
from halocline.observables.base import Comparison, curve
from halocline.observables.statistics import Estimate, mean, propagate
from halocline.progress import Progress
from halocline.results import Figure, StageResult

FRESH_ERROR = "force RMSE on fresh frames"
"""Number of the train stage: error on frames that the model visited by itself and that were then labelled."""
SURFACE_TOLERANCE = 0.05
"""Accepted RMS error of forces in AT from the change of resolution, eV/Å per component (buffer criterion of QM/MM)."""
SURFACE_SAMPLES = 40
ROUNDING = 1e-9
"""eV/Å, below which differences of forces are sums in another order."""
_SCALES = {"eV/A": 1.0, "meV/A": 1e-3}


def model_against_quantum(train: StageResult | None, tolerance: float) -> Verdict:
    """Force error of the model on fresh labelled frames; undecided where the train stage labelled none.

    Args:
        train: result of the train stage.
        tolerance: eV/Å.
    """
    name = "force error of the model against quantum mechanics"
    found = [] if train is None else [number for number in train.numbers if number.name == FRESH_ERROR and number.unit in _SCALES]
    if not found or found[0].value is None:
        reason = "no frames that the model visited were labelled after training"
        return Verdict(
            name, "undecided", math.nan, 0.0, "eV/A", None, None, tolerance, None, reason, "Set active_learning.rounds to at least 1."
        )
    number = found[0]
    scale = _SCALES[number.unit]
    error = math.nan if number.error is None else number.error
    value = Estimate(number.value, error, number.n_effective or 0.0).scaled(scale)
    remedy = "Label more configurations (dataset.frames, active_learning.frames) or train longer (model.budget)."
    comparison = Comparison(name, value, Estimate(0.0), tolerance, "eV/A", "quantum forces", remedy)
    verdict = Check.of(comparison).verdict()
    if verdict.verdict == "undecided":
        return replace(verdict, needed="Label more frames of more trajectories: active_learning.frames, dataset.trajectories.")
    return verdict


def resolution_error(coupling: Coupling, record: Record, progress: Progress) -> tuple[Comparison, list[Figure]]:
    """Forces in AT of the open system against those of the atomistic model on everything, on recorded configurations.

    Args:
        coupling: that of the open run.
        record: of the open run.
        progress: for the bar.
    """
    coupling.bind(record.topology, record.cell)
    rows = np.unique(np.linspace(0, len(record) - 1, min(SURFACE_SAMPLES, len(record))).astype(np.int64))
    profiles = []
    with progress.task("forces at the AT edge", len(rows)) as bar:
        for row in rows:
            snapshot = record[int(row)]
            coupling.reset()
            profiles.append(surface_error(coupling, [(snapshot.positions, snapshot.inside)], record.topology, snapshot.regions))
            bar.advance()
    errors = np.array([profile.atomistic for profile in profiles])
    # A layer wider than the range of every force leaves nothing but rounding: then the error is known to be zero.
    exact = bool((errors < ROUNDING).all())
    value = Estimate(0.0) if exact else propagate(lambda square: math.sqrt(max(square, 0.0)), [mean(errors**2)])
    remedy = "Widen regions.transition, or shorten the range of the models (model.cutoff, model.layers, coarse_model.cutoff)."
    comparison = Comparison(
        "force error in AT from the change of resolution", value, Estimate(0.0), SURFACE_TOLERANCE, "eV/A", "full-resolution forces", remedy
    )
    with np.errstate(invalid="ignore"):
        squared = np.array([profile.error**2 for profile in profiles])
    filled = ~np.isnan(squared).all(axis=0)
    pooled = np.sqrt(np.nanmean(squared[:, filled], axis=0))
    spread = np.nanstd(squared[:, filled], axis=0) / np.sqrt(max(len(rows) - 1, 1)) / np.maximum(2 * pooled, 1e-12)
    depth, transition = profiles[0].depth[filled], record.regions.transition
    series = [
        curve("force error", depth, pooled, spread),
        curve("AT begins", [transition, transition], [0.0, float(pooled.max(initial=0.0))], style="dashed"),
    ]
    caption = (
        "RMS difference per Cartesian component between forces of the open system and of the atomistic model on everything, on "
        f"{len(rows)} recorded configurations, against the depth below the border between transition layer and reservoir."
    )
    figure = Figure(
        "surface_error", "How deep the surface is felt", "depth below the border (A)", "force error (eV/A)", series, caption, "xy", True
    )
    return comparison, [figure]
