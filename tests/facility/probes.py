"""What tests run on workers that have no tests; pickled by value."""

from __future__ import annotations

import logging
import os
import stat
import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ["environment", "file_of", "finds", "talk"]


def finds(name: str) -> bool:
    return find_spec(name) is not None


def environment(*names: str) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def file_of(variable: str) -> tuple[str, int, bytes]:
    """Path, mode and content of the file that a variable names."""
    path = Path(os.environ[variable])
    return str(path), stat.S_IMODE(path.stat().st_mode), path.read_bytes()


def talk() -> None:
    sys.stdout.write("printed\n")
    logging.getLogger("mine").warning("logged")
