"""Records of files on disk: one columnar table, ``files.parquet`` beside the other metadata.

What stands in it is not opened again, neither by the inspector nor by `intccms.datasets.metadata`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from intccms.datasets import Fileset
from intccms.datasets.contents import FileCount, FileQuery
from intccms.metrics.inspector.record import FileRecord, interned
from intccms.redaction import redacted
from intccms.storage import write_bytes

log = logging.getLogger(__name__)

FILE_NAME = "files.parquet"

_NUMBERS = pa.list_(pa.int64())
_TYPES: dict[str, pa.DataType] = {  # of the fields of a record, by their annotations
    "bool": pa.bool_(),
    "int | None": pa.int64(),
    "float": pa.float64(),
    "float | None": pa.float64(),
    "tuple[str, ...]": pa.list_(pa.string()),
    "tuple[int, int] | None": _NUMBERS,
    "IntArray": _NUMBERS,
    "npt.NDArray[np.uint64]": pa.list_(pa.uint64()),
}
_FIELDS = {one.name: str(one.type) for one in fields(FileRecord)}
_ARRAYS = tuple(name for name, kind in _FIELDS.items() if "Array" in kind)
_TUPLES = tuple(name for name, kind in _FIELDS.items() if "tuple" in kind)
_SCHEMA = pa.schema([(name, _TYPES.get(kind, pa.string())) for name, kind in _FIELDS.items()])
_ROWS = 500  # in a row group: bounds the memory of reading


def write_records(path: str | Path, records: Iterable[FileRecord]) -> None:
    """Write records as a parquet table: a row per file, lists for its branches.

    Parameters
    ----------
    path
        Replaced as a whole.
    records
        What `inspect_files` yielded.
    """
    rows = [replace(one, pfn=redacted(one.pfn), error=one.error and redacted(one.error))
            for one in records]  # fmt: skip
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, _SCHEMA, compression="zstd") as writer:
        for start in range(0, len(rows), _ROWS):
            group = [
                {name: getattr(one, name) for name in _FIELDS}
                for one in rows[start : start + _ROWS]
            ]
            writer.write_table(pa.Table.from_pylist(group, schema=_SCHEMA))
    write_bytes(path, sink.getvalue().to_pybytes())


def read_records(path: str | Path) -> list[FileRecord]:
    """Read what `write_records` wrote.

    Raises
    ------
    OSError, ValueError
        If it is not there, or something else.
    """
    file = pq.ParquetFile(path)
    if set(file.schema_arrow.names) != set(_SCHEMA.names):
        raise ValueError(f"{path} was written by another version")
    records: list[FileRecord] = []
    for batch in file.iter_batches(batch_size=_ROWS):
        arrays = {
            name: [np.array(one.values.to_numpy(zero_copy_only=False)) for one in batch[name]]
            for name in _ARRAYS
        }
        others = [name for name in _SCHEMA.names if name not in _ARRAYS]
        for index, row in enumerate(batch.select(others).to_pylist()):
            for name in _TUPLES:
                row[name] = None if row[name] is None else tuple(row[name])
            row["branches"] = interned(tuple(row["branches"]))
            lists: dict[str, Any] = {name: columns[index] for name, columns in arrays.items()}
            records.append(FileRecord(**row, **lists))
    return records


class RecordStore:
    """The records of one metadata directory.

    Parameters
    ----------
    directory
        ``general.metadata_dir``.
    """

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / FILE_NAME
        self._records: dict[tuple[str, str], FileRecord] = {}
        if self.path.exists():
            try:
                self.add(read_records(self.path))
            except (OSError, ValueError) as error:
                log.warning("the saved records are not used: %s", error)

    def add(self, records: Iterable[FileRecord]) -> None:
        """Take new records in; `save` writes them."""
        self._records.update(((record.path, record.tree_name), record) for record in records)

    def save(self) -> None:
        """Write all records."""
        write_records(self.path, self._records.values())

    def known(self, query: FileQuery) -> FileRecord | None:
        """Give the record of a file as it was seen last, unless it failed."""
        record = self._records.get((query.lfn, query.tree_name))
        if record is None or record.error is not None or record.is_data != query.is_data:
            return None
        if query.weight_branch and record.weight_branch != query.weight_branch:
            return None
        if record.pfn in query.pfns:
            return record
        return replace(record, pfn=query.pfns[0], modified="")  # other servers have other times

    def counts(self, fileset: Fileset) -> Mapping[tuple[str, str], FileCount]:
        """Give what `intccms.datasets.metadata.collect` may know of files, by dataset and LFN."""
        counts: dict[tuple[str, str], FileCount] = {}
        for files in fileset:
            for lfn in files.lfns:
                query = FileQuery(
                    files.dataset, lfn, files.pfns(lfn), files.tree_name, is_data=files.is_data
                )
                record = self.known(query)
                count = None if record is None else record.count(files.dataset)
                if count is not None:
                    counts[files.dataset, lfn] = count
        return counts
