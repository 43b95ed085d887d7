"""``intccms compare``: measurements side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "put measurements of runs side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "measurements",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="output directory (its newest measurement), or one of those in its metrics/",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write comparison.png and comparison.html there"
    )


def execute(parsed: argparse.Namespace) -> None:
    """Print the table and write the figure."""
    from intccms.metrics.measurement import Measurement
    from intccms.metrics.report import (
        comparison_html,
        comparison_png,
        comparison_table,
    )
    from intccms.storage import write_bytes, write_text

    found = [Measurement.load(directory) for directory in parsed.measurements]
    names = [one.name for one in found]
    if len(set(names)) < len(names):  # the same measurement name in several directories
        names = [str(directory) for directory in parsed.measurements]
    sys.stdout.write(f"{comparison_table(found, names)}\n")
    if parsed.out is not None:
        write_bytes(parsed.out / "comparison.png", comparison_png(found, names))
        write_text(parsed.out / "comparison.html", comparison_html(found, names))
        sys.stdout.write(f"{parsed.out / 'comparison.html'}\n")
