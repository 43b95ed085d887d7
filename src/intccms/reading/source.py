"""Files → NanoEvents of one entry range; files and forms stay open on the worker that has them.

Columns are virtual arrays: each is read when a function first touches it.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory
from coffea.nanoevents.mapping import UprootSourceMapping
from coffea.nanoevents.mapping.uproot import TrivialUprootOpener
from coffea.nanoevents.util import tuple_to_key

from intccms.datasets import file_format
from intccms.datasets.xrootd import bound_waiting, drop_handle

__all__ = ["ReadMeter", "open_source"]

KEPT_FILES = 4  # open files a thread keeps; it takes the chunks of one file in a row
KEPT_FORMS = 16


@dataclass
class ReadMeter:
    """What reading one chunk took.

    Parameters
    ----------
    read_s
        Seconds in fetching, decompressing and interpreting columns.
    bytes_read
        Bytes requested from the file.
    """

    read_s: float = 0.0
    bytes_read: int = 0


class _MeteredMapping(UprootSourceMapping):  # type: ignore[misc]
    """coffea's column source, with a clock around each column."""

    meter: ReadMeter

    def extract_column(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return super().extract_column(*args, **kwargs)
        finally:
            self.meter.read_s += time.perf_counter() - start


class _Cache(threading.local):
    """Open files and NanoEvents forms of one worker thread."""

    def __init__(self) -> None:
        self.sources: OrderedDict[tuple[str, str], RootSource | ParquetSource] = OrderedDict()
        self.schemas: OrderedDict[tuple[Any, ...], NanoAODSchema] = OrderedDict()


_cache = _Cache()


class _Schema(NanoAODSchema):  # type: ignore[misc]
    """NanoAOD that may lack event numbers: only a function that needs them misses them."""

    error_missing_event_ids = False


class RootSource:
    """One open ROOT file with its TTree or RNTuple."""

    def __init__(self, pfn: str, tree_name: str) -> None:
        bound_waiting(pfn)
        self.file = uproot.open({pfn: None})  # as a dict: a plain name is split at a colon
        self.tree = self.file[tree_name]
        self.uuid = str(self.file.file.uuid)

    def events(self, start: int, stop: int, meter: ReadMeter, metadata: dict[str, Any]) -> Any:
        """Return NanoEvents of the entries from `start` up to `stop`."""
        path = self.tree.object_path
        mapping = _MeteredMapping(
            TrivialUprootOpener({self.uuid: self.tree.file.file_path}),
            start,
            stop,
            cache={},
            file_handle=self.file,
            use_ak_forth=True,
            virtual=True,
        )
        mapping.meter = meter
        mapping.preload_column_source(self.uuid, path, self.tree)
        schema = self._schema(mapping)
        schema.form.setdefault("parameters", {})["metadata"] = metadata
        factory = NanoEventsFactory(
            schema, mapping, tuple_to_key((self.uuid, path, f"{start}-{stop}")), mode="virtual"
        )
        return factory.events()

    def _schema(self, mapping: UprootSourceMapping) -> NanoAODSchema:
        """Return the schema of this file's branches, made once for files that have the same."""
        typenames = self.tree.typenames()
        key = tuple(typenames.items())
        if key not in _cache.schemas:
            with warnings.catch_warnings():  # coffea warns of each cross-reference it cannot make
                warnings.simplefilter("ignore")
                form = mapping._extract_base_form(self.tree)
                form["typenames"] = typenames
                _cache.schemas[key] = _Schema(form)
            while len(_cache.schemas) > KEPT_FORMS:
                _cache.schemas.popitem(last=False)
        return _cache.schemas[key]

    @property
    def bytes_requested(self) -> int:
        """Bytes asked of the file since it was opened."""
        return int(self.tree.file.source.num_requested_bytes)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class ParquetSource:
    """One NanoAOD file in parquet."""

    def __init__(self, pfn: str, tree_name: str) -> None:
        self.pfn = pfn
        self.uuid = ""

    def events(self, start: int, stop: int, meter: ReadMeter, metadata: dict[str, Any]) -> Any:
        """Return NanoEvents of the entries from `start` up to `stop`."""
        begin = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            factory = NanoEventsFactory.from_parquet(
                self.pfn,
                mode="virtual",
                schemaclass=_Schema,
                entry_start=start,
                entry_stop=stop,
                metadata=metadata,
            )
            events = factory.events()
        meter.read_s += time.perf_counter() - begin
        return events

    @property
    def bytes_requested(self) -> int:
        """Zero: pyarrow does not say; the size on disk would be a guess."""
        return 0

    def close(self) -> None:
        """Do nothing: the file is open only while events are alive."""


def open_source(pfn: str, tree_name: str) -> RootSource | ParquetSource:
    """Open a file, or return it as this thread already has it open.

    Raises
    ------
    OSError, KeyError, ValueError
        As the reading library raises them.
    """
    key = (pfn, tree_name)
    if key in _cache.sources:
        _cache.sources.move_to_end(key)
        return _cache.sources[key]
    kind = ParquetSource if file_format(pfn) == "parquet" else RootSource
    _cache.sources[key] = kind(pfn, tree_name)
    while len(_cache.sources) > KEPT_FILES:
        _cache.sources.popitem(last=False)[1].close()
    return _cache.sources[key]


def forget(pfn: str, tree_name: str) -> None:
    """Close a file that gave an error, so that the next try opens it anew."""
    source = _cache.sources.pop((pfn, tree_name), None)
    if source is not None:
        source.close()
    drop_handle(pfn)
