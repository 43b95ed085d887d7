"""How a command declares its arguments, and those that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intccms.schema import Config

DEFAULT_CONFIG = "example_opendata.configs.configuration:config"

Execute = Callable[[argparse.Namespace], int | None]
Argument = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class Command:
    """What ``intccms NAME`` does; it may return an exit status.

    Heavy packages are imported in `execute` only: worker processes import this package, too.
    """

    execute: Execute
    text: str
    arguments: tuple[Argument, ...]


COMMANDS: dict[str, Command] = {}


def argument(*names: str, **options: Any) -> Argument:
    """Declare what `argparse.ArgumentParser.add_argument` takes."""
    return names, options


def command(text: str, *arguments: Argument) -> Callable[[Execute], Execute]:
    """Make a function a command of its name, with the help text and arguments given."""

    def added(execute: Execute) -> Execute:
        COMMANDS[execute.__name__] = Command(execute, text, arguments)
        return execute

    return added


CONFIG = argument(
    "--config", default=DEFAULT_CONFIG, metavar="MODULE:NAME", help="default: %(default)s"
)
OVERRIDES = argument(
    "overrides",
    nargs="*",
    metavar="KEY=VALUE",
    help="a setting and its value in YAML, e.g. general.executor=futures",
)


def load(parsed: argparse.Namespace, *overrides: str) -> Config:
    """Load the configuration that was named, with its overrides and then these."""
    from intccms.schema import load_config

    return load_config(parsed.config, [*parsed.overrides, *overrides])
