"""The coupling "hamiltonian" through the calibration: compensation, its settings, resumption, and what the report expects."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from halocline.adress.compensation import FreeEnergyCompensation
from halocline.config.load import validate
from halocline.config.study import Study
from halocline.dynamics import kirkwood as kirkwood_module
from halocline.errors import UserError
from halocline.files import read_json, write_arrays
from halocline.results import StageResult
from halocline.stages._assembly import coupling_of, force_settings
from halocline.stages._compensation import balance
from halocline.stages._first_force import is_pressure_balance
from halocline.stages._target_density import TargetDensity
from halocline.stages.runner import Runner
from halocline.units import thermal_energy

SECTIONS: dict[str, dict[str, object]] = {
    "system": {"molecules": {"lj": 300}, "density": "0.5 g/cm3", "length": "64 A", "temperature": "300 K"},
    "force_field": {"name": "classical", "cutoff": "8.5 A", "electrostatics": "none"},
    "coupling": {"name": "hamiltonian", "reservoir": "tracer", "compensation": "kirkwood"},
    "regions": {"atomistic": "12 A", "transition": "9 A", "hysteresis": "0 A", "weighting": "steep"},
    "dynamics": {
        "timestep": "2 fs", "force_cap": "0.3 eV/A", "equilibration": "100 fs", "length": "1 ps", "record": "50 fs", "checkpoint": "1 ps",
        "friction_transition": "100 /ps", "friction_reservoir": "100 /ps", "heating": "400 %",
    },
    "calibration": {"margin": "5 A", "window": "400 fs", "bulk": "400 fs", "iterations": 1},
    "execute": {"workers": 1},
}  # fmt: skip


def study(**changes: dict[str, object]) -> Study:
    return validate({name: {**SECTIONS.get(name, {}), **changes.get(name, {})} for name in {*SECTIONS, *changes}}, "test")


def calibrated(folder: Path, **changes: dict[str, object]) -> tuple[Runner, StageResult]:
    runner = Runner(study(**changes), folder)
    return runner, runner.run("calibrate")["calibrate"]


def names(result: StageResult) -> list[str]:
    return [number.name for number in result.numbers]


def test_killed_stage_goes_on_with_the_next_kirkwood_run_and_its_table_refuses_other_settings(tmp_path, monkeypatch) -> None:
    run, calls = kirkwood_module.run, [0]

    def killed(*rest: object, **options: object) -> None:
        calls[0] += 1
        if calls[0] == 8:
            raise KeyboardInterrupt
        run(*rest, **options)

    monkeypatch.setattr(kirkwood_module, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        calibrated(tmp_path)
    runner, result = calibrated(tmp_path)
    assert calls[0] == 8 + 2 * (8 - 3), "three of eight runs were finished"
    context = runner.context("calibrate")
    table = context.folder / result.files["compensation"]
    assert read_json(table)["settings"]["temperature"] == 300.0
    FreeEnergyCompensation.load(table, force_settings(context))
    coupling_of(context)
    for changes, word in (
        ({"system": {"temperature": "310 K"}}, "temperature"),
        ({"dynamics": {"friction_transition": "50 /ps"}}, "friction"),
        ({"force_field": {"cutoff": "8 A"}}, "models"),
    ):
        context.study = study(**changes)
        with pytest.raises(UserError, match=f"compensation belongs to other settings.*{word}"):
            coupling_of(context)
    assert "expected pressure difference per molecule" in names(result), "a Helmholtz compensation leaves the pressure to the force"


def test_without_compensation_no_pressure_difference_is_expected_of_the_force(tmp_path) -> None:
    _, result = calibrated(tmp_path, coupling={"compensation": "none"})
    assert not [name for name in names(result) if name.startswith("expected")]
    figure = next(figure for figure in result.figures if figure.key == "calibration-integral")
    assert [series.label for series in figure.series] == ["lj"]
    assert "mu_ex" in figure.caption
    assert is_pressure_balance(study(coupling={"name": "subtractive", "compensation": "none"}))


def test_force_between_two_densities_of_an_ideal_gas_is_no_chemical_potential(tmp_path) -> None:
    """kT ln(n_AT/n_reservoir) = INT F_in dx for molecules that do not interact: nothing is left for mu_ex."""
    target, kT = TargetDensity(0.022, 0.0, 0.019, 0.0, 0.02, 0.0, 0.0, 40.0, ()), thermal_energy(300.0)
    FreeEnergyCompensation(("lj",)).save(tmp_path / "compensation.json", {})
    write_arrays(tmp_path / "compensation.npz", errors=np.zeros(1))
    outcome = SimpleNamespace(integral=[kT * math.log(0.022 / 0.019)], integral_error=[0.001])
    ((name, part),) = balance(tmp_path, outcome, target.ideal_difference(300.0))
    assert (name, part.difference.value) == ("lj", pytest.approx(0.0, abs=1e-15))
    assert part.difference.error == 0.001
