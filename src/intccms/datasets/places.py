"""Which of the places of a file to try first: servers that failed lately are asked last."""

from __future__ import annotations

import time
from urllib.parse import urlparse

__all__ = ["best_first", "has_failed", "note_failure"]

AVOIDED_S = 120.0

_failed_at: dict[str, float] = {}  # by server, in this process


def best_first(pfns: tuple[str, ...]) -> tuple[str, ...]:
    """Order the places of a file: as they are given, but for servers that failed lately.

    Parameters
    ----------
    pfns
        Where the file can be opened. A server that stalls costs a timeout at each try, so that
        the chunks of a run must not all begin with it.
    """
    return tuple(sorted(pfns, key=has_failed))


def has_failed(pfn: str) -> bool:
    """Say whether the server of `pfn` failed lately."""
    failed_at = _failed_at.get(urlparse(pfn).netloc)
    return failed_at is not None and time.monotonic() - failed_at < AVOIDED_S


def note_failure(pfn: str, error: Exception) -> None:
    """Remember that the server of `pfn` failed, unless all it said is that it has no such file."""
    server = urlparse(pfn).netloc
    if server and isinstance(error, OSError) and "no such file" not in str(error).lower():
        _failed_at[server] = time.monotonic()
