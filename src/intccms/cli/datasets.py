"""``intccms datasets``: from DAS names and Open Data records to listings of files."""

from __future__ import annotations

import argparse
import sys

from intccms.cli.options import add_config, add_overrides, load

__all__ = ["HELP", "add_arguments", "execute"]

HELP = "resolve the listing files: Rucio, CERN Open Data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config(parser)
    parser.add_argument(
        "--refresh", action="store_true", help="ask again for what is listed already"
    )
    parser.add_argument("--scope", default="cms", help="of the datasets in Rucio; default: cms")
    parser.add_argument(
        "--opendata", metavar="URL", help="server of the CERN Open Data portal; default: CERN's"
    )
    add_overrides(parser)


def execute(parsed: argparse.Namespace) -> None:
    """Resolve all sources and print what changed; raise the first error in the end."""
    from functools import cache

    from intccms.datasets.discovery import Services, discover
    from intccms.metrics.inspector.rucio import connect

    services = Services(cache(connect), parsed.scope, parsed.opendata)
    errors = []
    for change in discover(load(parsed, parsed.overrides), services, refresh=parsed.refresh):
        sys.stdout.write(f"{change}\n")
        sys.stdout.writelines(f"  + {name}\n" for name in change.shown(change.added))
        sys.stdout.writelines(f"  - {name}\n" for name in change.shown(change.removed))
        if change.error is not None:
            errors.append(change.error)
    if errors:
        raise errors[0]
