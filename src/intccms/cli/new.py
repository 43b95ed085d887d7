"""``intccms new``: an analysis of one's own, from an example or from a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "begin an analysis: a package that runs, copied from an example or made for a file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="of the package, made here")
    parser.add_argument(
        "--from",
        dest="origin",
        default="example_opendata",
        metavar="EXAMPLE|FILE",
        help="example_opendata (default), example_cms, or a ROOT file or URL to look at",
    )


def execute(parsed: argparse.Namespace) -> None:
    """Make the package and say what comes next."""
    from intccms.new_analysis import from_example, from_file

    here, origin = Path.cwd(), str(parsed.origin)
    if origin.startswith("example_"):
        folder = from_example(parsed.name, here, origin)
        first = f"intccms sample --config {parsed.name}.configs.configuration:config --out S"
        base = " general.base_dir=S"
    else:
        folder = from_file(parsed.name, here, origin)
        first, base = "", ""
    run = f"intccms run --config {parsed.name}.configs.configuration:config{base}"
    lines = [f"made {folder.relative_to(here)}; now edit it and run, from here:", first, run]
    sys.stdout.write("\n  ".join(one for one in lines if one) + "\n")
