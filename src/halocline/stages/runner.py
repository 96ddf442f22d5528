"""Runs stages in order, skips what is finished, continues what was interrupted."""

from __future__ import annotations

import importlib
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from halocline.config.study import Study
from halocline.errors import HaloclineError, RunFailure, UserError
from halocline.execute.base import make_executor
from halocline.execute.threads import use_threads
from halocline.files import hash_data, read_json, write_json
from halocline.progress import Progress, Silent
from halocline.provenance import describe, now
from halocline.results import StageResult
from halocline.stages.base import Context, Stage, has_stage
from halocline.stages.prefetch import Prefetches
from halocline.stages.run_folder import ORDER, Completed, RunFolder, disk_errors
from halocline.systems.packing import composition

StageState = Literal["finished", "partial", "outdated", "to do"]


@dataclass(frozen=True)
class Step:
    """One line of the plan."""

    name: str
    state: StageState
    completed: Completed | None = None


def load_stages() -> dict[str, Stage]:
    """Every stage, in order; their modules are imported only here."""
    stages: dict[str, Stage] = {}
    for name in ORDER:
        module = importlib.import_module(f"halocline.stages.{name}")
        stages[name] = getattr(module, f"{name.capitalize()}Stage")()
    return stages


def required(stages: Mapping[str, Stage], target: str, study: Study) -> list[str]:
    """The target and everything it needs in this study, in order.

    Raises:
        UserError: no such stage, or none in this study.
    """
    if target not in stages:
        raise UserError(f"there is no stage '{target}'", "command line", f"Known: {', '.join(stages)}.")
    if not has_stage(study, target):
        what = f"a study with force_field.name: {study.force_field.name} has no stage '{target}'"
        known = ", ".join(name for name in stages if has_stage(study, name))
        raise UserError(what, "command line", f"Its stages: {known}.")
    wanted, queue = set(), [target]
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue.extend(stages[name].needs_of(study))
    return [name for name in stages if name in wanted]


