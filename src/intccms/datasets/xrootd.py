"""How long the XRootD client waits: its own defaults hang minutes on a server that is gone."""

from __future__ import annotations

import os
from contextlib import suppress

from fsspec.core import url_to_fs

__all__ = ["bound_waiting", "drop_handle"]

# Read by the client library when it is first imported; what the user has set stays.
WAITING = {
    "XRD_CONNECTIONRETRY": "1",  # tries to connect
    "XRD_CONNECTIONWINDOW": "15",  # seconds for one of them; default 120
    # Seconds in which a server that refused once is not asked again; default 1800. Our own pauses
    # are shorter: with any window all further tries fail without the server having been asked.
    "XRD_STREAMERRORWINDOW": "0",
    "XRD_REQUESTTIMEOUT": "120",  # seconds for one answer; default 1800
    "XRD_STREAMTIMEOUT": "60",  # seconds without a byte; default 60
}
SCHEMES = ("root://", "roots://", "xroot://")


def bound_waiting(pfn: str) -> None:
    """Bound the time that opening and reading `pfn` may hang, if it is an XRootD URL."""
    if pfn.startswith(SCHEMES):
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)


def drop_handle(pfn: str) -> None:
    """Let the next opening of `pfn` ask the server, if it is an XRootD URL.

    fsspec-xrootd keeps one handle of each file and hands it out as long as somebody asks, also
    after a failure, which that handle never recovers from.
    """
    if pfn.startswith(SCHEMES):
        with suppress(Exception):  # closing a broken handle fails too; it is gone all the same
            filesystem, path = url_to_fs(pfn)
            filesystem.invalidate_cache(path)
