"""A time step that cannot follow the fastest motion is refused; whatever people use is not."""

from __future__ import annotations

import math

import pytest
from preflight_studies import classical, refused, study

from halocline.config.study import Study
from halocline.molecules.lj import LJ
from halocline.stages._preflight_timestep import check_timestep, contact, curvature, fastest_motion
from halocline.units import ACCELERATION, BOLTZMANN

ARGON: dict[str, dict[str, object]] = {
    "system": {"molecules": {"lj": 647}, "density": "1.008 g/cm3", "length": "74.9 A", "temperature": "179.7 K"},
    "force_field": {"name": "classical", "cutoff": "8.5125 A", "electrostatics": "none"},
    "regions": {"atomistic": "17 A", "transition": "11.92 A"},
}


def argon(timestep: str, **changes: dict[str, object]) -> Study:
    times = {"record": "2 ps", "length": "1 ns", "checkpoint": "2 ps"}
    return classical(**ARGON, dynamics={"timestep": timestep, **times}, **changes)


def period_by_integration(timestep: float) -> float:
    """fs of one oscillation of two argon atoms in the parabola through their contact, by Verlet with tiny steps."""
    sigma, epsilon = LJ.nonbonded[0].sigma, LJ.nonbonded[0].epsilon

    def energy(distance: float) -> float:
        return 4 * epsilon * ((sigma / distance) ** 12 - (sigma / distance) ** 6)

    # Contact by bisection, curvature by finite differences: nothing is taken from the code under test.
    low, high = 0.8 * sigma, sigma
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if energy(middle) > BOLTZMANN * 179.7 else (low, middle)
    h = 1e-4
    stiffness = (energy(low + h) - 2 * energy(low) + energy(low - h)) / h**2
    x, v, steps, half_turns = 1.0, 0.0, 0, 0
    while half_turns < 2:
        before = v
        v -= 0.5 * timestep * stiffness * x * ACCELERATION / (0.5 * LJ.mass)
        x += timestep * v
        v -= 0.5 * timestep * stiffness * x * ACCELERATION / (0.5 * LJ.mass)
        steps += 1
        half_turns += before != 0.0 and before * v < 0
    return steps * timestep


def test_the_energy_at_contact_is_the_one_asked_for() -> None:
    for energy in (1e-4, 0.01, 1.0):
        distance = contact(3.4, 0.01, energy)
        assert 4 * 0.01 * ((3.4 / distance) ** 12 - (3.4 / distance) ** 6) == pytest.approx(energy)


def test_the_curvature_at_the_minimum_is_that_of_the_textbook() -> None:
    minimum = 2 ** (1 / 6) * 3.4
    assert curvature(3.4, 0.01, minimum) == pytest.approx(72 * 0.01 / minimum**2)


def test_the_collision_of_argon_takes_as_long_as_in_an_integration() -> None:
    motion = fastest_motion(argon("8.624 fs"))
    assert motion is not None
    assert motion.period == pytest.approx(period_by_integration(0.05), rel=1e-3)


def test_a_hundred_femtoseconds_are_refused_for_argon_with_numbers_and_remedy() -> None:
    error = refused(argon("100 fs"))
    assert error.where == "study file: dynamics.timestep"
    assert "100 fs" in error.what
    assert "'lj'" in error.what
    assert "16 fs" in error.remedy


@pytest.mark.parametrize("timestep", ["8.624 fs", "20 fs", "50 fs"])
def test_time_steps_of_the_field_pass_for_argon(timestep: str) -> None:
    check_timestep(argon(timestep))


def test_what_is_refused_lies_below_the_limit_of_stability() -> None:
    motion = fastest_motion(argon("8 fs"))
    assert motion is not None
    for share, passes in ((0.99 / 6, True), (1.01 / 6, False), (1 / math.pi, False)):
        loaded = argon(f"{share * motion.period} fs")
        if passes:
            check_timestep(loaded)
        else:
            refused(loaded)


def test_rigid_water_is_limited_by_its_libration() -> None:
    motion = fastest_motion(classical())
    assert motion is not None
    assert "librate" in motion.words
    # The librational band of water lies between 400 and 900 wavenumbers: 83 to 37 fs.
    assert 33.0 < motion.period < 60.0
    check_timestep(classical(dynamics={"timestep": "4 fs"}))
    assert "librate" in refused(classical(dynamics={"timestep": "10 fs"})).what


def test_flexible_water_is_limited_by_its_bonds() -> None:
    changes: dict[str, dict[str, object]] = {"system": {"molecules": {"water": 1728}}}
    motion = fastest_motion(classical(**changes))
    assert motion is not None
    # O-H stretching at 3000 to 4000 wavenumbers.
    assert 8.3 < motion.period < 11.1
    assert "vibrates" in refused(classical(**changes, dynamics={"timestep": "2 fs"})).what


def test_a_learned_model_vibrates_like_its_molecules() -> None:
    check_timestep(study(dynamics={"timestep": "1 fs"}))
    assert "O-H" in refused(study(dynamics={"timestep": "2 fs"})).what


def test_an_ideal_gas_has_no_fastest_motion() -> None:
    loaded = argon("100 fs")
    gas = loaded.model_copy(update={"system": loaded.system.model_copy(update={"molecules": {"ideal": 600}})})
    assert fastest_motion(gas) is None
    check_timestep(gas)


def test_heavier_atoms_and_colder_liquids_allow_longer_steps() -> None:
    hot, cold = (fastest_motion(argon("8 fs").model_copy(update={"system": argon("8 fs").system.model_copy(update={"temperature": t})}))
                 for t in (2000.0, 100.0))  # fmt: skip
    assert hot is not None
    assert cold is not None
    assert hot.period < cold.period


def test_a_single_solute_does_not_collide_with_itself() -> None:
    """Small light particles would meet fastest of all, but there is one."""
    alone, pair = (
        fastest_motion(classical(**{**ARGON, "system": {**ARGON["system"], "molecules": {"lj": 646, "lj_small": count}}}))
        for count in (1, 2)
    )
    assert alone is not None
    assert pair is not None
    assert alone.period > pair.period
