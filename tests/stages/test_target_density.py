"""A chemical potential instead of a density: solved for, held by the force, and refused where it decides nothing."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad

from halocline.adress.density_response import DensityResponse
from halocline.adress.regions import Slab
from halocline.adress.target_profile import target_profile
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.load import validate
from halocline.config.study import Study
from halocline.dynamics.calibration_windows import UPDATED, CalibrationSettings, judge
from halocline.dynamics.record import Record
from halocline.errors import RunFailure, UserError
from halocline.files import read_json
from halocline.molecules.lj import LJ
from halocline.progress import Silent
from halocline.stages._assembly import regions_of
from halocline.stages._bulk_runs import Pressures
from halocline.stages._classical import build_box
from halocline.stages._first_force import empty_force, pressure_difference
from halocline.stages._solve_target import cube_of, excess_at, reservoir_density, solve_target
from halocline.stages._target_density import Excess, TargetDensity
from halocline.stages.calibrate import CalibrateStage
from halocline.stages.preflight import preflight
from halocline.stages.runner import Runner
from halocline.state import State
from halocline.units import AMU_PER_CUBIC_ANGSTROM, BOLTZMANN, KILOJOULE_PER_MOLE, thermal_energy

SIGMA, EPSILON, CUTOFF, TEMPERATURE = 3.405, 119.8 * BOLTZMANN, 8.5125, 119.8
KT = thermal_energy(TEMPERATURE)
DENSITY = 0.03 / SIGMA**3
SECTIONS: dict[str, dict[str, object]] = {
    "system": {
        "molecules": {"lj": 600}, "density": f"{DENSITY * LJ.mass / AMU_PER_CUBIC_ANGSTROM} g/cm3", "length": "160 A",
        "temperature": "119.8 K",
    },
    "force_field": {"name": "classical", "cutoff": "8.5125 A", "electrostatics": "none"},
    "coupling": {"reservoir": "tracer"},
    "regions": {"atomistic": "17 A", "transition": "11.92 A", "hysteresis": "0 A"},
    "dynamics": {
        "timestep": "8.624 fs", "equilibration": "10 fs", "length": "1 ps", "record": "50 fs", "checkpoint": "200 fs",
        "friction_transition": "18.6 /ps", "friction_reservoir": "18.6 /ps", "force_cap": "1.5 eV/A",
    },
    "calibration": {"margin": "6 A", "chemical_potential": "-0.3 kJ/mol", "insertion": "10 ps", "tolerance": "4 %"},
}  # fmt: skip


def study(**changes: dict[str, object]) -> Study:
    return validate({name: {**SECTIONS.get(name, {}), **changes.get(name, {})} for name in {*SECTIONS, *changes}}, "test")


def second_virial() -> float:
    """INT (1 - exp(-u/kT)) d3r = 2 B2 of the truncated and shifted interaction, Å^3."""

    def energy(r: float) -> float:
        return 4 * EPSILON * ((SIGMA / r) ** 12 - (SIGMA / r) ** 6 - (SIGMA / CUTOFF) ** 12 + (SIGMA / CUTOFF) ** 6)

    inner = 4 / 3 * math.pi * (0.2 * SIGMA) ** 3
    return inner - quad(lambda r: 4 * math.pi * r**2 * math.expm1(-energy(r) / KT), 0.2 * SIGMA, CUTOFF, points=[SIGMA], limit=200)[0]


def box(loaded: Study, count: int = 600) -> State:
    from halocline.molecules.base import build_topology
    from halocline.systems.packing import study_edges

    edges = study_edges(loaded.system)
    return State(np.random.default_rng(1).uniform(size=(count, 3)) * edges, np.diag(edges), build_topology([(LJ, count)]))


def test_density_of_a_lennard_jones_gas_is_that_of_its_virial_series(tmp_path: Path) -> None:
    """mu_ex = 2 B2 n kT + O(n^2); the third coefficient is below 0.4 sigma^6 here and moves n by less than one in a hundred."""
    expected = 1.04 * DENSITY
    wanted = second_virial() * expected * KT
    loaded = study(calibration={"chemical_potential": f"{wanted / KILOJOULE_PER_MOLE} kJ/mol"})
    regions = regions_of(loaded)
    arguments = (loaded, box(loaded), regions, empty_force(loaded, regions), tmp_path, Silent())
    target = solve_target(*arguments)
    assert target.error < 0.03 * DENSITY
    assert abs(target.density - expected) < 3 * target.error + 0.015 * DENSITY
    assert 0 < target.reservoir_error < target.error
    assert target.slope == pytest.approx(wanted, rel=0.35)
    assert all(item.n_effective > 10 for item in target.evaluations)
    number = target.numbers()[1]
    assert (number.unit, number.error is not None, number.n_effective is not None) == ("g/cm3", True, True)
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.glob("*.json"))
    assert solve_target(*arguments) == target
    (tmp_path / "target.json").unlink()
    assert solve_target(*arguments) == target, "evaluations are kept"
    assert len(before) == 1 + len(target.evaluations)


@pytest.mark.slow
def test_one_evaluation_by_growth_is_that_of_insertion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = study(calibration={"insertion": "3.5 ps"}, execute={"workers": 1})
    inserted = excess_at(loaded, DENSITY, 1, tmp_path / "widom", Silent())
    monkeypatch.setattr("halocline.stages._solve_target.fits_by_chance", lambda molecule: False)
    grown = excess_at(loaded, DENSITY, 2, tmp_path / "growth", Silent())
    assert abs(grown.value - inserted.value) < 4 * math.hypot(grown.error, inserted.error)
    assert len(list((tmp_path / "growth").glob("window-*.npz"))) == 9


def test_a_target_out_of_reach_and_a_value_in_doubt_are_failures_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = study()
    regions = regions_of(loaded)
    arguments = (loaded, box(loaded), regions, empty_force(loaded, regions))
    law = lambda density, warning="": Excess(density, -0.004 * density / DENSITY, 1e-6, 50.0, warning)  # noqa: E731
    monkeypatch.setattr("halocline.stages._solve_target.excess_at", lambda study, density, *_: law(density))
    with pytest.raises(UserError, match=r"-0\.0036 eV to -0\.0044 eV between") as caught:
        solve_target(*arguments, tmp_path / "a", Silent())
    assert "system.density" in caught.value.remedy
    monkeypatch.setattr("halocline.stages._solve_target.excess_at", lambda study, density, *_: law(density, "3 of 1000 carry it"))
    with pytest.raises(RunFailure, match="in doubt: 3 of 1000"):
        solve_target(*arguments, tmp_path / "b", Silent())
    assert not (tmp_path / "b" / "target.json").exists()


def test_what_an_evaluation_refuses_keeps_its_own_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another density does not help against a cell that is too small."""
    loaded = study()
    regions = regions_of(loaded)

    def refuse(*_: object) -> Excess:
        raise UserError("the cell is too small", "insertion", "Take a shorter cut-off.")

    monkeypatch.setattr("halocline.stages._solve_target.excess_at", refuse)
    with pytest.raises(UserError, match="the cell is too small") as caught:
        solve_target(loaded, box(loaded), regions, empty_force(loaded, regions), tmp_path, Silent())
    assert (caught.value.where, caught.value.remedy) == ("insertion", "Take a shorter cut-off.")


