"""What is done before a run: ``new``, ``sample``, ``datasets``, ``inspect``, ``preflight``."""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path

from intccms.cli.options import CONFIG, OVERRIDES, argument, command, load
from intccms.errors import InputError

RUCIO_SCOPE = "cms"


@command(
    "begin an analysis: a package that runs, copied from an example or made for a file",
    argument("name", metavar="NAME", help="of the package, made here"),
    argument(
        "--from",
        dest="origin",
        default="example_opendata",
        metavar="EXAMPLE|FILE",
        help="example_opendata (default), example_cms, or a ROOT file or URL to look at",
    ),
)
def new(parsed: argparse.Namespace) -> None:
    """Make the package and say what comes next."""
    from intccms.new_analysis import from_example, from_file

    here, origin = Path.cwd(), str(parsed.origin)
    first, base = "", ""
    if origin.startswith("example_"):
        folder = from_example(parsed.name, here, origin)
        first = f"intccms sample --config {parsed.name}.configs.configuration:config --out S"
        base = " general.base_dir=S"
    else:
        folder = from_file(parsed.name, here, origin)
    run = f"intccms run --config {parsed.name}.configs.configuration:config{base}"
    lines = [f"made {folder.relative_to(here)}; now edit it and run, from here:", first, run]
    sys.stdout.write("\n  ".join(one for one in lines if one) + "\n")


@command(
    "write a synthetic NanoAOD sample",
    argument("--out", type=Path, required=True, metavar="DIR"),
    CONFIG,
    argument("--files-per-process", type=int, default=2, metavar="N"),
    argument("--events-per-file", type=int, default=50_000, metavar="N"),
    argument("--seed", type=int, default=1, metavar="S"),
    argument("--format", choices=("ttree", "rntuple"), default="ttree"),
    argument("--branches", type=int, metavar="N", help="at least so many branches in Events"),
    argument("--lean", action="store_true", help="only the branches that the configuration keeps"),
    OVERRIDES,
)
def sample(parsed: argparse.Namespace) -> None:
    """Write synthetic NanoAOD with listings, golden JSON and corrections."""
    from intccms.metrics.progress import make_observer
    from intccms.storage import check_writable, disk_errors
    from nanosample import write_sample

    config = load(parsed)
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


@command(
    "resolve the listing files: Rucio, CERN Open Data",
    CONFIG,
    argument("--refresh", action="store_true", help="ask again for what is listed already"),
    argument("--scope", default=RUCIO_SCOPE, help="of the datasets in Rucio; default: cms"),
    argument(
        "--opendata", metavar="URL", help="server of the CERN Open Data portal; default: CERN's"
    ),
    OVERRIDES,
)
def datasets(parsed: argparse.Namespace) -> None:
    """Resolve all sources and print what changed; raise the first error in the end."""
    from intccms.datasets.discovery import Services, discover
    from intccms.metrics.inspector.rucio import connect

    services = Services(cache(connect), parsed.scope, parsed.opendata)
    errors = []
    for change in discover(load(parsed), services, refresh=parsed.refresh):
        sys.stdout.write(f"{change}\n")
        sys.stdout.writelines(f"  + {name}\n" for name in change.shown(change.added))
        sys.stdout.writelines(f"  - {name}\n" for name in change.shown(change.removed))
        if change.error is not None:
            errors.append(change.error)
    if errors:
        raise errors[0]


@command(
    "look at the input files: events, sizes, branches, what the analysis will read",
    CONFIG,
    argument("--json", type=Path, metavar="FILE", help="all numbers"),
    argument("--html", type=Path, metavar="FILE", help="one page with all figures"),
    argument("--parquet", type=Path, metavar="FILE", help="a row per file"),
    argument("--max-files", type=int, metavar="N", help="look at N files of each process only"),
    argument("--seed", type=int, default=0, metavar="S", help="which files those are"),
    argument(
        "--rucio",
        nargs="?",
        const=RUCIO_SCOPE,
        metavar="SCOPE",
        help="ask Rucio for sizes and sites",
    ),
    argument(
        "--rate", type=float, metavar="HZ", help="events per second and core, to predict the time"
    ),
    argument("--verify", action="store_true", help="decompress every column: reads all bytes"),
    argument(
        "--duplicates", action="store_true", help="count events that are there more than once"
    ),
    argument("--refresh", action="store_true", help="look and ask again"),
    OVERRIDES,
)
def inspect(parsed: argparse.Namespace) -> None:
    """Inspect the files and print what was seen."""
    from intccms.pipeline.inspection import Inspection

    if parsed.rucio is not None and "=" in parsed.rucio:  # no scope: the first setting behind it
        parsed.overrides.insert(0, parsed.rucio)
        parsed.rucio = RUCIO_SCOPE
    inspection = Inspection(load(parsed))
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


@command(
    "check workers, files, credentials and space before a run",
    CONFIG,
    OVERRIDES,
    argument(
        "--wait",
        type=float,
        default=25.0,
        metavar="S",
        help="seconds that workers may take to come and to answer; default: %(default)g",
    ),
)
def preflight(parsed: argparse.Namespace) -> None:
    """Print the table.

    Raises
    ------
    InputError
        If a check has failed.
    """
    from intccms import preflight
    from intccms.metrics.tables import Table
    from intccms.pipeline.checks import check_drawable

    config = load(parsed)
    check_drawable(config)
    checks = preflight.preflight(config, wait_s=parsed.wait)
    sys.stdout.write(f"{Table('Preflight', preflight.rows_of(checks), is_text=True)}\n")
    failed = [one.check for one in checks if one.state == "failed"]
    if failed:
        raise InputError(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")
