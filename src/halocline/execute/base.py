"""Independent tasks, wherever they run: one call for all executors.

An executor is a class that says how the tasks of one call are spread; which one a study uses, and with what, stands in
its section ``execute``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from halocline import registry
from halocline.errors import RunFailure
from halocline.progress import Progress, Silent

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 2
"""How often a task is started before the death of its process is taken for its own fault."""


class Crashed(RunFailure):
    """A process died: killed by a signal, by the system for its memory, or by a fault of the program."""

    @classmethod
    def of(cls, task: int | None, words: str) -> Crashed:
        """A task whose last attempt ended like this."""
        remedy = "Look at the geometry of this item; with too little memory use fewer workers. The other items are not affected."
        return cls(f"its process died {ATTEMPTS} times ({words})", f"task {task}", remedy)


class OutOfTime(RunFailure):
    """A task ran past its time limit."""

    @classmethod
    def of(cls, task: int | None, timeout: float) -> OutOfTime:
        """A task that was stopped after so many seconds."""
        return cls(f"not finished after {timeout:g} s", f"task {task}", "Raise the time limit, or make the task smaller.")


class Executor(ABC):
    """A place where tasks run. Arguments of the constructor that are keys of the section ``execute`` are taken from there.

    It holds no processes of its own between two calls that could not be found again from its arguments: executors are made
    where they are needed and travel to other processes.

    Attributes:
        name: value of ``execute.executor``.
        summary: one line for ``halocline list executors``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    def check(self) -> None:  # noqa: B027 - most have nothing to refuse
        """Refuse what can be known to fail before any work.

        Raises:
            UserError: something is not installed, or a setting does not fit.
        """

    @abstractmethod
    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], timeout: float | None
    ) -> Iterator[tuple[int, Any]]:  # fmt: skip
        """The tasks of :func:`run_tasks`, with its promises."""

    def close(self) -> None:  # noqa: B027 - most keep nothing between calls
        """Give back what is kept from one call to the next; may be called twice."""


def run_tasks(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: Executor | int,
    description: str = "working",
    progress: Progress | None = None,
    timeout: float | None = None,
) -> Iterator[tuple[int, Result | Exception]]:
    """Apply a function to every item in worker processes; yield ``(index, result or exception)`` as they complete.

    A process that dies is replaced and its task started once more; if it dies again, its result is :class:`Crashed`.
    Results of other tasks are never lost. Closing the iterator, or the death of this process, stops the workers.

    Args:
        function: importable by name (or a ``functools.partial`` of one); sent to every process once.
        items: arguments, one task each; plain data that can be pickled.
        workers: where the tasks run, or a number of processes of this machine. Zero runs them in this process, without
            protection against crashes and without a time limit.
        description: words before the progress bar.
        progress: where to show it.
        timeout: seconds for one task; afterwards its process is killed and its result is :class:`OutOfTime`.

    Raises:
        RunFailure: the function cannot be sent to another process, or processes do not start.
    """
    executor = workers if isinstance(workers, Executor) else registry.get("executors", "local")(workers)
    with (progress or Silent()).task(description, total=len(items)) as bar:
        for index, result in executor.run(function, items, timeout):
            bar.advance()
            yield index, result


def make_executor(section: Any) -> Executor:
    """The executor named by the section ``execute`` of a study, with that section's options.

    Raises:
        UserError: there is no such executor.
    """
    kind = registry.get("executors", section.executor, "study file: execute.executor")
    names = list(inspect.signature(kind).parameters)
    return kind(**{name: getattr(section, name) for name in names if hasattr(section, name)})