@pytest.mark.parametrize("widom", [True, False])
def test_half_a_molecule_more_than_the_cube_holds_has_the_density_asked_for(widom: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean field F_ex = a N^2/V has mu_ex = 2 a n; F_ex(N + 1) - F_ex(N) in the cube must be its value at the density asked for."""
    monkeypatch.setattr("halocline.stages._solve_target.fits_by_chance", lambda molecule: widom)
    small = cube_of(study(), DENSITY)
    state = build_box(small, 1)
    n = state.topology.n_molecules
    assert ((n + 1) ** 2 - n**2) / state.volume == pytest.approx(2 * DENSITY, rel=1e-6)


@pytest.mark.parametrize(
    ("coupling", "found", "words"),
    [
        ("tracer", (10.0, 20.0), "compressibility is 10"),
        ("table", (10.0, 1.0), "compressibility of the reservoir is nan"),
        ("table", (10.0, 1.0, 5.0, 6.0), "compressibility of the reservoir is 5"),
    ],
)
def test_an_uncertain_compressibility_is_refused_before_the_density_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coupling: str, found: tuple[float, ...], words: str
) -> None:
    loaded = study(calibration={"compressibility": "measured"})
    loaded = loaded.model_copy(update={"coupling": loaded.coupling.model_copy(update={"reservoir": coupling})})
    later: list[str] = []
    monkeypatch.setattr("halocline.stages.calibrate.fine_of", lambda context: SimpleNamespace(interaction_range=CUTOFF))
    monkeypatch.setattr("halocline.stages.calibrate.bulk_runs", lambda context: (Pressures(0.0, 0.0, 0.0, 0.0, 9.0, *found), box(loaded)))
    monkeypatch.setattr("halocline.stages.calibrate.solve_target", lambda *_: later.append("solved"))
    with pytest.raises(RunFailure, match=words) as caught:
        CalibrateStage().run(SimpleNamespace(study=loaded, folder=tmp_path, progress=Silent()))  # type: ignore[arg-type]
    assert not later
    assert "calibration.bulk" in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"system": {"molecules": {"ideal": 600}}}, "ideal gas"),
        ({"system": {"molecules": {"lj": 300, "lj_small": 300}}}, "2 species"),
        ({"system": {"molecules": {"water": 600}}}, "flexible"),
        ({"regions": {"shape": "moving-sphere", "follow": "lj"}}, "follow"),
        ({"calibration": {"margin": "0 A"}}, "calibration.margin"),
        ({"force_field": {"name": "learned"}, "coupling": {"reservoir": "model"}}, "trains its model"),
    ],
)
def test_what_cannot_be_solved_for_is_refused_before_any_work(changes: dict[str, dict[str, object]], words: str) -> None:
    from halocline.stages._preflight_calibration import check_calibration

    with pytest.raises(UserError, match=words) as caught:
        check_calibration(study(**changes))
    assert caught.value.where.startswith("study file: calibration.")
    assert caught.value.remedy


def test_a_lennard_jones_study_with_a_chemical_potential_passes() -> None:
    preflight(study())
    with pytest.raises(ValueError, match="has no unit"):
        Study.model_validate({"calibration": {"chemical_potential": -30.2}})


def test_a_change_that_the_reservoir_cannot_make_up_for_is_refused() -> None:
    """AT and the layer are 36 % of this box: 10 % more there leave a reservoir 6 % off, 30 % more one of 18 %."""
    loaded = study()
    regions, start = regions_of(loaded), box(loaded)
    force, mean = empty_force(loaded, regions), 600 / start.volume
    left, less = reservoir_density(1.1 * mean, start, regions, force)
    assert 0.93 * mean < left < 0.95 * mean
    assert reservoir_density(1.05 * mean, start, regions, force)[0] == pytest.approx(left + 0.05 * mean * less, rel=1e-9)
    with pytest.raises(UserError, match=r"\+30\.0% of the box") as caught:
        reservoir_density(1.3 * mean, start, regions, force)
    assert "more than 10%" in caught.value.what
    assert "Change system.density by +30.0%" in caught.value.remedy


REGIONS = Slab(40.0, 10.0, 10.0, 0.0, 80.0)
VOLUME = 80.0 * 400.0


def profile() -> tuple[ThermodynamicForce, np.ndarray, np.ndarray]:
    force = ThermodynamicForce(("lj",), REGIONS.reach, 0.5, (10.0, 26.0))
    volumes = np.full(len(force.centres), 2 * force.width * 400.0)
    return force, volumes, target_profile(0.022, 0.02, REGIONS, force.centres, 26.0, volumes, VOLUME)


def test_target_keeps_the_molecules_of_the_box_and_is_flat_where_it_is_judged() -> None:
    force, volumes, wanted = profile()
    assert (wanted * volumes).sum() == pytest.approx(0.02 * VOLUME, rel=1e-12)
    assert wanted[force.centres < 20.0] == pytest.approx(0.022)
    assert np.ptp(wanted[force.centres > 26.0]) == 0.0
    assert wanted[-1] < 0.02
    with pytest.raises(UserError, match="molecules"):
        target_profile(0.06, 0.02, REGIONS, force.centres, 26.0, volumes, VOLUME)


def test_tracers_with_the_force_of_the_target_are_on_target_and_a_flat_density_is_not() -> None:
    """Ideal gas: n = n0 exp(-U/kT) is the profile when F = kT d ln n/dd. Counts of that law leave the table as it is."""
    force, volumes, wanted = profile()
    force = force.copy((KT * np.gradient(np.log(wanted), force.width) * force.in_window())[None])
    law = np.exp(-force.energy(force.centres) / KT) * volumes
    law *= 0.02 * VOLUME / law.sum()
    assert law / volumes == pytest.approx(wanted, rel=4e-3)
    settings = CalibrationSettings(1000, 0.2, 5, 0.03, 1.0, 0.2, DensityResponse(1 / (0.02 * KT), None, KT), 10, 100, density=0.022)
    rng, shape = np.random.default_rng(2), wanted / 0.022
    counts = rng.poisson(law, size=(4000, 1, len(law)))
    arguments = (volumes, REGIONS, force, np.array([0.022]), settings, 1000, 0, math.inf, shape)
    assert judge([counts], *arguments).agrees(0.03)
    flat = rng.poisson(0.02 * volumes, size=(4000, 1, len(law)))
    window = judge([flat], *arguments)
    assert window.outcome == UPDATED
    assert window.blocks[0][0] == pytest.approx(-1 / 11, abs=0.01)
    assert window.integral[0] > force.inward_integral()[0], "the update pushes molecules into AT"


def test_expected_integral_between_ideal_gases_of_two_densities_is_kt_ln_of_their_ratio() -> None:
    """Nothing interacts: P = n kT on both sides, and the force holds an isothermal atmosphere."""
    density, kappa = 0.02, 1 / (0.02 * KT)
    target = TargetDensity(0.0208, 0.0, 0.0196, 0.0, density, 0.0, 0.0, LJ.mass, ())
    pressures = Pressures(density * KT, 0.0, density * KT, 0.0, 10.0, kappa, 0.0)
    loaded = study(calibration={"compressibility": "measured"})
    assert pressure_difference(loaded, pressures, density, target)[0] == pytest.approx(KT * math.log(0.0208 / 0.0196), rel=0.02)
    assert pressure_difference(loaded, pressures, density)[0] == 0.0


def test_error_of_the_compressibility_of_a_reservoir_is_one_of_the_expected_integral() -> None:
    """Ideal gases again, the reservoir with a measured kappa_T of one tenth: a tenth of kT ln(n_R/n), in squares with that of AT."""
    density, kappa = 0.02, 1 / (0.02 * KT)
    target = TargetDensity(0.0208, 0.0, 0.0196, 0.0, density, 0.0, 0.0, LJ.mass, ())
    loaded = study(calibration={"compressibility": "measured"})
    loaded = loaded.model_copy(update={"coupling": loaded.coupling.model_copy(update={"reservoir": "table"})})
    pressures = Pressures(density * KT, 0.0, density * KT, 0.0, 10.0, kappa, 0.2 * kappa, kappa, 0.1 * kappa)
    value, error = pressure_difference(loaded, pressures, density, target)
    assert value == pytest.approx(KT * math.log(0.0208 / 0.0196), rel=0.02)
    assert error == pytest.approx(KT * math.hypot(0.2 * math.log(1.04), 0.1 * math.log(0.98)))


STRONG = {
    "timestep": "4 fs", "force_cap": "0.3 eV/A", "friction_transition": "100 /ps", "friction_reservoir": "100 /ps", "heating": "400 %",
}  # fmt: skip
"""Cold tracers become molecules in a very short run."""


@pytest.mark.slow
def test_every_stage_is_about_the_density_that_was_found(tmp_path: Path) -> None:
    """Record of the open run, settings of the force, reference and verdicts: all have the density of the target, not of the box."""
    wanted = 1.05 * second_virial() * DENSITY * KT / KILOJOULE_PER_MOLE
    times = {"chemical_potential": f"{wanted} kJ/mol", "window": "2 ps", "bulk": "2 ps", "iterations": 2, "compressibility": "measured"}
    loaded = study(calibration=times, validation={"reference": "1 ps"}, execute={"workers": 1}, dynamics=STRONG)
    preflight(loaded)
    runner = Runner(loaded, tmp_path)
    result = runner.run("validate")
    target = TargetDensity.load(runner.context("calibrate").folder / "target.json")
    assert target.density == pytest.approx(1.05 * DENSITY, rel=0.03)
    assert target.reservoir < DENSITY
    assert result["calibrate"].numbers[1].value == pytest.approx(target.density * LJ.mass / AMU_PER_CUBIC_ANGSTROM)
    assert read_json(runner.context("simulate").inputs["calibrate"] / "thermodynamic_force.json")["settings"]["density"] == target.density
    with Record.open(runner.context("validate").file("simulate", "record")) as record:
        assert record.density == target.density
    reference = runner.context("validate").folder / result["validate"].files["reference"]
    with Record.open(reference) as record:
        assert record.density == pytest.approx(target.density, rel=1e-3)
        assert record.cell == pytest.approx(np.diag(box(loaded).edges))
    density = next(item for item in result["validate"].verdicts if item["name"] == "mean density in AT")
    assert density["reference"] == pytest.approx(target.density * LJ.mass / AMU_PER_CUBIC_ANGSTROM)
