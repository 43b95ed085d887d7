"""What a Rucio server needs to take CMS names: the schema beside this file, and paths of files.

Loaded by the server of the tests, which runs in an environment of its own.
"""

from __future__ import annotations

from typing import Any

SUPPORTED_VERSION = [">=41,<42"]


def _path_of(_scope: str, name: str, *_: Any) -> str:
    return name  # a logical name of CMS is the path below the door of a site


def get_algorithms() -> dict[str, dict[str, Any]]:
    """The algorithms that this policy adds."""
    return {"lfn2pfn": {"rucio_policy_cms": _path_of}}
