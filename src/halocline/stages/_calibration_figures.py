"""Figures of a calibration: density, force, convergence and integral."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halocline.adress.regions import Regions
from halocline.dynamics.calibration import Calibration
from halocline.dynamics.calibration_windows import Window
from halocline.results import Figure, Series
from halocline.topology import FloatArray
from halocline.units import KILOJOULE_PER_MOLE


def profile_figure(outcome: Calibration, regions: Regions) -> Figure:
    centres, species = outcome.force.centres.tolist(), outcome.force.species
    series = [
        Series(f"{name}, {label} window", centres, window.density[kind], window.error[kind], "line" if label == "last" else "dashed")
        for label, window in (("first", outcome.windows[0]), ("last", outcome.windows[-1]))
        for kind, name in enumerate(species)
    ]
    caption = f"AT ends at {regions.atomistic:g} A, the transition layer at {regions.outer:g} A. Both sides of a slab averaged."
    return Figure("calibration-density", "Density during calibration", "distance from the centre (A)", "density / target", series, caption)


def force_figure(outcome: Calibration, first: FloatArray) -> Figure:
    centres, species = outcome.force.centres.tolist(), outcome.force.species
    series = [Series(f"{name}, start", centres, (1e3 * first[kind]).tolist(), None, "dashed") for kind, name in enumerate(species)]
    series += [Series(f"{name}, calibrated", centres, (1e3 * outcome.force.tables[kind]).tolist()) for kind, name in enumerate(species)]
    caption = "Force on a molecule, positive outwards. Its integral is a pressure difference per molecule, not a chemical potential."
    return Figure("thermodynamic-force", "Thermodynamic force", "distance from the centre (A)", "force (meV/A)", series, caption)


def convergence_figure(windows: Sequence[Window], tolerance: float, kind: int, place: str) -> Figure:
    """The largest deviation of all species, and that of one species in AT or what stands for it (``place``)."""
    index = [float(number + 1) for number in range(len(windows))]
    worst = 100 * np.array([window.worst() for window in windows])
    core = 100 * np.array([(window.blocks[kind][0], window.block_errors[kind][0]) for window in windows])
    series = [
        Series("largest of all", index, np.abs(worst[:, 0]).tolist(), worst[:, 1].tolist(), "points"),
        Series(place, index, np.abs(core[:, 0]).tolist(), core[:, 1].tolist(), "points"),
        Series("tolerance", [0.5, len(windows) + 0.5], [100 * tolerance] * 2, None, "dashed"),
    ]
    caption = (
        f"Deviation of the density from the target, by window: {place}, and the worst of it and of 3 A blocks of the transition layer."
    )
    return Figure("calibration-convergence", "Convergence of the calibration", "window", "density deviation (%)", series, caption)


def integral_figure(outcome: Calibration, expected: tuple[float, float] | None, has_drift: bool = False) -> Figure:
    """Against what the balance of momentum expects and its error in eV, where that is known.

    Args:
        has_drift: whether drift forces carry a part of the pressure difference, which ``expected`` does not hold.
    """
    index = [float(number + 1) for number in range(len(outcome.windows))]
    series = [
        Series(name, index, [window.integral[kind] / KILOJOULE_PER_MOLE for window in outcome.windows], None, "points")
        for kind, name in enumerate(outcome.force.species)
    ]
    caption = "The force towards AT, integrated: with what is compensated, the difference of mu_ex, and no pressure difference by itself."
    if expected is not None:
        ends = [0.5, len(index) + 0.5]
        balance, error = ([item / KILOJOULE_PER_MOLE] * 2 for item in expected)
        words = "(P_AT - P_reservoir)/n from bulk runs" + (", less what drift forces carry" if has_drift else "")
        series.append(Series(words, ends, balance, error, "dashed"))
        caption = "Momentum balance: the force towards AT, integrated, carries the pressure difference of the two liquids."
    return Figure("calibration-integral", "Integral of the thermodynamic force", "window", "integral (kJ/mol)", series, caption)
