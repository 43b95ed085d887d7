"""The columns of one chunk, each read once, when it is first needed; what was cut stays away.

What was read is kept as Feather files within bounds: the columns that an analysis needed of a
chunk, of the events that pass the skim selection. Each buffer of each column is a list in the one
row of the table.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.feather
from awkward.contents import Content, ListOffsetArray, NumpyArray
from awkward.index import Index64
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from intccms.datasets.skimmed_rows import OriginalJson
from intccms.errors import attempted
from intccms.fingerprint.watching import unwatched
from intccms.storage import is_local, put, remove_oldest, sizes_below

IN_BRANCH = "in branch "  # begins the note of an error that says what was read
N_NAMED = 3

Index = NDArray[np.int64]
Fetch = Callable[[Sequence[str], bool], dict[str, Content]]  # names; whether no event is wanted


@dataclass
class ReadMeter:
    """What reading one chunk took.

    Parameters
    ----------
    open_s
        Seconds in opening the file, whenever that is.
    read_s
        Seconds in fetching, decompressing and interpreting columns; without `open_s`.
    decompress_s
        Seconds of these in decompressing; zero where the reading library does not say.
    columns
        Compressed bytes by branch.
    n_requests
        Requests to the file, each for one range of bytes or many.
    """

    open_s: float = 0.0
    read_s: float = 0.0
    decompress_s: float = 0.0
    columns: dict[str, int] = field(default_factory=dict)
    n_requests: int = 0


class History:
    """Which columns earlier chunks read together, to fetch them in one request.

    Parameters
    ----------
    n_chunks
        How many chunks are remembered.
    """

    def __init__(self, n_chunks: int = 8) -> None:
        self._past: deque[set[str]] = deque(maxlen=n_chunks)

    def begin(self) -> set[str]:
        """Start a chunk; the names that it reads go into the set that is returned."""
        names: set[str] = set()
        self._past.append(names)
        return names

    def together(self, name: str) -> set[str]:
        """Name what all those chunks read that read `name`."""
        alike = [names for names in self._past if name in names]
        return set.intersection(*alike) if alike else {name}


class Columns:
    """Columns of the events of a chunk, or of those that are left of it.

    Parameters
    ----------
    fetch
        Reads columns for all events of the chunk, or for none to learn their types.
    n
        Number of events of the chunk.
    meter
        Takes the time.
    histories
        For the events of the chunk and for those that are left after a cut; none where there is
        nothing to gain from reading many columns at once.
    """

    def __init__(
        self, fetch: Fetch, n: int, meter: ReadMeter, histories: Sequence[History] = ()
    ) -> None:
        self._fetch, self._n, self.meter = fetch, n, meter
        self._histories = histories
        self._reads = histories[0].begin() if n and histories else None
        self._known: dict[str, Content] = {}
        self._before: Columns | None = None
        self._index: Index | None = None  # of the events in those before the cut
        self._picker: _Picker | None = None
        self._is_cut = False
        self._part: Columns | None = None  # after the first cut

    def __len__(self) -> int:
        """Return the number of events."""
        return self._n if self._index is None else len(self._index)

    def take(self, index: Index) -> Columns:
        """Return the columns of the events at `index`, which ascends.

        The first cut is the skim selection: what is read afterwards is read for all events that
        pass it, so that it can be kept for runs with other cuts; see `kept`.
        """
        if len(index) == len(self):
            self._is_cut = True
            return self
        part = Columns(self._fetch, self._n, self.meter)
        part._before, part._index, part._is_cut = self, index, True
        part._picker = _Picker(index)
        if not self._is_cut:
            self._part = part
            part._histories = self._histories[-1:]
            part._reads = part._histories[0].begin() if len(index) and part._histories else None
        return part

    @property
    def kept(self) -> Columns | None:
        """Columns of the events that are left after the first cut; None before it."""
        return self if self._is_cut else self._part

    def read(self, name: str) -> Content:
        """Return a column, for which all of the file's errors may be raised."""
        start, opened_s = time.perf_counter(), self.meter.open_s
        try:
            return self._obtained(name)
        finally:
            opened_s = self.meter.open_s - opened_s
            self.meter.read_s += time.perf_counter() - start - opened_s

    def _obtained(self, name: str) -> Content:
        """Return a column; `read` takes the time, once for all cuts that it comes through."""
        column = self._find(name)
        if column is None:
            with unwatched():  # a function that needs a column has not opened its file
                self._read(name)
            column = self._known[name]
        if self._reads is not None:
            self._reads.add(name)
        return column

    def _find(self, name: str) -> Content | None:
        """Return a column that was read, cut to the events that are left."""
        if name not in self._known and self._before is not None:
            uncut = self._before._find(name)
            if uncut is not None:
                self._known[name] = self._picked(uncut)
        return self._known.get(name)

    def _picked(self, column: Content) -> Content:
        return column if self._picker is None else self._picker(column)

    def collected(self) -> dict[str, Content]:
        """Return all columns that were read, cut to the events that are left."""
        names = {*self._known, *(() if self._before is None else self._before._known)}
        return {name: column for name in sorted(names) if (column := self._find(name)) is not None}

    def preset(self, known: dict[str, Content]) -> None:
        """Take columns that somebody has read before."""
        self._known |= known

    @property
    def index(self) -> Index:
        """Which events of the chunk are left after the first cut."""
        return np.arange(self._n) if self._index is None else self._index

    def _read(self, name: str) -> None:
        if not len(self):
            self._known |= self._fetch([name], True)
            return
        if self._before is not None and self._before._is_cut:
            self._known[name] = self._picked(self._before._obtained(name))
            return
        names = [name]
        if self._reads is not None:
            companions = self._histories[0].together(name) - {name}
            names += sorted(other for other in companions if self._find(other) is None)
        read = attempted(self._fetch, names, False)
        if isinstance(read, Exception) and not isinstance(read, OSError) and len(names) > 1:
            names = [name]  # it may be another that cannot be read
            read = attempted(self._fetch, names, False)
        if isinstance(read, Exception):
            read.add_note(f"{IN_BRANCH}{', '.join(names[:N_NAMED])}")
            raise read
        self._known |= {key: self._picked(column) for key, column in read.items()}


