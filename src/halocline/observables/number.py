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

Where chi_R is known from a run of the reservoir's own liquid, that value is used. Otherwise the stiffness of an interacting
reservoir is taken from the fluctuations of its number in the open run itself, which makes the prediction partly circular.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import stats

from halocline.dynamics.record import Snapshot
from halocline.observables.base import Comparison, Observable, Setting, curve, number
from halocline.observables.geometry import Shells, two_sided
from halocline.observables.statistics import Estimate, mean, propagate, statistical_inefficiency, variance
from halocline.results import Figure, Number
from halocline.topology import FloatArray

WINDOW_STEP = 3.0
"""Distance between the copies of AT that a closed homogeneous box is searched with, Å."""
PLACES = 6
"""Copies along each edge for regions that are finite in all directions."""
MIN_EXPECTED = 5.0
"""Counts expected in each class of a chi^2 test."""


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


def binomial_p_value(counts: FloatArray, total: int, probability: float) -> float:
    """Probability of a larger chi^2 than that of independent counts against the binomial law of an ideal gas.

    Classes at both ends are joined until each expects :data:`MIN_EXPECTED` counts.

    Args:
        counts: (n,) molecules found in a part of a closed box; independent samples.
        total: molecules in the box.
        probability: volume of the part over that of the box.
    """
    numbers = np.arange(total + 1)
    expected = len(counts) * stats.binom.pmf(numbers, total, probability)
    observed = np.bincount(np.asarray(counts, dtype=np.int64), minlength=total + 1).astype(np.float64)
    # Whole classes from the left; what is left over at the right joins the last of them.
    classes = np.minimum(np.floor(np.cumsum(expected) / MIN_EXPECTED), math.floor(expected.sum() / MIN_EXPECTED) - 1).astype(np.int64)
    groups = np.unique(classes, return_inverse=True)[1]
    theory, found = np.bincount(groups, expected), np.bincount(groups, observed)
    return float(stats.chi2.sf(((found - theory) ** 2 / theory).sum(), len(theory) - 1))


