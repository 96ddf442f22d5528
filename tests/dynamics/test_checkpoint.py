"""Restarts are bit-identical, records survive SIGKILL, bad checkpoints say what to do."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from brute_force import ARGON, PairLennardJones, lattice_fluid
from random_models import random_model, water_box

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Slab
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.dynamics.checkpoint import CheckpointHook, previous_path, read_checkpoint, write_checkpoint
from halocline.dynamics.monitors import Monitor
from halocline.dynamics.record import Record, RecordWriter
from halocline.dynamics.recording import ProfileHook, RecordHook
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.errors import RunFailure
from halocline.potentials.intramolecular import Intramolecular
from halocline.potentials.learned import LearnedAtoms, LearnedBeads

SLAB = Slab(12.0, 3.0, 3.0, 0.5, 24.0)


def build(folder: Path, checkpoint: int = 20, equilibration: int = 0) -> Simulation:
    """A small open Lennard-Jones fluid with every hook; also run in another process by the SIGKILL test."""
    force = ThermodynamicForce(("argon",), 12.0, 0.5, (3.0, 11.0))
    force.tables = 0.001 * force.in_window()[None].astype(float)
    hooks = [
        RecordHook(folder / "record.h5", 5, 0.0156, 200),
        ProfileHook(force.edges, 1, 3),
        Monitor(10, hottest=5.0),
        CheckpointHook(folder / "run.npz", checkpoint),
    ]
    fine = PairLennardJones(ARGON["epsilon"], ARGON["sigma"], 5.0, cap=0.5)
    coupling = SubtractiveCoupling(fine, PairLennardJones(0.6 * ARGON["epsilon"], ARGON["sigma"], 5.0))
    thermostat = Thermostat(4.0, 150.0, (0.0, 0.01, 0.02))
    return Simulation(
        lattice_fluid((6, 3, 3), 4.0, 3), coupling, SLAB, thermostat, force, 7, "open", None, hooks, equilibration=equilibration
    )


def everything(simulation: Simulation) -> dict[str, np.ndarray]:
    arrays = {
        "positions": simulation.integrator.coordinates,
        "velocities": simulation.integrator.velocities.numpy(),
        "random": simulation.integrator.generator.get_state().numpy(),
        "inside": simulation.inside,
        "levels": simulation.levels,
        "sums": simulation.energy_sums,
        **simulation.ledger.to_arrays(),
    }
    for hook in simulation.hooks:
        arrays |= {f"{hook.name}.{key}": value for key, value in hook.state().items()}
    return {key: np.array(value) for key, value in arrays.items()}


def rows(path: Path) -> dict[str, np.ndarray]:
    with Record.open(path) as record:
        return {name: record.column(name) for name in ("time", "positions", "level", "inside", "temperature", "heat", "flips", "capped")}


def assert_identical(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.mark.parametrize("equilibration", [0, 33])
def test_restart_is_bit_identical(tmp_path, equilibration):
    whole, part = tmp_path / "whole", tmp_path / "part"
    straight = build(whole, equilibration=equilibration)
    straight.run(100)
    stopped = build(part, equilibration=equilibration)
    stopped.run(72)  # beyond the checkpoint at 60: rows 13 and 14 must be cut and written again
    del stopped
    again = build(part, equilibration=equilibration)
    read_checkpoint(again, part / "run.npz")
    assert again.steps == 60
    again.run(100)
    assert straight.ledger.flips > 0
    assert_identical(everything(again), everything(straight))
    assert_identical(rows(part / "record.h5"), rows(whole / "record.h5"))


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_checkpoint import build
build(Path(sys.argv[1]), 20).run(100000)
"""


