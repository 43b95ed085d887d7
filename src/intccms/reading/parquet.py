"""NanoAOD in parquet: of a file only the wanted columns of the row groups that hold the entries."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from awkward.contents import Content
from coffea.nanoevents.mapping import ParquetSourceMapping

from chunkcolumns.library_internals import parquet_form
from intccms.datasets.identity import blocks_of, digest_of_blocks
from intccms.reading.columns import ReadMeter

__all__ = ["ParquetFile"]


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
        given = dict(options)
        self._handle = fsspec.open(pfn, "rb", **given.pop("storage_options", {})).open()
        parquet = given.get("parquet_options", {})
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
        """Digest what is open, see `datasets.identity`."""
        size_bytes = self._handle.seek(0, 2)
        return digest_of_blocks(size_bytes, partial(blocks_of, self._handle))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._handle.close()


def _content(column: pa.ChunkedArray) -> Content:
    """Make of a column what coffea makes of it."""
    whole = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    table = {"column": pa.chunked_array([whole])}
    shim = ParquetSourceMapping.UprootLikeShim(_Rows(table), "column")
    content: Content = shim.array(0, len(whole)).layout
    return content


class _Rows:
    """Rows as coffea's parquet shim wants to read them."""

    def __init__(self, columns: dict[str, pa.ChunkedArray]) -> None:
        self._columns = columns

    def read(self, name: str) -> pa.Table:
        return pa.table({name: self._columns[name]})