class NumberInAT(Observable):
    """N of molecules whose centre of mass lies in AT.

    In the closed reference every place is equivalent, so AT is shifted through the whole box and the mean number is known:
    along x for a slab, over a grid of centres for a sphere. Regions that follow a molecule stay with it in the reference too.
    """

    name = "number"
    summary = "distribution of the number of molecules in AT against the finite-reservoir prediction"
    version = 2

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.total = setting.topology.n_molecules
        self.shifts = _places(setting) if setting.is_full and not setting.moves else np.zeros((1, 3))
        self._levels = Shells(setting.regions, setting.cell, np.array([0.0, setting.regions.atomistic, setting.regions.outer]))

    def update(self, snapshot: Snapshot) -> None:
        regions = self.setting.place(snapshot)
        distance = regions.distance(snapshot.centres)
        moved = [distance] + [regions.distance(snapshot.centres - shift) for shift in self.shifts[1:]]
        counts = np.array([(item < regions.atomistic).sum() for item in moved])
        self.store(counts=counts, reservoir=float((distance >= regions.outer).sum()), volumes=self._levels.volumes(regions))

    @property
    def volumes(self) -> FloatArray:
        """(3,) mean volumes of AT, Δ and reservoir, Å^3."""
        setting = self.setting
        if not setting.moves:
            return setting.regions.volumes(setting.cell)
        inner = self.series("volumes").mean(axis=0)
        return np.array([*inner, setting.volume - inner.sum()])

    @property
    def fraction(self) -> float:
        """Volume of AT over that of the box."""
        return float(self.volumes[0]) / self.setting.volume

    @property
    def expected(self) -> float:
        """Molecules in AT at the target density."""
        return float(self.volumes[0]) * self.setting.density

    def mean(self) -> Estimate:
        """Mean number in AT."""
        return mean(self.series("counts").mean(axis=1))

    def variance(self) -> Estimate:
        """Variance of the number in AT; in the closed box averaged over all places, about the known mean."""
        counts = self.series("counts")
        if not self.setting.is_full or self.setting.moves:
            return variance(counts[:, 0])
        fraction = self.fraction
        squares = mean(((counts - fraction * self.total) ** 2).mean(axis=1))
        # Places overlap and waves go through all of them: a sample is at most one Gaussian per volume of AT.
        places = max(1.0, 1.0 / fraction)
        floor = squares.value * math.sqrt(2.0 / max(places * squares.n_effective, 1.0))
        error = math.nan if squares.error is None else max(squares.error, floor)
        return replace(squares, error=error)

    def compressibility_factor(self) -> Estimate:
        """chi = n kT kappa_T of a closed box, surface term of the region included."""
        inside = self.mean().value if self.setting.moves else self.total * self.fraction
        return propagate(lambda spread: closed_box_factor(spread, inside, self.total), [self.variance()])

    def ideal_gas_p_value(self) -> float:
        """Of :func:`binomial_p_value`, on samples far enough apart to be independent."""
        counts = self.series("counts")[:, 0]
        step = statistical_inefficiency(counts)
        return binomial_p_value(counts[:: max(1, math.ceil(step))] if math.isfinite(step) else counts, self.total, self.fraction)

    @property
    def route(self) -> str:
        """Where the stiffness of the reservoir in :meth:`prediction` comes from."""
        if self.setting.tracers:
            return "tracers"
        return "reservoir's own fluctuations" if self.setting.reservoir_factor is None else "compressibility of the reservoir"

    def prediction(self, factor: Estimate) -> Estimate:
        """Var(N_AT) that this open run should show, for the chi of the liquid; :attr:`route` says how the reservoir enters."""
        atomistic, transition = self.setting.density * self.volumes[:2]
        # In a closed box the reservoir holds the rest, whatever its density is.
        reservoir = self.total - atomistic - transition
        if self.setting.tracers:
            return propagate(lambda chi: finite_reservoir_variance(chi, atomistic, transition, 1.0 / reservoir), [factor])
        if self.setting.reservoir_factor is not None:

            def known(chi: float, own: float) -> float:
                return finite_reservoir_variance(chi, atomistic, transition, 1.0 / (own * reservoir)) if own > 0 else math.nan

            return propagate(known, [factor, self.setting.reservoir_factor])

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
        expected, source = (reference.mean(), "full-resolution run") if self.setting.moves else (Estimate(self.expected), "target")
        return [
            Comparison("mean number in AT", self.mean(), expected, tolerances.density * expected.value, "", source, remedy_mean),
            Comparison(
                "variance of the number in AT",
                self.variance(),
                predicted,
                tolerances.variance * predicted.value,
                "",
                f"finite-reservoir prediction ({self.route})",
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
            curve(f"predicted ({self.route})", numbers, _gaussian(numbers, self.expected, predicted), style="line"),
        ]
        caption = (
            "Probability of finding N molecules in AT. The prediction is a Gaussian at the target mean with the variance that this "
            "finite reservoir allows; the closed box at full resolution is narrower or wider, since its surroundings differ."
        )
        return [Figure("number", "Number of molecules in AT", "N", "probability", series, caption)]


def _places(setting: Setting) -> FloatArray:
    """(n_places, 3) shifts of AT through a homogeneous box, Å; the first is zero."""
    if two_sided(setting.regions):
        counts = np.array([max(1, math.floor(float(setting.edges[0]) / WINDOW_STEP)), 1, 1])
    else:
        counts = np.clip(np.floor(setting.edges / WINDOW_STEP).astype(np.int64), 1, PLACES)
    grid = np.stack(np.meshgrid(*[np.arange(count) for count in counts], indexing="ij"), axis=-1).reshape(-1, 3)
    return grid * setting.edges / counts


def _frequencies(counts: FloatArray, numbers: FloatArray) -> FloatArray:
    return np.array([(counts == value).mean() for value in numbers])


def _gaussian(numbers: FloatArray, centre: float, spread: float) -> FloatArray:
    return np.exp(-0.5 * (numbers - centre) ** 2 / spread) / math.sqrt(2.0 * math.pi * spread)
