"""A run folder: each stage once, again only where something that it uses has changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_runs import run_in_process, runner, study, tallies, tally
from toy_stages import Label

from halocline.config.study import LEARNED, Study
from halocline.files import read_json
from halocline.stages.run_folder import RunFolder
from halocline.stages.runner import Runner, load_stages


def test_each_stage_runs_once_and_reads_the_files_of_those_before(tmp_path: Path) -> None:
    results = runner(tmp_path).run("validate")
    assert list(results) == ["build", "label", "simulate", "validate"]
    written = f"[build seed=1][label seed=1]0123456789[simulate seed=1][length={Study().dynamics.length:g}]"
    assert (tmp_path / "06-simulate" / "out.txt").read_text() == written
    again = runner(tmp_path).run("validate")
    assert tallies(tmp_path) == [1, 1, 1, 1]
    assert [result.to_json() for result in again.values()] == [result.to_json() for result in results.values()]


def test_a_stage_verb_runs_only_what_it_needs(tmp_path: Path) -> None:
    assert list(runner(tmp_path).run("label")) == ["build", "label"]
    assert tallies(tmp_path) == [1, 1, 0, 0]


@pytest.mark.parametrize("pieces", [0, 4, 9])
def test_a_run_killed_at_any_point_continues_without_doing_anything_twice(tmp_path: Path, pieces: int) -> None:
    killed = run_in_process(tmp_path, HALOCLINE_TEST_KILL=str(pieces))
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "lock.json").exists(), "the dead process could not remove its lock"
    assert not (tmp_path / "02-label" / "result.json").exists()
    assert tally(tmp_path, "02-label", "pieces") == pieces
    assert [step.state for step in runner(tmp_path).plan("validate")] == ["finished", "partial", "to do", "to do"]
    runner(tmp_path).run("validate")
    assert tally(tmp_path, "02-label", "pieces") == 10
    assert tally(tmp_path, "01-build") == 1
    assert not (tmp_path / "lock.json").exists()


def test_a_changed_section_reruns_the_stages_that_use_it_and_those_after(tmp_path: Path) -> None:
    runner(tmp_path).run("validate")
    changed = {"dynamics": {"length": "3 ps"}}
    states = [step.state for step in runner(tmp_path, **changed).plan("validate")]
    assert states == ["finished", "finished", "outdated", "outdated"]
    runner(tmp_path, **changed).run("validate")
    assert tallies(tmp_path) == [1, 1, 2, 2]
    runner(tmp_path, **changed, calibration={"iterations": 3}).run("validate")
    assert tallies(tmp_path) == [1, 1, 2, 2], "no stage uses that section"


def test_an_identical_output_of_a_rerun_stage_leaves_later_stages_current(tmp_path: Path) -> None:
    runner(tmp_path).run("validate")
    runner(tmp_path, reference={"method": "GFN2-xTB"}).run("validate")
    assert tallies(tmp_path) == [1, 2, 1, 1]


def test_a_study_changed_back_uses_the_superseded_work_again(tmp_path: Path) -> None:
    runner(tmp_path).run("simulate")
    runner(tmp_path, system={"seed": 2}).run("simulate")
    assert (tmp_path / "06-simulate" / "out.txt").read_text().startswith("[build seed=2]")
    assert len(list((tmp_path / "superseded").iterdir())) == 3
    runner(tmp_path).run("simulate")
    assert tallies(tmp_path)[:3] == [2, 2, 2]
    assert (tmp_path / "06-simulate" / "out.txt").read_text().startswith("[build seed=1]")


def test_partial_work_of_other_inputs_is_not_used(tmp_path: Path) -> None:
    run_in_process(tmp_path, HALOCLINE_TEST_KILL="5")
    runner(tmp_path, reference={"method": "GFN2-xTB"}).run("label")
    assert tally(tmp_path, "02-label", "pieces") == 5 + 10
    (aside,) = (tmp_path / "superseded").iterdir()
    assert len(list(aside.glob("piece-*"))) == 5


def test_a_raised_stage_version_makes_old_results_outdated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner(tmp_path).run("label")
    monkeypatch.setattr(Label, "version", 2)
    runner(tmp_path).run("label")
    assert tallies(tmp_path) == [1, 2, 0, 0]


def test_the_manifest_tells_versions_seed_machine_level_and_times(tmp_path: Path) -> None:
    runner(tmp_path).run("label")
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest["versions"]["torch"]
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert manifest["seeds"] == {"system.seed": 1}
    assert manifest["level_of_theory"]["reference"]["method"] == "GFN1-xTB"
    assert set(manifest["stages"]) == {"build", "label"}
    assert manifest["stages"]["label"]["wall_seconds"] >= 0
    assert manifest["machine"]["host"]
    assert manifest["study"]["dynamics"]["timestep"] == "0.5 fs"


def test_the_manifest_of_a_classical_study_names_its_force_field_and_nothing_that_learns(tmp_path: Path) -> None:
    study = Study.model_validate(
        {"system": {"molecules": {"lj": 600}}, "force_field": {"name": "classical"}, "coupling": {"reservoir": "tracer"}}
    )
    Runner(study, tmp_path)._write_study()
    manifest = read_json(tmp_path / "manifest.json")
    assert set(manifest["level_of_theory"]) == {"force_field"}
    assert not {"tblite", "pyscf", "torch"} & set(manifest["versions"])
    assert {"numpy", "numba"} <= set(manifest["versions"])
    assert not set(LEARNED) & set(manifest["study"])


def test_the_reference_part_of_a_later_stage_runs_beside_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALOCLINE_TEST_SLEEP", "2")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    runner(tmp_path, execute={"workers": 2}).run("validate")
    assert tally(tmp_path, "07-validate", "references") == 1
    assert (tmp_path / "07-validate" / "reference").read_text() != str(os.getpid())
    # A change that does not touch the reference keeps it.
    monkeypatch.setenv("HALOCLINE_TEST_SLEEP", "0")
    runner(tmp_path, execute={"workers": 2}, dynamics={"length": "3 ps"}).run("validate")
    assert tallies(tmp_path)[2:] == [2, 2]
    assert tally(tmp_path, "07-validate", "references") == 1


def test_a_failed_prefetch_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALOCLINE_TEST_PREFETCH_FAILS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    runner(tmp_path, execute={"workers": 2}).run("validate")
    assert (tmp_path / "07-validate" / "reference").read_text() == str(os.getpid())
    kinds = [event["event"] for event in RunFolder(tmp_path).events()]
    assert "prefetch failed" in kinds


def test_plan_changes_nothing(tmp_path: Path) -> None:
    runner(tmp_path / "run").plan("validate")
    assert not (tmp_path / "run").exists()


def test_a_prefetching_process_leaves_interrupts_to_its_parent_and_dies_with_it(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from toy_stages import toy_stages, Validate; from halocline.config.load import validate\n"
        "import time\nfrom halocline.stages.runner import Runner\n"
        "class Slow(Validate):\n    def prefetch(self, context): (context.folder / 'begun').touch(); time.sleep(60)\n"
        "stages = {**toy_stages(), 'validate': Slow()}\n"
        f"if __name__ == '__main__': Runner(validate({{}}, 'test'), Path({str(tmp_path)!r}), stages=stages).run('validate')\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": path, "HALOCLINE_TEST_SLEEP": "60"})
    begun = tmp_path / "07-validate" / "begun"
    deadline = time.monotonic() + 40
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert begun.exists()
    (child,) = [event["pid"] for event in RunFolder(tmp_path).events() if event["event"] == "prefetch started"]
    stat = Path(f"/proc/{child}/stat")
    os.kill(child, signal.SIGINT)
    time.sleep(0.3)
    assert stat.read_text().rpartition(")")[2].split()[0] != "Z"
    parent.kill()
    parent.wait()
    time.sleep(0.5)
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_stage_that_names_single_keys_ignores_the_others_of_their_section(tmp_path: Path) -> None:
    def input_hash(**dynamics: object) -> str:
        one = runner(tmp_path, dynamics=dynamics)
        return one._hash("simulate", (), ("system", "dynamics.timestep"), {})

    assert input_hash(length="90 ps") == input_hash()
    assert input_hash(timestep="0.4 fs") != input_hash()


def test_models_and_reference_run_outlive_changes_that_do_not_concern_them(tmp_path: Path) -> None:
    stages = load_stages()

    def hashes(**sections: dict[str, object]) -> tuple[str, str]:
        one = Runner(study(**sections), tmp_path, stages=stages)
        return one._hash("train", (), stages["train"].uses, {}), one._hash("validate", (), stages["validate"].uses_prefetch, {})

    assert hashes(dynamics={"length": "90 ps"}, validation={"density": "1 %"}) == hashes()
    assert hashes(dynamics={"timestep": "0.4 fs"}) != hashes()
    assert hashes(validation={"reference": "90 ps"})[1] != hashes()[1]


@pytest.mark.parametrize("force_field", [{}, {"force_field": {"name": "classical"}}], ids=["learned", "classical"])
def test_a_longer_open_run_keeps_its_thermodynamic_force_and_another_thermostat_does_not(tmp_path: Path, force_field: dict) -> None:
    stage = load_stages()["calibrate"]

    def input_hash(**dynamics: object) -> str:
        changed = study(dynamics=dynamics, **force_field)
        return Runner(changed, tmp_path, stages=load_stages())._hash("calibrate", (), stage.uses_of(changed), {})

    assert input_hash(length="90 ps", record="70 fs", checkpoint="2 ps") == input_hash()
    others = ({"timestep": "0.4 fs"}, {"friction_transition": "7 /ps"}, {"friction_reference": "7 /ps"}, {"force_cap": "9 eV/A"})
    assert input_hash() not in {input_hash(**other) for other in others}
