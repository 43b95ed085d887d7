"""Files → events of one entry range; files and forms stay open on the worker that has them."""

from __future__ import annotations

import gc
import hashlib
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import cached_property, partial
from types import MappingProxyType, SimpleNamespace
from typing import Any, TypeVar

import awkward as ak
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import uproot
from awkward.contents import Content, ListOffsetArray
from coffea.nanoevents.mapping import ParquetSourceMapping

from chunkcolumns.library_internals import parquet_form, root_form
from intccms.datasets import file_format
from intccms.datasets.files import (
    blocks_of,
    bound_waiting,
    digest_of_blocks,
    digest_of_place,
    digest_of_source,
    drop_handle,
    stamp,
)
from intccms.datasets.skimmed_rows import EventMetadata
from intccms.errors import attempted
from intccms.reading.columns import Columns, History, ReadMeter
from intccms.reading.events import ChunkEvents, NanoForms


class ParquetFile:
    """One open parquet file.

    Parameters
    ----------
    pfn
        Path or any URL that fsspec knows.
    options
        ``storage_options`` are those of fsspec, ``parquet_options`` those of pyarrow.
    """

    def __init__(self, pfn: str, options: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.uuid = ""
        self.is_remote = "://" in pfn
        reader = dict(options)
        self._handle = fsspec.open(pfn, "rb", **reader.pop("storage_options", {})).open()
        parquet = reader.get("parquet_options", {})
        self._file = pyarrow.parquet.ParquetFile(self._handle, **parquet)
        metadata = self._file.metadata
        self.n_events = int(metadata.num_rows)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        self._ends = np.cumsum([group.num_rows for group in groups], dtype=np.int64)
        self._parts: dict[str, list[int]] = {}  # positions of a column's parts in a row group
        for i, path in enumerate(
            metadata.schema.column(i).path for i in range(metadata.num_columns)
        ):
            self._parts.setdefault(path.split(".")[0], []).append(i)
        schema = self._file.schema_arrow
        self.layout_key: Hashable = tuple((one.name, str(one.type)) for one in schema)

    def base_form(self) -> dict[str, Any]:
        """Describe the columns as coffea does."""
        with warnings.catch_warnings():  # of columns that NanoEvents cannot have
            warnings.simplefilter("ignore")
            return parquet_form(self._file.schema_arrow)

    def title(self, name: str) -> str:
        """Return nothing: parquet has no titles."""
        return ""

    def read(
        self, names: Sequence[str], start: int, stop: int, meter: ReadMeter
    ) -> dict[str, Content]:
        """Read columns of an entry range."""
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop, side="left"))
        groups = list(range(first, last + 1)) if start < stop else []
        begin = start - int(self._ends[first - 1]) if first else start
        table = self._file.read_row_groups(groups, columns=list(names), use_threads=False)
        table = table.slice(begin, stop - start) if groups else table
        for name in names:
            sizes = [
                self._file.metadata.row_group(group).column(i).total_compressed_size
                for group in groups
                for i in self._parts[name]
            ]
            meter.columns[name] = meter.columns.get(name, 0) + sum(sizes)
        return {name: _content(table.column(name)) for name in names}

    def digest(self) -> str:
        """Digest what is open, see `datasets.files`."""
        size_bytes = self._handle.seek(0, 2)
        return digest_of_blocks(size_bytes, partial(blocks_of, self._handle))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._handle.close()


def _content(column: pa.ChunkedArray) -> Content:
    """Make of a column what coffea makes of it."""
    joined = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    rows = SimpleNamespace(read=lambda name: pa.table({name: joined}))  # as coffea's shim asks
    shim = ParquetSourceMapping.UprootLikeShim(rows, "column")
    content: Content = shim.array(0, len(joined)).layout
    return content


KEPT_FILES = 8  # open files a thread keeps, 17 MB each with 1,600 branches
COLLECTED_FILES = 4  # closed files whose objects, which refer to each other, are freed at once
KEPT_FORMS = 16
KEPT_HISTORIES = 64
# One read for each basket, in this thread: handing over to another thread costs more CPU than a
# read from the page cache, and a mapped file that somebody truncates would kill the process.
LOCAL = {"handler": uproot.MultithreadedFileSource, "use_threads": False}
NO_CACHES = {"array_cache": None, "object_cache": None}  # nothing is read twice

T = TypeVar("T")


class _Cache(threading.local):
    """What one worker thread keeps from chunk to chunk."""

    def __init__(self) -> None:
        self.sources: OrderedDict[tuple[str, str, str], Source] = OrderedDict()
        self.forms: OrderedDict[Hashable, NanoForms] = OrderedDict()
        self.histories: OrderedDict[Hashable, tuple[History, ...]] = OrderedDict()
        self.n_closed = 0

    def close_oldest(self) -> None:
        """Close the file that was not used for longest."""
        self.sources.popitem(last=False)[1].close()
        self.n_closed += 1
        if self.n_closed % COLLECTED_FILES == 0:
            gc.collect()


