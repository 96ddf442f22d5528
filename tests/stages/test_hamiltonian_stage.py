"""The coupling "hamiltonian" through the calibration: compensation, its settings, resumption, and what the report expects."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad

from halocline.adress.chemical_potential import Term
from halocline.adress.compensation import FreeEnergyCompensation
from halocline.config.load import validate
from halocline.config.study import Study
from halocline.dynamics import kirkwood as kirkwood_module
from halocline.errors import UserError
from halocline.files import read_json, write_arrays
from halocline.molecules.base import build_topology
from halocline.molecules.lj import LJ
from halocline.potentials.pair_table import PairTable
from halocline.progress import Silent
from halocline.results import StageResult
from halocline.stages._assembly import coupling_of, force_settings
from halocline.stages._compensation import balance, numbers
from halocline.stages._first_force import is_pressure_balance
from halocline.stages._reservoir_excess import reservoir_excess
from halocline.stages._target_density import TargetDensity
from halocline.stages.base import Context
from halocline.stages.runner import Runner
from halocline.state import State
from halocline.systems.packing import study_edges
from halocline.units import KILOJOULE_PER_MOLE, thermal_energy

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
    found = {number.name: number.value or 0.0 for number in result.numbers}
    expected = found["expected pressure difference per molecule"] - found["of which drift forces carry"]
    assert found["expected integral of the thermodynamic force"] == pytest.approx(expected), (
        "a compensation leaves the pressure to the force"
    )


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


DEPTH, REACH = 0.01, 6.0
"""eV and Å, of soft beads."""


def gas_of_beads(folder: Path, **changes: dict[str, object]) -> tuple[Context, State]:
    """Soft beads of a dilute gas, repelling each other by less than kT; the start is an ideal gas."""
    PairTable.from_functions({("lj", "lj"): lambda r: DEPTH * (1 - r / REACH) ** 2}, 0.1, REACH).save(folder / "coarse.npz")
    sections = {"coupling": {"reservoir": "table"}, "calibration": {"bulk": "8 ps", "discard": "20 %"}, **changes}
    loaded = study(**sections)
    edges = study_edges(loaded.system)
    topology = build_topology([(LJ, 300)])
    start = State(np.random.default_rng(1).uniform(size=(300, 3)) * edges, np.diag(edges), topology)
    context = SimpleNamespace(study=loaded, folder=folder, progress=Silent(), file=lambda stage, role: folder / "coarse.npz")
    return context, start  # type: ignore[return-value]


def test_beads_of_a_dilute_reservoir_have_the_mu_ex_of_their_second_virial_coefficient(tmp_path) -> None:
    """2 B2 n kT; beads overlap less than once in ten, so the third coefficient is a few hundredths of that."""
    context, start = gas_of_beads(tmp_path)
    (found,) = reservoir_excess(context, start)
    kT = thermal_energy(300.0)
    integral = quad(lambda r: 4 * math.pi * r**2 * -math.expm1(-DEPTH * (1 - r / REACH) ** 2 / kT), 0.0, REACH)[0]
    expected = kT * integral * start.topology.n_molecules / start.volume
    assert 0 < found.error < 0.02 * expected
    assert abs(found.value - expected) < 4 * found.error + 0.03 * expected
    written = (tmp_path / "reservoir-excess.npz").stat().st_mtime_ns
    assert reservoir_excess(context, start) == [found]
    assert (tmp_path / "reservoir-excess.npz").stat().st_mtime_ns == written, "measured once"


def test_mu_ex_of_at_is_given_where_that_of_the_reservoir_is_known(tmp_path) -> None:
    context, start = gas_of_beads(tmp_path, coupling={"reservoir": "tracer"})
    assert reservoir_excess(context, start) == [Term(0.0)]
    for changes in (
        {"coupling": {"reservoir": "dipole"}},
        {"calibration": {"chemical_potential": "-1 kJ/mol"}, "coupling": {"reservoir": "table"}},
    ):
        assert reservoir_excess(*gas_of_beads(tmp_path, **changes)) is None
    FreeEnergyCompensation(("lj",)).save(tmp_path / "compensation.json", {})
    write_arrays(tmp_path / "compensation.npz", errors=np.zeros(1))
    outcome = SimpleNamespace(integral=[0.03], integral_error=[0.003])
    known, unknown = (numbers(balance(tmp_path, outcome, 0.0, terms)) for terms in ([Term(0.01, 0.004)], None))
    assert [number.name for number in unknown] == ["free-energy compensation (lj)", "mu_ex, AT - reservoir (lj)"]
    assert known[-1].name == "mu_ex, AT (lj)"
    assert (known[-1].value, known[-1].error) == (pytest.approx(0.04 / KILOJOULE_PER_MOLE), pytest.approx(0.005 / KILOJOULE_PER_MOLE))
