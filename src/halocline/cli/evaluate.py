"""``halocline evaluate``: errors of the trained models on labels they have not seen, and agreement of kernels and torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from halocline.cli.output import Output
from halocline.config.study import Study
from halocline.errors import UserError
from halocline.results import Number

MOST_STATES = 4
"""Configurations on which the engines are compared."""

File = Callable[[str, str], Path]


def evaluate_run(study: Study, folder: Path, output: Output) -> None:
    """Train what is missing, then measure every model; exit code 1 when a kernel does not agree with torch."""
    from halocline.stages.preflight import preflight
    from halocline.stages.runner import Runner, required

    if study.is_classical:
        what = "a study with force_field.name: classical has no trained model to evaluate"
        raise UserError(what, "study file: force_field.name", "Run 'halocline validate' to compare its runs.")
    runner = Runner(study, folder, output.progress())
    preflight(study, required(runner.stages, "train", study))
    runner.run("train")
    file = runner.context("report", ("build", "label", "inspect", "train")).file
    errors = {**_atomistic_errors(study, file), **_multipole_errors(study, file)}
    agreement = _agreement(file)
    as_data = {name: [vars(number) for number in numbers] for name, numbers in errors.items()}
    output.emit({"run": str(folder), "errors": as_data, "agreement": agreement})
    for name, numbers in errors.items():
        output.table(name, ["number", "value ± standard error"], [[number.name, str(number)] for number in numbers])
    rows = [[name, f"{item['force_error']:.1e}", "yes" if item["agrees"] else "no"] for name, item in agreement.items()]
    output.table("Compiled kernel against torch in double precision", ["model", "relative force error", "agrees"], rows)
    if not all(item["agrees"] for item in agreement.values()):
        raise typer.Exit(1)


def _atomistic_errors(study: Study, file: File) -> dict[str, list[Number]]:
    from halocline.datasets.store import Dataset
    from halocline.files import read_json
    from halocline.models.model import Model
    from halocline.training.evaluate import evaluate_energy_forces

    split = read_json(file("inspect", "split"))
    frames = [frame for frame in Dataset.open(file("label", "boxes")) if split[frame.trajectory] == "test"]
    errors = evaluate_energy_forces(Model.load(file("train", "atomistic")), frames, study.system.seed)
    return {f"Atomistic model, {len(frames)} frames of held-out trajectories": errors.numbers}


def _multipole_errors(study: Study, file: File) -> dict[str, list[Number]]:
    from halocline.datasets.store import Dataset
    from halocline.models.model import Model
    from halocline.stages.train import split_clusters
    from halocline.training.evaluate import evaluate_multipoles

    _, held_back = split_clusters(list(Dataset.open(file("label", "clusters"))), study.system.seed)
    errors = evaluate_multipoles(Model.load(file("train", "multipoles")), held_back, study.system.seed)
    # The same clusters chose which weights were kept, which flatters these errors a little; the reader is told.
    return {f"Multipole model, {len(held_back)} clusters not trained on, used for early stopping": errors.numbers}


def _agreement(file: File) -> dict[str, dict[str, Any]]:
    """Kernel against torch on labelled boxes and, for the beads, on the production box."""
    from halocline.datasets.store import Dataset
    from halocline.models.model import Model
    from halocline.potentials.agreement import compare_engines

    boxes = [frame.state for frame in Dataset.open(file("label", "boxes")) if frame.state.periodic][:MOST_STATES]
    production = [Dataset.open(file("build", "box"))[0].state]
    found = {}
    for role, states in (("atomistic", boxes), ("coarse", production)):
        agreement = compare_engines(Model.load(file("train", role)), states)
        found[role] = {**vars(agreement), "agrees": agreement.agrees}
    return found
