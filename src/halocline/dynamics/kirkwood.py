"""Free energy between a coarse and a fine potential by Kirkwood's integration.

All molecules have one weight w, V(w) = w V_AT + (1 - w) V_CG, at fixed volume and temperature:

    DF(1)/N = INT_0^1 < V_AT - V_CG >_w dw / N

(Kirkwood, J. Chem. Phys. 3, 300 (1935), doi 10.1063/1.1749657). With an ideal gas at w = 0 the integrand diverges: a repulsion
r^-12 at small w is a sphere of diameter w^(1/12), its energy goes as w^(-3/4), and DF as w^(1/4). In s with w = s^4 both are
smooth, and a few Gauss-Legendre points, which never touch the end, suffice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.polynomial import Legendre

from halocline.adress.chemical_potential import Term
from halocline.adress.compensation import FreeEnergyCompensation
from halocline.dynamics.bulk import molecular_pressure
from halocline.dynamics.nvt import Moves, make_mover, run
from halocline.dynamics.rigid_bodies import Lengths
from halocline.dynamics.statistics import mean_and_error
from halocline.errors import RunFailure, UserError
from halocline.files import hash_data, read_arrays, write_arrays
from halocline.potentials.base import Potential
from halocline.progress import Progress, Silent, Task
from halocline.state import State
from halocline.topology import FloatArray

SHRINK = 1.0 / 12.0
"""Exponent with which the time step follows the size of a repulsive core of weight w."""
SHORTEST = 0.25
"""Of the time step."""
N_KNOTS = 33
"""Of a compensation table."""


@dataclass(frozen=True)
class KirkwoodResult:
    """Free-energy difference of two potentials at one density.

    Attributes:
        free_energy: DF/N, eV: f_ex of the fine potential when the coarse one is an ideal gas.
        weights: (n,) w of the runs. quadrature: (n,) their shares of the integral over w.
        integrand, integrand_errors: (n,) < V_AT - V_CG >_w / N, eV.
        pressures, pressure_errors: (n,) eV/Å^3.
        state: last configuration, at the largest weight.
        power: of w = s^power.
    """

    free_energy: Term
    weights: FloatArray
    quadrature: FloatArray
    integrand: FloatArray
    integrand_errors: FloatArray
    pressures: FloatArray
    pressure_errors: FloatArray
    state: State
    power: int = 1

    def table(self, species: str, density: float | None = None) -> FreeEnergyCompensation:
        """Compensation DH(w) = DF(w)/N of a liquid of one species (flat pressure), with [p(w) - p(0)]/n on top for flat density.

        DF and p are polynomials of s through the runs. The slope at w = 0, infinite for an ideal gas, is that of the first knot.

        Args:
            species: its name.
            density: molecules/Å^3, for the second one; a thermodynamic force carries the pressure otherwise.
        """
        s, degree = self.weights ** (1.0 / self.power), len(self.weights) - 1
        slope_of_s = Legendre.fit(s, self.integrand * self.power * s ** (self.power - 1), degree, domain=[0.0, 1.0])
        pressure = Legendre.fit(s, self.pressures, min(degree, 4), domain=[0.0, 1.0])
        free_energy = slope_of_s.integ()
        grid = np.linspace(0.0, 1.0, N_KNOTS)
        volume = 0.0 if density is None else 1.0 / density
        values = free_energy(grid) - free_energy(0.0) + (pressure(grid) - pressure(0.0)) * volume
        by_s = slope_of_s(grid[1:]) + pressure.deriv()(grid[1:]) * volume
        slopes = by_s / (self.power * grid[1:] ** (self.power - 1))
        return FreeEnergyCompensation((species,), grid**self.power, np.append(slopes[0], slopes)[None], values[None])


def weight_grid(n: int, power: int) -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre points of s on (0, 1) as weights w = s^power and their shares in an integral over w.

    Raises:
        UserError: fewer than two points, or a power below one.
    """
    if n < 2 or power < 1:
        found = f"{n} weights, w = s^{power}"
        raise UserError(found, "Kirkwood integration", "Use at least two weights; power 1 between liquids, 4 from an ideal gas.")
    points, shares = np.polynomial.legendre.leggauss(n)
    s = 0.5 * (points + 1)
    return s**power, 0.5 * shares * power * s ** (power - 1)


