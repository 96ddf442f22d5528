"""Flux of molecules through the border of AT, and how long they stay.

Crossings are seen between rows of the record: a molecule that leaves and returns within one interval does not count, so the
flux of a liquid falls with the interval and only runs recorded at the same interval may be compared. In an ideal gas the
flux through a plane is

    J = n sqrt(kT / (2 pi m))

each way, at any interval short against the time to cross AT. It is the upper bound that a transmission is measured by.

Two survival functions of the molecules found in AT at time zero are kept:

* **never left**: present in every row up to t (continuous);
* **present**: in AT at t, whether or not it left in between (intermittent).

Friction slows the exchange: the flux into AT is judged against that at full resolution only where AT, Δ and the reference have the
same friction, and only shown beside it elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halocline.adress.regions import Slab, Sphere
from halocline.dynamics.record import Snapshot
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.geometry import Shells, two_sided
from halocline.observables.statistics import MIN_SAMPLES, Estimate, column_errors, function_of_means, mean
from halocline.results import Figure, Number
from halocline.topology import FloatArray
from halocline.units import ACCELERATION, thermal_energy

BALANCE, AGREEMENT = 0.05, 0.1
"""Accepted share of the flux by which in and out, and by which sides or runs, may differ."""
ORIGINS, LAGS = 50, 1000
"""Most starting rows and longest time in rows of survival functions."""
PER_NM2_PS = 1e5
"""1/(Å^2 fs) in 1/(nm^2 ps)."""
_HALF = 0.25


@dataclass(frozen=True)
class Crossings:
    """(n_intervals, n_sides) molecules that entered and that left AT between rows."""

    entered: FloatArray
    left: FloatArray


class Flux(Observable):
    """Flux through the border of AT each way, on each side of a slab, mean length of a visit and survival of molecules in AT."""

    name = "flux"
    summary = "flux of molecules through the border of AT, and how long they stay in it"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        half = 1e-3 if isinstance(setting.regions, (Slab, Sphere)) else _HALF
        border = setting.regions.atomistic
        self._skin = Shells(setting.regions, setting.cell, np.array([border - half, border + half]))

    def update(self, snapshot: Snapshot) -> None:
        regions = self.setting.place(snapshot)
        coordinate = regions.shift(snapshot.centres)
        thickness = self._skin.edges[1] - self._skin.edges[0]
        self.store(area=float(self._skin.volumes(regions)[0] / thickness), count=float((np.abs(coordinate) < regions.atomistic).sum()))
        # One bit a molecule keeps every row: crossings at the seam of merged parts are then not lost.
        for name, mask in (("members", np.abs(coordinate) < regions.atomistic), ("negative", coordinate < 0)):
            self._rows.setdefault(name, []).append(np.packbits(mask))  # type: ignore[arg-type]

    def _bits(self, name: str) -> NDArray[np.bool_]:
        """(n_rows, n_molecules) what :meth:`update` packed."""
        packed = self.series(name).astype(np.uint8)
        return np.unpackbits(packed, axis=1, count=self.setting.topology.n_molecules).astype(bool)

    def crossings(self) -> Crossings:
        """Molecules that changed between AT and the rest from one row to the next; the sides of a slab apart."""
        members, negative = self._bits("members"), self._bits("negative")[1:]
        entered, left = ~members[:-1] & members[1:], members[:-1] & ~members[1:]
        if not two_sided(self.setting.regions):
            return Crossings(entered.sum(axis=1, keepdims=True), left.sum(axis=1, keepdims=True))
        return Crossings(*(np.stack([(x & negative).sum(axis=1), (x & ~negative).sum(axis=1)], axis=1) for x in (entered, left)))

    def ideal(self) -> float:
        """Flux of an ideal gas of the target density and of these molecules each way, 1/(Å^2 fs)."""
        speeds = np.sqrt(thermal_energy(self.setting.temperature) * ACCELERATION / (2 * math.pi * self.setting.topology.molecule_masses))
        return self.setting.density * float(speeds.mean())

    def flux(self, counts: FloatArray, share: float = 1.0) -> Estimate:
        """Of (n_intervals,) crossings through a share of the border, 1/(Å^2 fs)."""
        return mean(np.asarray(counts, dtype=np.float64)).scaled(1.0 / (share * self.series("area").mean() * self.setting.interval))

    def visit(self) -> Estimate:
        """Mean length of a visit to AT, N_AT over the molecules that leave per time, fs."""
        left = self.crossings().left.sum(axis=1)
        columns = np.stack([self.series("count")[1:], left], axis=1)
        return function_of_means(columns, lambda m: m[0] / m[1] * self.setting.interval if m[1] > 0 else math.nan)

    def survival(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(n_lags + 1,) times in fs, and numbers of molecules (n_origins, n_lags + 1) that never left and that are present."""
        members = self._bits("members")
        lags = min(len(members) // 2, LAGS)
        starts = np.unique(np.linspace(0, len(members) - 1 - lags, ORIGINS).astype(np.int64))
        stayed = members[starts]
        first = stayed.copy()
        never_left, present = [stayed.sum(axis=1)], [first.sum(axis=1)]
        for lag in range(1, lags + 1):
            here = members[starts + lag]
            stayed = stayed & here
            never_left.append(stayed.sum(axis=1))
            present.append((first & here).sum(axis=1))
        times: FloatArray = np.arange(lags + 1, dtype=np.float64) * self.setting.interval
        return times, np.stack(never_left, axis=1).astype(np.float64), np.stack(present, axis=1).astype(np.float64)

    def decay(self, alive: FloatArray, times: FloatArray) -> Estimate | None:
        """Time at which a survival function has fallen to 1/e, fs; None if it does not within the record."""

        def cross(means: FloatArray) -> float:
            below = np.flatnonzero(means < means[0] / math.e)
            if not len(below) or means[0] <= 0:
                return math.nan
            k = int(below[0])
            high, low = means[k - 1] / means[0], means[k] / means[0]
            return float(times[k - 1] + (high - 1 / math.e) / (high - low) * (times[k] - times[k - 1]))

        estimate = function_of_means(alive, cross)
        return estimate if math.isfinite(estimate.value) else None

    @property
    def _enough(self) -> bool:
        return len(self._rows.get("count", [])) > MIN_SAMPLES and self.setting.interval > 0

    def result(self) -> list[Number]:
        if not self._enough:
            return []
        crossings, unit = self.crossings(), "1/(nm2 ps)"
        seen = f"seen every {self.setting.interval:g} fs"
        numbers = [
            number(f"flux into AT, {seen}", self.flux(crossings.entered.sum(axis=1)).scaled(PER_NM2_PS), unit),
            number(f"flux out of AT, {seen}", self.flux(crossings.left.sum(axis=1)).scaled(PER_NM2_PS), unit),
            Number("flux of an ideal gas of this density", self.ideal() * PER_NM2_PS, unit),
            number(f"mean visit to AT, {seen}", self.visit().scaled(1e-3), "ps"),
        ]
        if crossings.entered.shape[1] == 2:
            both = crossings.entered + crossings.left
            gap = self.flux(both[:, 0] - both[:, 1], 1.0).scaled(PER_NM2_PS)
            numbers.insert(2, number("flux through the left border less that through the right", gap, unit))
        times, never_left, present = self.survival()
        for words, alive in (("never left", never_left), ("present, returns allowed", present)):
            decay = self.decay(alive, times)
            if decay is not None:
                numbers.append(number(f"survival in AT to 1/e, {words}, {seen}", decay.scaled(1e-3), "ps"))
        return numbers

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, Flux)
        if not (self._enough and reference._enough):
            return []
        mine, unit = self.crossings(), "1/(nm2 ps)"
        entered, left = mine.entered.sum(axis=1), mine.left.sum(axis=1)
        flux = self.flux(entered).scaled(PER_NM2_PS)
        scale = abs(flux.value)
        balance = self.flux(entered - left).scaled(PER_NM2_PS)
        remedy = "AT fills or empties: equilibrate longer (dynamics.equilibration) or calibrate the thermodynamic force further."
        claims: list[Comparison | list[Comparison]] = [
            Comparison("flux into AT less flux out", balance, Estimate(0.0), BALANCE * scale, unit, "stationary state", remedy)
        ]
        if mine.entered.shape[1] == 2:
            both = mine.entered + mine.left
            sides = self.flux(both[:, 0] - both[:, 1]).scaled(PER_NM2_PS)
            remedy = "The two sides differ: run longer, and look at the density profile."
            claims.append(
                Comparison("flux through the left border less the right", sides, Estimate(0.0), AGREEMENT * scale, unit, "symmetry", remedy)
            )
        if math.isclose(self.setting.interval, reference.setting.interval, rel_tol=1e-6):
            other = reference.flux(reference.crossings().entered.sum(axis=1)).scaled(PER_NM2_PS)
            remedy = "Dynamics at the border of AT differs: widen regions.transition, or lower dynamics.friction_transition."
            source = "full-resolution run"
            tolerance = AGREEMENT * abs(other.value)
            claims.append(Comparison("flux into AT", flux, other, tolerance, unit, source, remedy, self.setting.other_frictions))
        return claims

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, Flux)
        if not (self._enough and reference._enough):
            return []
        series = []
        for label, item in (("open", self), ("full resolution", reference)):
            times, never_left, present = item.survival()
            for words, alive in (("never left", never_left), ("present", present)):
                start = max(alive[:, 0].mean(), 1e-300)
                error = np.nan_to_num(column_errors(alive)) / start
                series.append(curve(f"{label}, {words}", times / 1e3, alive.mean(axis=0) / start, error))
        caption = (
            f"Share of the molecules found in AT that are still there: without a break, and with returns. Rows are "
            f"{self.setting.interval:g} fs apart; shorter absences are not seen."
        )
        return [Figure("survival", "Survival of molecules in AT", "time (ps)", "share", series, caption)]
