"""What stands in a file now; it is read again when it may have changed, and only then."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePath
from typing import Any

__all__ = ["by_content", "content_digest", "files_noted", "named_files"]

# Written later than so long before it was read, a file may be written again and look the same:
# clocks of file systems tick in milliseconds, on some of them in two seconds.
SETTLED_NS = 3_000_000_000

_noted: ContextVar[dict[str, str] | None] = ContextVar("_noted", default=None)
_known: dict[str, tuple[tuple[int, ...], str]] = {}  # by path: what it looked like, and its digest


@contextmanager
def files_noted() -> Iterator[dict[str, str]]:
    """Collect the digests, by absolute path, of all files that are asked for within the block."""
    noted: dict[str, str] = {}
    before = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(before)


def content_digest(path: str | Path) -> str:
    """Return the SHA-256 of the content of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    name = os.path.abspath(path)  # noqa: PTH100 - a link that leads elsewhere is another file
    digest = _digest(name)
    if (noted := _noted.get()) is not None:
        noted[name] = digest
    return digest


def _digest(name: str) -> str:
    looks = _looks(name)
    before = _known.get(name)
    if before is not None and before[0] == looks:
        return before[1]
    with Path(name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if looks == _looks(name) and time.time_ns() - max(looks[-2:]) > SETTLED_NS:
        _known[name] = looks, digest
    return digest


def _looks(path: str) -> tuple[int, ...]:
    status = Path(path).stat()
    # the last one changes whenever anything does: nobody can set it back
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_dev, status.st_ino, status.st_size, *times)


def by_content(value: Any) -> Any:
    """Put digests of content in the place of names of files, in lists, tuples and dicts too."""
    if isinstance(value, str | PurePath):
        path = _file(value)
        return value if path is None else {"content of a file": content_digest(path)}
    if isinstance(value, Mapping):
        return {key: by_content(one) for key, one in value.items()}
    return type(value)(map(by_content, value)) if type(value) in (list, tuple) else value


def named_files(value: Any) -> Iterator[str]:
    """Yield the full names of the files whose names `by_content` replaces."""
    if isinstance(value, str | PurePath):
        path = _file(value)
        if path is not None:
            yield os.path.abspath(path)  # noqa: PTH100 - see `content_digest`
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from named_files(one)


def _file(name: str | PurePath) -> Path | None:
    text = str(name)
    if not ("." in text or os.sep in text):  # not each word is looked for
        return None
    try:
        return Path(name) if Path(name).is_file() else None
    except (OSError, ValueError):  # too long, or a zero byte
        return None
