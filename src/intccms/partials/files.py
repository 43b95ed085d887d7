"""Files at any place that fsspec knows: there whole or not at all, and gone without a fuss."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

__all__ = ["UNFINISHED", "is_local", "modified", "put", "remove"]

UNFINISHED = ".tmp"
# A whole object appears at once or not at all; elsewhere it is written aside and renamed.
OBJECT_STORES = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}


def put(fs: Any, path: str, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that, killed at any time, the old or the new one is there.

    Parameters
    ----------
    fs
        An fsspec file system.
    durable
        Whether a local file survives a power cut; if not, it may be found damaged then.
    """
    if is_local(fs):
        _replace(Path(path), data, durable=durable)
    elif OBJECT_STORES & set(_protocols(fs)):
        fs.pipe_file(path, data)
    else:
        aside = _aside(path)
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        with fs.open(aside, "wb") as file:
            file.write(data)
        fs.mv(aside, path)


def modified(fs: Any, path: str) -> float:
    """Say when a file was last written, in seconds since the epoch; 0 if it is gone."""
    try:
        when = fs.modified(path)
    except FileNotFoundError:
        return 0.0
    return float(when.timestamp() if isinstance(when, datetime) else when)


def remove(fs: Any, path: str) -> bool:
    """Remove a file; say whether it was still there."""
    try:
        fs.rm_file(path)
    except FileNotFoundError:  # another run was quicker
        return False
    return True


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def is_local(fs: Any) -> bool:
    """Say whether `fs` is that of this machine."""
    return "file" in _protocols(fs)


def _aside(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.{uuid4().hex}{UNFINISHED}"


def _replace(path: Path, data: bytes, *, durable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(_aside(str(path)))
    try:
        with aside.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    for folder in (
        (path.parent, path.parent.parent) if durable else ()
    ):  # the names of the file and of its folder
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
