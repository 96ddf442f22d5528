"""Calibrate and simulate on a liquid of simple molecules: files, numbers, resumption, refusals."""

from types import SimpleNamespace

import numpy as np
import pytest
from brute_force import HarmonicMolecules, triatomic_fluid

from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.dynamics.record import Record
from halocline.errors import UserError
from halocline.files import read_json
from halocline.potentials.lennard_jones import LennardJones
from halocline.results import StageResult
from halocline.stages import _assembly, _bulk_runs, calibrate, simulate
from halocline.stages._bulk_runs import Pressures, tension_warning
from halocline.stages._calibration_result import friction_needed
from halocline.stages._first_force import first_force, warm_start
from halocline.stages.base import Context
from halocline.state import State
from halocline.units import BAR

STUDY = {
    "system": {"molecules": {"water": 90}, "length": "31 A", "temperature": "250 K"},
    "regions": {"atomistic": "4 A", "transition": "5.5 A", "hysteresis": "0.5 A"},
    "dynamics": {
        "timestep": "1 fs",
        "equilibration": "20 fs",
        "length": "120 fs",
        "record": "10 fs",
        "checkpoint": "40 fs",
        "friction_transition": "20 /ps",
        "friction_reservoir": "20 /ps",
    },
    "calibration": {"window": "60 fs", "iterations": 2, "bulk": "60 fs", "margin": "3 A"},
    "validation": {"reference": "60 fs"},
}


def liquid() -> HarmonicMolecules:
    return HarmonicMolecules() + LennardJones(2.9, 0.02, 4.6, force_cap=20.0, centres=True)


@pytest.fixture
def context(tmp_path, monkeypatch):
    for module in (_assembly, _bulk_runs, calibrate):
        monkeypatch.setattr(module, "fine_of", lambda _: liquid())
        monkeypatch.setattr(module, "coarse_of", lambda _: HarmonicMolecules() + LennardJones(2.9, 0.01, 4.6, centres=True))
    for stage in ("build", "train", "calibrate", "simulate"):
        (tmp_path / stage).mkdir()
    fluid = triatomic_fluid((10, 3, 3), 3.1)
    with Dataset.create(tmp_path / "build" / "box.h5") as store:
        store.append(Frame(State(fluid.positions, fluid.cell, fluid.topology), source="lattice"))
    results = {"build": StageResult("", files={"box": "box.h5"}), "train": StageResult("", files={"atomistic": "a", "coarse": "c"})}
    for name in ("a", "c"):
        (tmp_path / "train" / name).write_text(name)
    inputs = {stage: tmp_path / stage for stage in ("build", "train", "calibrate")}

    def make(stage: str, **changes) -> Context:
        study = Study.model_validate({**STUDY, **changes})
        return Context(study, tmp_path / stage, inputs, results)

    return make


def both(context) -> tuple[StageResult, StageResult]:
    calibrated = calibrate.CalibrateStage().run(context("calibrate"))
    run = context("simulate")
    run.results["calibrate"] = calibrated
    return calibrated, simulate.SimulateStage().run(run)


def test_open_stages_leave_their_files_and_numbers(context):
    calibrated, simulated = both(context)
    folder = context("simulate").folder
    for stage, result in (("calibrate", calibrated), ("simulate", simulated)):
        for path in result.files.values():
            assert (context(stage).folder / path).stat().st_size > 0
        assert StageResult.from_json(result.to_json()).summary == result.summary
    assert calibrated.number("windows").value in (1, 2)
    assert "NOT converged" in calibrated.summary  # 60 fs decide nothing, and the stage says so
    assert "error unknown" in calibrated.summary
    with Record.open(folder / "record.h5") as record:
        assert len(record) == 12
        assert record.resolution == "open"
        assert record.density == pytest.approx(90 / (31 * 9.3**2))
        remainder = sum(sign * record.column(name) for name, sign in (("kinetic", 1), ("potential", 1), ("heat", -1), ("thermostat", -1)))
        assert np.ptp(remainder) < 0.1 * np.ptp(record.column("thermostat"))
    assert simulated.number("capped pairs, atomistic").value == 0
    assert simulated.number("speed").value > 0
    for name in ("atomistic", "transition", "reservoir"):
        assert simulated.number(f"temperature, {name}").value == pytest.approx(250, rel=0.35)
    assert {figure.key for figure in simulated.figures} == {"open-density", "open-temperature", "heat-ledger"}


def test_finished_stages_repeat_nothing(context, monkeypatch):
    calibrated, simulated = both(context)
    monkeypatch.setattr("halocline.dynamics.simulation.Simulation.step", lambda _: pytest.fail("a finished run took a step"))
    again, repeated = both(context)
    assert again.to_json() == calibrated.to_json()
    assert repeated.to_json() == simulated.to_json()


def test_interrupted_calibration_ends_with_the_same_table(context, tmp_path, monkeypatch):
    calibrate.CalibrateStage().run(context("calibrate"))
    whole = ThermodynamicForce.load(tmp_path / "calibrate" / "thermodynamic_force.json")
    (tmp_path / "calibrate").rename(tmp_path / "first")
    (tmp_path / "calibrate").mkdir()
    from halocline.dynamics.simulation import Simulation

    step, taken = Simulation.step, [0]

    def dying(self) -> None:
        taken[0] += 1
        if taken[0] in (47, 170, 215):
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Simulation, "step", dying)
    interruptions = 0
    while True:
        try:
            calibrate.CalibrateStage().run(context("calibrate"))
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions == 3
    again = ThermodynamicForce.load(tmp_path / "calibrate" / "thermodynamic_force.json")
    np.testing.assert_array_equal(again.tables, whole.tables)


