import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_records import EDGES, SLAB, ideal_gas_positions, random_rotations, water_topology, write_record

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.config.study import Study, Validation
from halocline.dynamics.record import Record
from halocline.errors import RunFailure
from halocline.models.model import Model, make_representation
from halocline.molecules.water import WATER
from halocline.observables.base import Comparison, Setting
from halocline.observables.density import Density
from halocline.observables.statistics import Estimate
from halocline.potentials.base import Zero
from halocline.progress import Silent
from halocline.results import Number, StageResult
from halocline.stages import validate
from halocline.stages._force_checks import FRESH_ERROR, model_against_quantum
from halocline.stages.base import Context
from halocline.stages.validate import ValidateStage, observe

COUNT, FRAMES = 80, 120


def lattice_liquid(count, generator, spacing=3.1, jitter=0.25):
    """Molecules around the points of a lattice that fills the box, turned at random and shifted as a whole: a g(r) with peaks."""
    cells = np.maximum(1, np.round(EDGES / spacing)).astype(int)
    points = np.stack(np.meshgrid(*[np.arange(n) for n in cells], indexing="ij"), axis=-1).reshape(-1, 3) * (EDGES / cells)
    points = points[generator.permutation(len(points))[:count]] + generator.uniform(size=3) * EDGES
    centres = points + jitter * generator.normal(size=points.shape)
    geometry = np.array(WATER.geometry)
    body = geometry - (WATER.masses[:, None] * geometry).sum(0) / WATER.mass
    return (centres[:, None] + np.einsum("mij,aj->mai", random_rotations(count, generator), body)).reshape(-1, 3)


def make_context(folder, frames=FRAMES, positions=ideal_gas_positions, columns=None, results=None):
    """A run folder after `simulate`, and the record that the reference run would leave."""
    generator, topology = np.random.default_rng(1), water_topology(COUNT)
    for stage in ("simulate", "train", "validate"):
        (folder / stage).mkdir()
    rows = [positions(COUNT, generator) for _ in range(frames)]
    # Temperatures are averages over the steps between rows, so they scatter little.
    averaged = {"temperature": 300.0 + 3.0 * generator.normal(size=(frames, 3))}
    write_record(folder / "simulate" / "record.h5", rows, topology, columns={**averaged, **(columns or {})})
    rows = [positions(COUNT, generator) for _ in range(frames)]
    write_record(folder / "prepared.h5", rows, topology, "full", seed=5)
    torch.manual_seed(1)
    Model("atoms", make_representation("painn", [1, 8], 8, 1, 3.0), heads=("dipole", "polarizability")).save(
        folder / "train" / "multipoles.safetensors"
    )
    numbers = [Number(FRESH_ERROR, 90.0, "meV/A", 4.0, 30.0)]
    known = {
        "train": StageResult("", numbers, files={"multipoles": "multipoles.safetensors"}),
        "simulate": StageResult("", files={"record": "record.h5"}),
        **(results or {}),
    }
    inputs = {name: folder / name for name in ("train", "simulate")}
    return Context(Study(), folder / "validate", inputs, known)


@pytest.fixture
def no_dynamics(monkeypatch):
    """The reference run copies a prepared record; forces vanish in both descriptions."""
    calls = []

    def run_full(context, path, length):
        calls.append(length)
        if not path.is_file():
            path.write_bytes((context.folder.parent / "prepared.h5").read_bytes())
        return path

    monkeypatch.setattr(validate, "run_full", run_full)
    monkeypatch.setattr(validate, "coupling_of", lambda context: SubtractiveCoupling(Zero(), Zero()))
    return calls


def words(result):
    return {item["name"]: item["verdict"] for item in result.verdicts}


