"""Files that modules read while they are imported: an edit of one is an edit of the module.

Python tells an audit hook of each file that is opened; from the import of this file on it is
listened to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

SYSTEM = ("/proc/", "/sys/", "/dev/")  # never the same
BODY = "<module>"
KIT = ("intccms", "chunkcolumns")

Stamp = tuple[int, int, int]  # size, time of modification in ns, inode

_read: dict[str, dict[str, Stamp]] = {}  # by module and path


def has_changed(module: str) -> bool:
    """Whether a file that the body of a module has read is another one now.

    What is not there any more was a temporary file, or will be missed when it is read again.
    """
    found = {path: _stamp(path) for path in _read.get(module, ())}
    return any(now not in (None, _read[module][path]) for path, now in found.items())


def forget(modules: Iterable[str]) -> dict[str, dict[str, Stamp]]:
    """Forget what modules have read, before they are loaded again; return it."""
    return {name: _read.pop(name) for name in modules if name in _read}


def put_back(read: Mapping[str, dict[str, Stamp]]) -> None:
    """Take up again what `forget` gave, where the modules are what they were."""
    _read.update(read)


def _stamp(path: str) -> Stamp | None:
    with suppress(OSError):
        about = Path(path).stat()
        return about.st_size, about.st_mtime_ns, about.st_ino
    return None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open":
        return
    path, mode, flags = arguments
    is_read = mode in ("r", "rb") or (mode is None and not flags & (os.O_WRONLY | os.O_RDWR))
    if not is_read or not isinstance(path, str | bytes | os.PathLike):
        return
    module = _importing(sys._getframe(1))
    if module is not None:
        name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - a link is a file of its own
        stamp = None if name.startswith(SYSTEM) else _stamp(name)
        if stamp is not None:
            _read.setdefault(module, {})[name] = stamp


def _importing(frame: FrameType | None) -> str | None:
    """Name the module whose body is running, if it, and not Python or the kit, opens a file."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("importlib.") or module.partition(".")[0] in KIT:
            return None
        if frame.f_code.co_name == BODY:
            return None if module == "__main__" else module
        frame = frame.f_back
    return None


sys.addaudithook(_hook)
