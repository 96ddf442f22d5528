"""What one window of a calibration saw, and what follows from it: update, confirm, lengthen, or stop.

A window *agrees* when the density of AT and of blocks of about 3 Å in Δ deviates from the target by no more than the tolerance and
is known to better than the tolerance. It is *limited by noise* when no block lies significantly (more than two standard errors)
outside the tolerance, but some error exceeds it: another update would follow noise, so the table is kept and the window doubled.
Anything else is *updated*.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from halocline.adress.density_profile import level_ends
from halocline.adress.density_response import DensityResponse
from halocline.adress.regions import BoolArray, Regions
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.statistics import mean_and_error_of_runs
from halocline.topology import FloatArray, IntArray

BLOCK = 3.0
"""Width of the blocks in which the density of Δ is judged, Å."""
STREAK = 2
"""Windows in a row that must agree with the target."""
LONGEST = 8
"""A window limited by noise is doubled up to this many times the length of the first."""
SIGNIFICANT = 2.0
"""Standard errors beyond which a deviation is not noise."""

UPDATED, AGREES, LIMITED = "updated", "agrees", "limited by noise"


@dataclass(frozen=True)
class CalibrationSettings:
    """How to iterate; steps, sample, checkpoint and heating_steps are numbers of time steps, other quantities as in the study file.

    Attributes:
        response: what a change of the density costs, which scales the updates.
        iterations: budget, in windows of the first length; a doubled window takes two of them.
        replicas: independent runs per window.
        border: outermost part of Δ that is not judged, Å.
        followed: species whose molecules the regions follow: they are at the centre by construction, and need no force.
        density: target in AT and Δ where it is not that of the box, for one species, molecules/Å^3.
        first_error: of the integral of the first tables, eV; infinite where they are a guess.
    """

    steps: int
    discard: float
    iterations: int
    tolerance: float
    smoothing: float
    damping: float
    response: DensityResponse
    sample: int
    checkpoint: int
    replicas: int = 1
    heating: float = math.inf
    heating_steps: int = 1
    followed: tuple[int, ...] = ()
    border: float = 0.0
    density: float | None = None
    first_error: float = math.inf

    def fraction(self, update: int) -> float:
        """c_i of the i-th update: all windows since the first update weigh the same, and the first table as much as 1/c0 - 1 of them."""
        return self.damping / (1.0 + update * self.damping)


@dataclass(frozen=True)
class Window:
    """What one window saw, and the tables it used.

    Attributes:
        tables: (n_species, n_bins) eV/Å, during the window. updated: the same after it.
        density: (n_species, n_bins) relative to the target. error: standard errors.
        blocks: (n_species, n_blocks) relative deviations: AT first, then blocks of Δ from the inside out, the reservoir last.
        block_errors: standard errors.
        integral: (n_species,) INT F_in dx of ``updated``, eV.
        steps: length with the dropped part, time steps.
        outcome: "updated", "agrees" or "limited by noise"; only the first changes the tables.
        power: heating power of the changes of membership, eV/fs; infinite where it is not known.
        layer: mean number of molecules in Δ.
        asked, asked_error: (n_species,) INT F_in dx that would have put the density of this window right, and its error, eV.
        correction: ``asked`` less the integral of ``tables``.
    """

    tables: list[list[float]]
    updated: list[list[float]]
    density: list[list[float]]
    error: list[list[float]]
    blocks: list[list[float]]
    block_errors: list[list[float]]
    integral: list[float]
    steps: int = 0
    outcome: str = UPDATED
    power: float = math.inf
    layer: float = 0.0
    asked: list[float] = field(default_factory=list)
    asked_error: list[float] = field(default_factory=list)
    correction: list[float] = field(default_factory=list)

    def worst(self) -> tuple[float, float]:
        """Largest deviation in AT and Δ, by magnitude, and its error."""
        deviations, errors = self._judged()
        index = int(np.argmax(np.abs(deviations)))
        return float(deviations[index]), float(errors[index])

    def moved_to(self, force: ThermodynamicForce) -> Window:
        """This window, followed by other tables."""
        return replace(self, updated=force.tables.tolist(), integral=force.inward_integral().tolist())

    def agrees(self, tolerance: float) -> bool:
        """Whether every judged block is on target, and known to be."""
        deviations, errors = self._judged()
        return bool((np.abs(deviations) <= tolerance).all() and (errors <= tolerance).all())

    def limited_by_noise(self, tolerance: float) -> bool:
        """Whether no judged block is significantly off target, but some are not known well enough to say that they are on it."""
        deviations, errors = self._judged()
        harmless = np.abs(deviations) <= np.maximum(tolerance, SIGNIFICANT * errors)
        return bool(harmless.all() and (errors > tolerance).any())

    def _judged(self) -> tuple[FloatArray, FloatArray]:
        """Deviations and errors of AT and all blocks of Δ, of all species; the reservoir is not judged."""
        return np.array(self.blocks)[:, :-1].ravel(), np.array(self.block_errors)[:, :-1].ravel()


def has_converged(windows: Sequence[Window], tolerance: float) -> bool:
    """Whether the last windows all agree with the target."""
    return len(windows) >= STREAK and all(window.agrees(tolerance) for window in windows[-STREAK:])


def is_limited_by_noise(windows: Sequence[Window], tolerance: float) -> bool:
    """Whether the calibration ended with a window that longer sampling, not another table, would improve."""
    return bool(windows) and windows[-1].limited_by_noise(tolerance)


def next_length(windows: Sequence[Window], settings: CalibrationSettings) -> int:
    """Steps of the next window; zero when the calibration is over.

    It is over when the last windows agree, when the budget is spent, or when the longest window is still limited by noise.
    """
    left = settings.iterations * settings.steps - sum(window.steps for window in windows)
    if left <= 0 or has_converged(windows, settings.tolerance):
        return 0
    if not windows:
        return settings.steps
    last, longest = windows[-1], LONGEST * settings.steps
    if last.outcome != LIMITED:
        return min(last.steps, left)
    return 0 if last.steps >= longest else min(2 * last.steps, longest, left)


def blocks_of(regions: Regions, edges: FloatArray, border: float = 0.0, core: bool = True) -> list[BoolArray]:
    """Masks of bins: AT, blocks of about 3 Å through Δ up to ``border`` (Å) from its end, the reservoir beyond the hysteresis.

    Around a solute AT is left out (``core`` false): its density is that of the solvation shells and of what the solute excludes.
    """
    centres = 0.5 * (edges[1:] + edges[:-1])
    n_blocks = max(1, round((regions.transition - border) / BLOCK))
    borders = np.linspace(regions.atomistic, regions.outer - border, n_blocks + 1)
    transition = [(centres >= low) & (centres < high) for low, high in itertools.pairwise(borders)]
    beyond = centres >= regions.outer + regions.hysteresis
    judged = [mask for mask in (*([centres < regions.atomistic] if core else []), *transition) if mask.any()]
    return [*judged, beyond if beyond.any() else centres >= regions.outer]


def judge(
    runs: Sequence[IntArray],
    volumes: FloatArray,
    regions: Regions,
    force: ThermodynamicForce,
    density: FloatArray,
    settings: CalibrationSettings,
    steps: int,
    updates: int,
    power: float = math.inf,
    shape: FloatArray | float = 1.0,
) -> Window:
    """Densities with errors, and the tables that follow; ``force`` is not changed.

    Args:
        runs: counts (n_samples, n_species, n_bins) of each replica.
        volumes: (n_bins,) mean volumes of the shells, Å^3.
        force: tables during the window.
        density: (n_species,) target, molecules/Å^3.
        steps: of the window. updates: of the tables so far. power: see :class:`Window`.
        shape: (n_bins,) target profile over ``density``, where the reservoir has another one.
    """
    expected = density[:, None] * volumes * shape
    kinds, n_bins = range(len(density)), len(volumes)
    bins = np.array([[_relative([run[:, k, b] for run in runs], expected[k, b]) for b in range(n_bins)] for k in kinds])
    masks = blocks_of(regions, force.edges, settings.border, not settings.followed)
    blocks = np.array([[_relative([run[:, k][:, mask].sum(1) for run in runs], expected[k, mask].sum()) for mask in masks] for k in kinds])
    blocks[list(settings.followed)] = [1.0, 0.0]
    bins[list(settings.followed), :, 0] = 1.0
    in_layer = (force.centres >= regions.atomistic) & (force.centres < regions.outer)
    layer = float(np.mean([run[:, :, in_layer].sum(axis=(1, 2)).mean() for run in runs]))
    deviations, errors = (blocks[:, :, 0] - 1.0).tolist(), blocks[:, :, 1].tolist()
    before, integral = force.tables.tolist(), force.inward_integral()
    target, excess = density[:, None] * shape, (bins[:, :, 0] - 1.0) * density[:, None] * shape
    target = np.broadcast_to(target, excess.shape)
    stiffness = settings.response.stiffness(target, regions, force.centres)
    stiffness[list(settings.followed)] = 0.0
    inner, outer = masks[0], masks[-1]
    excess = level_ends(excess, volumes, inner, force.in_window(), outer)
    correction, asked_error = _correction(stiffness, target, blocks)
    after = force.copy()
    after.update(excess, stiffness, settings.fraction(updates), settings.smoothing, volumes, regions.mirrored)
    window = Window(
        before, before, bins[:, :, 0].tolist(), bins[:, :, 1].tolist(), deviations, errors, integral.tolist(), steps, UPDATED, power, layer,
        (integral + correction).tolist(), asked_error.tolist(), correction.tolist(),
    )  # fmt: skip
    if window.agrees(settings.tolerance):
        return replace(window, outcome=AGREES)
    if window.limited_by_noise(settings.tolerance):
        return replace(window, outcome=LIMITED)
    return window.moved_to(after)


def _correction(stiffness: FloatArray, target: FloatArray, blocks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n_species,) eV: what the integral lacks for the densities of both ends, sum_j M dn_j, reservoir less AT, and its error.

    Args:
        stiffness: (n_species, n_species, n_bins). target: (n_species, n_bins) molecules/Å^3.
        blocks: (n_species, n_blocks, 2) densities over the target with errors: AT (or what stands for it) first, the reservoir last.
    """
    cost = (stiffness * target)[:, :, [0, -1]]
    excess, errors = blocks[:, [0, -1], 0] - 1.0, blocks[:, [0, -1], 1]
    with np.errstate(invalid="ignore"):
        # An unknown error of a species that costs nothing does not matter.
        parts = np.where(cost == 0.0, 0.0, cost * errors)
    return ((cost * excess) @ np.array([-1.0, 1.0])).sum(axis=1), np.sqrt((parts**2).sum(axis=(1, 2)))


def _relative(series: list[IntArray], expected: float) -> tuple[float, float]:
    """Mean over the target and its error; a shell without volume says nothing, and is on target by definition."""
    if expected <= 0.0:
        return 1.0, math.inf
    mean, error, _ = mean_and_error_of_runs(series)
    return mean / expected, error / expected