def test_killed_run_continues_bit_identically(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(killed), str(here), str(here.parent)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not (killed / "run.previous.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = build(killed)
    read_checkpoint(again, killed / "run.npz")
    until = again.steps + 30
    again.run(until)
    straight = build(whole)
    straight.run(until)
    assert_identical(everything(again), everything(straight))
    assert_identical(rows(killed / "record.h5"), rows(whole / "record.h5"))


def test_corrupt_checkpoint_names_the_one_before(tmp_path):
    run = build(tmp_path)
    run.run(60)
    path = tmp_path / "run.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(RunFailure, match="corrupt") as caught:
        read_checkpoint(build(tmp_path), path)
    assert caught.value.exit_code == 1
    assert "run.previous.npz" in caught.value.remedy
    # The user agrees by deleting it.
    path.unlink()
    again = build(tmp_path)
    read_checkpoint(again, path)
    assert again.steps == 40
    again.run(60)
    assert_identical(everything(again), everything(run))


def test_checkpoint_of_another_system_is_refused(tmp_path):
    build(tmp_path).run(20)
    other = build(tmp_path / "other")
    other.integrator.positions = other.integrator.positions[:10].clone()
    with pytest.raises(RunFailure, match="atoms"):
        read_checkpoint(other, tmp_path / "run.npz")


def test_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(RunFailure, match="missing"):
        read_checkpoint(build(tmp_path), tmp_path / "none.npz")


def test_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    run = build(tmp_path, checkpoint=1000)
    run.run(10)
    write_checkpoint(run, tmp_path / "run.npz")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunFailure, match="No space left"):
        write_checkpoint(run, tmp_path / "run.npz")
    monkeypatch.undo()
    assert previous_path(tmp_path / "run.npz").exists()
    again = build(tmp_path)
    read_checkpoint(again, tmp_path / "run.npz")
    assert again.steps == 10


def test_record_refuses_more_rows_than_it_has_room_for(tmp_path):
    run = build(tmp_path)
    run.hooks[0].capacity = 2
    with pytest.raises(RunFailure, match="full"):
        run.run(20)


def test_record_shorter_than_its_checkpoint_is_refused(tmp_path):
    run = build(tmp_path)
    run.run(20)
    with pytest.raises(RunFailure, match="counts 9"):
        RecordWriter.resume(tmp_path / "record.h5", 9)


def test_record_holds_what_the_simulation_had(tmp_path):
    run = build(tmp_path)
    run.run(20)
    run.hooks[0].close()
    with Record.open(tmp_path / "record.h5") as record:
        assert len(record) == 4
        last = record[-1]
        assert last.time == pytest.approx(80.0)
        np.testing.assert_allclose(last.positions, run.integrator.coordinates, atol=1e-5)
        np.testing.assert_array_equal(last.level, run.levels)
        np.testing.assert_array_equal(last.inside, run.inside)
        assert last.regions == SLAB
        assert record.column("flips")[-1] == run.ledger.flips
        assert record.column("degrees").sum(1) == pytest.approx(3 * 54.0)
        mean = (record.column("temperature") * record.column("degrees")).sum(0) / record.column("degrees").sum(0)
        np.testing.assert_allclose(mean, run.temperatures(run.energy_sums, run.degree_sums), rtol=1e-12)
        with pytest.raises(IndexError):
            record[4]


def test_something_else_is_not_a_record(tmp_path):
    (tmp_path / "record.h5").write_bytes(b"no")
    with pytest.raises(RunFailure, match="cannot be opened"):
        Record.open(tmp_path / "record.h5")


def test_restart_of_learned_kernels_is_bit_identical(tmp_path):
    state = water_box(60, 1, (3.0, 1.0, 1.0))
    length = float(state.edges[0])
    atoms, beads = random_model("atoms"), random_model("beads")

    def learned(folder: Path) -> Simulation:
        coupling = SubtractiveCoupling(LearnedAtoms(atoms, skin=0.05), LearnedBeads(beads, skin=0.05) + Intramolecular(atoms))
        hooks = [CheckpointHook(folder / "run.npz", 17)]
        regions = Slab(0.5 * length, 3.0, 5.0, 0.2, length)
        return Simulation(state, coupling, regions, Thermostat(0.2, 300.0, (0.0, 0.01, 0.02)), None, 5, hooks=hooks)

    straight, stopped = learned(tmp_path / "whole"), learned(tmp_path / "part")
    straight.run(60)
    stopped.run(40)
    again = learned(tmp_path / "part")
    read_checkpoint(again, tmp_path / "part" / "run.npz")
    assert again.steps == 34
    again.run(60)
    assert_identical(everything(again), everything(straight))
