"""Velocity and dipole autocorrelation of molecules that start in AT, and their diffusion coefficient.

    D = 1/3 INT_0^T C_v(t) dt

to the longest recorded lag T, with leavers followed. The other convention, counting molecules only while they have not left,
selects slow molecules: both curves are shown, and they part at the time that a molecule needs to leave. A dipole is followed only as
long as its molecule stays in S1: where the reservoir knows mass points alone, one that leaves loses its orientation. The run at full
resolution keeps to the same rule, so that both curves are of molecules that stayed.

What is judged is the integral over molecules that stay in AT, which the thermostat of Δ never touches, to the time at which half of them
have left. AT itself has its own friction g_AT and the reference g: to first order D changes by the share D |g - g_AT| m/kT, by which
the tolerance is widened. More than first order is not known: friction also cuts the long tail of C_v (the Lennard-Jones fluid of the
examples: 12 % by the formula, 27 % measured), so that nothing is judged where the shift is larger than the tolerance itself. The
coefficient of molecules that are followed feels the friction of Δ, and is judged only where all frictions are the same.
"""

from __future__ import annotations

import math

import numpy as np

from halocline.dynamics.correlation import COUNT, DIPOLE, FOLLOW, INSIDE, TURNING, VELOCITY, WITHIN_S1, correlation_path
from halocline.dynamics.record import Record, Snapshot
from halocline.files import read_arrays
from halocline.observables.base import Comparison, Observable, curve, number
from halocline.observables.statistics import MIN_SAMPLES, Estimate, function_of_means, mean
from halocline.results import Figure, Number
from halocline.topology import FloatArray
from halocline.units import ACCELERATION, thermal_energy

TOLERANCE = 0.1
"""Accepted relative difference of diffusion coefficients."""
STAYERS = 0.5
"""Share of the molecules that must still be in AT for those that stayed to be compared."""
LARGEST_SHIFT = TOLERANCE
"""Shifts of D by the friction of the reference above this leave nothing to compare."""
_COUNTS = {VELOCITY: COUNT, DIPOLE: TURNING}
"""Which molecules a sum is over."""
_LEVELS = ("AT", "the transition layers", "the reservoir")


