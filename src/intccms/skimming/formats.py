"""One local file of a skim, in each of the three formats: written, read again, checked.

The record of its parts is in the file, so that a lost manifest can be made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet
import uproot

from intccms.errors import SkimWriteError

RECORD = "intccms_skim"
SUFFIX = {"parquet": "parquet", "ttree": "root", "rntuple": "root"}
COMPRESSION = {
    "zlib": uproot.ZLIB,
    "lzma": uproot.LZMA,
    "lz4": uproot.LZ4,
    "zstd": uproot.ZSTD,
}
LEVEL = {"zlib": 1, "lzma": 1, "lz4": 4, "zstd": 5}  # ROOT's own
DEFAULT_COMPRESSION = "zstd"

TOGETHER = 32  # columns of parquet that are read at a time

Columns = Mapping[str, ak.Array]


def write_file(  # noqa: PLR0913 - one call in the house
    path: Path,
    kind: str,
    batches: Iterable[Columns],
    *,
    tree: str,
    record: Any,
    options: Mapping[str, Any],
) -> None:
    """Write a local file; what is there is overwritten.

    Parameters
    ----------
    path
        Where to.
    kind
        ``parquet``, ``ttree`` or ``rntuple``.
    batches
        Branches by name, counters included; all with the same names and types. Each becomes a
        row group or cluster.
    tree
        Name of the tree; parquet has none.
    record
        Plain data to keep in the file.
    options
        Of the writer, resolved.

    Raises
    ------
    OSError
        If the disk does not take it.
    TypeError, ValueError
        If the format cannot hold a branch, or an option is wrong.
    """
    own = {name: value for name, value in options.items() if name != "storage_options"}
    _WRITERS[kind](path, iter(batches), tree, json.dumps(record), own)


def _write_parquet(
    path: Path, batches: Iterator[Columns], tree: str, record: str, options: dict[str, Any]
) -> None:
    arrays = (ak.Array(_layout(batch), attrs={RECORD: record}) for batch in batches)
    # Plain columns, which every reader of parquet understands; awkward's own types are not.
    ak.to_parquet_row_groups(arrays, str(path), **{"extensionarray": False} | options)


def _write_ttree(
    path: Path, batches: Iterator[Columns], tree: str, record: str, options: dict[str, Any]
) -> None:
    first = next(batches)
    lists = {name for name, values in first.items() if values.ndim > 1}
    counters = {_counter(name) for name in lists}  # uproot makes them, as int32
    first = {name: values for name, values in first.items() if name not in counters}
    with _recreated(path, options) as file:
        file[RECORD] = record
        written = file.mktree(
            tree,
            {name: values.type.content for name, values in first.items()},
            counter_name=_counter,
            **options,
        )
        for batch in chain([first], batches):
            written.extend({name: batch[name] for name in first})


def _write_rntuple(
    path: Path, batches: Iterator[Columns], tree: str, record: str, options: dict[str, Any]
) -> None:
    first = _layout(next(batches))
    with _recreated(path, options) as file:
        file[RECORD] = record
        written = file.mkrntuple(tree, first.form, **options)
        for layout in chain([first], map(_layout, batches)):
            written.extend(ak.Array(layout))


_WRITERS: dict[str, Callable[[Path, Iterator[Columns], str, str, dict[str, Any]], None]] = {
    "parquet": _write_parquet,
    "ttree": _write_ttree,
    "rntuple": _write_rntuple,
}


def _recreated(path: Path, options: dict[str, Any]) -> Any:
    """Open a new ROOT file, taking the options that concern the file."""
    method = options.pop("compression", DEFAULT_COMPRESSION)
    level = options.pop("compression_level", None)
    if isinstance(method, str) and method.lower() != "none":
        if method.lower() not in COMPRESSION:
            raise ValueError(f"unknown compression {method!r}; known: {sorted(COMPRESSION)}")
        chosen = LEVEL[method.lower()] if level is None else level
        method = COMPRESSION[method.lower()](chosen)
    elif isinstance(method, str):
        method = None
    own = {n: options.pop(n) for n in ("initial_directory_bytes",) if n in options}
    return uproot.recreate(str(path), compression=method, **own)


def _counter(branch: str) -> str:
    return f"n{branch.split('_')[0]}"


def _layout(columns: Columns) -> ak.contents.RecordArray:
    return ak.contents.RecordArray([values.layout for values in columns.values()], list(columns))


def n_rows(path: Path, kind: str, tree: str) -> int:
    """Count the entries of a local file."""
    if kind == "parquet":
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    with uproot.open({str(path): None}) as file:
        return int(file[tree].num_entries)


def columns_of(
    path: Path, kind: str, tree: str, rows: tuple[int, int] | None = None
) -> Iterator[tuple[str, ak.Array]]:
    """Read a local file, one branch after the other.

    Parameters
    ----------
    path, kind, tree
        As it was written.
    rows
        From the first up to the second; None: all.
    """
    start, stop = rows or (None, None)
    if kind == "parquet":
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for group in (names[i : i + TOGETHER] for i in range(0, len(names), TOGETHER)):
                array = ak.from_arrow(file.read(group, use_threads=False)[start:stop])
                yield from ((name, array[name]) for name in group)
        return
    with uproot.open({str(path): None}, array_cache=None) as file:
        entries = {"entry_start": start, "entry_stop": stop}
        if kind == "ttree":
            for name, branch in file[tree].iteritems(recursive=False):
                yield name, branch.array(**entries)
            return
        # at once: looking one field of an RNTuple up takes as long as there are fields
        yield from file[tree].arrays(how=dict, **entries).items()


def record_of(path: Path, kind: str) -> Any:
    """Read the record in a local file; None if there is none."""
    if kind == "parquet":
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        text = json.loads(metadata.get(b"AWKWARD_ATTRS", b"{}")).get(RECORD)
    else:
        with uproot.open({str(path): None}) as file:
            text = str(file[RECORD]) if RECORD in file else None
    return None if text is None else json.loads(text)


class Checksums:
    """Checksums of columns over type, list lengths and values, in which batches do not show."""

    def __init__(self) -> None:
        self.n_rows = 0
        self._types: dict[str, str] = {}
        self._hashes: dict[str, tuple[Any, Any]] = {}

    def add(self, name: str, values: ak.Array) -> None:
        """Take in the next values of a column."""
        counts, flat = self._hashes.setdefault(name, (hashlib.sha256(), hashlib.sha256()))
        if values.ndim > 1:
            counts.update(np.ascontiguousarray(ak.num(values), dtype=np.int64))
            values = ak.flatten(values)
        numbers = np.ascontiguousarray(ak.to_numpy(values))
        self._types[name] = str(numbers.dtype)
        flat.update(numbers)

    def through(self, batches: Iterable[Columns]) -> Iterator[Columns]:
        """Hand batches on, each taken in."""
        for batch in batches:
            for name, values in batch.items():
                self.add(name, values)
            self.n_rows += len(next(iter(batch.values())))
            yield batch

    def digests(self) -> dict[str, str]:
        """Return type and checksum of each column."""
        return {
            name: f"{self._types[name]} {counts.hexdigest()} {flat.hexdigest()}"
            for name, (counts, flat) in self._hashes.items()
        }


def verify_file(path: Path, kind: str, tree: str, *, rows: int, meant: Checksums | None) -> None:
    """Read a local file again.

    Parameters
    ----------
    path, kind, tree
        As it was written.
    rows
        Entries it must have.
    meant
        Of the columns it must have; None: only entries are counted.

    Raises
    ------
    SkimWriteError
        If it holds anything else.
    """
    n_found = n_rows(path, kind, tree)
    if n_found != rows:
        raise SkimWriteError(f"{path} holds {n_found} entries after {rows} were written")
    if meant is None:
        return
    read = Checksums()
    for name, values in columns_of(path, kind, tree):
        read.add(name, values)
    expected, got = meant.digests(), read.digests()
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            raise SkimWriteError(f"{path} does not hold the values of {name} that were written")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a local file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
