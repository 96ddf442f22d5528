"""``halocline force export``: units, formats, refusals."""

import json

import numpy as np
import pytest

from halocline.adress.table_formats import read_gromacs, read_mrmd
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.cli.main import run


@pytest.fixture
def table(tmp_path):
    force = ThermodynamicForce(("water",), 24.0, 0.5, (6.0, 20.0))
    force.tables = np.random.default_rng(0).normal(size=force.tables.shape) * force.in_window()
    force.save(tmp_path / "thermodynamic_force.json", {})
    return tmp_path / "thermodynamic_force.json"


def test_exported_tables_are_read_again(table, tmp_path, capsys):
    force = ThermodynamicForce.load(table)
    assert run(["export-force", str(table), str(tmp_path / "table.xvg"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "gromacs"
    np.testing.assert_allclose(read_gromacs(tmp_path / "table.xvg", force).tables, force.tables, atol=1e-12)
    units = ["--length-unit", "3.4", "--energy-unit", "0.01"]
    assert run(["export-force", str(table), str(tmp_path / "table"), "--format", "mrmd", *units]) == 0
    np.testing.assert_allclose(read_mrmd(tmp_path / "table", force, 3.4, 0.01).tables, force.tables, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["none.json", "x"], "there is no file"), (["TABLE", "x", "--format", "mrmd"], "units"), (["TABLE", "x", "--species", "ice"], "ice")],
)
def test_bad_exports_are_refused(table, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert run(["export-force", *[str(table) if word == "TABLE" else word for word in arguments], "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert words in error["what"]
    assert error["remedy"]
    assert not (tmp_path / "x").exists()
