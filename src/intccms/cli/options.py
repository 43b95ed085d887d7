"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intccms.schema import Config

__all__ = ["DEFAULT_CONFIG", "add_config", "add_overrides", "load"]

DEFAULT_CONFIG = "example_opendata.configs.configuration:config"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    parser.add_argument(
        "--config", default=DEFAULT_CONFIG, metavar="MODULE:NAME", help="default: %(default)s"
    )


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add ``KEY=VALUE …``."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="a setting and its value in YAML, e.g. general.executor=futures",
    )


def load(parsed: argparse.Namespace, overrides: Sequence[str] = ()) -> Config:
    """Load the configuration that was named, with overrides."""
    from intccms.schema import load_config

    return load_config(parsed.config, overrides)
