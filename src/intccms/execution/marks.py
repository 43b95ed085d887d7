"""Which function a worker is in, kept in a file that outlives it: so that its end has a name.

Touches a folder of this user among the temporary files. Imports the standard library only: it is
pickled by value, to be run by nannies, where our packages need not be.
"""

from __future__ import annotations

import faulthandler
import logging
import mmap
import os
import re
import tempfile
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

SIZE = 1024  # bytes: what is run, then the function
HALF = SIZE // 2
END = re.compile(r"Worker process (\d+) (?:exited with status (\d+)|was killed by signal (\d+))")

KEPT_S = 3600.0  # marks of processes that have ended

_local = threading.local()
_crashes: list[IO[str]] = []  # of this process: Python writes to it as long as it is open


class Mark(NamedTuple):
    """What a worker was doing when it was last heard of."""

    pid: int
    task: str
    function: str  # of the user, as the configuration names it; empty: none
    since: float = 0.0  # when the task began, on the monotonic clock of the machine
    crash: str = ""  # what Python said in the end, if it could
    nanny: str = ""  # address of who looks after the process; empty: nobody
    exit_code: int | None = None  # as of `subprocess`; None: not known


def folder() -> Path:
    """Give the folder of the marks of this user and machine."""
    return Path(tempfile.gettempdir()) / f"intccms-marks-{os.getuid()}"


def begin(task: str, nanny: str = "") -> None:
    """Say what this thread of a worker begins with; from now on its functions leave marks."""
    if not hasattr(_local, "file"):
        _local.file = None
        with suppress(OSError):  # no room, or the folder of somebody else: marks are a courtesy
            _local.file = _opened()
    if _local.file is not None:
        text = f"{time.monotonic():.3f} {nanny} {task}"
        _local.file[:] = text.encode()[:HALF].ljust(SIZE, b"\0")


def _opened() -> mmap.mmap:
    place = folder()
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise PermissionError(f"{place} belongs to another user")
    for path in place.iterdir():
        with suppress(OSError, ValueError):
            pid = int(path.stem.partition("-")[0])
            is_old = time.time() - path.stat().st_mtime > KEPT_S
            if is_old and not Path(f"/proc/{pid}").exists():
                path.unlink()
    if not _crashes:
        _crashes.append((place / f"{os.getpid()}.crash").open("w"))
        faulthandler.enable(_crashes[0])
    with (place / f"{os.getpid()}-{threading.get_ident()}.mark").open("w+b", buffering=0) as file:
        file.write(bytes(SIZE))  # a hole would end the process when it is filled on a full disk
        return mmap.mmap(file.fileno(), SIZE)


def swap(function: str) -> str:
    """Say which function this thread is in now; give the one before."""
    before: str = getattr(_local, "function", "")
    _local.function = function
    if getattr(_local, "file", None) is not None:
        _local.file[HALF:] = function.encode()[:HALF].ljust(HALF, b"\0")
    return before


def function_now() -> str:
    """Give the function this thread is in."""
    return str(getattr(_local, "function", ""))


def left_by(pid: int, exit_code: int | None = None) -> Mark:
    """Read what a process that runs one task at a time has left."""
    found = [one for one in _marks() if one.pid == pid]
    mark = found[0] if found else Mark(pid, "", "")
    return mark._replace(exit_code=exit_code)


def left(tasks: Collection[str], dask_worker: Any) -> list[tuple[Any, ...]]:
    """Read the marks of some tasks on this host; what its nanny knows of an end is added.

    A nanny writes down how its process ended, unless that was with status 0.
    """
    codes: dict[int, int] = {}
    for _, text in dask_worker.get_logs():
        if found := END.search(text):
            pid, status, number = found.groups()
            codes[int(pid)] = int(status) if status else -int(number)
    writes = logging.getLogger("distributed.nanny").isEnabledFor(logging.INFO)
    marks = [one for one in _marks() if one.task in tasks]
    for one in marks:
        if writes and one.nanny == dask_worker.address and one.pid != dask_worker.pid:
            codes.setdefault(one.pid, 0)  # it has seen the end, and wrote nothing
    return [(*one[:-1], codes.get(one.pid)) for one in marks]


def _marks() -> list[Mark]:
    found = []
    for path in sorted(folder().glob("*.mark")):
        with suppress(OSError, ValueError):  # somebody else takes it away, or it is not ours
            pid = int(path.name.partition("-")[0])
            data, crash = path.read_bytes(), path.with_name(f"{pid}.crash")
            begun, function = (
                part.rstrip(b"\0").decode(errors="replace") for part in (data[:HALF], data[HALF:])
            )
            since, nanny, task = begun.split(" ", 2)
            text = crash.read_text() if crash.exists() else ""
            found.append(Mark(pid, task, function, float(since), text, nanny))
    return found
