"""Validate: the same liquid at full atomistic resolution, every observable of both, and a verdict for each claim."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from halocline import registry
from halocline.adress.reservoir import reservoir_of
from halocline.adress.thermodynamic_force import ThermodynamicForce
from halocline.config.study import Study
from halocline.consistency.check import Check, Verdict
from halocline.dynamics.correlation import correlation_path
from halocline.dynamics.record import Record
from halocline.dynamics.start import QUENCH_STEPS
from halocline.errors import RunFailure
from halocline.files import hash_data, hash_file
from halocline.observables.base import Observable, Setting
from halocline.observables.pressure import SitePairs
from halocline.observables.statistics import Estimate
from halocline.progress import Progress
from halocline.results import Figure, Number, StageResult, Table
from halocline.stages._assembly import coupling_of, run_full, steps_of
from halocline.stages._calibration_result import RESERVOIR_FACTOR
from halocline.stages._classical import build_seconds, step_seconds
from halocline.stages._force_checks import model_against_quantum, resolution_error
from halocline.stages._target_box import at_target
from halocline.stages._target_density import has_target, target_of
from halocline.stages.base import Context, Cost, Stage

REFERENCE_FILE = "reference.h5"
_ATOM_STEP = 25e-6
"""CPU seconds of an atom and step at full resolution."""
_SNAPSHOT = 0.1
"""CPU seconds of all observables on one configuration."""


class ValidateStage(Stage):
    """Compares the open run with a full-resolution run of the same box, the same model and the same temperature."""

    name = "validate"
    version = 2
    needs = ("build", "label", "train", "calibrate", "simulate")
    uses = ("system", "regions", "coupling", "dynamics", "validation")
    uses_classical = ("force_field", *uses)
    needs_prefetch = ("build", "train")
    # A changed tolerance or open run leaves the reference run valid.
    uses_prefetch = (
        *("system", "regions", "validation.reference", "dynamics.timestep", "dynamics.equilibration"),
        *("dynamics.friction_reference", "dynamics.force_cap", "dynamics.record"),
    )

    def prefetch(self, context: Context) -> None:
        # With a chemical potential the calibration finds the density of the reference.
        if not has_target(context.study):
            run_reference(context)

    def run(self, context: Context) -> StageResult:
        """Reference run, observables of both runs, verdicts.

        Raises:
            RunFailure: a run failed, or a record holds nothing.
        """
        reference = run_reference(context)
        opened = context.file("simulate", "record")
        observed = observe_both(context, opened, reference)
        with Record.open(opened) as record:
            length = _duration(record)
            surface, surface_figures = resolution_error(coupling_of(context), record, context.progress)
        claims = [claim for mine, theirs in observed.values() for claim in mine.compare(theirs) if claim]
        verdicts = [Check.of(claim).verdict(length) for claim in [*claims, surface]]
        if not context.study.is_classical:
            verdicts.append(model_against_quantum(context.results.get("train"), context.study.validation.forces))
        figures = [figure for mine, theirs in observed.values() for figure in mine.figures(theirs)] + surface_figures
        result = assemble(verdicts, observed, figures)
        result.files["reference"] = str(reference.relative_to(context.folder))
        return result

    def cost(self, study: Study) -> Cost:
        atoms = sum(count * registry.get("molecules", name).n_atoms for name, count in study.system.molecules.items())
        step = step_seconds(study) if study.is_classical else atoms * _ATOM_STEP
        dynamics, reference = study.dynamics, study.validation.reference
        steps = (reference + dynamics.equilibration) / dynamics.timestep
        rows = (reference + dynamics.length) / dynamics.record
        seconds, words = steps * step + rows * _SNAPSHOT, f"{steps:.0f} steps of {atoms} atoms at full resolution, {rows:.0f} frames"
        if has_target(study):
            return Cost(seconds + build_seconds(study) + QUENCH_STEPS * step, f"{words}, a box at the density of the target mu_ex")
        return Cost(seconds, words)


def run_reference(context: Context) -> Path:
    """The full-resolution run; done once, continued where an earlier call was interrupted.

    It needs the build and train stages only, so it may run in a second process while the force is calibrated. With a chemical
    potential in the study it is a run at the density that the calibration found.

    Returns:
        Its record, in the folder of the validate stage.
    """
    target = target_of(context)
    if target is not None:
        context = at_target(context, target)
    path, study = context.folder / REFERENCE_FILE, context.study
    rows = steps_of(study, study.validation.reference) // steps_of(study, study.dynamics.record)
    if path.is_file():
        with Record.open(path) as record:
            if len(record) == rows:
                return path
    return run_full(context, path, study.validation.reference)


def observe_both(context: Context, opened: Path, reference: Path) -> dict[str, tuple[Observable, Observable]]:
    """Every known observable on the open run and on the reference, by name.

    Raises:
        RunFailure: a record holds no configuration.
    """
    has_model = "multipoles" in context.results["train"].files
    multipoles = context.file("train", "multipoles") if has_model else None
    tracers = reservoir_of(context.study).is_ideal
    kinds: dict[str, type[Observable]] = {name: entry.value for name, entry in registry.available("observables").items()}
    force = ThermodynamicForce.load(context.file("calibrate", "force")) if "calibrate" in context.results else None
    coupling = coupling_of(context)
    fine, factor = coupling.fine, _reservoir_factor(context)
    if context.study.is_classical:
        kinds.pop("molecular")  # there is no model of molecular properties
    measured = []
    with Record.open(opened) as open_record:
        for path in (opened, reference):
            with Record.open(path) as record:
                if len(record) == 0:
                    raise RunFailure("the record holds no configuration", str(path), "Run the stage that makes it with a longer length.")
                if isinstance(fine, SitePairs):
                    fine.bind(record.topology, record.cell)
                setting = Setting.of(
                    record,
                    context.study.validation,
                    tracers,
                    multipoles,
                    open_record.regions,
                    fine,
                    force,
                    factor,
                    coupling.conserves_momentum,
                )
                cache = context.folder / "observables"
                measured.append(observe(record, {name: kind(setting) for name, kind in kinds.items()}, cache, context.progress))
    return {name: (measured[0][name], measured[1][name]) for name in kinds}


def _reservoir_factor(context: Context) -> Estimate | None:
    """n kT kappa_T of the reservoir from its bulk run in the calibration; None for tracers, or where that was too short to tell."""
    if "calibrate" not in context.results or reservoir_of(context.study).is_ideal:
        return None
    found = {number.name: number for number in context.results["calibrate"].numbers}.get(RESERVOIR_FACTOR)
    if found is None or found.value is None or found.error is None:
        return None
    return Estimate(found.value, found.error, found.n_effective or 0.0)


def observe(record: Record, observables: dict[str, Observable], cache: Path, progress: Progress) -> dict[str, Observable]:
    """Stream a record through observables; what was measured before on the same record is read back."""
    files = {name: cache / f"{name}-{record.resolution}-{_key(record, item)}.npz" for name, item in observables.items()}
    missing = [name for name in observables if not files[name].is_file()]
    for name in set(observables) - set(missing):
        observables[name].load(files[name])
    if not missing:
        return observables
    with progress.task(f"observables of the {'reference' if record.resolution == 'full' else 'open'} run", len(record)) as bar:
        for snapshot in record:
            for name in missing:
                observables[name].update(snapshot)
            bar.advance()
    for name in missing:
        observables[name].read(record)
        observables[name].save(files[name])
    return observables


def _key(record: Record, observable: Observable) -> str:
    """Of everything that decides what an observable stores: the record, its regions, the model, the version of the code."""
    setting = observable.setting
    model = None if setting.multipoles is None else hash_file(setting.multipoles)
    beside = correlation_path(record.path)
    others = [hash_file(beside) if beside.is_file() else None, setting.force.tables if setting.force else None]
    parts = [hash_file(record.path), *others, setting.regions.to_json(), model, observable.version, type(observable).__module__]
    return hash_data(parts)


def assemble(verdicts: list[Verdict], observed: Mapping[str, tuple[Observable, Observable]], figures: list[Figure]) -> StageResult:
    """The result of the stage from its parts."""
    words = [verdict.verdict for verdict in verdicts]
    counts = {word: words.count(word) for word in ("consistent", "inconsistent", "undecided")}
    summary = f"{len(verdicts)} checks: " + ", ".join(f"{count} {word}" for word, count in counts.items()) + "."
    measured = [(mine.result(), theirs.result()) for mine, theirs in observed.values()]
    numbers = [number for mine, _ in measured for number in mine]
    tables = [_failures(verdicts), _both_runs(measured)]
    return StageResult(summary, numbers, figures, tables, [verdict.to_json() for verdict in verdicts], {"reference": REFERENCE_FILE})


def _failures(verdicts: list[Verdict]) -> Table:
    """What is wrong or unknown, the wrong first."""
    order = ("inconsistent", "undecided")
    rows = [(item.name, item.verdict, item.explanation, item.needed) for word in order for item in verdicts if item.verdict == word]
    caption = "Everything that is not shown to be consistent." if rows else "Every check is consistent."
    return Table("failures", "Where it fails, and what is not known yet", ("check", "verdict", "why", "what to do"), rows, caption)


def _both_runs(measured: list[tuple[list[Number], list[Number]]]) -> Table:
    """All numbers of the open run beside those of the reference."""
    rows = []
    for mine, theirs in measured:
        closed = {number.name: number for number in theirs}
        opened = {number.name: number for number in mine}
        for name in dict.fromkeys([*opened, *closed]):
            rows.append((name, str(opened.get(name, "")), str(closed.get(name, ""))))
    caption = "One standard error; errors know the time correlation of the data."
    return Table("observables", "Measured in both runs", ("quantity", "open", "full resolution"), rows, caption)


def _duration(record: Record) -> float:
    """fs between the first and the last row, and one interval."""
    times = record.column("time")
    return float(times[-1] - times[0]) * len(times) / (len(times) - 1) if len(times) > 1 else 0.0
