"""``intccms run``: the chain without a notebook."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from datetime import UTC, datetime

from intccms.cli.options import add_config, add_overrides, load
from intccms.cli.summary import print_summary
from intccms.errors import FigureError, FitError, IncompleteError

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "run the chain, as analysis.py does"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument(
        "--profile",
        action="store_true",
        help="write where the time goes into the metrics folder; all chunks run in this process "
        "then, and earlier results are not reused",
    )
    add_overrides(parser)


def execute(parsed: argparse.Namespace) -> None:
    """Run all stages and print the result."""
    from intccms import pipeline
    from intccms.metrics.progress import make_observer
    from intccms.pipeline.profiling import OVERRIDES, profiled
    from intccms.storage import Output

    overrides = [*parsed.overrides, *(OVERRIDES if parsed.profile else ())]
    config = load(parsed, overrides)
    directory = config.general.path("output_dir")
    profile = None
    if parsed.profile:
        name = config.general.metrics.measurement_name or f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}"
        config = load(parsed, [*overrides, f"general.metrics.measurement_name={name}"])
        profile = Output(config.general).measurement_dir(name)
    try:
        with nullcontext() if profile is None else profiled(profile):
            pipeline.run(config, observer=make_observer())
    except (IncompleteError, FigureError, FitError):
        print_summary(directory)
        raise
    print_summary(directory)
    if profile is not None:
        table, _, _ = (profile / "profile.txt").read_text().partition("\n\n\n")
        sys.stdout.write(f"{table}\n\nprofile: {profile / 'profile.html'}\n")
