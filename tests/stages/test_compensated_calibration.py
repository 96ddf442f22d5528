"""A free-energy compensation measured on the fly belongs to the settings of its calibration."""

from pathlib import Path

import numpy as np
import pytest

from halocline.config.study import Study
from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.dynamics.start import quench
from halocline.errors import UserError
from halocline.files import read_json, write_json
from halocline.molecules.base import build_topology
from halocline.registry import get
from halocline.results import StageResult
from halocline.stages import _assembly, _compensation
from halocline.stages._classical import classical_fine
from halocline.stages.base import Context
from halocline.stages.calibrate import CalibrateStage
from halocline.state import State
from halocline.systems.packing import study_edges

STUDY = {
    "system": {"molecules": {"lj": 96}, "density": "0.9 g/cm3", "length": "48 A", "temperature": "180 K"},
    "force_field": {"name": "classical", "cutoff": "5.5 A", "electrostatics": "none"},
    "coupling": {"name": "hamiltonian", "reservoir": "tracer", "compensation": "on-the-fly"},
    "regions": {"atomistic": "8 A", "transition": "6 A", "hysteresis": "0 A", "weighting": "steep"},
    "dynamics": {
        "timestep": "5 fs",
        "equilibration": "100 fs",
        "length": "1 ps",
        "record": "100 fs",
        "checkpoint": "500 fs",
        "friction_transition": "20 /ps",
        "friction_reservoir": "20 /ps",
        "heating": "1000 %",
    },
    "calibration": {"window": "500 fs", "iterations": 1, "bulk": "500 fs", "margin": "4 A"},
}


def study(**changes: object) -> Study:
    return Study.model_validate({**STUDY, **changes})


@pytest.fixture(scope="module")
def box() -> State:
    """A fluid of the study, relaxed."""
    loaded = study()
    edges, topology = study_edges(loaded.system), build_topology([(get("molecules", "lj"), 96)])
    points = np.stack(np.meshgrid(np.arange(11), np.arange(3), np.arange(3), indexing="ij"), axis=-1).reshape(-1, 3)[:96] + 0.5
    state = State(points * edges / [11, 3, 3], np.diag(edges), topology)
    return quench(state, classical_fine(loaded), 5.0, 180.0, 1)


def context(folder: Path, box: State, loaded: Study) -> Context:
    for stage in ("build", "train", "calibrate"):
        (folder / stage).mkdir(parents=True, exist_ok=True)
    if not (folder / "build" / "box.h5").exists():
        with Dataset.create(folder / "build" / "box.h5") as store:
            store.append(Frame(box, source="lattice"))
    results = {"build": StageResult("", files={"box": "box.h5"}), "train": StageResult("")}
    return Context(loaded, folder / "calibrate", {stage: folder / stage for stage in ("build", "train", "calibrate")}, results)


def test_a_compensation_measured_on_the_fly_of_another_temperature_or_of_unknown_settings_is_refused(tmp_path, box):
    run = context(tmp_path, box, study())
    run.results["calibrate"] = CalibrateStage().run(run)
    assert read_json(run.folder / _compensation.FILE)["settings"]["temperature"] == 180.0
    _assembly.coupling_of(run)
    other = context(tmp_path, box, study(system={**STUDY["system"], "temperature": "190 K"}))
    other.results["calibrate"] = run.results["calibrate"]
    with pytest.raises(UserError, match=r"compensation belongs to other settings \(temperature: 180\.0 there, 190\.0 here\)"):
        _assembly.coupling_of(other)
    data = read_json(run.folder / _compensation.FILE)
    write_json(run.folder / _compensation.FILE, {**data, "settings": {}})
    with pytest.raises(UserError, match="other settings"):
        _assembly.coupling_of(run)