@pytest.fixture(scope="module")
def ideal(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("run")
        patch.setattr(validate, "coupling_of", lambda context: SubtractiveCoupling(Zero(), Zero()))
        patch.setattr(
            validate, "run_full", lambda context, path, length: Path(path.write_bytes((folder / "prepared.h5").read_bytes()) and path)
        )
        context = make_context(folder)
        yield context, ValidateStage().run(context)


def test_every_claim_of_the_field_gets_a_verdict(ideal):
    found = words(ideal[1])
    assert set(found) >= {
        "mean density in AT",
        "density in blocks of AT",
        "density in blocks of the transition layers",
        "first peak of g_OO, height",
        "first peak of g_OH, height",
        "first peak of g_HH, height",
        "integrated difference of g_OO",
        "mean number in AT",
        "variance of the number in AT",
        "mean dipole in AT",
        "mean isotropic polarizability in AT",
        "temperature of the atomistic region",
        "temperature of the transition region",
        "temperature of the reservoir region",
        "closure of the heat ledger",
        "capped pairs between AT molecules",
        "force error of the model against quantum mechanics",
        "force error in AT from the change of resolution",
    }


def test_two_runs_of_the_same_ideal_gas_are_never_called_inconsistent(ideal):
    found = words(ideal[1])
    assert "inconsistent" not in found.values()
    assert found["temperature of the atomistic region"] == "consistent"
    assert found["capped pairs between AT molecules"] == "consistent"
    assert found["force error of the model against quantum mechanics"] == "consistent"
    assert found["first peak of g_OO, height"] == "undecided"


def test_result_is_plain_and_says_how_many_checks_have_which_verdict(ideal):
    result = ideal[1]
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert StageResult.from_json(data).summary == result.summary
    counts = {word: list(words(result).values()).count(word) for word in ("consistent", "inconsistent", "undecided")}
    assert result.summary == f"{len(result.verdicts)} checks: " + ", ".join(f"{n} {word}" for word, n in counts.items()) + "."
    listed = {row[0] for row in next(table for table in result.tables if table.key == "failures").rows}
    assert listed == {name for name, word in words(result).items() if word != "consistent"}


def test_undecided_checks_name_the_length_that_would_decide(ideal):
    for item in ideal[1].verdicts:
        if item["verdict"] == "undecided" and item["n_effective"]:
            assert "ps" in item["needed"] or "no affordable length" in item["needed"] or "times longer" in item["needed"]


def test_every_number_has_unit_error_and_sample_size_or_is_a_count(ideal):
    for number in ideal[1].numbers:
        assert number.error is None or number.n_effective is not None
    assert {figure.key for figure in ideal[1].figures} >= {"density", "rdf_g_OO", "number", "molecular_dipole", "temperature", "ledger"}


def test_second_call_measures_nothing_again(ideal, no_dynamics, monkeypatch):
    context, first = ideal

    def refuse(self, snapshot):
        raise AssertionError("measured again")

    monkeypatch.setattr(Density, "update", refuse)
    again = ValidateStage().run(context)
    assert json.dumps(again.to_json()["verdicts"]) == json.dumps(first.to_json()["verdicts"])


def test_reference_run_is_asked_for_its_own_length_and_can_be_prefetched(tmp_path, no_dynamics):
    context = make_context(tmp_path, frames=4)
    ValidateStage().prefetch(context)
    assert no_dynamics == [context.study.validation.reference]
    assert (context.folder / "reference.h5").is_file()


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_runs_too_short_for_any_error_decide_only_counts(tmp_path, no_dynamics, frames):
    result = ValidateStage().run(make_context(tmp_path, frames))
    decided = {name for name, word in words(result).items() if word != "undecided"}
    # Forces vanish in both descriptions here: their difference is zero without any statistics.
    exact = {"capped pairs between AT molecules", "force error in AT from the change of resolution"}
    assert decided == {*exact, "force error of the model against quantum mechanics"}


def test_record_without_configurations_is_refused(tmp_path, no_dynamics):
    with pytest.raises(RunFailure, match="no configuration"):
        ValidateStage().run(make_context(tmp_path, 0))


def test_wrong_temperature_drift_caps_and_density_are_found(tmp_path, no_dynamics):
    generator = np.random.default_rng(9)
    columns = {
        "temperature": 300.0 * np.array([1.0, 1.2, 1.0]) + generator.normal(size=(FRAMES, 3)),
        "potential": np.linspace(0.0, 50.0, FRAMES) + 0.01 * generator.normal(size=FRAMES),
        "capped": np.tile([3, 0, 0], (FRAMES, 1)),
    }

    def crowded(count, generator):
        positions = ideal_gas_positions(count, generator).reshape(count, 3, 3)
        centre = positions[:, :1, 0]
        moved = np.where(np.abs(centre - 24.0) > 18.0, 24.0 + (centre - 24.0) * 0.25, centre)
        positions[:, :, 0] += moved - centre
        return positions.reshape(-1, 3)

    found = words(ValidateStage().run(make_context(tmp_path, positions=crowded, columns=columns)))
    for name in (
        "mean density in AT",
        "mean number in AT",
        "temperature of the transition region",
        "closure of the heat ledger",
        "capped pairs between AT molecules",
    ):
        assert found[name] == "inconsistent", name
    assert found["temperature of the atomistic region"] == "consistent"


def test_structure_of_equal_liquids_is_consistent_and_of_different_ones_is_not(tmp_path, no_dynamics):
    generator, topology = np.random.default_rng(2), water_topology(COUNT * 4)
    claims = {}
    for jitter in (0.25, 0.35):
        paths = []
        for resolution in ("open", "full"):
            rows = [lattice_liquid(COUNT * 4, generator, jitter=jitter if resolution == "open" else 0.25) for _ in range(40)]
            paths.append(write_record(tmp_path / f"{resolution}-{jitter}.h5", rows, topology, resolution))
        context = make_context_with(tmp_path / f"run-{jitter}", paths[0])
        observed = validate.observe_both(context, *paths)["rdf"]
        claims[jitter] = {item.name: item for item in observed[0].compare(observed[1])}
    same, other = (validate.Check.of(claims[jitter]["first peak of g_OO, height"]).verdict() for jitter in (0.25, 0.35))
    assert same.verdict in ("consistent", "undecided")
    assert abs(same.value - same.reference) < 3 * np.hypot(same.error, same.reference_error)
    assert other.verdict == "inconsistent"
    assert validate.Check.of(claims[0.35]["integrated difference of g_OO"]).verdict().verdict == "inconsistent"
    assert validate.Check.of(claims[0.25]["integrated difference of g_OO"]).verdict().verdict != "inconsistent"


def make_context_with(folder, record):
    for stage in ("train", "simulate", "validate"):
        (folder / stage).mkdir(parents=True)
    results = {"train": StageResult("", files={}), "simulate": StageResult("", files={"record": str(record)})}
    return Context(Study(), folder / "validate", {name: folder / name for name in results}, results)


def test_missing_fresh_frames_leave_the_model_undecided():
    verdict = model_against_quantum(StageResult(""), 0.15)
    assert verdict.verdict == "undecided"
    assert "active_learning.rounds" in verdict.needed
    bad = model_against_quantum(StageResult("", [Number(FRESH_ERROR, 300.0, "meV/A", 4.0, 30.0)]), 0.15)
    assert (bad.verdict, bad.value) == ("inconsistent", pytest.approx(0.3))


def test_few_fresh_frames_ask_for_frames_and_not_for_a_longer_run():
    verdict = model_against_quantum(StageResult("", [Number(FRESH_ERROR, 90.0, "meV/A", 4.0, 6.0)]), 0.15)
    assert verdict.verdict == "undecided"
    assert "active_learning.frames" in verdict.needed
    assert "longer" not in verdict.needed


def test_observation_is_read_back_only_for_the_same_record(tmp_path):
    generator, topology = np.random.default_rng(1), water_topology(10)
    values = []
    for seed in range(2):
        rows = [ideal_gas_positions(10, generator) for _ in range(6)]
        with Record.open(write_record(tmp_path / "record.h5", rows, topology, seed=seed)) as record:
            item = Density(Setting.of(record, Validation(), regions=SLAB))
            observe(record, {"density": item}, tmp_path / "cache", Silent())
            values.append(item.series("profile"))
    assert not np.array_equal(values[0], values[1])
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_cost_counts_the_reference_run():
    study = Study()
    cost = ValidateStage().cost(study)
    longer = Study.model_validate({"validation": {"reference": "600 ps"}})
    assert ValidateStage().cost(longer).cpu_seconds > 5 * cost.cpu_seconds > 0


def test_complete_reference_is_not_run_again(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("run again")

    monkeypatch.setattr(validate, "run_full", refuse)
    context = make_context(tmp_path, frames=6)
    context.study = Study.model_validate({"validation": {"reference": "300 fs"}})
    (context.folder / "reference.h5").write_bytes((tmp_path / "prepared.h5").read_bytes())
    assert validate.run_reference(context) == context.folder / "reference.h5"
    context.study = Study.model_validate({"validation": {"reference": "400 fs"}})
    with pytest.raises(AssertionError, match="run again"):
        validate.run_reference(context)


def test_comparisons_that_are_not_judged_are_shown_with_their_reason():
    judged = Comparison("mean", Estimate(1.0, 0.01, 99.0), Estimate(1.0), 0.1, "A", "target", "")
    reason = "the friction differs."
    unjudged = Comparison("flux", Estimate(1.0, 0.1, 99.0), Estimate(9.0, 0.1, 99.0), 0.1, "1/ps", "full-resolution run", "", reason)
    absent = Comparison("peak", Estimate(math.nan, math.nan, 0.0), Estimate(math.nan, math.nan, 0.0), 0.1, "A", "x", "", "no peak.")
    claims, shown = validate.split_claims([judged, unjudged, [judged, judged], absent])
    assert claims == [judged, [judged, judged]]
    result = validate.assemble([validate.Check.of(claim).verdict() for claim in claims], {}, [], shown)
    assert {item["name"] for item in result.verdicts} == {"mean"}
    (table,) = (table for table in result.tables if table.key == "unjudged")
    assert list(table.rows) == [("flux", "1.00 ± 0.10 1/ps", "9.00 ± 0.10 1/ps", reason), ("peak", "–", "–", "no peak.")]
    assert all(table.key != "unjudged" for table in validate.assemble([], {}, []).tables)
