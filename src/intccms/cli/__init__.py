"""The command line: it reads arguments and prints; what is done stands in the packages below."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import intccms
from intccms.cli import inputs, runs  # noqa: F401 - they fill COMMANDS
from intccms.cli.options import COMMANDS, DEFAULT_CONFIG
from intccms.errors import IncompleteError, IntccmsError
from intccms.interrupts import EXIT_STATUS, second_one_ends

__all__ = ["DEFAULT_CONFIG", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    arguments
        What follows ``intccms``; default: the arguments of the process.

    Returns
    -------
    int
        0 complete (two runs: the same), 2 wrong input, 3 incomplete, 1 anything else that we know
        of (two runs: different), 130 interrupted.
    """
    line = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(line)
    intccms.set_logging("WARNING")
    from intccms.storage import disk_errors  # which needs NumPy: not for --help

    execute: Callable[[argparse.Namespace], int | None] = parsed.execute
    try:
        with second_one_ends(), disk_errors(Path()):
            return execute(parsed) or 0
    except KeyboardInterrupt as interrupt:
        sys.stdout.flush()
        sys.stderr.write(f"intccms: {interrupt or 'interrupted'}\n")
        return EXIT_STATUS
    except IntccmsError as error:
        text = " ".join(str(error).split())
        if isinstance(error, IncompleteError):
            text += f"; to go on with what is missing: intccms {shlex.join(line)}"
        notes = "".join(f"{note.rstrip()}\n" for note in getattr(error, "__notes__", ()))
        sys.stdout.flush()
        sys.stderr.write(f"intccms: error: {text}\n{notes}")
        return error.exit_status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="intccms", description="From CMS NanoAOD to a fitted result."
    )
    parser.add_argument("--version", action="version", version=intccms.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in sorted(COMMANDS.items()):
        one = commands.add_parser(name, help=command.text)
        for names, options in command.arguments:
            one.add_argument(*names, **options)
        one.set_defaults(execute=command.execute)
    return parser
