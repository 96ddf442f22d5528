"""``halocline status``: what a run folder holds."""

from __future__ import annotations

from pathlib import Path

from halocline.cli.output import Output, duration
from halocline.config.study import Study
from halocline.errors import HaloclineError, UserError
from halocline.files import read_json
from halocline.stages.base import has_stage
from halocline.stages.run_folder import ORDER, RunFolder


def describe_run(path: Path, beside: Path, output: Output) -> None:
    """Stages, the process at work and the latest events.

    Raises:
        UserError: no such run folder.
    """
    if not (path / "events.jsonl").exists():
        others = sorted(str(found.parent) for found in (beside / "runs").glob("*/events.jsonl"))
        hint = f"Runs here: {', '.join(others)}; name one with --run." if others else "Start one with 'halocline run'."
        raise UserError("there is no run here yet", str(path), hint)
    folder = RunFolder(path)
    events, holder = folder.events(), folder.holder()
    rows, stages = [], {}
    for name in _stages(path):
        completed = folder.completed(name)
        if completed:
            state, detail, spent = "finished", completed.result.summary, duration(completed.wall_seconds)
        elif folder.stamp(name):
            own = [event for event in events if event.get("stage") == name]
            failed = own and own[-1]["event"] == "stage failed"
            running = holder and own and own[-1]["event"] in ("stage started", "prefetch started", "prefetch progress")
            state = "failed" if failed else "running" if running else "interrupted"
            detail = str(own[-1].get("what") or own[-1].get("text") or "") if own else ""
            spent = ""
        else:
            state, detail, spent = "to do", "", ""
        rows.append([name, state, spent, detail])
        stages[name] = {"state": state, "detail": detail, "wall_seconds": completed.wall_seconds if completed else None}
    output.emit({"run": str(path), "running": holder, "stages": stages, "events": events[-20:]})
    output.table(f"Run {path}", ["stage", "state", "time", "summary"], rows)
    if holder:
        output.text(f"Process {holder['pid']} on {holder['host']} has been at work since {holder['since']}.")
    for event in events[-5:]:
        rest = {key: value for key, value in event.items() if key in ("stage", "what", "error", "text")}
        output.text(f"{event['time']}  {event['event']}  " + " ".join(str(value) for value in rest.values()))


def _stages(path: Path) -> list[str]:
    """Those that the study of a run has; all where its copy of the study cannot be read."""
    try:
        study = Study.model_validate(read_json(path / "study.json"))
    except (HaloclineError, ValueError):
        return list(ORDER)
    return [name for name in ORDER if has_stage(study, name)]
