"""Errors in three parts: what is wrong, where, and what to do about it."""

from __future__ import annotations


class HaloclineError(Exception):
    """Base of every error shown to a person; never carries a traceback to the terminal.

    Args:
        what: what is wrong, with the numbers.
        where: file, key, frame or folder.
        remedy: what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}. {remedy}")
        self.what, self.where, self.remedy = what, where, remedy

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Exceptions cross process borders by pickling; the default would replay the joined message as one argument.
        return (type(self), (self.what, self.where, self.remedy))


class UserError(HaloclineError):
    """The input is wrong: study file, command line, files given by the user."""

    exit_code = 2


class RunFailure(HaloclineError):
    """The input was fine, the work failed: an engine crashed, a run blew up, the disk is full."""

    exit_code = 1
