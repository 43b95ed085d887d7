"""``intccms summary``: the result of a run, as it was saved."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["HELP", "add_arguments", "execute", "print_summary"]

HELP = "print the result of a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="output directory of the run")


def execute(parsed: argparse.Namespace) -> None:
    """Print it."""
    print_summary(parsed.directory)


def print_summary(directory: Path) -> None:
    """Print what ``run_summary.json`` of an output directory says."""
    from intccms.metrics.tables import describe
    from intccms.pipeline import read_summary

    sys.stdout.write(describe(read_summary(directory), directory) + "\n")