def test_force_of_another_friction_is_refused(context):
    calibrated = calibrate.CalibrateStage().run(context("calibrate"))
    run = context("simulate", dynamics={**STUDY["dynamics"], "friction_transition": "5 /ps"})
    run.results["calibrate"] = calibrated
    with pytest.raises(UserError, match="friction"):
        simulate.SimulateStage().run(run)


def test_warm_start_without_a_margin_acts_in_the_transition_layer(context):
    study = context("calibrate", calibration={**STUDY["calibration"], "margin": "0 A"}).study
    fluid = triatomic_fluid((10, 3, 3), 3.1)
    difference = 0.02 * 90 / fluid.volume
    force = warm_start(study, _assembly.regions_of(study), fluid, Pressures(difference, 0.0, 0.0, 0.0, 10.0))
    assert force.inward_integral()[0] == pytest.approx(0.02)
    assert force.force(np.array([9.2]))[0] < 0.0  # towards AT; the layer ends at 9.5 A
    np.testing.assert_array_equal(force.force(np.array([3.9, 9.6])), 0.0)


def test_transition_layer_thinner_than_the_reach_is_refused(context):
    with pytest.raises(UserError, match="transition layer"):
        calibrate.CalibrateStage().run(context("calibrate", regions={**STUDY["regions"], "transition": "3 A"}))


def test_full_resolution_run_sees_everything(context):
    place = context("simulate")
    path = _assembly.run_full(place, place.folder / "reference.h5", place.study.validation.reference)
    with Record.open(path) as record:
        assert record.resolution == "full"
        assert len(record) == 6
        assert all(snapshot.inside.all() for snapshot in record)
        assert {0, 1, 2} == set(np.unique(record.column("level")))
        assert np.all(record.column("heat") == 0.0)


@pytest.mark.parametrize(("pressure", "error", "warned"), [(-6576, 353, True), (-1500, 400, False), (-600, 50, False), (900, 100, False)])
def test_a_liquid_certainly_under_strong_tension_is_warned_about(pressure: float, error: float, warned: bool) -> None:
    words = tension_warning(Pressures(pressure * BAR, error * BAR, 0.0, 10.0 * BAR, 20.0))
    assert (words is not None) == warned
    assert words is None or "-6576" in words


def test_a_calibration_starts_from_the_table_of_another(context, tmp_path, monkeypatch):
    first = calibrate.CalibrateStage().run(context("calibrate"))
    table = tmp_path / "other.json"
    (tmp_path / "calibrate" / first.files["force"]).rename(table)
    for path in [tmp_path / "calibrate" / "windows.json", *(tmp_path / "calibrate").glob("end-*")]:
        path.unlink()
    other = {**STUDY["regions"], "atomistic": "4.5 A"}
    # Another friction and another width of AT: refused as a result, welcome as a start.
    slower = {**STUDY["dynamics"], "friction_transition": "15 /ps"}
    study = context("calibrate", calibration={**STUDY["calibration"], "start": str(table)}, regions=other, dynamics=slower)
    calibrate.CalibrateStage().run(study)
    details = read_json(tmp_path / "calibrate" / "thermodynamic_force.json")["details"]
    assert details["origin"]["file"] == str(table)
    assert details["origin"]["border"] == 9.5
    assert details["origin"]["settings"]["friction"][1] == pytest.approx(0.02)


def test_zero_start_and_missing_start(context):
    start = State(*(getattr(triatomic_fluid((10, 3, 3), 3.1), name) for name in ("positions", "cell", "topology")))
    study = context("calibrate", calibration={**STUDY["calibration"], "start": "zero"}).study
    pressures = Pressures(0.01, 0.001, 0.005, 0.001, 10.0)
    force, origin = first_force(study, _assembly.regions_of(study), start, pressures)
    assert (float(np.abs(force.tables).max()), origin) == (0.0, {"start": "zero"})
    with pytest.raises(UserError, match="presure") as error:
        calibrate.CalibrateStage().run(context("calibrate", calibration={**STUDY["calibration"], "start": "presure"}))
    assert "calibration.start" in error.value.where


def test_friction_that_the_heat_needs_is_reported(context):
    study = context("calibrate").study
    window = SimpleNamespace(power=2e-3, layer=30.0)
    numbers, words = friction_needed(study, window)
    # P/(3 k N dT) with dT = 5 % of 250 K, in 1/ps.
    assert numbers[1].value == pytest.approx(1e3 * 2e-3 / (3 * 8.617333e-5 * 30 * 12.5), rel=1e-5)
    assert numbers[1].value > 20 and "friction_transition" in words  # noqa: PT018
    assert friction_needed(study, SimpleNamespace(power=1e-5, layer=30.0))[1] == ""
    assert friction_needed(study, SimpleNamespace(power=np.inf, layer=30.0)) == ([], "")
