"""``intccms inspect``: what the inspector notebook does."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from intccms.cli.options import add_config, add_overrides, load

__all__ = ["HELP", "add_arguments", "execute"]

DEFAULT_SCOPE = "cms"
HELP = "look at the input files: events, sizes, branches, what the analysis will read"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="all numbers")
    parser.add_argument("--html", type=Path, metavar="FILE", help="one page with all figures")
    parser.add_argument("--parquet", type=Path, metavar="FILE", help="a row per file")
    parser.add_argument(
        "--max-files", type=int, metavar="N", help="look at N files of each process only"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which files those are")
    parser.add_argument(
        "--rucio", nargs="?", const=DEFAULT_SCOPE, metavar="SCOPE",
        help="ask Rucio for sizes and sites",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="events per second and core, to predict the time"
    )
    parser.add_argument(
        "--verify", action="store_true", help="decompress every column: reads all bytes"
    )
    parser.add_argument(
        "--duplicates", action="store_true", help="count events that are there more than once"
    )
    parser.add_argument("--refresh", action="store_true", help="look and ask again")
    add_overrides(parser)


def execute(parsed: argparse.Namespace) -> None:
    """Inspect the files and print what was found."""
    from intccms.pipeline.inspection import Inspection

    if parsed.rucio is not None and "=" in parsed.rucio:  # no scope: the first setting behind it
        parsed.overrides.insert(0, parsed.rucio)
        parsed.rucio = DEFAULT_SCOPE
    inspection = Inspection(load(parsed, parsed.overrides))
    inspection.files(
        max_files_per_process=parsed.max_files,
        seed=parsed.seed,
        verify=parsed.verify,
        refresh=parsed.refresh,
    )
    if parsed.rucio is not None:
        inspection.rucio(parsed.rucio, refresh=parsed.refresh)
    if parsed.duplicates:
        inspection.duplicates()
    inspection.forecast(rate_hz_per_core=parsed.rate)
    blocks = [*inspection.notes, *(str(table) for table in inspection.tables())]
    sys.stdout.write("\n\n".join([*blocks, repr(inspection)]) + "\n")
    wanted = {"json_file": parsed.json, "html_file": parsed.html, "parquet_file": parsed.parquet}
    if any(wanted.values()):
        inspection.save(**wanted)