def kirkwood(
    state: State,
    fine: Potential,
    coarse: Potential,
    temperature: float,
    timestep: float,
    friction: float,
    steps: int,
    n_weights: int = 8,
    power: int = 4,
    discard: float = 0.2,
    sample: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
    rigid: Mapping[str, Lengths] | None = None,
    folder: Path | None = None,
) -> KirkwoodResult:
    """Runs at a series of weights, from the largest to the smallest, each beginning where the last one ended.

    In this order cores only shrink. The other way round, molecules that are close at a small weight would suddenly overlap.

    Args:
        state: starting configuration, relaxed in V_AT.
        fine, coarse: V_AT and V_CG.
        temperature: K. friction: 1/fs.
        timestep: fs at w = 1; shorter where the cores are smaller and so steeper for their size.
        steps: of each run; the first fraction ``discard`` is equilibration.
        n_weights, power: see :func:`weight_grid`.
        sample: steps between samples.
        rigid: distances of rigid species, see :func:`halocline.dynamics.nvt.rigid_lengths`.
        folder: where each run leaves its averages and its end; those of the same settings, potentials and start are read back.

    Raises:
        RunFailure: a run blew up, or gave no error; finished runs are kept.
    """
    weights, quadrature = weight_grid(n_weights, power)
    rows: list[FloatArray] = []
    last: State | None = None
    numbers = [temperature, timestep, friction, steps, n_weights, power, discard, sample, seed]
    for part in (fine, coarse):
        part.bind(state.topology, state.cell)
    digest = _digest(numbers, state, rigid or {}, (fine, coarse))
    with (progress or Silent()).task("Kirkwood integration", n_weights * steps) as bar:
        for k, w in reversed(list(enumerate(weights))):
            path = None if folder is None else folder / f"kirkwood-{k:02d}.npz"
            kept = _kept(path, digest)
            if kept is None:
                step = timestep * max(SHORTEST, float(w) ** SHRINK)
                mover = make_mover(state, step, temperature, friction, seed + k, rigid)
                kept = _window(state, fine, coarse, float(w), temperature, mover, (int(discard * steps), steps, sample), bar)
                if path is not None:
                    write_arrays(path, **kept, digest=np.array(digest))
            else:
                bar.advance(steps)
            rows.append(kept["row"])
            state = replace(state, positions=kept["positions"], velocities=kept["velocities"])
            last = state if last is None else last
    assert last is not None
    return _result(rows[::-1], weights, quadrature, last, power)


def _digest(numbers: list[float], state: State, rigid: Mapping[str, Lengths], parts: tuple[Potential, Potential]) -> str:
    """Of everything that decides what the runs give: settings, start, shapes of molecules, and both potentials."""
    lengths = {name: repr(item) for name, item in rigid.items()}
    return hash_data([numbers, state.positions, state.velocities, state.cell, lengths, [_identity(part, state) for part in parts]])


def _identity(potential: Potential, state: State) -> list[object]:
    """What tells potentials of any kind apart: the class, and what it does to the starting configuration, to six digits.

    Values rather than parameters, which not every potential can name; rounded, since threads add in any order. At worst a run is repeated.
    """
    found = potential.evaluate(state.positions)
    potential.reset()
    size = math.sqrt(float((found.forces**2).sum()))
    return [type(potential).__name__, f"{found.energy:.6g}", f"{size:.6g}"]


def _result(rows: list[FloatArray], weights: FloatArray, quadrature: FloatArray, last: State, power: int) -> KirkwoodResult:
    """From averages of all runs, in the order of the weights."""
    integrand, errors, pressures, pressure_errors = np.array(rows).T
    if not np.isfinite(errors).all():
        raise RunFailure("a run has too few samples for an error", "Kirkwood integration", "Take more steps.")
    value, error = float(quadrature @ integrand), float(np.sqrt((quadrature**2) @ errors**2))
    return KirkwoodResult(Term(value, error), weights, quadrature, integrand, errors, pressures, pressure_errors, last, power)


def _kept(path: Path | None, digest: str) -> dict[str, FloatArray] | None:
    """What a finished run left; None where there is none, or where it had other settings."""
    if path is None or not path.exists():
        return None
    arrays = read_arrays(path)
    return arrays if str(arrays.pop("digest")) == digest else None


def _window(
    state: State, fine: Potential, coarse: Potential, w: float, temperature: float, mover: Moves, times: tuple[int, int, int], bar: Task
) -> dict[str, FloatArray]:
    """One run: means and errors of (V_AT - V_CG)/N and of the pressure, and where it ended.

    Args:
        times: steps of the dropped part, of the whole run, and between samples.
    """
    discard, steps, sample = times
    series: list[tuple[float, float]] = []
    look = partial(_measure, state, fine, coarse, w, temperature, series)
    potential = w * fine + (1 - w) * coarse
    run(mover, potential, discard, task=bar)
    run(mover, potential, steps - discard, sample, look, bar)
    difference, pressure = np.array(series).T
    row = np.array([*mean_and_error(difference)[:2], *mean_and_error(pressure)[:2]])
    return {"row": row, "positions": mover.coordinates.copy(), "velocities": mover.velocity_array.copy()}


def _measure(
    state: State, fine: Potential, coarse: Potential, w: float, temperature: float, series: list[tuple[float, float]], positions: FloatArray
) -> None:
    """Append (V_AT - V_CG)/N in eV, and the pressure of V(w)."""
    one, other = fine.evaluate(positions, None, True), coarse.evaluate(positions, None, True)
    assert one.virial is not None
    assert other.virial is not None
    forces, virial = w * one.forces + (1 - w) * other.forces, w * one.virial + (1 - w) * other.virial
    pressure = molecular_pressure(replace(state, positions=positions), virial, forces, temperature)
    series.append(((one.energy - other.energy) / state.topology.n_molecules, pressure))
