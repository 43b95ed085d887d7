"""What a facility is to the rest of the package."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from distributed import Client

__all__ = ["Facility", "Opener"]

Opener = Callable[[int | None, dict[str, Any]], AbstractContextManager[Client]]


@dataclass(frozen=True)
class Facility:
    """One way to get a client.

    Parameters
    ----------
    open
        Called with the wanted number of workers (None: the default) and the user's options;
        gives a client, and closes at the end what it has started.
    patience_s
        How long a first worker may take to come.
    is_here
        Whether its workers run in the environment of this process: then code and credentials
        need not be brought to them.
    token_files
        Where the site keeps the user's bearer token, beside the usual places.
    """

    open: Opener
    patience_s: float = 60.0
    is_here: bool = False
    token_files: tuple[str, ...] = ()
