"""The command line: ``intccms run``, ``intccms sample``, ``intccms summary``.

It reads arguments and prints; what is done stands in `intccms.pipeline` and `intccms.sample`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import intccms
from intccms.errors import IncompleteError, IntccmsError

if TYPE_CHECKING:
    from intccms.schema import Config

__all__ = ["DEFAULT_CONFIG", "main"]

DEFAULT_CONFIG = "example_opendata.configs.configuration:config"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    arguments
        What follows ``intccms``; default: the arguments of the process.

    Returns
    -------
    int
        0 complete, 2 wrong input, 3 incomplete, 1 anything else that we know of.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    intccms.set_logging("WARNING")
    command: Callable[[argparse.Namespace], None] = parsed.command
    try:
        command(parsed)
    except IntccmsError as error:
        text = " ".join(str(error).split())
        if isinstance(error, IncompleteError):
            text += f"; to go on with what is missing: intccms {shlex.join(given)}"
        notes = "".join(f"{note.rstrip()}\n" for note in getattr(error, "__notes__", ()))
        sys.stdout.flush()
        sys.stderr.write(f"intccms: error: {text}\n{notes}")
        return error.exit_status
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="intccms", description="From CMS NanoAOD to a fitted result."
    )
    parser.add_argument("--version", action="version", version=intccms.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run the chain, as analysis.py does"))
    _add_sample(commands.add_parser("sample", help="write a synthetic NanoAOD sample"))
    summary = commands.add_parser("summary", help="print the result of a run")
    summary.add_argument("directory", type=Path, metavar="DIR", help="output directory of the run")
    summary.set_defaults(command=_summary)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", default=DEFAULT_CONFIG, metavar="MODULE:NAME", help="default: %(default)s"
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="a setting and its value in YAML, e.g. general.executor=futures",
    )
    parser.set_defaults(command=_run)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    _add_config(parser)
    parser.add_argument("--files-per-process", type=int, default=2, metavar="N")
    parser.add_argument("--events-per-file", type=int, default=50_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--format", choices=("ttree", "rntuple"), default="ttree")
    parser.add_argument(
        "--branches", type=int, metavar="N", help="at least so many branches in Events"
    )
    parser.set_defaults(command=_sample)


def _load(parsed: argparse.Namespace, overrides: Sequence[str] = ()) -> Config:
    from intccms.schema import load_config

    return load_config(parsed.config, overrides)


def _run(parsed: argparse.Namespace) -> None:
    # heavy packages are imported when they are needed: worker processes import this module too
    from intccms import pipeline
    from intccms.dashboards import make_observer

    config = _load(parsed, parsed.overrides)
    try:
        pipeline.run(config, observer=make_observer())
    except IncompleteError:
        _print_summary(config.general.path("output_dir"))
        raise
    _print_summary(config.general.path("output_dir"))


def _sample(parsed: argparse.Namespace) -> None:
    from intccms.dashboards import make_observer
    from intccms.sample import write_sample

    config = _load(parsed)
    observer = make_observer()
    n_directories = sum(len(entry.directories) for entry in config.datasets.datasets)
    n_files = n_directories * parsed.files_per_process
    observer.begin("writing files", total=n_files, unit="files")
    write_sample(
        parsed.out,
        config,
        files_per_process=parsed.files_per_process,
        events_per_file=parsed.events_per_file,
        seed=parsed.seed,
        file_format=parsed.format,
        branches=parsed.branches,
        on_file=lambda *_: observer.advance(),
    )
    observer.end()


def _summary(parsed: argparse.Namespace) -> None:
    _print_summary(parsed.directory)


def _print_summary(directory: Path) -> None:
    from intccms.dashboards.result import describe
    from intccms.pipeline import read_summary

    sys.stdout.write(describe(read_summary(directory), directory) + "\n")
