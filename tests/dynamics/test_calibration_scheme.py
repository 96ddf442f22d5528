"""The whole scheme of a calibration, with its defaults, on liquids that answer without dynamics and without noise.

A liquid that is sixteen times stiffer than the tracers around it stands between them with an excess of 2 kT, behind an abrupt border or
with the smooth weights of the interpolating couplings; kT ln(n/n0) + s(d) B (n - n0) + s(d) 2 kT + energy of the force = mu everywhere.
"""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from halocline.adress.density_response import DensityResponse
from halocline.adress.regions import Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Calibration
from halocline.dynamics.calibration import integral_of, settled
from halocline.dynamics.calibration_windows import UPDATED, CalibrationSettings, judge

THERMAL, DENSITY, STIFFER, STEP = 0.0257, 0.0333, 16.0, 2.0
REGIONS = Slab(45.0, 12.0, 14.0, 0.0, 90.0)
DEFAULTS = Calibration()


def settings(power: int = 0, kappa: float = 1.0, **changes) -> CalibrationSettings:
    """Defaults of the study file; ``kappa`` is what the compressibility is taken for, over the true one."""
    response = DensityResponse(kappa / (DENSITY * THERMAL * STIFFER), None, THERMAL, power)
    arguments = (1000, 0.3, 10, 1e-9, DEFAULTS.smoothing, DEFAULTS.damping, response, 10, 100)
    return CalibrationSettings(*arguments, **{"border": 2.0, **changes})


def samples(counts: np.ndarray) -> np.ndarray:
    """(64, n_species, n_bins) almost without noise: a series that never changes has no error bar."""
    return np.atleast_2d(counts) * (1.0 + 1e-6 * np.random.default_rng(0).normal(size=(64, 1, 1)))


def profile(force: ThermodynamicForce, share: np.ndarray, extra: np.ndarray | float = 0.0) -> np.ndarray:
    """(n_bins,) n/n0 in equilibrium."""
    energy = STEP * share + force.energy(force.centres) / THERMAL + extra

    def at(mu: float) -> np.ndarray:
        low, high = np.full(len(energy), 1e-6), np.full(len(energy), 20.0)
        for _ in range(50):
            middle = 0.5 * (low + high)
            above = np.log(middle) + (STIFFER - 1.0) * share * (middle - 1.0) + energy > mu
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return middle

    return at(brentq(lambda mu: at(mu).mean() - 1.0, -40.0, 40.0))


def deviations(options: CalibrationSettings, power: int, updates: int, seed: int | None = None) -> list[float]:
    """Largest deviation of a judged block before every update; with a seed AT is off by 2 % for the chance of a window."""
    first = ThermodynamicForce(("water",), REGIONS.reach, DEFAULTS.bin, (REGIONS.atomistic, REGIONS.outer + 5.0))
    share = DensityResponse(1.0, None, THERMAL, power).share(REGIONS, first.centres)
    volumes, force, windows, worst = REGIONS.shell_volumes(first.edges, np.diag([90.0, 24.0, 24.0])), first, [], []
    generator = np.random.default_rng(seed)
    for _ in range(updates + 1):
        density = profile(force, share)
        worst.append(judged(density, volumes, force, options))
        if seed is not None:
            inside = force.centres < REGIONS.outer
            chance = 0.02 * generator.normal()
            density = np.where(inside, density * (1 + chance), density * (1 - chance * inside.sum() / (~inside).sum()))
        counts = samples(density * DENSITY * volumes)
        window = judge([counts], volumes, REGIONS, force, np.array([DENSITY]), options, 1000, len(windows))
        assert window.outcome == UPDATED
        windows.append(settled(window, windows, first, REGIONS, options))
        force = first.copy(np.array(windows[-1].updated))
    return worst


def judged(density: np.ndarray, volumes: np.ndarray, force: ThermodynamicForce, options: CalibrationSettings) -> float:
    counts = samples(density * DENSITY * volumes)
    window = judge([counts], volumes, REGIONS, force, np.array([DENSITY]), options, 1000, 0)
    return abs(window.worst()[0])


@pytest.mark.parametrize("power", [0, 1, 2], ids=["abrupt", "w", "w^2"])
def test_every_kind_of_border_is_flat_after_a_few_windows(power):
    found = deviations(settings(power), power, 6)
    assert found[0] > 0.08
    assert found[3] < 0.02
    assert found[6] < 0.01


@pytest.mark.parametrize("kappa", [0.65, 1.5])
def test_a_compressibility_that_is_off_by_half_still_leads_there(kappa):
    found = deviations(settings(kappa=kappa), 0, 8)
    assert found[4] < 0.03
    assert found[8] < 0.015


def test_chance_of_two_per_cent_a_window_is_averaged_out():
    """A table that followed each window by four fifths would carry 1.6 % for ever; the mean of eight has 0.7 %."""
    last = [deviations(settings(), 0, 8, seed)[-1] for seed in range(6)]
    assert math.sqrt(np.mean(np.square(last))) < 0.012


def test_a_known_integral_holds_at_against_chance():
    exact = STEP * THERMAL  # both sides at n0: the force carries the step
    first = ThermodynamicForce(("water",), REGIONS.reach, DEFAULTS.bin, (REGIONS.atomistic, REGIONS.outer + 5.0))
    first.start_about(REGIONS, np.array([exact]))
    volumes = REGIONS.shell_volumes(first.edges, np.diag([90.0, 24.0, 24.0]))
    counts = samples(np.where(first.centres < REGIONS.outer, 1.03, 0.96) * DENSITY * volumes)
    integrals = []
    for error in (0.01 * THERMAL, math.inf):
        options = settings(first_error=error)
        window = judge([counts], volumes, REGIONS, first, np.array([DENSITY]), options, 1000, 0)
        integrals.append(integral_of([window], first, options)[0][0])
        assert window.asked[0] == pytest.approx(exact + THERMAL * (-0.04 - 0.03 * STIFFER))
    assert integrals[0] == pytest.approx(exact, abs=0.01 * THERMAL)
    assert integrals[1] == pytest.approx(exact - THERMAL * (0.04 + 0.03 * STIFFER))


def test_around_a_solute_its_shells_are_not_judged_and_it_has_no_force():
    force = ThermodynamicForce(("methane", "water"), REGIONS.reach, 0.5, (REGIONS.atomistic, REGIONS.outer + 5.0))
    volumes, density = REGIONS.shell_volumes(force.edges, np.diag([90.0, 24.0, 24.0])), np.array([1e-5, DENSITY])
    water = np.where(force.centres < 4.0, 0.0, np.where(force.centres < REGIONS.outer, 1.05, 0.95))
    methane = np.where(force.centres < 1.0, 50.0, 0.0)
    counts = samples(np.stack([methane * density[0], water * density[1]]) * volumes)
    window = judge([counts], volumes, REGIONS, force, density, settings(followed=(0,)), 1000, 0)
    assert window.blocks[1][0] == pytest.approx(0.05, abs=1e-5)
    assert window.worst()[0] == pytest.approx(0.05, abs=1e-5)
    assert not np.any(np.array(window.updated)[0])
    assert np.any(np.array(window.updated)[1])
    assert window.correction[0] == 0.0
    assert window.correction[1] < 0.0
