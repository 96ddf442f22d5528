"""Excess chemical potentials by insertion of test molecules.

Widom, J. Chem. Phys. 39, 2808 (1963), doi 10.1063/1.1734110: with the energy dU that a molecule at a random place in random
orientation would have with the N others,

    mu_ex = -kT ln < exp(-dU/kT) >

relative to the ideal gas of the same molecules at the same density and temperature. In a finite box at fixed V this is the step from
N to N + 1, whose density is (N + 1/2)/V in a liquid.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from halocline.errors import RunFailure, UserError
from halocline.potentials.insertion import Insertion
from halocline.results import Number
from halocline.state import State
from halocline.topology import FloatArray, Topology
from halocline.units import thermal_energy

FEWEST_INSERTIONS = 100.0
"""Effective number of insertions below which the estimate hangs on a few lucky ones."""
FEWEST_BLOCKS = 4
MOST_BLOCKS = 200
LARGEST_EXPONENT = 300.0
"""-dU/kT beyond which two sites of opposite charge have met: the model has no such energies in its liquid."""


@dataclass(frozen=True)
class WidomEstimate:
    """Excess chemical potential by insertion.

    Attributes:
        value, error: eV; infinite where no insertion fitted. The error is a jackknife over blocks longer than the correlation
            time, infinite where there are fewer than four of them.
        n_configurations: configurations.
        n_effective: independent ones among them.
        n_insertions: all insertions.
        effective_insertions: (sum w)^2 / sum w^2 with w = exp(-dU/kT): how many of them count.
        warning: what makes the estimate doubtful, or nothing.
    """

    value: float
    error: float
    n_configurations: int
    n_effective: float
    n_insertions: int
    effective_insertions: float
    warning: str

    @property
    def number(self) -> Number:
        return Number("mu_ex by insertion", self.value, "eV", self.error, self.n_effective)


def widom_estimate(weights: FloatArray, squares: FloatArray, insertions: int, temperature: float) -> WidomEstimate:
    """The estimate from averages over the insertions of each configuration.

    Args:
        weights: (n,) averages of w = exp(-dU/kT), of equally spaced configurations.
        squares: (n,) averages of w^2.
        insertions: in each configuration.
        temperature: K.

    Raises:
        UserError: there are no configurations.
    """
    n, kT = len(weights), thermal_energy(temperature)
    if n == 0:
        raise UserError("there are no configurations to insert into", "insertion", "Sample at least one.")
    total, square = float(weights.sum()), float(squares.sum())
    effective = insertions * total**2 / square if square > 0 else 0.0
    inefficiency = _inefficiency(weights)
    blocks = min(MOST_BLOCKS, int(n / (2 * inefficiency)))
    if total == 0.0:
        return WidomEstimate(math.inf, math.inf, n, n / inefficiency, n * insertions, 0.0, "no insertion fitted: use staged insertion")
    value = -kT * math.log(total / n)
    error = _jackknife(weights, blocks, kT) if blocks >= FEWEST_BLOCKS else math.inf
    warning = ""
    if effective < FEWEST_INSERTIONS:
        warning = f"{effective:.1f} of {n * insertions} insertions carry the estimate: use more of them, or staged insertion"
    elif blocks < FEWEST_BLOCKS:
        warning = f"{n} configurations are {n / inefficiency:.1f} independent ones: too few for an error"
    return WidomEstimate(value, error, n, n / inefficiency, n * insertions, effective, warning)


def _inefficiency(series: FloatArray) -> float:
    # pymbar writes advice to the log on import, and is slow to import.
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    from pymbar import timeseries

    if len(series) < FEWEST_BLOCKS or np.ptp(series) == 0.0:
        return 1.0
    return float(timeseries.statistical_inefficiency(series))


def _jackknife(weights: FloatArray, blocks: int, kT: float) -> float:
    size = len(weights) // blocks
    sums = weights[len(weights) - size * blocks :].reshape(blocks, size).sum(axis=1)
    left_out = sums.sum() - sums
    if (left_out <= 0).any():
        return math.inf
    values = -kT * np.log(left_out)
    return float(math.sqrt((blocks - 1) / blocks * ((values - values.mean()) ** 2).sum()))


class WidomInsertion:
    """Accumulates insertions, one configuration after the other.

    Args:
        insertion: what is inserted.
        insertions: in each configuration.
        temperature: K.
        seed: of places and orientations.

    Raises:
        UserError: fewer than one insertion.
    """

    def __init__(self, insertion: Insertion, insertions: int, temperature: float, seed: int = 0) -> None:
        if insertions < 1:
            raise UserError(f"{insertions} insertions for each configuration", "insertion", "Make at least one.")
        self.insertion, self.insertions, self.temperature, self.seed = insertion, insertions, temperature, seed
        self.weights: list[float] = []
        self.squares: list[float] = []

    def bind(self, topology: Topology, cell: FloatArray) -> None:
        self.insertion.bind(topology, cell)

    def add(self, positions: FloatArray) -> None:
        """Insert into one configuration, (n_atoms, 3) in Å.

        Raises:
            RunFailure: an energy is so low that two sites of opposite charge must have met, or is not a number.
        """
        # Noise that depends on the number of the configuration alone survives a restart.
        generator = np.random.default_rng([self.seed, len(self.weights)])
        energies = self.insertion.energies(positions, self.insertions, generator)
        exponents = -energies / thermal_energy(self.temperature)
        if not (exponents < LARGEST_EXPONENT).all():
            found = f"an inserted molecule has an energy of {float(np.nanmin(energies)):.3g} eV"
            raise RunFailure(found, f"insertion into configuration {len(self.weights)}", "Give charged sites a repulsive core.")
        weights = np.exp(exponents)
        self.weights.append(float(weights.mean()))
        self.squares.append(float((weights**2).mean()))

    def result(self) -> WidomEstimate:
        return widom_estimate(np.array(self.weights), np.array(self.squares), self.insertions, self.temperature)


def widom(states: Iterable[State], insertion: Insertion, insertions: int, temperature: float, seed: int = 0) -> WidomEstimate:
    """Insertions into stored configurations of one system, equally spaced in time; see :class:`WidomInsertion`."""
    sampler: WidomInsertion | None = None
    for state in states:
        if sampler is None:
            sampler = WidomInsertion(insertion, insertions, temperature, seed)
            sampler.bind(state.topology, state.cell)
        sampler.add(state.positions)
    if sampler is None:
        raise UserError("there are no configurations to insert into", "insertion", "Sample at least one.")
    return sampler.result()
