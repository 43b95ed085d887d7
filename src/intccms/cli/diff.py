"""``intccms diff``: what is different between two finished runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from intccms.errors import FigureError

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "say what is different between two runs, and by how much"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    for name in ("before", "after"):
        parser.add_argument(name, type=Path, metavar="RUN", help="output directory of a run")
    parser.add_argument(
        "--rtol", type=float, default=0.0, metavar="X",
        help="relative difference of numbers that is let pass (default: none, all bits count)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write diff.json and figures of both runs there"
    )


def execute(parsed: argparse.Namespace) -> int:
    """Print the tables; return 1 where something differs."""
    from intccms.pipeline.differences import FinishedRun, compare, side_by_sides
    from intccms.storage import write_json

    found = compare(
        FinishedRun.load(parsed.before), FinishedRun.load(parsed.after), rtol=parsed.rtol
    )
    sys.stdout.write(f"{found}\n")
    if parsed.out is not None:
        write_json(parsed.out / "diff.json", found.to_dict())
        sys.stdout.write(f"{parsed.out / 'diff.json'}\n")
        undrawn = []
        for one in side_by_sides(found, parsed.out):
            sys.stdout.write(f"{one.files[0]}\n" if one.files else "")
            undrawn += [f"{one.stem}: {one.error}"] if one.error else []
        if undrawn:
            raise FigureError(f"{len(undrawn)} figures could not be drawn; first: {undrawn[0]}")
    return 0 if found.is_same else 1
