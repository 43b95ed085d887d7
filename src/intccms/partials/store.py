"""The store of finished chunks' results, in a folder or at any fsspec URL."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from fsspec.core import url_to_fs

from intccms.partials.encoding import Damaged, decode, encode
from intccms.partials.files import UNFINISHED, modified, put, remove

__all__ = ["PartialStore"]

log = logging.getLogger(__name__)

SUFFIX = ".partial"
UNFINISHED_S = 3600.0  # older than this, nobody is writing it any more


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
        put(self.fs, self.path_of(key), data)

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
        for path in sorted(sizes, key=partial(modified, self.fs)) if excess > 0 else ():
            if excess > 0:
                n_removed += self._remove(path)
                excess -= sizes[path]
        return n_removed

    def _age(self, path: str) -> float:
        return time.time() - modified(self.fs, path)

    def _remove(self, path: str) -> bool:
        return remove(self.fs, path)
