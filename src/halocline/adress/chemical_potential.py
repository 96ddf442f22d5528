"""What the forces of an open simulation say about chemical potentials, each part under its own name.

mu_ex = f_ex + p_ex/n: the first part is work of turning the interaction on at fixed volume, the second the work against the
pressure. An abrupt border with a thermodynamic force alone shows only the second one. Everything is per molecule, in eV, and
molecules are never confused with electrons: none of this is a Fermi level.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from halocline.adress.noisy_zero import DENSE, DILUTE, IDEAL, SIGNIFICANT, Point, crossing, line
from halocline.errors import RunFailure, UserError
from halocline.units import thermal_energy

STEEP = 5.0
"""Of d mu/d ln n over kT: above, a bracket is in a liquid."""
WHERE = "density at a chemical potential"


class DensityOutsideBracket(UserError):
    """What the ends of a bracket say: the density lies elsewhere, or no density belongs to the target."""


@dataclass(frozen=True)
class Term:
    """A value and one standard error, eV; zero for an exact number."""

    value: float
    error: float = 0.0

    def __add__(self, other: Term) -> Term:
        """Sum of independent terms."""
        return Term(self.value + other.value, math.hypot(self.error, other.error))

    def __sub__(self, other: Term) -> Term:
        return Term(self.value - other.value, math.hypot(self.error, other.error))


ZERO = Term(0.0)


@dataclass(frozen=True)
class HamiltonianBalance:
    """Chemical potential by the route of Hamiltonian AdResS.

    Attributes:
        compensation: DH(1) - DH(0), the free-energy compensation of a molecule in AT; with a Helmholtz compensation the
            difference of f_ex between AT and the reservoir.
        residual: integral of the remaining thermodynamic force from the reservoir into AT; with a Helmholtz compensation the
            difference of p_ex/n.
        reservoir: mu_ex of the reservoir potential at the reservoir's density, zero for an ideal gas; None where it is not known.
    """

    compensation: Term
    residual: Term
    reservoir: Term | None = ZERO

    @property
    def difference(self) -> Term:
        """mu_ex of AT minus mu_ex of the reservoir: independent of how it is split into compensation and force."""
        return self.compensation + self.residual

    @property
    def total(self) -> Term | None:
        """mu_ex of the liquid in AT, relative to the ideal gas at the same density."""
        return None if self.reservoir is None else self.difference + self.reservoir


def pressure_per_molecule(pressure: Term, density: float, temperature: float) -> Term:
    """p_ex/n = (p - n kT)/n in eV, from a pressure in eV/Å^3 and a number density in 1/Å^3."""
    if density <= 0:
        raise UserError(f"the density is {density}", "chemical potential", "Give molecules per cubic angstrom.")
    return Term(pressure.value / density - thermal_energy(temperature), pressure.error / density)


@dataclass(frozen=True)
class DensitySolution:
    """Density at which a liquid has a chemical potential.

    Attributes:
        density, error: molecules/Å^3.
        slope: d mu/d ln n there, eV; kT / (n kT kappa_T) in the thermodynamic limit, and kT less where mu_ex was asked for.
        evaluations: (density, mu_ex, error) in the order in which they were made.
    """

    density: float
    error: float
    slope: float
    evaluations: tuple[tuple[float, float, float], ...]


def density_at_chemical_potential(
    target: float,
    function: Callable[[float], Term],
    bracket: tuple[float, float],
    temperature: float,
    reference: float,
    tolerance: float = 1e-3,
    most_evaluations: int = 12,
) -> DensitySolution:
    """Density n at which mu(n) = kT ln(n/n_ref) + mu_ex(n) has a value.

    mu is relative to the ideal gas of the same molecules at the density n_ref and the same temperature; the thermal wavelength
    and everything within molecules cancel. The line that is followed is fitted to the last evaluations by their errors, so that
    noise does not throw it about. With two phases the bracket decides which density is found. It ends when the uncertainty of
    the function, or ``tolerance``, is larger than the next step.

    Args:
        target: mu, eV.
        function: number density in 1/Å^3 -> mu_ex with its error, eV; evaluated anew each time.
        bracket: densities between which the solution lies, 1/Å^3.
        temperature: K.
        reference: n_ref, 1/Å^3.
        tolerance: relative, of the density.
        most_evaluations: of the function.

    Raises:
        DensityOutsideBracket: mu does not rise over the bracket by more than two errors, or has the same side of the target at both
            ends by more than two errors.
        RunFailure: no end within ``most_evaluations``, or an evaluation is not finite.
    """
    if reference <= 0:
        raise UserError(f"the reference density is {reference:g}", WHERE, "Give molecules per cubic angstrom.")
    _check_bracket(bracket)
    kT = thermal_energy(temperature)
    search = _Search(function, lambda n, term: kT * math.log(n / reference) + term.value - target)
    low, high = (search(density) for density in bracket)
    search.curvature = DENSE if high[1] - low[1] > STEEP * kT * (high[0] - low[0]) else IDEAL
    if not high[1] - low[1] > SIGNIFICANT * math.hypot(low[2], high[2]):
        values = _both_ends(bracket, [Term(point[1] + target, point[2]) for point in (low, high)])
        remedy = "Give a wider bracket within one phase, or a more precise function."
        raise DensityOutsideBracket(f"mu does not rise with the density: {values}", WHERE, remedy)
    if low[1] > SIGNIFICANT * low[2] or high[1] < -SIGNIFICANT * high[2]:
        raise _outside(target, bracket, low, high, "mu")
    return search.solve(tolerance, most_evaluations)


def density_at_excess(
    target: float,
    function: Callable[[float], Term],
    bracket: tuple[float, float],
    tolerance: float = 1e-3,
    most_evaluations: int = 12,
) -> DensitySolution:
    """Density n at which mu_ex(n) has a value; as :func:`density_at_chemical_potential`, without the part of the ideal gas.

    mu_ex rises with the density in a dense liquid and falls in a gas of attractive molecules; in between it has a minimum, and in
    an ideal gas it is zero at all densities. The bracket must therefore lie on one side of the minimum.

    Args:
        target: mu_ex, eV.
        function, bracket, tolerance, most_evaluations: see :func:`density_at_chemical_potential`.

    Raises:
        DensityOutsideBracket: mu_ex is the same at both ends of the bracket within two errors, or does not pass the target between
            them.
        RunFailure: no end within ``most_evaluations``, or an evaluation is not finite.
    """
    _check_bracket(bracket)
    ends = [function(density) for density in bracket]
    rise = ends[1] - ends[0]
    if not abs(rise.value) > SIGNIFICANT * rise.error:
        remedy = "An ideal gas has no density that belongs to mu_ex; elsewhere give a wider bracket, or a more precise function."
        raise DensityOutsideBracket(f"mu_ex does not change with the density: {_both_ends(bracket, ends)}", WHERE, remedy)
    sign = math.copysign(1.0, rise.value)
    search = _Search(function, lambda _, term: sign * (term.value - target), DENSE if sign > 0 else DILUTE)
    low, high = (search.add(density, term) for density, term in zip(bracket, ends))
    if low[1] > SIGNIFICANT * low[2] or high[1] < -SIGNIFICANT * high[2]:
        raise _outside(target, bracket, low, high, "mu_ex", sign)
    found = search.solve(tolerance, most_evaluations)
    return replace(found, slope=sign * found.slope)


def _check_bracket(bracket: tuple[float, float]) -> None:
    low, high = bracket
    if not 0 < low < high:
        raise UserError(f"the densities are {low:g} to {high:g}", WHERE, "Give positive numbers, the smaller first.")


def _both_ends(bracket: tuple[float, float], ends: list[Term]) -> str:
    return ", ".join(f"{term.value:.5f} ± {term.error:.2g} eV at {density:.5g} /A3" for density, term in zip(bracket, ends))


def _outside(target: float, bracket: tuple[float, float], low: Point, high: Point, name: str, sign: float = 1.0) -> UserError:
    ends = " to ".join(f"{sign * point[1] + target:.4f} eV" for point in (low, high))
    what = f"{name} is {ends} between the densities {bracket[0]:.5g} to {bracket[1]:.5g} /A3, the target {target:.4f} eV"
    return DensityOutsideBracket(what, WHERE, "Give a wider bracket.")


class _Search:
    """Evaluations so far, and where to look next.

    Args:
        function: of the density. residual: of a density and its value, rising.
        curvature: see :func:`halocline.adress.noisy_zero.line`.
    """

    def __init__(self, function: Callable[[float], Term], residual: Callable[[float, Term], float], curvature: float = IDEAL) -> None:
        self.function, self.residual, self.curvature = function, residual, curvature
        self.points: list[tuple[float, float, float]] = []
        self.known: list[Point] = []

    def __call__(self, density: float) -> Point:
        return self.add(density, self.function(density))

    def add(self, density: float, term: Term) -> Point:
        if not (math.isfinite(term.value) and math.isfinite(term.error)):
            what = f"an evaluation at {density:.5g} /A3 is {term.value:g} ± {term.error:g} eV"
            raise RunFailure(what, WHERE, "Give a function that is finite, with its error.")
        self.points.append((density, term.value, term.error))
        self.known.append((math.log(density), self.residual(density, term), max(term.error, 1e-12)))
        return self.known[-1]

    def solve(self, tolerance: float, most_evaluations: int) -> DensitySolution:
        """From both ends of the bracket, which are the first two evaluations and between which the residual rises."""
        known, lower, upper = self.known, self.known[0], self.known[1]
        least, most = lower[0], upper[0]
        found = ""
        while len(known) < most_evaluations:
            last = self(math.exp(crossing(known, lower, upper, self.curvature)))
            if last[1] < 0:
                lower = max(lower, last)
            else:
                upper = min(upper, last)
            slope, root, error = line(known, self.curvature)
            if not least - error <= root <= most + error:
                found = "; the line through them passes the target outside the bracket by more than its error"
                continue
            found = ""
            if abs(root - last[0]) <= max(tolerance, error) and abs(last[1]) <= max(tolerance * slope, 3 * last[2]):
                return DensitySolution(math.exp(root), math.exp(root) * error, slope, tuple(self.points))
        remedy = "Give a narrower bracket, or a more precise function."
        raise RunFailure(f"no density after {most_evaluations} evaluations{found}", WHERE, remedy)