class _Picker:
    """Takes the entries at `index` from columns, as plain arrays."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lists: list[tuple[Index, Index, Index]] = []  # offsets, those picked, elements

    def __call__(self, column: Content) -> Content:
        if isinstance(column, NumpyArray):
            return NumpyArray(column.data[self._index], parameters=column.parameters)
        if not (isinstance(column, ListOffsetArray) and isinstance(column.content, NumpyArray)):
            return ak.to_packed(column[self._index], highlevel=False)
        offsets, elements = self._elements(np.asarray(column.offsets.data))
        content = column.content
        picked = NumpyArray(content.data[elements], parameters=content.parameters)
        return ListOffsetArray(Index64(offsets), picked, parameters=column.parameters)

    def _elements(self, offsets: Index) -> tuple[Index, Index]:
        """Return the new offsets and the elements that stay; columns of a collection share them."""
        for known, picked, elements in self._lists:
            if np.array_equal(known, offsets):
                return picked, elements
        starts = offsets[:-1][self._index]
        counts = offsets[1:][self._index] - starts
        picked = np.zeros(len(counts) + 1, dtype=np.int64)
        np.cumsum(counts, out=picked[1:])
        elements = np.arange(picked[-1]) + np.repeat(starts - picked[:-1], counts)
        self._lists.append((offsets, picked, elements))
        return picked, elements


log = logging.getLogger(__name__)

FORMAT = 2  # another number: files of the other are not read
PORTION = 50  # the bound is looked at whenever a worker has written this part of it
FOLDER = "columns"


@dataclass(frozen=True)
class KeptColumns:
    """The columns of one chunk.

    Parameters
    ----------
    whole
        What is known of all events of the chunk.
    layout
        Of the file that they come from, see `Source.layout`.
    index
        Which events of the chunk they are of.
    columns
        By branch.
    inputs
        What decided which events these are, besides the file: digests by kind and name.
    """

    whole: OriginalJson
    layout: str
    index: NDArray[np.int64]
    columns: dict[str, Content]
    inputs: dict[str, dict[str, str]] = field(
        default_factory=lambda: {"files": {}, "variables": {}}
    )


@dataclass
class ColumnCache:
    """A folder, or any URL that fsspec knows, with the columns of chunks.

    It can be pickled; many workers may use one at the same time.

    Parameters
    ----------
    url
        Where; the files are in a folder ``columns`` there.
    max_bytes
        How much is kept: what was not used for longest goes first.
    """

    url: str
    max_bytes: int
    _n_unchecked: int | None = field(default=None, init=False)  # bytes written since the last look

    @staticmethod
    def key_of(parts: dict[str, Any]) -> str:
        """Name the file of a chunk: a digest of what identifies it."""
        text = json.dumps({"format": FORMAT, **parts}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def load(self, key: str) -> KeptColumns | None:
        """Return what is kept under `key`; None where nothing is that can be trusted."""
        fs, path = self._at(f"{key[:2]}/{key}.feather")
        try:
            with fs.open(path, "rb") as file:
                columns = _decoded(file.read())
            if is_local(fs):
                os.utime(path)  # it was used
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as exc:
            if not isinstance(exc, OSError) or fs.exists(path):  # not all raise the right one
                log.warning("the columns columns %s are left out and made again: %s", path, exc)
            return None
        return columns

    def save(self, key: str, columns: KeptColumns) -> None:
        """Keep the columns of a chunk; then remove the oldest if there are too many.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        fs, path = self._at(f"{key[:2]}/{key}.feather")
        data = _encoded(columns)
        put(fs, path, data, durable=False)
        if self._n_unchecked is None or self._n_unchecked + len(data) > self.max_bytes / PORTION:
            self.prune()
        else:
            self._n_unchecked += len(data)

    def prune(self) -> int:
        """Remove what was not used for longest, down to the bound; return how many files."""
        self._n_unchecked = 0
        fs, root = self._at("")
        sizes = sizes_below(fs, root)
        columns = {path: size for path, size in sizes.items() if path.endswith(".feather")}
        other_bytes = sum(sizes.values()) - sum(columns.values())
        return remove_oldest(fs, columns, self.max_bytes - other_bytes)

    def base_form(self, layout: str) -> dict[str, Any] | None:
        """Return what coffea's mappings say of the branches of files with this layout."""
        fs, path = self._at(f"layouts/{layout}.json.gz")
        try:
            with fs.open(path, "rb") as file:
                return dict(json.loads(gzip.decompress(file.read())))
        except (OSError, EOFError, ValueError) as exc:
            log.debug("the branches %s are not known: %s", path, exc)
            return None

    def save_base_form(self, layout: str, make: Callable[[], dict[str, Any]]) -> None:
        """Keep what coffea's mappings say of the branches, if it is not there yet."""
        fs, path = self._at(f"layouts/{layout}.json.gz")
        if not fs.exists(path):
            put(fs, path, gzip.compress(json.dumps(make()).encode(), 1), durable=False)

    def _at(self, name: str) -> tuple[Any, str]:
        fs, root = url_to_fs(self.url)
        return fs, f"{root}/{FOLDER}/{name}".rstrip("/")


