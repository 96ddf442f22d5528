import numpy as np
import synthetic_study as synthetic

from halocline.datasets.frame import Frame
from halocline.datasets.store import Dataset
from halocline.dynamics.record import RecordHeader, RecordWriter
from halocline.files import write_json
from halocline.stages.base import Context
from halocline.stages.report import ReportStage
from halocline.state import State


def _context(tmp_path, names=synthetic.STAGES):
    inputs = {name: tmp_path / name for name in names}
    for folder in inputs.values():
        folder.mkdir()
    results = {name: result for name, result in synthetic.results().items() if name in names}
    (tmp_path / "report").mkdir()
    return Context(synthetic.Study(), tmp_path / "report", inputs, results)


def _write_record(path, snapshot):
    header = RecordHeader(snapshot.cell, snapshot.topology, snapshot.regions, 300.0, 0.0333, 0.5, "open", 1)
    writer = RecordWriter.create(path, header, 2)
    for time in (0.0, 2500.0):
        zeros = dict.fromkeys(("kinetic", "potential", "heat", "thermostat"), 0.0)
        three = {"temperature": np.full(3, 300.0), "degrees": np.zeros(3), "capped": np.zeros(3, dtype=int)}
        writer.append(
            {
                "time": time,
                "positions": snapshot.positions,
                "level": snapshot.level,
                "inside": snapshot.inside,
                "flips": 0,
                **zeros,
                **three,
            }
        )
    writer.close()


def test_stage_shows_the_last_recorded_configuration(tmp_path):
    context = _context(tmp_path)
    _write_record(context.file("simulate", "record"), synthetic.water_snapshot())
    write_json(tmp_path / "manifest.json", {"code": {"version": "9.8.7"}})
    result = ReportStage().run(context)
    page = (tmp_path / "report" / result.files["report"]).read_text()
    assert "2.50 ps after recording began" in page
    assert "9.8.7" in page
    assert "4 consistent, 1 inconsistent, 3 undecided" in result.summary


def test_stage_falls_back_to_the_box_as_built_and_says_so(tmp_path):
    context = _context(tmp_path)
    snapshot = synthetic.water_snapshot()
    with Dataset.create(context.file("build", "box")) as box:
        box.append(Frame(State(snapshot.positions, snapshot.cell, snapshot.topology)))
    ReportStage().run(context)
    assert "the simulation has left no record" in (tmp_path / "report" / "report.html").read_text()


def test_stage_alone_says_that_everything_is_missing(tmp_path):
    result = ReportStage().run(_context(tmp_path, ()))
    page = (tmp_path / "report" / "report.html").read_text()
    assert "no check was made" in result.summary
    assert "Neither a record of the simulation nor the box as built was found" in page


def test_stage_needs_every_other_stage_and_the_whole_study():
    assert ReportStage.needs == synthetic.STAGES
    assert set(ReportStage.uses) == set(synthetic.Study.model_fields)
    assert ReportStage().cost(synthetic.Study()).cpu_seconds > 0
