"""The command line: one module a command.

It reads arguments and prints; what is done stands in the packages below.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence

import intccms
from intccms.cli import (
    batch,
    compare,
    datasets,
    diff,
    html,
    inspect,
    new,
    preflight,
    run,
    sample,
    summary,
)
from intccms.cli.options import DEFAULT_CONFIG
from intccms.errors import IncompleteError, IntccmsError
from intccms.interrupts import EXIT_STATUS, second_one_ends

__all__ = ["DEFAULT_CONFIG", "main"]

# Each has HELP, `add_arguments(parser)` and `execute(parsed)`, which may return a status; heavy
# packages are imported in `execute` only, because worker processes import this module too.
COMMANDS = {
    "batch": batch,
    "compare": compare,
    "datasets": datasets,
    "diff": diff,
    "html": html,
    "inspect": inspect,
    "new": new,
    "preflight": preflight,
    "run": run,
    "sample": sample,
    "summary": summary,
}


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
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    intccms.set_logging("WARNING")
    execute: Callable[[argparse.Namespace], int | None] = parsed.execute
    try:
        with second_one_ends():
            return execute(parsed) or 0
    except KeyboardInterrupt as interrupt:
        sys.stdout.flush()
        sys.stderr.write(f"intccms: {interrupt or 'interrupted'}\n")
        return EXIT_STATUS
    except IntccmsError as error:
        text = " ".join(str(error).split())
        if isinstance(error, IncompleteError):
            text += f"; to go on with what is missing: intccms {shlex.join(given)}"
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
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP)
        module.add_arguments(command)
        command.set_defaults(execute=module.execute)
    return parser
