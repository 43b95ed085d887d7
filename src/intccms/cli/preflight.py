"""``intccms preflight``: the checks before anything expensive."""

from __future__ import annotations

import argparse
import sys

from intccms.cli.options import add_config, add_overrides, load
from intccms.errors import InputError

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "check workers, files, credentials and space before a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    add_overrides(parser)
    text = "seconds that workers may take to come and to answer; default: %(default)g"
    parser.add_argument("--wait", type=float, default=25.0, metavar="S", help=text)


def execute(parsed: argparse.Namespace) -> None:
    """Print the table.

    Raises
    ------
    InputError
        If a check has failed.
    """
    from intccms.metrics.tables import Table
    from intccms.pipeline.checks import check_drawable
    from intccms.preflight import preflight, rows_of

    config = load(parsed, parsed.overrides)
    check_drawable(config)
    found = preflight(config, wait_s=parsed.wait)
    sys.stdout.write(f"{Table('Preflight', rows_of(found), is_text=True)}\n")
    failed = [one.check for one in found if one.state == "failed"]
    if failed:
        raise InputError(f"{len(failed)} of {len(found)} checks failed: {', '.join(failed)}")
