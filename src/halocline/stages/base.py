"""What a stage is: a function of the study and of earlier stages' files that leaves a result behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from halocline.config.study import Study
from halocline.progress import Progress, Silent
from halocline.results import StageResult


@dataclass
class Context:
    """What a stage may use.

    Attributes:
        study: the validated study, preset applied, all quantities in internal units.
        folder: the stage's own folder; everything it writes goes here, atomically. May hold partial work to resume.
        inputs: name of an earlier stage -> its folder.
        results: name of an earlier stage -> its result.
        progress: bars and log lines.
    """

    study: Study
    folder: Path
    inputs: dict[str, Path] = field(default_factory=dict)
    results: dict[str, StageResult] = field(default_factory=dict)
    progress: Progress = field(default_factory=Silent)

    def file(self, stage: str, role: str) -> Path:
        """A file that an earlier stage declared in ``StageResult.files``."""
        return self.inputs[stage] / self.results[stage].files[role]


LEARNED_ONLY = ("label", "inspect")
"""Stages of a study that trains its atomistic model; with a classical force field there is nothing to label."""


def has_stage(study: Study, name: str) -> bool:
    """Whether a stage is part of the road of a study."""
    return not (study.is_classical and name in LEARNED_ONLY)


@dataclass(frozen=True)
class Cost:
    """Rough cost of a stage on one core, for ``halocline check``."""

    cpu_seconds: float
    what: str


class Stage(ABC):
    """One step of the road from reference data to verdict.

    Attributes:
        name: the verb.
        needs: stages whose results it reads; their output hashes are part of its own input hash. See :meth:`needs_of`.
        uses: sections (``dynamics``) and keys (``dynamics.timestep``) of the study file that it depends on; a change elsewhere
            does not make it run again.
        version: raise it when the same inputs give other results, so that old folders are not taken for current.
        version_classical: takes the place of ``version`` in a study with a classical force field; zero for the same.
        needs_prefetch: stages whose results :meth:`prefetch` reads; empty for a stage without one.
        uses_prefetch: sections and keys that :meth:`prefetch` depends on; empty for all of ``uses``.
        uses_classical: what takes the place of ``uses`` in a study with a classical force field; empty for the same.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    version_classical: ClassVar[int] = 0
    needs_prefetch: ClassVar[tuple[str, ...]] = ()
    uses_prefetch: ClassVar[tuple[str, ...]] = ()
    uses_classical: ClassVar[tuple[str, ...]] = ()

    def needs_of(self, study: Study) -> tuple[str, ...]:
        """Those of :attr:`needs` that this study has."""
        return tuple(name for name in self.needs if has_stage(study, name))

    def uses_of(self, study: Study) -> tuple[str, ...]:
        """What it depends on in this study."""
        return self.uses_classical or self.uses if study.is_classical else self.uses

    def version_of(self, study: Study) -> int:
        """Of the code, for this study."""
        return (self.version_classical if study.is_classical else 0) or self.version

    def prefetch_of(self, study: Study) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Stages and settings that :meth:`prefetch` depends on in this study; those of :meth:`run` where nothing is stated."""
        uses = self.uses_prefetch or self.uses_of(study)
        more = ("force_field",) if self.uses_prefetch and study.is_classical else ()
        return self.needs_prefetch or self.needs_of(study), (*uses, *more)

    @abstractmethod
    def run(self, context: Context) -> StageResult:
        """Do the work, or continue it from what the folder holds.

        A killed stage is simply run again with the same folder: it must continue, do nothing twice and lose nothing.
        """

    @abstractmethod
    def cost(self, study: Study) -> Cost:
        """What it will take, without doing anything."""

    def prefetch(self, context: Context) -> None:  # noqa: B027 - most stages have nothing to do ahead
        """Do the part of :meth:`run` that depends on ``needs_prefetch`` alone, in the stage's folder.

        Runs in a second process beside earlier stages; killed at any time. What it leaves is kept while ``needs_prefetch``
        and the used sections are unchanged, so :meth:`run` continues it, and makes everything else in the folder anew.
        """
