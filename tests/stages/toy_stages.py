"""Small stages for tests of the runner, in a module of its own so that second processes can import it."""

from __future__ import annotations

import os
import signal
import time
from typing import ClassVar

from halocline.config.study import Study
from halocline.errors import RunFailure
from halocline.files import write_text
from halocline.results import Number, StageResult
from halocline.stages.base import Context, Cost, Stage


class _Toy(Stage):
    def cost(self, study: Study) -> Cost:
        return Cost(1.0, f"toy {self.name}")

    def run(self, context: Context) -> StageResult:
        count(context, "runs")
        text = self.text(context)
        write_text(context.folder / "out.txt", text)
        return StageResult(f"{self.name} wrote {len(text)} characters", [Number("characters", len(text))], files={"out": "out.txt"})

    def text(self, context: Context) -> str:
        earlier = "".join(context.file(need, "out").read_text() for need in self.needs_of(context.study))
        return earlier + f"[{self.name} seed={context.study.system.seed}]"


class Build(_Toy):
    name: ClassVar[str] = "build"
    uses: ClassVar[tuple[str, ...]] = ("system",)


class Label(_Toy):
    """Ten pieces, each kept; killed after the number of pieces in HALOCLINE_TEST_KILL."""

    name: ClassVar[str] = "label"
    needs: ClassVar[tuple[str, ...]] = ("build",)
    uses: ClassVar[tuple[str, ...]] = ("reference",)

    def text(self, context: Context) -> str:
        kill_after = int(os.environ.get("HALOCLINE_TEST_KILL", "-1"))
        for piece in range(10):
            file = context.folder / f"piece-{piece}"
            if file.exists():
                continue
            if piece == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            count(context, "pieces")
            write_text(file, str(piece))
        return super().text(context) + "".join((context.folder / f"piece-{piece}").read_text() for piece in range(10))


class Simulate(_Toy):
    name: ClassVar[str] = "simulate"
    needs: ClassVar[tuple[str, ...]] = ("label",)
    uses: ClassVar[tuple[str, ...]] = ("dynamics",)

    def text(self, context: Context) -> str:
        time.sleep(float(os.environ.get("HALOCLINE_TEST_SLEEP", "0")))
        return super().text(context) + f"[length={context.study.dynamics.length:g}]"


class Validate(_Toy):
    """Its reference part needs ``label`` alone and can run beside ``simulate``."""

    name: ClassVar[str] = "validate"
    needs: ClassVar[tuple[str, ...]] = ("label", "simulate")
    uses: ClassVar[tuple[str, ...]] = ("validation",)
    needs_prefetch: ClassVar[tuple[str, ...]] = ("label",)

    def prefetch(self, context: Context) -> None:
        if os.environ.get("HALOCLINE_TEST_PREFETCH_FAILS"):
            raise RunFailure("the reference blew up", "toy", "Nothing.")
        file = context.folder / "reference"
        if not file.exists():
            count(context, "references")
            write_text(file, f"{os.getpid()}")

    def text(self, context: Context) -> str:
        os.environ.pop("HALOCLINE_TEST_PREFETCH_FAILS", None)
        self.prefetch(context)
        return super().text(context)


def toy_stages() -> dict[str, Stage]:
    stages: list[Stage] = [Build(), Label(), Simulate(), Validate()]
    return {stage.name: stage for stage in stages}


def count(context: Context, what: str) -> None:
    """One more line in a tally beside the stage folders, which no superseding moves."""
    with open(context.folder.parent / f"tally-{context.folder.name}-{what}", "a") as file:
        file.write("x\n")
