"""What identifies a user's function, whatever file, line or process it comes from."""

from __future__ import annotations

from intccms.fingerprint.digest import Fingerprint, fingerprint, is_reproducible
from intccms.fingerprint.files import by_content, content_digest, files_noted
from intccms.fingerprint.watching import (
    Inputs,
    Watch,
    adopt,
    begin,
    inputs_of,
    known_inputs,
    refresh,
    unwatched,
)

__all__ = [
    "Fingerprint",
    "Inputs",
    "Watch",
    "adopt",
    "begin",
    "by_content",
    "content_digest",
    "files_noted",
    "fingerprint",
    "inputs_of",
    "is_reproducible",
    "known_inputs",
    "refresh",
    "unwatched",
]
