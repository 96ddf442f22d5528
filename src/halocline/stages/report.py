"""Report: one self-contained offline HTML file."""

from __future__ import annotations

from halocline.adress.regions import Regions
from halocline.config.study import Study
from halocline.datasets.store import Dataset
from halocline.dynamics.record import Record
from halocline.errors import RunFailure
from halocline.files import read_json, write_text
from halocline.report.numbers import format_bytes
from halocline.report.page import Content, render
from halocline.report.scene import Scene, from_snapshot, from_state
from halocline.report.verdicts import answer
from halocline.results import Number, StageResult
from halocline.stages._assembly import regions_of
from halocline.stages.base import Context, Cost, Stage

_FILE = "report.html"


class ReportStage(Stage):
    """Puts everything that the stages declare into one HTML file; computes nothing."""

    name = "report"
    needs = ("build", "label", "inspect", "train", "calibrate", "simulate", "validate")
    uses = tuple(Study.model_fields)

    def run(self, context: Context) -> StageResult:
        """Write ``report.html``.

        Raises:
            RunFailure: the file cannot be written, or the record is damaged.
        """
        regions = regions_of(context.study)
        scene, note = _scene(context, regions)
        names = self.needs_of(context.study)
        results = {name: context.results[name] for name in names if name in context.results}
        results.update({name: result for name, result in context.results.items() if name not in results})
        page = render(Content(context.study, results, names, regions, _manifest(context), scene, note))
        write_text(context.folder / _FILE, page)
        size = len(page.encode())
        verdict = answer([verdict for result in results.values() for verdict in result.verdicts])
        good, bad, undecided = verdict.counts
        words = f"{good} consistent, {bad} inconsistent, {undecided} undecided" if any(verdict.counts) else "no check was made"
        return StageResult(
            f"{verdict.headline}: {words}. {context.folder / _FILE} ({format_bytes(size)})",
            [Number("size of the report", size / 1e6, "MB")],
            files={"report": _FILE},
        )

    def cost(self, study: Study) -> Cost:
        return Cost(10.0, "drawing the figures of all stages into one HTML file")


def _scene(context: Context, regions: Regions) -> tuple[Scene | None, str]:
    """The last recorded configuration; failing that, the box as built, and the reader is told so."""
    if _has(context, "simulate", "record"):
        with Record.open(context.file("simulate", "record")) as record:
            if len(record):
                scene = from_snapshot(record[-1])
                return scene, scene.source
    if _has(context, "build", "box"):
        box = Dataset.open(context.file("build", "box"))
        if len(box):
            source = "The box as built: the simulation has left no record."
            return from_state(box[0].state, regions, source), source
    return None, "Neither a record of the simulation nor the box as built was found."


def _has(context: Context, stage: str, role: str) -> bool:
    result = context.results.get(stage)
    return result is not None and role in result.files and context.file(stage, role).is_file()


def _manifest(context: Context) -> dict[str, object] | None:
    """The run's manifest, written by the runner beside the stage folders; None when the stage runs on its own."""
    try:
        found = read_json(context.folder.parent / "manifest.json")
    except RunFailure:
        return None
    return found if isinstance(found, dict) else None
