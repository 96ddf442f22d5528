"""A lower floor never imports a higher one, and one new file adds a part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import contracts
import pytest
from synthetic_records import ideal_gas_record

from halocline import registry
from halocline.cli.main import run
from halocline.config.load import validate
from halocline.errors import UserError
from halocline.stages.preflight import preflight

ROOT = Path(__file__).parents[1]

TOYS = {
    "molecules": (
        "neon",
        '''
from halocline.molecules.base import Molecule, Nonbonded
NEON = Molecule("neon", "Ne", ("Ne",), ((0.0, 0.0, 0.0),), nonbonded=(Nonbonded(0.0, 2.78, 0.003),))
''',
    ),
    "engines": (
        "springs",
        '''
"""Harmonic distances to the geometry of the first configuration."""
import numpy as np
from halocline.reference.base import ReferenceEngine

class Springs(ReferenceEngine):
    name = "springs"
    summary = "all pairs of a cluster joined by springs"
    provides = frozenset({"energy", "forces", "homo"})
    periodic = False
    molecular = True

    def __init__(self, method: str = "stiff") -> None:
        self.method = method

    def level(self):
        return {"engine": self.name, "method": self.method}

    def calculate(self, state, quantities):
        delta = state.positions[:, None] - state.positions[None, :]
        distance = np.linalg.norm(delta, axis=-1) + np.eye(len(delta))
        stretch = np.where(np.eye(len(delta), dtype=bool), 0.0, distance - 1.5)
        forces = -(stretch / distance)[:, :, None] * delta
        return {"energy": np.asarray(0.25 * (stretch**2).sum()), "forces": forces.sum(axis=1), "homo": np.asarray(-1.0)}
''',
    ),
    "models": (
        "meanfield",
        '''
from torch import nn
from halocline.models.base import Features, Representation

class MeanField(Representation):
    name = "meanfield"
    summary = "counts neighbours"

    def __init__(self, types, features=8, layers=1, cutoff=4.0):
        super().__init__(types, features, layers, cutoff)
        self.embedding = nn.Embedding(len(self.types), features)

    def forward(self, types, pairs, displacements):
        x = self.embedding(self.type_index[types])
        return Features(x + x.new_zeros(x.shape).index_add(0, pairs[0], x[pairs[1]]), None)
''',
    ),
    "heads": (
        "homo",
        '''
import torch
from torch import nn
from halocline.models.heads.base import Head

class HomoHead(Head):
    name = "homo"
    summary = "mean of site values"

    def __init__(self, representation):
        super().__init__(representation)
        self.net = nn.Linear(representation.features, 1)

    def forward(self, features, graph, type_index):
        values = self.net(features.scalars)[:, 0]
        count = values.new_zeros(graph.n_frames).index_add(0, graph.frame, torch.ones_like(values))
        return {"homo": values.new_zeros(graph.n_frames).index_add(0, graph.frame, values) / count}
''',
    ),
    "reservoirs": (
        "soft",
        '''
from halocline.adress.reservoir import Reservoir
from halocline.potentials.lennard_jones import LennardJones

class Soft(Reservoir):
    name = "soft"
    summary = "a liquid of soft beads"
    force_fields = frozenset({"learned", "classical"})

    def between(self, study, trained):
        return LennardJones(3.0, 0.002, 6.0, centres=True)
''',
    ),
    "couplings": (
        "plain",
        '''
from halocline.adress.coupling.subtractive import SubtractiveCoupling

class Plain(SubtractiveCoupling):
    name = "plain"
    summary = "subtractive under another name"
''',
    ),
    "observables": (
        "centre",
        '''
from halocline.observables.base import Observable, number
from halocline.observables.statistics import mean

class Centre(Observable):
    name = "centre"
    summary = "mean coordinate of all molecules along x"

    def update(self, snapshot):
        self.store(x=snapshot.centres[:, 0].mean())

    def result(self):
        return [number("mean x", mean(self.series("x")), "A")]
''',
    ),
    "executors": (
        "one_by_one",
        '''
from halocline.execute.base import Executor
from halocline.execute.pool import LocalPool

class OneByOne(Executor):
    name = "one_by_one"
    summary = "a fresh process for every task"

    def run(self, function, items, timeout):
        for index, item in enumerate(items):
            for _, result in LocalPool(1).run(function, [item], timeout):
                yield index, result
''',
    ),
}  # fmt: skip


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plug-in folder with one new file of each kind."""
    for kind, (name, text) in TOYS.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{name}.py").write_text(text)
    monkeypatch.setenv("HALOCLINE_PATH", str(tmp_path))
    return tmp_path


