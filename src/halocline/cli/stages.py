"""``run`` and one verb per stage; ``check`` and ``status`` look at the same plan without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from halocline.cli.options import AsJson, Assign, Budget, Preset, RunPath, StudyFile, default_run, study_folder
from halocline.cli.output import Output, duration

if TYPE_CHECKING:
    from halocline.config.study import Study
    from halocline.results import StageResult

DEFAULT_STUDY = Path("study.yaml")

VERBS = {
    "build": "Make the production box and starting configurations.",
    "label": "Compute reference labels of boxes and clusters.",
    "inspect": "Check, split and describe the labelled frames.",
    "train": "Train the atomistic, multipole and bead models.",
    "calibrate": "Find the thermodynamic force that makes the density flat.",
    "simulate": "Run the open-boundary simulation.",
    "validate": "Compare with the full-resolution reference: observables and verdicts.",
    "report": "Write the report.",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="run", help="Run every stage; finished work is skipped, interrupted work continued.")(run)
    app.command(name="check", help="Print the plan, label counts and estimated costs; changes nothing.")(check)
    for name, text in VERBS.items():
        verb = train if name == "train" else _verb(name)
        app.command(name=name, help=text, rich_help_panel="Single stages; each runs what it needs first")(verb)
    app.command(name="evaluate", help="Errors of the trained models on held-out labels; agreement of kernels and torch.")(evaluate)
    app.command(name="status", help="What is finished, running or missing in a run folder.")(status)


def run(study: StudyFile = DEFAULT_STUDY, preset: Preset = None, assign: Assign = None, run: RunPath = None, json: AsJson = False) -> None:
    execute("report", study, preset, assign, run, Output(json))


def _verb(name: str) -> Any:
    def verb(
        study: StudyFile = DEFAULT_STUDY, preset: Preset = None, assign: Assign = None, run: RunPath = None, json: AsJson = False
    ) -> None:
        execute(name, study, preset, assign, run, Output(json))

    return verb


def train(
    study: StudyFile = DEFAULT_STUDY,
    preset: Preset = None,
    assign: Assign = None,
    budget: Budget = None,
    run: RunPath = None,
    json: AsJson = False,
) -> None:
    """As the other verbs; ``--budget`` is short for ``--set model.budget=...``, and wins over it."""
    from halocline.errors import UserError

    if budget and load(study, preset, assign, run)[0].is_classical:
        what = "a study with a classical force field trains no network, so that there is no time to give it"
        raise UserError(what, "--budget", "Leave it out, or set coarse_table.reference and coarse_table.length.")
    execute("train", study, preset, [*(assign or []), *([f"model.budget={budget}"] if budget else [])], run, Output(json))


def load(study_file: Path, preset: str | None, assign: list[str] | None, run: Path | None) -> tuple[Study, Path]:
    """The validated study and its run folder."""
    from halocline.config.load import load_study

    study = load_study(study_file, preset, assign or ())
    return study, run or default_run(study_file, study)


def execute(target: str, study_file: Path, preset: str | None, assign: list[str] | None, run: Path | None, output: Output) -> None:
    """Bring a stage up to date and show what it found."""
    from halocline.config.load import naming_lines

    study, folder = load(study_file, preset, assign, run)
    from halocline.stages.preflight import preflight
    from halocline.stages.runner import Runner, required

    progress = output.progress()
    with naming_lines(study_file, preset, assign or ()):
        runner = Runner(study, folder, progress)
        for warning in preflight(study, required(runner.stages, target, study)):
            progress.log(f"note: {warning}")
        results = runner.run(target)
    show_results(target, results, runner, folder, output)


def show_results(target: str, results: dict[str, StageResult], runner: Any, folder: Path, output: Output) -> None:
    """Sentences, key numbers and verdicts of the stages that ran."""
    last = results[target]
    files = {role: str(runner.folder.stage(target) / path) for role, path in last.files.items()}
    verdicts = [verdict for result in results.values() for verdict in result.verdicts]
    stages = {name: {"summary": result.summary, "numbers": result.to_json()["numbers"]} for name, result in results.items()}
    output.emit({"run": str(folder), "stage": target, "stages": stages, "verdicts": verdicts, "files": files})
    if last.numbers:
        rows = [[number.name, str(number), "" if number.n_effective is None else f"{number.n_effective:.3g}"] for number in last.numbers]
        output.table(f"{target}: {last.summary}", ["number", "value ± standard error", "independent samples"], rows)
    for table in last.tables:
        output.table(table.title, table.columns, table.rows)
    if verdicts:
        rows = [[item["name"], item["verdict"], item.get("explanation", "")] for item in verdicts]
        output.table("Verdicts", ["check", "verdict", "why"], rows)
    for role, path in files.items():
        output.text(f"{role}: {path}")


def check(
    study: StudyFile = DEFAULT_STUDY, preset: Preset = None, assign: Assign = None, run: RunPath = None, json: AsJson = False
) -> None:
    from halocline.config.load import naming_lines

    output = Output(json)
    loaded, folder = load(study, preset, assign, run)
    from halocline.stages.preflight import label_counts, preflight
    from halocline.stages.runner import Runner
    from halocline.systems.packing import study_edges

    with naming_lines(study, preset, assign or ()):
        warnings = preflight(loaded)
        runner = Runner(loaded, folder)
        steps = runner.plan()
    costs = {step.name: runner.stages[step.name].cost(loaded) for step in steps}
    labels = label_counts(loaded)
    remaining = sum(costs[step.name].cpu_seconds for step in steps if step.state != "finished")
    plan = [
        {"stage": step.name, "state": step.state, "what": costs[step.name].what, "cpu_seconds": costs[step.name].cpu_seconds}
        for step in steps
    ]
    edges = [float(edge) for edge in study_edges(loaded.system)]
    output.emit({"run": str(folder), "box": edges, "labels": labels, "plan": plan, "cpu_seconds": remaining, "notes": warnings})
    box = " x ".join(f"{edge:.1f}" for edge in edges)
    output.text(f"{loaded.study}: {', '.join(f'{n} {name}' for name, n in loaded.system.molecules.items())} in a box of {box} A")
    rows = [[step.name, step.state, costs[step.name].what, duration(costs[step.name].cpu_seconds)] for step in steps]
    output.table("Plan", ["stage", "state", "what", "one core"], rows)
    if labels:
        rows = [[row["frames"], str(row["count"]), ", ".join(row["quantities"])] for row in labels]
        output.table("Labels", ["frames", "count", "quantities"], rows)
    for warning in warnings:
        output.text(f"note: {warning}")
    local = loaded.execute.executor == "local"
    spread = f"{duration(remaining / loaded.execute.workers)} or more with {loaded.execute.workers} workers"
    output.text(f"Still to do: about {duration(remaining)} of one core{f', {spread}' if local else ''}.")
    output.text(f"Run folder: {folder}")


def status(
    study: StudyFile = DEFAULT_STUDY, preset: Preset = None, assign: Assign = None, run: RunPath = None, json: AsJson = False
) -> None:
    output = Output(json)
    from halocline.cli.status import describe_run

    if run is None:
        from halocline.config.load import load_study

        study_name = load_study(study, preset, assign or ())
        run = default_run(study, study_name)
    describe_run(run, study_folder(study), output)


def evaluate(
    study: StudyFile = DEFAULT_STUDY, preset: Preset = None, assign: Assign = None, run: RunPath = None, json: AsJson = False
) -> None:
    output = Output(json)
    loaded, folder = load(study, preset, assign, run)
    from halocline.cli.evaluate import evaluate_run
    from halocline.config.load import naming_lines

    with naming_lines(study, preset, assign or ()):
        evaluate_run(loaded, folder, output)
