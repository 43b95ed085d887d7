"""``intccms sample``: synthetic NanoAOD with listings, golden JSON and corrections."""

from __future__ import annotations

import argparse
from pathlib import Path

from intccms.cli.options import add_config, add_overrides, load

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "write a synthetic NanoAOD sample"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    add_config(parser)
    parser.add_argument("--files-per-process", type=int, default=2, metavar="N")
    parser.add_argument("--events-per-file", type=int, default=50_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--format", choices=("ttree", "rntuple"), default="ttree")
    parser.add_argument(
        "--branches", type=int, metavar="N", help="at least so many branches in Events"
    )
    parser.add_argument(
        "--lean", action="store_true", help="only the branches that the configuration keeps"
    )
    add_overrides(parser)


def execute(parsed: argparse.Namespace) -> None:
    """Write the sample."""
    from intccms.metrics.progress import make_observer
    from intccms.sample import write_sample
    from intccms.storage import check_writable, disk_errors

    config = load(parsed, parsed.overrides)
    observer = make_observer()
    wanted, entries = config.general.processes, config.datasets.datasets
    chosen = [entry for entry in entries if wanted is None or entry.name in wanted]
    n_directories = sum(len(entry.directories) for entry in chosen)
    n_files = n_directories * parsed.files_per_process
    observer.begin("writing files", total=n_files, unit="files")
    check_writable(parsed.out)
    with disk_errors(parsed.out, "make room, and run the same again: it begins anew"):
        write_sample(
            parsed.out,
            config,
            files_per_process=parsed.files_per_process,
            events_per_file=parsed.events_per_file,
            seed=parsed.seed,
            file_format=parsed.format,
            branches=parsed.branches,
            is_lean=parsed.lean,
            on_file=lambda *_: observer.advance(),
        )
    observer.end()
