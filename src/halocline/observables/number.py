"""Number of molecules in AT: mean, variance and distribution, against what this finite reservoir allows.

An open region exchanges molecules with a reservoir of finite size. With quadratic free energies of the three regions at a
fixed total number, N_AT fluctuates with

    1/Var(N_AT) = 1/(chi N_AT) + 1/(chi N_Delta + chi_R N_R)

where chi = n kT kappa_T = S(0) of the liquid and chi_R that of the reservoir: 1 for tracers, its own compressibility for
interacting beads. In a closed box at full resolution chi_R = chi and the formula becomes Var = chi N_AT (1 - N_AT/N).

| symbol | here |
| --- | --- |
| chi | ``compressibility_factor`` |
| chi_R N_R | ``1 / stiffness`` of the reservoir |
"""

from __future__ import annotations

import math

import numpy as np

from halocline.dynamics.record import Snapshot
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.statistics import Estimate, mean, propagate, variance
from halocline.results import Figure, Number
from halocline.topology import FloatArray

WINDOW_STEP = 3.0
"""Distance between the copies of AT that a closed homogeneous box is searched with, Å."""


def finite_reservoir_variance(factor: float, atomistic: float, transition: float, stiffness: float) -> float:
    """Predicted Var(N_AT).

    Args:
        factor: chi of the liquid.
        atomistic, transition: mean numbers of molecules.
        stiffness: 1/(chi_R N_R) of the reservoir; zero for an infinite one.

    Returns:
        The variance; NaN where chi is not positive, so that a run too short to know it decides nothing.
    """
    if not factor > 0:
        return math.nan
    compliance = factor * transition + (1.0 / stiffness if stiffness > 0 else math.inf)
    return 1.0 / (1.0 / (factor * atomistic) + 1.0 / compliance)


def closed_box_factor(spread: float, inside: float, total: float) -> float:
    """chi from the variance in a part of a closed homogeneous box that holds ``inside`` of ``total`` molecules."""
    return spread / (inside * (1.0 - inside / total))


def reservoir_stiffness(spread: float, factor: float, resolved: float, reservoir: float) -> float:
    """1/(chi_R N_R) from the variance of the number in the reservoir itself; never softer than an ideal gas.

    Args:
        spread: variance of the number of molecules in the reservoir.
        factor: chi of the liquid.
        resolved, reservoir: mean numbers in AT and Δ together and in the reservoir.
    """
    if not (factor > 0 and spread > 0):
        return math.nan
    return max(1.0 / spread - 1.0 / (factor * resolved), 1.0 / reservoir)