class Runner:
    """One study in one run folder."""

    def __init__(self, study: Study, folder: Path, progress: Progress | None = None, stages: Mapping[str, Stage] | None = None) -> None:
        self.study, self.folder = study, RunFolder(folder)
        self.progress: Progress = progress or Silent()
        self.stages = dict(stages) if stages is not None else load_stages()
        self.done: dict[str, Completed] = {}

    def plan(self, target: str | None = None) -> list[Step]:
        """State of every stage on the way to the target (the last stage unless given); changes nothing."""
        steps: list[Step] = []
        known: dict[str, Completed] = {}
        for name in required(self.stages, target or list(self.stages)[-1], self.study):
            completed = self.folder.completed(name)
            current = None
            if all(need in known for need in self.stages[name].needs_of(self.study)):
                current = self._input_hash(name, known)
            if current and completed and completed.input_hash == current and not self.folder.damaged(name, completed):
                known[name] = completed
                steps.append(Step(name, "finished", completed))
            elif completed:
                steps.append(Step(name, "outdated", completed))
            else:
                steps.append(Step(name, "partial" if self.folder.stamp(name) else "to do"))
        return steps

    def run(self, target: str = "report") -> dict[str, StageResult]:
        """Bring the target and everything it needs up to date.

        Raises:
            UserError: another process runs here, or a stage refuses its input.
            RunFailure: a stage failed; everything finished and every partial result is kept.
        """
        names, executor = required(self.stages, target, self.study), make_executor(self.study.execute)
        with self.folder.lock():
            self.folder.event("run started", target=target, study=self.study.study)
            with disk_errors(self.folder.path):
                self._write_study()
            prefetches = Prefetches(self.study, self.folder, self.progress)
            try:
                for name in names:
                    self._start_prefetches(names, prefetches)
                    self.done[name] = self._bring_up_to_date(name, prefetches)
            except BaseException as error:
                self.folder.event("run stopped", error=f"{type(error).__name__}: {error}")
                raise
            finally:
                prefetches.stop()
                executor.close()
            self.folder.event("run finished", target=target)
        return {name: self.done[name].result for name in names}

    def _write_study(self) -> None:
        resolved = self.study.model_dump(mode="json")
        write_json(self.folder.path / "study.json", resolved)
        self._update_manifest(study=self.study.used_json())

    def _settings(self, uses: Sequence[str]) -> dict[str, object]:
        """Values of ``section`` and ``section.key`` names."""
        values = self.study.model_dump(mode="json")
        settings = {}
        for name in uses:
            section, _, key = name.partition(".")
            settings[name] = values[section][key] if key else values[section]
        if self.study.is_classical and "system" in settings:
            settings["parameters"] = [asdict(molecule) for molecule, _ in composition(self.study.system.molecules)]
        return settings

    def _hash(self, name: str, needs: Sequence[str], uses: Sequence[str], outputs: Mapping[str, Completed]) -> str:
        inputs = {need: outputs[need].output_hash for need in needs}
        version = self.stages[name].version_of(self.study)
        return hash_data({"stage": name, "version": version, "sections": self._settings(uses), "inputs": inputs})

    def _input_hash(self, name: str, outputs: Mapping[str, Completed]) -> str:
        stage = self.stages[name]
        return self._hash(name, stage.needs_of(self.study), stage.uses_of(self.study), outputs)

    def _keeps(self, name: str, outputs: Mapping[str, Completed]) -> str:
        """Hash that partial work in the folder belongs to: what was prefetched stays valid when only later needs change."""
        return self._hash(name, *self.stages[name].prefetch_of(self.study), outputs)

    def _bring_up_to_date(self, name: str, prefetches: Prefetches) -> Completed:
        input_hash = self._input_hash(name, self.done)
        with disk_errors(self.folder.stage(name)):
            prefetches.wait(name)
            self._prepare_folder(name)
            finished = self._finished(name, input_hash)
            if finished is not None:
                self.progress.log(f"{name}: up to date. {finished.result.summary}")
                return finished
            use_threads(self.study.execute.workers - prefetches.running())
            return self._execute(name, input_hash)

    def _prepare_folder(self, name: str) -> None:
        """Leave in place only work that belongs to the present inputs."""
        keeps, folder = self._keeps(name, self.done), self.folder.stage(name)
        stamp = self.folder.stamp(name)
        if folder.exists() and stamp != keeps:
            aside = self.folder.move_aside(name, stamp or "unknown")
            self.progress.log(f"{name}: inputs changed; earlier work was moved to {aside}")
            self.folder.event("moved aside", stage=name, folder=str(aside))
        if not folder.exists() and self.folder.bring_back(name, keeps):
            self.progress.log(f"{name}: work for these inputs was found in superseded/ and is used again")
            self.folder.event("brought back", stage=name)
        folder.mkdir(exist_ok=True)
        if self.folder.stamp(name) != keeps:
            write_json(folder / "stage.json", {"stage": name, "keeps": keeps, "started": now()})

    def _finished(self, name: str, input_hash: str) -> Completed | None:
        """The finished result if it is current and whole; otherwise its mark is removed and damaged files are moved aside."""
        folder, completed = self.folder.stage(name), self.folder.completed(name)
        if completed and completed.input_hash == input_hash:
            damaged = self.folder.damaged(name, completed)
            if not damaged:
                return completed
            self.progress.log(f"{name}: {', '.join(damaged)} missing or changed since it was written; the stage runs again")
            kept = self.folder.set_aside(name, damaged)
            if kept is not None:
                self.progress.log(f"{name}: what was there is kept in {kept}")
            self.folder.event("damaged", stage=name, files=damaged, kept=None if kept is None else str(kept))
        (folder / "result.json").unlink(missing_ok=True)
        return None

    def context(self, name: str, needs: Sequence[str] | None = None) -> Context:
        """What a stage may use; the stages it needs must be done."""
        needs = self.stages[name].needs_of(self.study) if needs is None else needs
        inputs = {need: self.folder.stage(need) for need in needs}
        results = {need: self.done[need].result for need in needs}
        return Context(self.study, self.folder.stage(name), inputs, results, self.progress)

    def _execute(self, name: str, input_hash: str) -> Completed:
        self.progress.log(f"{name}: started")
        self.folder.event("stage started", stage=name, input_hash=input_hash)
        wall, cpu = time.monotonic(), cpu_seconds()
        try:
            with disk_errors(self.folder.stage(name)):
                result = self.stages[name].run(self.context(name))
                spent = time.monotonic() - wall, cpu_seconds() - cpu
                completed = self.folder.complete(name, input_hash, result, *spent)
        except HaloclineError as error:
            self.folder.log_traceback(error)
            self.folder.event("stage failed", stage=name, what=error.what, where=error.where, remedy=error.remedy)
            raise
        except Exception as error:
            log = self.folder.log_traceback(error)
            self.folder.event("stage failed", stage=name, what=f"{type(error).__name__}: {error}")
            remedy = f"The traceback is in {log}. Run the same command again to continue; if it fails again, report it with that file."
            raise RunFailure(f"unexpected {type(error).__name__}: {error}", f"stage {name}", remedy) from error
        self.folder.event("stage finished", stage=name, wall_seconds=round(spent[0], 3), outputs=completed.outputs)
        self._update_manifest(stages={name: _stage_record(completed)})
        self.progress.log(f"{name}: {result.summary} ({spent[0]:.0f} s)")
        return completed

    def _start_prefetches(self, names: Sequence[str], prefetches: Prefetches) -> None:
        """Start work of later stages that needs nothing more than what is done."""
        for name in names:
            stage = self.stages[name]
            ready = name not in self.done and stage.needs_prefetch and all(need in self.done for need in stage.needs_prefetch)
            if not ready or prefetches.started(name) or self.study.execute.workers < 2:
                continue
            # Nothing to gain when every other need is done as well: the stage itself is next.
            if all(need in self.done for need in stage.needs_of(self.study)) or self._already_complete(name):
                continue
            with disk_errors(self.folder.stage(name)):
                self._prepare_folder(name)
            prefetches.start(name, stage, self.context(name, stage.needs_prefetch))

    def _already_complete(self, name: str) -> bool:
        """Whether the stage finished with these prefetched inputs before: then nothing is left to prefetch."""
        return self.folder.completed(name) is not None and self.folder.stamp(name) == self._keeps(name, self.done)

    def _update_manifest(self, stages: Mapping[str, object] | None = None, **changes: object) -> None:
        """Merge into ``manifest.json``; it describes the latest run, with the finished stages of all runs."""
        file = self.folder.path / "manifest.json"
        try:
            old = read_json(file)
        except RunFailure:
            old = {}
        seeds = {"system.seed": self.study.system.seed}
        level = {name: getattr(self.study, name).model_dump(mode="json") for name in _theory(self.study)}
        head = {"format": 1, "written": now(), **describe(not self.study.is_classical), "seeds": seeds, "level_of_theory": level}
        write_json(file, {**old, **head, **changes, "stages": {**old.get("stages", {}), **(stages or {})}})


def _theory(study: Study) -> tuple[str, ...]:
    """Sections that say where the forces at full resolution come from."""
    return ("force_field",) if study.is_classical else ("reference", "multipoles")


def cpu_seconds() -> float:
    """Processor time of this process and of its finished children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _stage_record(completed: Completed) -> dict[str, object]:
    keys = ("input_hash", "output_hash", "outputs", "wall_seconds", "cpu_seconds", "finished")
    return {key: getattr(completed, key) for key in keys}
