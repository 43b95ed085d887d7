"""Rucio's generic schema with the names of CMS: datasets, blocks (``#``), LFNs and sites."""

from __future__ import annotations

from rucio.common.schema import generic
from rucio.common.schema.generic import *  # noqa: F403

generic.NAME["pattern"] = r"^[/A-Za-z0-9][/A-Za-z0-9\.\-_#]*$"
generic.RSE["pattern"] = r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$"
SCOPE_NAME_REGEXP = r"/([^/]*)(?=/)/?(.*)"


def __getattr__(name: str) -> object:
    """Whatever is not here is as in the generic schema."""
    return getattr(generic, name)