def _encoded(columns_of_chunk: KeptColumns) -> bytes:
    arrays: dict[str, NDArray[Any]] = {"": columns_of_chunk.index}
    forms: dict[str, Any] = {}
    for name, column in columns_of_chunk.columns.items():
        form, length, buffers = ak.to_buffers(ak.to_packed(column, highlevel=False))
        forms[name] = {"form": form.to_dict(), "length": length, "buffers": list(buffers)}
        arrays |= {
            f"{name}/{key}": np.asarray(buffer).reshape(-1) for key, buffer in buffers.items()
        }
    about = {
        "whole": columns_of_chunk.whole,
        "layout": columns_of_chunk.layout,
        "inputs": columns_of_chunk.inputs,
        "forms": forms,
        "digests": {name: _digest(array) for name, array in arrays.items()},
    }
    metadata = json.dumps(about)
    cells = [
        pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), pa.array(array))
        for array in arrays.values()
    ]
    table = pa.Table.from_arrays(cells, names=list(arrays)).replace_schema_metadata(
        {"intccms": metadata, "intccms_sha256": hashlib.sha256(metadata.encode()).hexdigest()}
    )
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(table, sink, compression="lz4")
    return bytes(sink.getvalue())


def _decoded(data: bytes) -> KeptColumns:
    """Read a file; whatever is wrong with it is raised."""
    table = pyarrow.feather.read_table(pa.BufferReader(data), use_threads=False)
    metadata = table.schema.metadata[b"intccms"]
    if hashlib.sha256(metadata).hexdigest().encode() != table.schema.metadata[b"intccms_sha256"]:
        raise ValueError("its description is damaged")
    about = json.loads(metadata)
    arrays: dict[str, NDArray[Any]] = {}
    for name, digest in about["digests"].items():
        cell = table.column(name).chunk(0).values
        arrays[name] = np.array(cell.to_numpy(zero_copy_only=False))
        if _digest(arrays[name]) != digest:
            raise ValueError(f"the column {name!r} is damaged")
    columns = {
        branch: ak.from_buffers(
            one["form"],
            one["length"],
            {key: arrays[f"{branch}/{key}"] for key in one["buffers"]},
            highlevel=False,
        )
        for branch, one in about["forms"].items()
    }
    return KeptColumns(about["whole"], about["layout"], arrays[""], columns, about["inputs"])


def _digest(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(array.dtype.str.encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