_cache = _Cache()


def _kept(cache: OrderedDict[Hashable, T], key: Hashable, size: int, make: Callable[[], T]) -> T:
    """Return what is kept under `key`, made if need be; the least recently used goes."""
    if key not in cache:
        cache[key] = make()
    cache.move_to_end(key)
    while len(cache) > size:
        cache.popitem(last=False)
    return cache[key]


def forms_of(layout: str, base_form: Callable[[], dict[str, Any]]) -> NanoForms:
    """Return what coffea makes of columns; made once for all files with the same `layout`."""
    return _kept(_cache.forms, layout, KEPT_FORMS, lambda: NanoForms(base_form()))


class Source:
    """One open file; gives the events of its entry ranges."""

    def __init__(
        self, pfn: str, tree_name: str, options: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        if file_format(pfn) == "parquet":
            self._file: ParquetFile | RootFile = ParquetFile(pfn, options)
        else:
            self._file = RootFile(pfn, tree_name, options)
        self._pfn = pfn
        self._stamp = None if "://" in pfn else stamp(pfn)
        self.uuid = self._file.uuid
        self.n_events = self._file.n_events
        self.close = self._file.close
        self._n_reads = 0  # of the chunk; after the last one the server is asked for the digest
        self._asked: Future[str] | None = None

        self.layout = hashlib.sha256(repr(self._file.layout_key).encode()).hexdigest()
        self.base_form = self._file.base_form

    @cached_property
    def digest(self) -> str:
        """Of what is open, see `datasets.files`."""
        return self._file.digest()

    def has_changed(self, *, ask: bool = False) -> bool:
        """Whether the file was rewritten or replaced since it was opened.

        Of a server that costs a request, and is found out only if we are to `ask`: it may read
        what is there at each request, so that what was read may be of two files.
        """
        if self._stamp is None:
            asked = self._file.digest if self._asked is None else self._asked.result
            return ask and asked() != self.digest
        if (now := stamp(self._pfn)) == self._stamp:
            return False
        known = vars(self).get("digest")  # from before; what is open may be the new file by now
        if known is None or digest_of_place(self._pfn, now.size_bytes) != known:
            return True
        self._stamp = now  # it was only touched
        return False

    def fetch(
        self, start: int, stop: int, meter: ReadMeter
    ) -> Callable[[Sequence[str], bool], dict[str, Content]]:
        """Return what reads columns of the entries from `start` up to `stop`, or of none."""
        n_before, self._n_reads = self._n_reads, 0

        def read(names: Sequence[str], empty: bool) -> dict[str, Content]:
            if empty or self._stamp is not None:
                return self._file.read(names, start, start if empty else stop, meter)
            if self._asked is not None:  # there is more to read after it, or it was of before
                wait([self._asked])
                self._asked = None
            content = self._file.read(names, start, stop, meter)
            self._n_reads += 1
            if self._n_reads == n_before:
                self._ask()
            return content

        return read

    def _ask(self) -> None:
        """Digest what is there now while functions run: on a slow link that takes a while."""
        self._asked = asked = Future[str]()

        def answer() -> None:
            digest = attempted(self._file.digest)
            if isinstance(digest, Exception):
                asked.set_exception(digest)  # raised by `has_changed`
            else:
                asked.set_result(digest)

        # not one of a pool, for whose answer the end of a process would wait
        threading.Thread(target=answer, daemon=True).start()

    def events(
        self, start: int, stop: int, meter: ReadMeter, metadata: EventMetadata
    ) -> ChunkEvents:
        """Return the events of the entries from `start` up to `stop`."""
        histories: tuple[History, ...] = ()
        if self._file.is_remote:
            key = (self.layout, metadata.get("dataset"))
            histories = _kept(_cache.histories, key, KEPT_HISTORIES, lambda: (History(), History()))
        columns = Columns(self.fetch(start, stop, meter), stop - start, meter, histories)
        forms = forms_of(self.layout, self.base_form)
        return ChunkEvents(columns, forms, metadata, self._file.title)


class _Stopwatch(uproot.source.futures.TrivialExecutor):  # type: ignore[misc]
    """Runs uproot's decompression in this thread and takes the time."""

    def __init__(self, meter: ReadMeter) -> None:
        self._meter = meter

    def submit(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return super().submit(task, *args, **kwargs)
        finally:
            self._meter.decompress_s += time.perf_counter() - start


class RootFile:
    """One open ROOT file with its TTree or RNTuple."""

    def __init__(self, pfn: str, tree_name: str, options: Mapping[str, Any]) -> None:
        bound_waiting(pfn)
        self.is_remote = "://" in pfn
        reader = dict(options)
        reader |= reader.pop("storage_options", {})  # uproot hands on what it does not know
        reader = (reader if self.is_remote else LOCAL | reader) | NO_CACHES
        self._directory = uproot.open({pfn: None}, **reader)  # a plain name is split at a colon
        self.tree = self._directory[tree_name]
        self.uuid = str(self._directory.file.uuid)
        self.n_events = int(self.tree.num_entries)
        self.layout_key = _layout_key(self.tree)
        self._branches: dict[str, Any] = {}

    def base_form(self) -> dict[str, Any]:
        """Describe the branches as coffea does."""
        return root_form(self.tree)

    def read(
        self, names: Sequence[str], start: int, stop: int, meter: ReadMeter
    ) -> dict[str, Content]:
        """Read columns of an entry range."""
        if start == stop:  # uproot would read a basket
            meter.columns |= {name: meter.columns.get(name, 0) for name in names}
            return {name: self._empty(name) for name in names}
        source = self.tree.file.source
        before, requests = source.num_requested_bytes, source.num_requests
        options = {
            "entry_start": start,
            "entry_stop": stop,
            "decompression_executor": _Stopwatch(meter),
            "interpretation_executor": uproot.source.futures.TrivialExecutor(),
        }
        if len(names) == 1:
            arrays = {names[0]: self._branch(names[0]).array(**options)}
        else:
            arrays = self.tree.arrays(filter_name=list(names), how=dict, **options)
        n_bytes = source.num_requested_bytes - before
        meter.n_requests += source.num_requests - requests
        total = sum(array.nbytes for array in arrays.values())
        for name, array in arrays.items():  # of many columns each has its share by size
            share = array.nbytes / total if total else 1 / len(arrays)
            meter.columns[name] = meter.columns.get(name, 0) + round(n_bytes * share)
        return {name: _plain(array) for name, array in arrays.items()}

    def title(self, name: str) -> str:
        """Return the title of a branch, or the description of a field of an RNTuple."""
        branch = self._branch(name)
        if isinstance(branch, uproot.behaviors.RNTuple.HasFields):
            return str(branch.description)
        return str(branch.title)

    def _branch(self, name: str) -> Any:
        if name not in self._branches:  # a search through all branches
            self._branches[name] = self.tree[name]
        return self._branches[name]

    def _empty(self, name: str) -> Content:
        branch = self._branch(name)
        if isinstance(branch, uproot.behaviors.RNTuple.HasFields):
            form = branch.to_akform()[0].contents[0]
        else:
            form = branch.interpretation.awkward_form(None)
        empty: Content = form.length_zero_array(highlevel=False)
        return empty

    def digest(self) -> str:
        """Digest what is open, see `datasets.files`."""
        return digest_of_source(self._directory.file.source)

    def close(self) -> None:
        """Close the file."""
        self._directory.close()


def _layout_key(tree: Any) -> Hashable:
    """Names and types of all branches; the types of plain ones are told by their leaves."""
    if not isinstance(tree, uproot.TTree):
        return tuple(tree.typenames().items())
    types: list[Hashable] = []
    for branch in tree.branches:
        leaves: Hashable = tuple(
            (
                type(leaf).__name__,
                leaf.member("fTitle"),
                leaf.member("fIsUnsigned"),
                leaf.member("fLeafCount") is None,
            )
            for leaf in branch.member("fLeaves")
        )
        is_plain = type(branch).__name__.startswith("Model_TBranch_v") and not branch.branches
        types.append((branch.name, leaves if is_plain else branch.typename))
    return tuple(types)


def _plain(array: ak.Array) -> Content:
    layout = array.layout
    return layout.to_ListOffsetArray64(True) if isinstance(layout, ListOffsetArray) else layout


def open_source(
    pfn: str, tree_name: str, options: Mapping[str, Any] | None = None, version: str = ""
) -> Source:
    """Open a file, or return it as this thread already has it open.

    Parameters
    ----------
    pfn, tree_name
        Where it is.
    options
        Of the reader: ``storage_options`` are those of fsspec, ``parquet_options`` those of
        pyarrow, the others of `uproot.open`.
    version
        Tells apart files that were at the same place one after the other.

    Raises
    ------
    OSError, KeyError, ValueError
        As the reading library raises them.
    """
    key = (pfn, tree_name, version)
    if key not in _cache.sources:
        _cache.sources[key] = Source(pfn, tree_name, options or {})
    _cache.sources.move_to_end(key)
    while len(_cache.sources) > KEPT_FILES:
        _cache.close_oldest()
    return _cache.sources[key]


def forget(pfn: str, tree_name: str) -> None:
    """Close a file that gave an error, so that the next try opens it anew."""
    for key in [key for key in _cache.sources if key[:2] == (pfn, tree_name)]:
        _cache.sources.pop(key).close()
    drop_handle(pfn)
