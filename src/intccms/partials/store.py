"""The store of finished chunks' results, in a folder or at any fsspec URL."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec.core import url_to_fs

from intccms.partials.encoding import Damaged, decode, encode

__all__ = ["PartialStore"]

log = logging.getLogger(__name__)

SUFFIX = ".partial"
UNFINISHED = ".tmp"
UNFINISHED_S = 3600.0  # older than this, nobody is writing it any more
# A whole object appears at once or not at all; elsewhere it is written aside and renamed.
OBJECT_STORES = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}


class PartialStore:
    """Results by key: saved atomically, read only if each bit is right, never unpickled.

    It can be pickled, so that workers save what they finish. Files that were written by someone
    else are safe to read.

    Parameters
    ----------
    url
        Folder, or any URL that fsspec knows.
    codecs
        Classes that results are made of besides dicts, lists, tuples, numbers, strings and
        arrays: with ``to_arrays`` and ``from_arrays``, or dataclasses; by the name to store.
    max_bytes
        What `prune` leaves at most; None: no bound.
    """

    def __init__(
        self, url: str, *, codecs: Mapping[str, type] | None = None, max_bytes: int | None = None
    ) -> None:
        self.fs, self.root = url_to_fs(str(url))
        self.codecs = dict(codecs or {})
        self.max_bytes = max_bytes

    @staticmethod
    def key_of(parts: Mapping[str, object]) -> str:
        """SHA-256 of the canonical JSON of `parts`, which hold nothing but what JSON has."""
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def path_of(self, key: str) -> str:
        """Where the result of `key` is; some file systems take few files in one folder."""
        return f"{self.root}/{key[:2]}/{key}{SUFFIX}"

    def save(self, key: str, sums: Mapping[str, Any]) -> None:
        """Store a result, all at once; whoever saves the same key last wins.

        Raises
        ------
        OSError
            If it cannot be written.
        TypeError
            If something in `sums` is neither plain data nor one of `codecs`.
        """
        data = encode(dict(sums), key=key, codecs=self.codecs)
        path = self.path_of(key)
        if _is_local(self.fs):
            _replace(Path(path), data)
        elif OBJECT_STORES & set(_protocols(self.fs)):
            self.fs.pipe_file(path, data)
        else:
            aside = _aside(path)
            self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            with self.fs.open(aside, "wb") as file:
                file.write(data)
            self.fs.mv(aside, path)

    def load(self, key: str) -> dict[str, Any] | None:
        """Return the result of `key`, or None where there is none that can be trusted.

        A damaged file stays until the next `save` of its key: it may be someone else's.
        """
        path = self.path_of(key)
        try:
            with self.fs.open(path, "rb") as file:
                data = file.read()
            sums: dict[str, Any] = decode(data, key=key, codecs=self.codecs)
        except (Damaged, OSError) as exc:
            if isinstance(exc, Damaged) or self.fs.exists(path):  # not all raise FileNotFoundError
                log.warning("the partial result %s is left out and made again: %s", path, exc)
            return None
        return sums

    def prune(self, keep: Collection[str], *, unused_s: float = 0.0) -> int:
        """Remove results of keys not in `keep`, then the oldest ones above `max_bytes`.

        Parameters
        ----------
        keep
            Keys of the run that has just ended.
        unused_s
            Others are left if they were written less than so many seconds ago: another setting of
            the same analysis may come back to them.

        Returns
        -------
        int
            How many results were removed.
        """
        self.fs.invalidate_cache()
        found = self.fs.find(self.root, detail=True) if self.fs.exists(self.root) else {}
        sizes: dict[str, int] = {}
        n_removed = 0
        for path, info in found.items():
            name = path.rpartition("/")[2]
            if name.endswith(UNFINISHED) and self._age(path) > UNFINISHED_S:
                self._remove(path)
            elif name.endswith(SUFFIX) and (
                name.removesuffix(SUFFIX) in keep or self._age(path) < unused_s
            ):
                sizes[path] = int(info["size"] or 0)
            elif name.endswith(SUFFIX):
                n_removed += self._remove(path)
        excess = 0 if self.max_bytes is None else sum(sizes.values()) - self.max_bytes
        for path in sorted(sizes, key=self._modified) if excess > 0 else ():
            if excess > 0:
                n_removed += self._remove(path)
                excess -= sizes[path]
        return n_removed

    def _age(self, path: str) -> float:
        return time.time() - self._modified(path)

    def _modified(self, path: str) -> float:
        try:
            when = self.fs.modified(path)
        except FileNotFoundError:
            return 0.0
        return float(when.timestamp() if isinstance(when, datetime) else when)

    def _remove(self, path: str) -> bool:
        try:
            self.fs.rm_file(path)
        except FileNotFoundError:  # another run was quicker
            return False
        return True


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _is_local(fs: Any) -> bool:
    return "file" in _protocols(fs)


def _aside(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.{uuid4().hex}{UNFINISHED}"


def _replace(path: Path, data: bytes) -> None:
    """Write a local file so that, killed at any time, the old or the new one is there, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(_aside(str(path)))
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    for folder in (path.parent, path.parent.parent):  # the names of the file and of its folder
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
