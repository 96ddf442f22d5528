"""Bulk runs of the calibration: pressures and compressibilities of both potentials at the density of the box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from halocline.adress.reservoir import reservoir_of
from halocline.dynamics.bulk import BulkResult, bulk_pressure
from halocline.files import read_arrays, write_arrays
from halocline.potentials.base import Potential
from halocline.results import Number
from halocline.stages._assembly import coarse_of, density_of, fine_of, integrator_of, relaxed_box, steps_of
from halocline.stages.base import Context
from halocline.state import State
from halocline.units import BAR, thermal_energy

LARGEST_TENSION = 1000.0 * BAR
"""A liquid under more tension than this is near its spinodal: molecules leave an open region and a cavity forms in it."""


LARGEST_UNCERTAINTY = 1.0
"""Relative error beyond which a measured compressibility is not used."""


@dataclass(frozen=True)
class Pressures:
    """Of the atomistic liquid and of the reservoir at the same density and temperature, eV/Å^3 with errors."""

    atomistic: float
    atomistic_error: float
    reservoir: float
    reservoir_error: float
    n_effective: float
    compressibility: float = math.nan
    compressibility_error: float = math.nan
    reservoir_compressibility: float = math.nan
    reservoir_compressibility_error: float = math.nan


def tension_warning(pressures: Pressures) -> str | None:
    """Words about an atomistic liquid that is too far below its own density to stay whole, or None.

    A closed box holds a stretched liquid together; an open region does not, because its molecules can leave into a
    reservoir whose pressure is higher.
    """
    if pressures.atomistic + 2.0 * pressures.atomistic_error > -LARGEST_TENSION:
        return None
    value = Number("", pressures.atomistic / BAR, "bar", pressures.atomistic_error / BAR)
    return f"the atomistic model is under tension at this density ({value}): the open region may cavitate"


TENSION_REMEDY = "Raise system.density towards the density at which this level of theory has no pressure, or use another level."


def bulk_runs(context: Context) -> tuple[Pressures, State]:
    """Pressures of both potentials, and the equilibrated full-resolution configuration."""
    start = relaxed_box(context)
    atomistic, state = _bulk(context, start, fine_of(context), "atomistic", "pressure of the atomistic model")
    if reservoir_of(context.study).is_ideal:
        ideal = density_of(start) * thermal_energy(context.study.system.temperature)
        return Pressures(atomistic[0], atomistic[1], ideal, 0.0, atomistic[2], *atomistic[3:]), state
    reservoir, _ = _bulk(context, state, coarse_of(context), "reservoir", "pressure of the reservoir")
    effective = min(atomistic[2], reservoir[2])
    return Pressures(atomistic[0], atomistic[1], reservoir[0], reservoir[1], effective, *atomistic[3:], *reservoir[3:]), state


def _bulk(context: Context, start: State, potential: Potential, name: str, words: str) -> tuple[list[float], State]:
    """(pressure, error, effective samples) and the last configuration; done once."""
    study, path = context.study, context.folder / f"bulk-{name}.npz"
    if not path.exists():
        section = study.dynamics
        result: BulkResult = bulk_pressure(
            start,
            potential,
            study.system.temperature,
            section.friction_reference,
            section.timestep,
            steps_of(study, study.calibration.bulk),
            study.calibration.discard,
            study.system.seed + 10,
            checkpoint=(context.folder / f"bulk-{name}-run.npz", steps_of(study, section.checkpoint)),
            progress=context.progress,
            description=words,
            make_mover=integrator_of(study),
        )
        assert result.state.velocities is not None
        values = np.array([result.pressure, result.error, result.n_effective, result.compressibility, result.compressibility_error])
        write_arrays(path, values=values, positions=result.state.positions, velocities=result.state.velocities)
    arrays = read_arrays(path)
    state = State(arrays["positions"], start.cell, start.topology, arrays["velocities"], start.periodic, dict(start.info))
    return arrays["values"].tolist(), state