class Correlation(Observable):
    """Reads what :class:`~halocline.dynamics.correlation.CorrelationHook` left beside the record; nothing without it.

    Files that do not say how long dipoles were followed give velocities only.
    """

    name = "correlation"
    version = 3
    summary = "velocity and dipole autocorrelation of molecules that start in AT, diffusion coefficient, mean momenta"

    def update(self, snapshot: Snapshot) -> None:
        """Rows are too far apart for this; see :meth:`read`."""

    def read(self, record: Record) -> None:
        path = correlation_path(record.path)
        if not path.is_file():
            return
        arrays = read_arrays(path)
        blocks = arrays["sums"]
        if str(arrays.get("dipoles", "")) != WITHIN_S1:
            blocks = np.concatenate([blocks[..., :TURNING], np.zeros((*blocks.shape[:-1], 1))], axis=-1)
        # Blocks of the two double their length at different times: their numbers differ.
        for sums in blocks:
            self.store(time=arrays["time"], sums=sums)
        for momentum in arrays["momentum"]:
            self.store(momentum=momentum)

    @property
    def is_known(self) -> bool:
        return len(self._rows.get("sums", [])) >= MIN_SAMPLES

    @property
    def times(self) -> FloatArray:
        """(n_lags,) fs."""
        return self.series("time")[0]

    def function(self, kind: int, leavers: int = FOLLOW, normalised: bool = True) -> tuple[FloatArray, FloatArray]:
        """(n_lags,) autocorrelation and its error; per molecule, over the value at zero of the same molecules' origin.

        Args:
            kind: :data:`VELOCITY` or :data:`DIPOLE`.
            leavers: :data:`FOLLOW` or :data:`INSIDE`.
            normalised: whether it begins at one.
        """
        sums, count = self.series("sums")[:, leavers], _COUNTS[kind]
        scale = 1.0
        if normalised:
            start = sums[:, 0, kind].sum() / max(sums[:, 0, count].sum(), 1.0)
            scale = 1.0 / start if start > 0 else math.nan
        estimates = [function_of_means(sums[:, lag][:, [kind, count]], _per_molecule) for lag in range(sums.shape[1])]
        errors = [math.nan if item.error is None else item.error for item in estimates]
        return scale * np.array([item.value for item in estimates]), scale * np.array(errors)

    def last_lag(self) -> int:
        """Longest lag at which :data:`STAYERS` of the molecules have not left AT."""
        count = self.series("sums")[:, INSIDE, :, COUNT].sum(axis=0)
        return int(np.flatnonzero(count >= STAYERS * count[0])[-1]) if count[0] > 0 else 0

    def diffusion(self, leavers: int = FOLLOW, last: int | None = None) -> Estimate:
        """D of molecules that start in AT, Å^2/fs.

        Args:
            leavers: :data:`FOLLOW` or :data:`INSIDE`.
            last: lag at which the integral ends; the longest one if not given.
        """
        end = None if last is None else last + 1
        sums, times = self.series("sums")[:, leavers, :end], self.times[:end]
        columns = sums[:, :, [VELOCITY, COUNT]].reshape(len(sums), -1)

        def integrate(means: FloatArray) -> float:
            pairs = means.reshape(-1, 2)
            return float(np.trapezoid(pairs[:, 0] / pairs[:, 1], times)) / 3.0 if np.all(pairs[:, 1] > 0) else math.nan

        return function_of_means(columns, integrate)

    def result(self) -> list[Number]:
        if not self.is_known:
            return []
        longest = f"{self.times[-1] / 1e3:g} ps"
        numbers = [number(f"diffusion coefficient in AT, velocities to {longest}", self.diffusion().scaled(1e3), "A2/ps")]
        kept = self.series("sums")[:, INSIDE]
        pairs = np.stack([kept[:, 0, COUNT], kept[:, -1, COUNT]], axis=1)
        share = function_of_means(pairs, lambda m: m[1] / m[0] if m[0] > 0 else math.nan)
        numbers.append(number(f"molecules that stay in AT for {longest}", share, ""))
        for level, name in enumerate(_LEVELS):
            numbers.append(number(f"mean momentum of {name} along x", mean(self.series("momentum")[:, level, 0]), "amu A/fs"))
        return numbers

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, Correlation)
        if not (self.is_known and reference.is_known):
            return []
        mine, theirs = self.diffusion().scaled(1e3), reference.diffusion().scaled(1e3)
        remedy = "Dynamics in AT differs: set dynamics.friction_atomistic and dynamics.friction_reference alike, or enlarge AT."
        tolerance, reason = TOLERANCE * abs(theirs.value), self.setting.other_frictions
        followed = Comparison("diffusion coefficient in AT", mine, theirs, tolerance, "A2/ps", "full-resolution run", remedy, reason)
        return [followed, *self._of_stayers(reference)]

    def _of_stayers(self, reference: Correlation) -> list[Comparison]:
        """D of molecules that stay in AT, to the time at which half have left in the faster run."""
        last = min(self.last_lag(), reference.last_lag())
        if last < 1:
            return []
        mine, theirs = (item.diffusion(INSIDE, last).scaled(1e3) for item in (self, reference))
        shift = self._friction_shift(theirs.scaled(1e-3).value)
        source, reason = "full-resolution run", ""
        if shift > 0.0:
            source += f" (tolerance widened by {100 * shift:.2g} % for its other friction)"
        if not shift < LARGEST_SHIFT:
            reason = f"the friction of the full-resolution run alone changes it by about {shift:.0%}: lower dynamics.friction_reference."
        remedy = "Dynamics in AT differs: widen regions.transition, or enlarge AT."
        name = f"diffusion coefficient of molecules that stay in AT, to {self.times[last] / 1e3:.3g} ps"
        return [Comparison(name, mine, theirs, (TOLERANCE + shift) * abs(theirs.value), "A2/ps", source, remedy, reason)]

    def _friction_shift(self, diffusion: float) -> float:
        """Relative change of D (Å^2/fs) by the difference of friction between AT and the reference, to first order."""
        if self.setting.frictions is None:
            return 0.0
        core, _, closed = self.setting.frictions
        mass = float(self.setting.topology.molecule_masses.mean())
        return abs(diffusion * (closed - core)) * mass / (thermal_energy(self.setting.temperature) * ACCELERATION)

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, Correlation)
        figures = []
        for kind, key, title in ((VELOCITY, "vacf", "Velocity autocorrelation"), (DIPOLE, "dipole_acf", "Dipole autocorrelation")):
            series = []
            for label, item in (("open", self), ("full resolution", reference)):
                if not item.is_known or not item.series("sums")[:, :, 0, [kind, _COUNTS[kind]]].any(axis=(0, 1)).all():
                    continue
                for words, leavers in (("followed", FOLLOW), ("while inside", INSIDE)):
                    values, errors = item.function(kind, leavers)
                    style = "line" if leavers == FOLLOW else "dashed"
                    series.append(curve(f"{label}, {words}", item.times / 1e3, values, errors, style))  # type: ignore[arg-type]
            if series:
                caption = "Molecules that start in AT: followed wherever they go, or counted only until they first leave."
                if kind == DIPOLE:
                    caption += " In both runs a molecule is left out from when it first leaves AT and the layer for the reservoir."
                figures.append(Figure(key, title, "time (ps)", "autocorrelation", series, caption))
        return figures


def _per_molecule(means: FloatArray) -> float:
    return means[0] / means[1] if means[1] > 0 else math.nan
