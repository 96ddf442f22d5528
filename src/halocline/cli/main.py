"""The ``halocline`` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from halocline.cli import force, inform, models, new, stages
from halocline.cli.output import show_error, to_stderr
from halocline.errors import HaloclineError, UserError

app = typer.Typer(
    name="halocline",
    help="Open-boundary multiscale simulation: from reference data to a verdict, in one study file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for register in (inform.register, new.register, stages.register, force.register, models.register):
    register(app)


def main() -> None:
    """Console entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code: 0 done, 1 the work failed, 2 wrong input, 130 interrupted."""
    as_json = "--json" in arguments
    try:
        code = app(args=list(arguments), prog_name="halocline", standalone_mode=False)
        # The parser turns an interrupt into this code.
        return _interrupted() if code == 130 else code if isinstance(code, int) else 0
    except HaloclineError as error:
        show_error(error, as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        # The command-line parser's own errors: it ships its exception classes privately, so they are known by their interface.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            message = str(error.format_message()).rstrip(".")
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "halocline"
            if not message:  # no arguments: the help text has been printed
                return 2
            show_error(UserError(message[:1].lower() + message[1:], "command line", f"See '{command} --help'."), as_json)
            return 2
        if type(error).__name__ == "Exit":
            return int(getattr(error, "exit_code", 0))
        if type(error).__name__ == "Abort":
            return _interrupted()
        raise


def _interrupted() -> int:
    to_stderr("interrupted; run the same command again to continue")
    return 130


if __name__ == "__main__":
    main()
