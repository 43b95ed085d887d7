"""``intccms run``: the chain without a notebook."""

from __future__ import annotations

import argparse

from intccms.cli.options import add_config, add_overrides, load
from intccms.cli.summary import print_summary
from intccms.errors import IncompleteError

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "run the chain, as analysis.py does"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    add_overrides(parser)


def execute(parsed: argparse.Namespace) -> None:
    """Run all stages and print the result."""
    from intccms import pipeline
    from intccms.dashboards import make_observer

    config = load(parsed, parsed.overrides)
    try:
        pipeline.run(config, observer=make_observer())
    except IncompleteError:
        print_summary(config.general.path("output_dir"))
        raise
    print_summary(config.general.path("output_dir"))