class NumberInAT(Observable):
    """N of molecules whose centre of mass is less than the half-width of AT from its centre.

    In the closed reference every place is equivalent, so AT is shifted through the whole box and the mean number is known.
    """

    name = "number"
    summary = "distribution of the number of molecules in AT against the finite-reservoir prediction"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        length, self.total = 2.0 * setting.regions.reach, setting.topology.n_molecules
        count = max(1, math.floor(length / WINDOW_STEP)) if setting.is_full else 1
        self.shifts = np.arange(count) * length / count

    def update(self, snapshot: Snapshot) -> None:
        regions = self.setting.regions
        x = regions.shift(snapshot.centres)
        moved = x[None, :] - self.shifts[:, None]
        moved -= (2.0 * regions.reach) * np.round(moved / (2.0 * regions.reach))
        counts = (np.abs(moved) < regions.atomistic).sum(axis=1)
        self.store(counts=counts, reservoir=float((np.abs(x) >= regions.outer).sum()))

    @property
    def expected(self) -> float:
        """Molecules in AT at the target density."""
        return 2.0 * self.setting.regions.atomistic * self.setting.cross_section * self.setting.density

    def mean(self) -> Estimate:
        """Mean number in AT."""
        return mean(self.series("counts").mean(axis=1))

    def variance(self) -> Estimate:
        """Variance of the number in AT; in the closed box averaged over all places, about the known mean."""
        counts = self.series("counts")
        if not self.setting.is_full:
            return variance(counts[:, 0])
        fraction = 2.0 * self.setting.regions.atomistic / (2.0 * self.setting.regions.reach)
        squares = mean(((counts - fraction * self.total) ** 2).mean(axis=1))
        # Places overlap and waves go through all of them: a sample is at most one Gaussian per width of AT.
        places = max(1.0, 1.0 / fraction)
        floor = squares.value * math.sqrt(2.0 / max(places * squares.n_effective, 1.0))
        error = math.nan if squares.error is None else max(squares.error, floor)
        return Estimate(squares.value, error, squares.n_effective)

    def compressibility_factor(self) -> Estimate:
        """chi = n kT kappa_T of a closed box, surface term of the region included."""
        inside = self.total * 2.0 * self.setting.regions.atomistic / (2.0 * self.setting.regions.reach)
        return propagate(lambda spread: closed_box_factor(spread, inside, self.total), [self.variance()])

    def prediction(self, factor: Estimate) -> Estimate:
        """Var(N_AT) that this open run should show, for the chi of the liquid.

        With an interacting reservoir its stiffness follows from the fluctuations of its own number of molecules.
        """
        atomistic, transition, reservoir = self.setting.density * self.setting.regions.volumes(self.setting.cell)
        if self.setting.tracers:
            return propagate(lambda chi: finite_reservoir_variance(chi, atomistic, transition, 1.0 / reservoir), [factor])

        def predict(chi: float, spread: float) -> float:
            stiffness = reservoir_stiffness(spread, chi, atomistic + transition, reservoir)
            return finite_reservoir_variance(chi, atomistic, transition, stiffness)

        return propagate(predict, [factor, variance(self.series("reservoir"))])

    def result(self) -> list[Number]:
        numbers = [number("mean number of molecules in AT", self.mean(), ""), number("variance of the number in AT", self.variance(), "")]
        if self.setting.is_full:
            numbers.append(number("compressibility factor n kT kappa_T", self.compressibility_factor(), ""))
        return numbers

    def compare(self, reference: Observable) -> list[Comparison | list[Comparison]]:
        assert isinstance(reference, NumberInAT)
        tolerances = self.setting.tolerances
        predicted = self.prediction(reference.compressibility_factor())
        remedy_mean = "Calibrate the thermodynamic force further: its integral sets the mean number."
        remedy_variance = "Widen regions.transition, enlarge the reservoir (system.length), or use another reservoir (coupling.reservoir)."
        return [
            Comparison(
                "mean number in AT", self.mean(), Estimate(self.expected), tolerances.density * self.expected, "", "target", remedy_mean
            ),
            Comparison(
                "variance of the number in AT",
                self.variance(),
                predicted,
                tolerances.variance * predicted.value,
                "",
                "finite-reservoir prediction",
                remedy_variance,
            ),
        ]

    def figures(self, reference: Observable) -> list[Figure]:
        assert isinstance(reference, NumberInAT)
        predicted = self.prediction(reference.compressibility_factor()).value
        counts = self.series("counts")[:, 0]
        closed = reference.series("counts").ravel()
        low, high = int(min(counts.min(), closed.min())), int(max(counts.max(), closed.max()))
        numbers = np.arange(low - 1.0, high + 2.0)
        series = [
            curve("open", numbers, _frequencies(counts, numbers), style="bars"),
            curve("full resolution", numbers, _frequencies(closed, numbers), style="points"),
            curve("predicted for this reservoir", numbers, _gaussian(numbers, self.expected, predicted), style="line"),
        ]
        caption = (
            "Probability of finding N molecules in AT. The prediction is a Gaussian at the target mean with the variance that this "
            "finite reservoir allows; the closed box at full resolution is narrower or wider, since its surroundings differ."
        )
        return [Figure("number", "Number of molecules in AT", "N", "probability", series, caption)]


def _frequencies(counts: FloatArray, numbers: FloatArray) -> FloatArray:
    return np.array([(counts == value).mean() for value in numbers])


def _gaussian(numbers: FloatArray, centre: float, spread: float) -> FloatArray:
    return np.exp(-0.5 * (numbers - centre) ** 2 / spread) / math.sqrt(2.0 * math.pi * spread)
