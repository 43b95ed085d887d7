"""Results of finished chunks, kept between runs: atomic, checked, without pickles.

A file is ``MAGIC``, SHA-256 of all that follows, length of the JSON header (8 bytes), header, bytes
of one array after the other; all numbers are little-endian.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from fsspec.core import url_to_fs

from intccms.storage import UNFINISHED, digest_of, modified, put, remove, remove_oldest, sizes_below

MAGIC = b"intccms\x01"  # the last byte is the version of the format
DIGEST_BYTES = 32
START = len(MAGIC) + DIGEST_BYTES + 8
KINDS = "biufcUS"  # dtypes whose bytes say everything

Array = npt.NDArray[Any]


class Damaged(ValueError):
    """The bytes are not what `encode` wrote."""


def encode(value: Any, *, key: str, codecs: Mapping[str, type]) -> bytes:
    """Bytes from which `decode` makes the same value, bit for bit.

    Parameters
    ----------
    value
        Dicts, lists and tuples of None, bool, int, float, str, arrays and `codecs` objects.
    key
        Name that the file must have.
    codecs
        Dataclasses and named tuples, by the name to store.

    Raises
    ------
    TypeError
        If something in `value` has no such form.
    """
    writer = _Writer({kind: name for name, kind in codecs.items()})
    tree = writer.tree(value)
    header = json.dumps({"key": key, "tree": tree, "arrays": writer.specs}).encode()
    body = b"".join([struct.pack("<Q", len(header)), header, *writer.blocks])
    return MAGIC + hashlib.sha256(body).digest() + body


def decode(data: bytes, *, key: str, codecs: Mapping[str, type]) -> Any:
    """Value that `encode` was given.

    Raises
    ------
    Damaged
        If a bit is wrong or missing, or the file belongs to another key.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise Damaged("it does not begin as a checkpoint of this version")
    digest, body = data[len(MAGIC) : len(MAGIC) + DIGEST_BYTES], data[len(MAGIC) + DIGEST_BYTES :]
    if hashlib.sha256(body).digest() != digest:
        raise Damaged("its checksum is wrong")
    try:
        (length,) = struct.unpack_from("<Q", body)
        header = json.loads(body[8 : 8 + length])
        if header["key"] != key:
            raise Damaged("it belongs to another key")
        arrays = _read_arrays(header["arrays"], memoryview(data)[START + length :])
        return _Reader(arrays, codecs).value(header["tree"])
    except Damaged:
        raise
    # a store may be public: whatever a stranger's file does on the way, it is not a result
    except Exception as exc:  # noqa: BLE001
        raise Damaged(f"it cannot be decoded: {type(exc).__name__}: {exc}") from exc


def _read_arrays(specs: list[tuple[str, list[int]]], payload: memoryview) -> list[Array]:
    arrays, offset = [], 0
    for name, shape in specs:
        dtype = np.dtype(str(name))
        if dtype.kind not in KINDS or not dtype.itemsize or min(shape, default=0) < 0:
            raise Damaged(f"it holds an array of {name!r} and shape {shape}")
        count = int(np.prod(shape, dtype=object))
        array = np.frombuffer(payload, dtype, count, offset) if count else np.empty(0, dtype)
        arrays.append(array.reshape(shape).copy())
        offset += count * dtype.itemsize
    if offset != len(payload):
        raise Damaged("its length is wrong")
    return arrays


@dataclass
class _Writer:
    names: Mapping[type, str]
    specs: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)

    def tree(self, value: Any) -> Any:
        """JSON form of `value`: what JSON has no word for becomes ``{kind: content}``."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        form: dict[str, Any]
        if isinstance(value, StrEnum):
            return value.value
        if kind is float:
            form = {"float": struct.pack("<d", value).hex()}
        elif kind in (list, tuple):
            form = {kind.__name__: [self.tree(one) for one in value]}
        elif kind is dict:
            form = {"dict": [[self.tree(k), self.tree(v)] for k, v in value.items()]}
        elif isinstance(value, np.ndarray | np.generic):
            form = {
                "scalar" if isinstance(value, np.generic) else "array": self._add(np.asarray(value))
            }
        elif kind in self.names:
            form = {"object": [self.names[kind], self.tree(_parts(value))]}
        else:
            known = sorted(self.names.values())
            raise TypeError(f"a {kind.__name__} cannot be stored; known: {known}")
        return form

    def _add(self, array: Array) -> int:
        if array.dtype.kind not in KINDS:
            raise TypeError(f"an array of {array.dtype} cannot be stored")
        dtype = array.dtype.newbyteorder("<")
        self.specs.append((dtype.str, array.shape))
        self.blocks.append(array.astype(dtype, copy=False).tobytes())
        return len(self.specs) - 1


def _parts(value: Any) -> dict[str, Any]:
    if hasattr(value, "_asdict"):
        return dict(value._asdict())
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    raise TypeError(f"a {type(value).__name__} is neither a dataclass nor a named tuple")


@dataclass
class _Reader:
    arrays: list[Array]
    codecs: Mapping[str, type]

    def value(self, tree: Any) -> Any:
        """Value whose JSON form is `tree`."""
        if not isinstance(tree, dict):
            return tree
        ((kind, content),) = tree.items()
        readers: dict[str, Callable[[Any], Any]] = {
            "float": lambda text: struct.unpack("<d", bytes.fromhex(text))[0],
            "list": lambda items: [self.value(one) for one in items],
            "tuple": lambda items: tuple(self.value(one) for one in items),
            "dict": lambda items: {self.value(k): self.value(v) for k, v in items},
            "array": lambda index: self.arrays[index],
            "scalar": lambda index: self.arrays[index][()],
            "object": self._object,
        }
        return readers[kind](content)

    def _object(self, content: tuple[str, Any]) -> Any:
        name, parts = content
        known: Any = self.codecs[name]
        return known(**self.value(parts))


log = logging.getLogger(__name__)

SUFFIX = ".partial"
UNFINISHED_S = 3600.0  # older than this, nobody is writing it any more


class CheckpointStore:
    """Results by key: saved atomically, read only if each bit is right, never unpickled.

    It can be pickled, so that workers save what they finish. Files that were written by someone
    else are safe to read.

    Parameters
    ----------
    url
        Folder, or any URL that fsspec knows.
    codecs
        Dataclasses and named tuples that results are made of besides dicts, lists, tuples,
        numbers, strings and arrays; by the name to store.
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
        return digest_of(parts)

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
                log.warning("the checkpoint %s is left out and made again: %s", path, exc)
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
        sizes: dict[str, int] = {}
        n_removed = 0
        for path, size in sizes_below(self.fs, self.root).items():
            name = path.rpartition("/")[2]
            if name.endswith(UNFINISHED) and self._age(path) > UNFINISHED_S:
                remove(self.fs, path)
            elif name.endswith(SUFFIX):
                if name.removesuffix(SUFFIX) in keep or self._age(path) < unused_s:
                    sizes[path] = size
                else:
                    n_removed += remove(self.fs, path)
        if self.max_bytes is None:
            return n_removed
        return n_removed + remove_oldest(self.fs, sizes, self.max_bytes)

    def _age(self, path: str) -> float:
        return time.time() - modified(self.fs, path)
