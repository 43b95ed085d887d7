"""How long the XRootD client waits: its own defaults hang minutes on a server that is gone."""

from __future__ import annotations

import os

__all__ = ["bound_waiting"]

# Read by the client library when it is first imported; what the user has set stays.
WAITING = {
    "XRD_CONNECTIONRETRY": "1",  # tries to connect
    "XRD_CONNECTIONWINDOW": "15",  # seconds for one of them; default 120
    "XRD_STREAMERRORWINDOW": "30",  # seconds before a broken stream is tried again; default 1800
    "XRD_REQUESTTIMEOUT": "120",  # seconds for one answer; default 1800
    "XRD_STREAMTIMEOUT": "60",  # seconds without a byte; default 60
}


def bound_waiting(pfn: str) -> None:
    """Bound the time that opening and reading `pfn` may hang, if it is an XRootD URL."""
    if pfn.startswith(("root://", "roots://", "xroot://")):
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)