def check(kind: str, value: object, folder: Path) -> None:
    """The contract of a kind."""
    if kind == "molecules":
        contracts.check_molecule(value)  # type: ignore[arg-type]
    elif kind == "engines":
        # The smallest basis keeps this in seconds; what is checked does not depend on it.
        cheap = {"basis": "sto-3g", "dispersion": "none"} if value.name == "pyscf" else {}  # type: ignore[attr-defined]
        contracts.check_engine(value(**cheap))  # type: ignore[operator]
    elif kind == "heads":
        contracts.check_head(value)  # type: ignore[arg-type]
    elif kind == "regions":
        contracts.check_regions(value)  # type: ignore[arg-type]
    elif kind == "reservoirs":
        contracts.check_reservoir(value, folder)  # type: ignore[arg-type]
    elif kind == "couplings":
        contracts.check_coupling(value)  # type: ignore[arg-type]
    elif kind == "observables":
        contracts.check_observable(value, ideal_gas_record(folder / "record.h5", 40, 30), folder)  # type: ignore[arg-type]
    elif kind == "executors" and value.name != "parsl":  # type: ignore[attr-defined]  # that one in tests/execute, with a configuration
        contracts.check_executor(value(2) if value.name == "local" else value())  # type: ignore[operator,attr-defined]
    elif kind == "models":
        contracts.check_representation(value)  # type: ignore[arg-type]


def builtin() -> list[tuple[str, str]]:
    return [(kind, name) for kind in registry.KINDS for name in registry.available(kind)]


@pytest.mark.parametrize(("kind", "name"), builtin(), ids=lambda value: str(value))
def test_every_part_keeps_the_contract_of_its_kind(kind: str, name: str, tmp_path: Path) -> None:
    check(kind, registry.get(kind, name), tmp_path)


@pytest.mark.parametrize("kind", list(TOYS))
def test_one_new_file_is_found_and_keeps_the_contract(kind: str, plugins: Path) -> None:
    name = TOYS[kind][0]
    entry = registry.available(kind)[name]
    assert Path(entry.source) == plugins / kind / f"{name}.py"
    assert entry.summary
    check(kind, entry.value, plugins)


def test_one_new_file_is_listed(plugins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name, _ in TOYS.values())


def test_one_new_file_can_be_named_in_a_study(plugins: Path) -> None:
    names = {
        "system": {"molecules": {"water": 400, "neon": 4}},
        "coupling": {"name": "plain", "reservoir": "soft"},
        "multipoles": {"engine": "springs", "quantities": ["homo"]},
        "multipole_model": {"name": "meanfield", "heads": ["homo"]},
    }
    preflight(validate(names, "test"))
    lacking = {**names, "reference": {"engine": "springs"}}
    with pytest.raises(UserError, match="does not provide"):
        preflight(validate(lacking, "test"))


def test_a_plugin_that_does_not_import_is_named(plugins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (plugins / "engines" / "broken.py").write_text("import nothing_of_that_name")
    assert run(["list", "engines"]) == 2
    assert str(plugins / "engines" / "broken.py") in capsys.readouterr().err


def test_two_parts_of_one_name_are_refused(plugins: Path) -> None:
    (plugins / "couplings" / "twin.py").write_text(TOYS["couplings"][1])
    with pytest.raises(UserError, match="two couplings are called 'plain'"):
        registry.available("couplings")


def test_imports_point_downwards() -> None:
    result = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_the_import_check_can_fail(tmp_path: Path) -> None:
    """The contract sees a floor that climbs."""
    config = (ROOT / "pyproject.toml").read_text().replace('"halocline.cli",', "").replace('"halocline.errors",', '"halocline.cli",')
    (tmp_path / "pyproject.toml").write_text(config)
    result = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode != 0
    assert "halocline.cli" in result.stdout


def test_every_package_has_its_floor() -> None:
    config = (ROOT / "pyproject.toml").read_text()
    source = ROOT / "src" / "halocline"
    parts = [path.name for path in source.iterdir() if (path / "__init__.py").exists()]
    parts += [path.stem for path in source.glob("*.py") if path.stem not in ("__init__", "__main__")]
    assert [part for part in sorted(parts) if f"halocline.{part}" not in config] == []
