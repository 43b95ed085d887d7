"""Environment variables for workers: bounds of XRootD, the user's choice, ``.env``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from intccms.datasets.xrootd import WAITING
from intccms.errors import InputError

__all__ = ["read_dotenv", "worker_environment"]

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"(?P<quote>['\"])(?P<text>.*)(?P=quote)\s*(?:#.*)?")


def worker_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Collect what workers get; later ones win: XRootD, ``.env``, what is given.

    Parameters
    ----------
    given
        Of the user, for this connection.
    """
    ours = {name: value for name, value in os.environ.items() if name.startswith("XRD_")}
    return {**WAITING, **ours, **read_dotenv(Path.cwd() / ".env"), **(given or {})}


def read_dotenv(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines; ``export``, quotes and comments as in a shell.

    Parameters
    ----------
    path
        May be absent. Nothing in it is expanded.

    Raises
    ------
    InputError
        If a line is something else; it is named by its number, as it may hold a secret.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {type(error).__name__}") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(f"{path}, line {number}: not of the form NAME=value")
        name, value = match.groups()
        quoted = _QUOTED.fullmatch(value)
        found[name] = quoted["text"] if quoted else re.split(r"\s#", value)[0].strip()
    return found
