"""What kind of failure an exception is, and so whether trying again makes sense."""

from __future__ import annotations

import traceback
from typing import Literal

from intccms.errors import BadContentError, FunctorError, MissingColumnError, SkimWriteError

__all__ = ["FailureKind", "classify", "describe", "is_read_failure"]

FailureKind = Literal["transient", "permanent", "user", "memory"]

READERS = ("uproot", "fsspec", "fsspec_xrootd", "XRootD", "pyarrow", "s3fs", "aiohttp", "cramjam")
PERMANENT = (
    "no such file",
    "does not exist",
    "not found",
    "not a root file",
    "expected chunk of length",
    "illegal seek",  # XRootD, for what is beyond the end of a file
    "while decompressing",
    "magic bytes",
    "truncated",
    "permission denied",
)
PERMANENT_WRITES = (
    "no space left",
    "quota exceeded",
    "read-only file system",
    "not a directory",
    "permissionerror",
    "filenotfounderror",
    "nosuchbucket",
    "access denied",
    "accessdenied",
    "forbidden",
    "does not match",  # S3, for a wrong secret
)


def _module_of(frame: traceback.FrameSummary | object) -> str:
    return str(getattr(frame, "f_globals", {}).get("__name__", ""))


def is_read_failure(exc: BaseException) -> bool:
    """Say whether `exc` came through a reading library, where virtual arrays are read."""
    modules = [_module_of(frame) for frame, _ in traceback.walk_tb(exc.__traceback__)]
    return any(
        module.split(".")[0] in READERS or module == "intccms.reading.columns" for module in modules
    )


def classify(exc: BaseException, stage: str) -> FailureKind:
    """Sort an exception of a chunk by stage first, then by type and text.

    Parameters
    ----------
    exc
        What was raised.
    stage
        ``open``, ``read`` or ``process``; a failure to write has a type of its own.

    Returns
    -------
    FailureKind
        ``user`` for a fault of the user's function, ``permanent`` where another try of the same
        place is useless, ``memory``, else ``transient``.
    """
    if isinstance(exc, MemoryError) or isinstance(exc.__cause__, MemoryError):
        return "memory"
    if isinstance(exc, SkimWriteError):
        return _of_writing(exc)
    if isinstance(exc, BadContentError):
        return "permanent"
    if isinstance(exc, FunctorError) or (
        stage == "process"
        and not isinstance(exc, MissingColumnError | OSError)
        and not is_read_failure(exc)
    ):
        return "user"
    text = f"{type(exc).__name__}: {exc}".lower()
    if isinstance(exc, MissingColumnError | FileNotFoundError | KeyError | ValueError):
        return "permanent"
    return "permanent" if any(words in text for words in PERMANENT) else "transient"


def _of_writing(exc: SkimWriteError) -> FailureKind:
    """Sort a failure to write: the same place is all there is."""
    cause = exc.__cause__
    text = f"{type(cause).__name__}: {cause} {exc}".lower()
    if isinstance(cause, TypeError | ValueError):
        return "permanent"
    return "permanent" if any(w in text for w in PERMANENT + PERMANENT_WRITES) else "transient"


def describe(exc: BaseException, limit: int = 300) -> str:
    """Return the first line of the message of `exc`, cut at `limit` characters."""
    lines = str(exc).strip().splitlines()
    return (lines[0] if lines else type(exc).__name__)[:limit]
