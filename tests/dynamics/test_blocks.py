"""Sums over blocks: nothing is lost, and checkpoints do not grow with the run."""

import numpy as np
import pytest
from synthetic_records import ideal_gas_positions

from halocline.adress.coupling.subtractive import SubtractiveCoupling
from halocline.adress.regions import Slab
from halocline.dynamics import blocks
from halocline.dynamics.blocks import Blocks
from halocline.dynamics.checkpoint import CheckpointHook
from halocline.dynamics.correlation import CorrelationHook
from halocline.dynamics.monitors import HeatingMonitor, Monitor
from halocline.dynamics.recording import RecordHook, TemperatureHook
from halocline.dynamics.rigid_mover import RigidMover
from halocline.dynamics.simulation import Simulation, Thermostat
from halocline.molecules.base import build_topology
from halocline.molecules.spce import SPCE
from halocline.potentials.base import Zero
from halocline.state import State

EDGES = np.array([24.0, 16.0, 16.0])


def filled(samples: np.ndarray, length: int = 3) -> Blocks:
    found = Blocks(samples.shape[1:], length)
    for sample in samples:
        found.add(sample)
    return found


def test_blocks_add_up_to_all_samples_and_have_equal_lengths():
    samples = np.random.default_rng(1).normal(size=(5000, 2))
    found = filled(samples)
    full, length = len(found.sums), found.length
    assert (full, length) == (5000 // 48, 48)
    np.testing.assert_allclose(found.sums, samples[: full * length].reshape(full, length, 2).sum(axis=1), atol=1e-10)
    np.testing.assert_allclose(found.sums.sum(axis=0) + found.current, samples.sum(axis=0), atol=1e-10)


def test_error_of_the_mean_stays_that_of_the_series_whatever_its_length():
    samples = np.random.default_rng(2).normal(size=(20000, 1))
    found = filled(samples, length=1)
    means = found.sums[:, 0] / found.length
    assert 64 <= len(means) < 128
    # The relative error of a standard error from n blocks is 1/sqrt(2 (n - 1)).
    assert means.std(ddof=1) / np.sqrt(len(means)) == pytest.approx(1 / np.sqrt(20000), rel=4 / np.sqrt(2 * len(means)))


def test_blocks_continue_after_a_restart():
    samples = np.random.default_rng(3).normal(size=(1000, 2, 3))
    for place in (1, 383, 384, 385, 700):
        first = filled(samples[:place])
        second = Blocks((2, 3), 3)
        second.restore({key: value.copy() for key, value in first.state().items()})
        for sample in samples[place:]:
            second.add(sample)
        whole = filled(samples).state()
        assert all(np.array_equal(value, whole[key]) for key, value in second.state().items())


def test_checkpoint_of_an_open_run_does_not_grow_with_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "LIMIT", 8)
    topology, path = build_topology([(SPCE, 60)]), tmp_path / "open.npz"
    state = State(ideal_gas_positions(60, np.random.default_rng(4), EDGES), np.diag(EDGES), topology)
    hooks = [
        TemperatureHook(np.linspace(0, 12, 25), 1, block=2),
        Monitor(10, hottest=20.0),
        RecordHook(tmp_path / "record.h5", 10, 0.01, 100),
        CorrelationHook(tmp_path / "c.npz", 1, 2.0, origin=4, lags=8, block=1),
        HeatingMonitor(20.0, 40, path),
        CheckpointHook(path, 10),
    ]
    mover = RigidMover(state, [SPCE], 2.0, 300.0, 1, points=True)
    slab, thermostat = Slab(12.0, 3.0, 2.0, 0.0, 24.0), Thermostat(2.0, 300.0, (0.0, 0.01, 0.01))
    run = Simulation(state, SubtractiveCoupling(Zero(), Zero()), slab, thermostat, None, 1, hooks=hooks, integrator=mover)
    sizes = []
    for until in range(100, 1001, 10):
        run.run(until)
        # Molecules that happen to be in AT at the open origins come and go.
        open_origins = sum(values.nbytes for key, values in hooks[3].state().items() if not key.startswith(("blocks", "momenta")))
        sizes.append(path.stat().st_size - open_origins)
    assert len(hooks[0].state()["sums"]) < 8
    assert max(sizes[40:]) <= max(sizes[:10])
