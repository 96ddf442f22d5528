"""Bookkeeping of the open run: whether its heat ledger closes, and whether any force between AT molecules was capped."""

from __future__ import annotations

import math

import numpy as np

from halocline.dynamics.record import Record, Snapshot
from halocline.observables.base import Comparison, Observable, curve, number
from halocline.observables.statistics import MIN_SAMPLES, Estimate, mean
from halocline.results import Figure, Number
from halocline.units import thermal_energy

DRIFT_TOLERANCE = 1e-3
"""Accepted drift of the ledger, kT per atom and ps."""
HEAT_TOLERANCE = 0.02
"""Accepted drift as a share of the heat of resolution changes, where that is more."""

PARTS = 16
"""Equal parts of a run whose increments give the error of a rate."""


class Ledger(Observable):
    """kinetic + potential - jumps - thermostat work is constant where every exchange of energy is accounted for."""

    name = "ledger"
    summary = "closure of the heat ledger, heat of resolution changes, capped pairs"
    version = 3

    def update(self, snapshot: Snapshot) -> None:
        """Configurations carry no energies; see :meth:`read`."""

    def read(self, record: Record) -> None:
        columns = [record.column(name) for name in ("time", "kinetic", "potential", "heat", "thermostat", "flips")]
        kinds = np.eye(len(record.topology.species))[record.topology.molecule_species]
        members = record.column("inside") @ kinds
        for row, capped, count in zip(np.stack(columns, axis=1), record.column("capped"), members):
            self.store(books=row, capped=capped, members=count)

    @property
    def residual(self) -> np.ndarray:
        """(n_rows,) kinetic + potential - jumps - thermostat work, eV."""
        books = self.series("books")
        return books[:, 1] + books[:, 2] - books[:, 3] - books[:, 4]

    def drift(self) -> Estimate:
        """Mean drift of the residual, eV per atom and ps."""
        return self._rate(self.residual)

    def heat(self) -> np.ndarray:
        """(n_rows,) heat of resolution changes, eV, without the energy of a molecule by itself.

        The two potentials count that energy from different zeros, a hundred eV apart for total energies, and the sum of jumps
        follows the number of resolved molecules by it. It is the coefficient of that number, for each species, in a fit of the
        jumps between rows by changes of the numbers and by crossings. NaN where molecules crossed, but not in a way that tells
        the two apart.
        """
        heat, flips, members = self.series("books")[:, 3], self.series("books")[:, 5], self.series("members")
        if not np.ptp(flips):
            return heat - heat[0]
        members = members[:, np.ptp(members, axis=0) > 0]
        steps = np.column_stack([np.diff(members, axis=0), 0.5 * np.diff(flips)])
        fit, _, rank, _ = np.linalg.lstsq(steps, np.diff(heat), rcond=1e-9)
        return heat - members @ fit[:-1] if rank == steps.shape[1] else np.full(len(heat), np.nan)

    def power(self) -> Estimate:
        """Heat of resolution changes, eV per atom and ps; see :meth:`heat`."""
        return self._rate(self.heat())

    def _rate(self, values: np.ndarray) -> Estimate:
        """Mean slope per atom, eV/ps, from its increments over equal parts of the run: a sum of many jumps wanders as a random walk
        does, and only its increments are a stationary series."""
        time = self.series("books")[:, 0] / 1000.0
        if len(time) <= MIN_SAMPLES:
            return Estimate(math.nan, math.nan, 0.0)
        ends = np.linspace(0, len(time) - 1, min(PARTS, len(time) - 1) + 1).astype(int)
        return mean(np.diff(values[ends]) / np.diff(time[ends])).scaled(1.0 / self.setting.topology.n_atoms)

    def result(self) -> list[Number]:
        capped, books = self.series("capped")[-1], self.series("books")
        return [
            number("drift of the heat ledger", self.drift().scaled(1e3), "meV/atom/ps"),
            number("heat of resolution changes", self.power().scaled(1e3), "meV/atom/ps"),
            Number("changes of resolution", float(books[-1, 5]), ""),
            *[Number(f"capped pairs in {name}", float(n), "") for name, n in zip(("AT", "the transition layers", "the reservoir"), capped)],
        ]

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        allowed = DRIFT_TOLERANCE * thermal_energy(self.setting.temperature)
        heat = abs(self.power().value)
        tolerance = max(allowed, HEAT_TOLERANCE * heat) if math.isfinite(heat) else allowed
        capped = Estimate(float(self.series("capped")[-1, 0]))
        remedy_drift = "Shorten dynamics.timestep; if the drift stays, the forces are not the gradient of the energy."
        remedy_cap = "Molecules reach AT with overlaps: widen regions.transition, or use coupling.reservoir: model."
        return [
            Comparison(
                "closure of the heat ledger",
                self.drift().scaled(1e3),
                Estimate(0.0),
                1e3 * tolerance,
                "meV/atom/ps",
                "exact balance",
                remedy_drift,
            ),
            Comparison("capped pairs between AT molecules", capped, Estimate(0.0), 0.0, "", "requirement", remedy_cap),
        ]

    def figures(self, reference: Observable) -> list[Figure]:
        books = self.series("books")
        time, atoms = books[:, 0] / 1000.0, self.setting.topology.n_atoms
        heat = self.heat()
        known = [("heat of resolution changes", heat)] if np.all(np.isfinite(heat)) else []
        curves = [*known, ("thermostat", books[:, 4]), ("residual", self.residual)]
        series = [curve(label, time, 1e3 * (values - values[0]) / atoms) for label, values in curves]
        caption = (
            "Energy since the start of recording, the energy of a molecule by itself taken out of the heat. The residual, what no book "
            "explains, should stay flat."
        )
        return [Figure("ledger", "Heat ledger of the open run", "time (ps)", "energy (meV/atom)", series, caption)]
