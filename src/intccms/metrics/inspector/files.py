"""Files → one record each, as they finish: opened by any executor, each once, none lost.

What is in ``files.parquet`` beside the other metadata is not opened again, neither here nor by
`intccms.datasets.metadata`. Opens files and reads their headers; of the events only run, section
and number, if wanted.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import Executor as Pool
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from intccms.datasets import Fileset
from intccms.datasets.contents import FileCount, FileFailure, FileQuery, examine, unchanged
from intccms.datasets.fileset import read_listing
from intccms.errors import InputError
from intccms.execution.executors import Executor, IterativeExecutor
from intccms.metrics.inspector.record import FileRecord, Look, interned
from intccms.redaction import redacted
from intccms.storage import write_bytes

log = logging.getLogger(__name__)

Wanted = tuple[bool, bool]  # whether events are read, and everything is verified
Paths = Fileset | Mapping[str, Iterable[str | Path]] | Iterable[str | Path] | str | Path

TIMEOUT_S = 600.0  # for one file, all its places and tries together
SUFFIXES = (".root", ".parquet")
AHEAD = 4  # submitted files per worker of a plain pool
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


@dataclass(frozen=True, slots=True)
class _Task:
    """One file to look at."""

    query: FileQuery
    process: str

    @property
    def record(self) -> FileRecord:
        """The record of a file in which nobody has looked yet."""
        query = self.query
        return FileRecord(query.lfn, query.dataset, self.process, tree_name=query.tree_name,
                          is_data=query.is_data,
                          weight_branch=query.weight_branch or "")  # fmt: skip


def inspect_files(  # noqa: PLR0913 - all by name
    paths: Paths,
    *,
    executor: Any = None,
    tree_name: str = "Events",
    max_files_per_process: int | None = None,
    seed: int = 0,
    timeout_s: float | None = TIMEOUT_S,
    read_events: bool = True,
    verify: bool = False,
    store: RecordStore | None = None,
) -> Iterator[FileRecord]:
    """Yield a record of each file as soon as it is known.

    Parameters
    ----------
    paths
        A `Fileset`; ``{dataset: paths}``; or paths and URLs of ROOT and parquet files, of local
        directories that hold them, and of listings (``.txt``). Each file is looked at once.
    executor
        Where files are opened: one of ours, a `distributed.Client`, a pool of
        `concurrent.futures`; None: in this process.
    tree_name
        What to look for in files that are not from a `Fileset`.
    max_files_per_process
        Look at so many files of each process, chosen by `seed`; None: at all.
    seed
        The same seed chooses the same files.
    timeout_s
        After which a file is given up.
    read_events
        Read run, section and number of the events too: for their ranges, and to find events that
        several files have.
    verify
        Decompress every column and compute the checksum of the file: reads everything.
    store
        Files that it knows are not opened again, unless they have changed.

    Yields
    ------
    FileRecord
        In the order in which they finish; a file that cannot be read says so in `error`.

    Raises
    ------
    InputError
        If `paths` names no file at all.
    """
    tasks = _sampled(list(_tasks(paths, tree_name)), max_files_per_process, seed)
    if not tasks:
        raise InputError(f"there is no file to inspect in {paths!r}")
    return _records(tasks, executor, (read_events, verify), timeout_s, store=store)


def _records(
    tasks: list[_Task],
    executor: Any,
    wanted: Wanted,
    timeout_s: float | None,
    *,
    store: RecordStore | None,
) -> Iterator[FileRecord]:
    todo: list[_Task] = []
    seen: dict[tuple[str, str], FileRecord] = {}
    for task in tasks:
        query = task.query
        record = store.known(query) if store is not None else None
        if record is not None:
            seen[query.dataset, query.lfn] = record
            query = replace(query, known=record.count(query.dataset))
        todo.append(replace(task, query=query))
    if executor is not None and todo and Path(todo[0].query.lfn).is_file():
        first = _inspected(todo[0], wanted, timeout_s)  # while others have to start their workers
        if isinstance(first, FileCount):
            yield _again(seen, todo.pop(0), first)
        elif first.error is None:
            del todo[0]
            yield first
    for task, answer in _mapped(executor, todo, (wanted, timeout_s)):
        if isinstance(answer, FileRecord):
            yield replace(answer, branches=interned(answer.branches))
        elif isinstance(answer, FileCount):
            yield _again(seen, task, answer)
        else:  # the worker died or hung
            yield task.record.damaged(type(answer).__name__, str(answer))


def _again(seen: dict[tuple[str, str], FileRecord], task: _Task, now: FileCount) -> FileRecord:
    """Give the record of a file that has not changed."""
    record = seen[task.query.dataset, task.query.lfn]
    return replace(
        record, dataset=now.dataset, process=task.process, pfn=now.pfn, modified=now.modified
    )


def _tasks(paths: Paths, tree_name: str) -> Iterator[_Task]:
    if isinstance(paths, Fileset):
        for files in paths:
            for lfn in files.lfns:
                query = FileQuery(
                    files.dataset,
                    lfn,
                    files.pfns(lfn),
                    files.tree_name,
                    is_data=files.is_data,
                    weight_branch=files.weight_branch,
                )
                yield _Task(query, files.process)
        return
    groups = paths if isinstance(paths, Mapping) else {"": paths}
    for dataset, group in groups.items():
        listed = [group] if isinstance(group, str | Path) else list(group)
        names = [name for path in listed for name in _expanded(str(path))]
        if len(set(names)) < len(names):
            log.warning("%d files are named twice, each is read once", len(names) - len(set(names)))
        for name in dict.fromkeys(names):
            yield _Task(FileQuery(dataset, name, (name,), tree_name), dataset)


def _expanded(path: str) -> list[str]:
    """Name the files of a listing or a local directory; anything else is a file."""
    if "://" in path:
        return [path]
    if path.endswith(".txt"):
        return read_listing(Path(path))
    if Path(path).is_dir():
        inside = sorted(str(one) for one in Path(path).iterdir() if one.suffix in SUFFIXES)
        return inside or [path]
    return [path]


def _sampled(tasks: list[_Task], n_max: int | None, seed: int) -> list[_Task]:
    """Choose files of each process at random, and keep their order."""
    if n_max is None:
        return tasks
    chosen: set[int] = set()
    for process in dict.fromkeys(task.process for task in tasks):
        indices = [index for index, task in enumerate(tasks) if task.process == process]
        generator = random.Random(f"{seed}/{process}")  # noqa: S311 - the seed is the point
        chosen.update(generator.sample(indices, min(n_max, len(indices))))
    return [tasks[index] for index in sorted(chosen)]


def _mapped(
    executor: Any, tasks: list[_Task], arguments: tuple[Any, ...]
) -> Iterator[tuple[_Task, Any]]:
    if isinstance(executor, Pool):
        return _pooled(executor, tasks, arguments)
    runs: Executor = IterativeExecutor() if executor is None else executor
    if not hasattr(runs, "n_workers") and hasattr(executor, "scheduler_info"):
        from intccms.execution.dask.cluster import DaskExecutor

        runs = DaskExecutor(executor)
    return runs.map(_inspected, tasks, arguments=arguments)


def _pooled(
    pool: Pool, tasks: list[_Task], arguments: tuple[Any, ...]
) -> Iterator[tuple[_Task, Any]]:
    """Run on a pool of `concurrent.futures`, few files ahead, so that a stop stops soon."""
    waiting = iter(tasks)
    flying: dict[Future[FileRecord | FileCount], _Task] = {}
    window = AHEAD * int(getattr(pool, "_max_workers", 1))
    try:
        while True:
            for task in islice(waiting, window - len(flying)):
                flying[pool.submit(_inspected, task, *arguments)] = task
            if not flying:
                return
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                yield flying.pop(future), future.result() if error is None else error
    finally:
        for future in flying:
            future.cancel()


def _inspected(task: _Task, wanted: Wanted, timeout_s: float | None) -> FileRecord | FileCount:
    """Look at one file, for no longer than `timeout_s`; what is known of it if it is the same."""
    start = time.perf_counter()
    records: list[FileRecord | FileCount] = []

    def examined() -> None:
        try:
            records.append(unchanged(task.query) or _record(task, wanted))
        except Exception as error:  # noqa: BLE001  whatever a file makes of it, it stops no other
            records.append(task.record.damaged(type(error).__name__, " ".join(str(error).split())))

    thread = threading.Thread(target=examined, daemon=True)  # what hangs in it is left behind
    thread.start()
    thread.join(timeout_s)
    if not records:
        records.append(task.record.damaged("TimeoutError", f"no answer within {timeout_s:g} s"))
    record = records[0]
    if isinstance(record, FileCount):
        return record
    return replace(record, open_s=time.perf_counter() - start)


def _record(task: _Task, wanted: Wanted) -> FileRecord:
    query = task.query
    is_local, path = "://" not in query.lfn, Path(query.lfn)
    if query.lfn.endswith("/") or (is_local and path.is_dir()):
        text = f"this is a directory, not a file; name the files in it: {query.lfn}"
        return task.record.damaged("IsADirectoryError", text)
    counted, record = examine(query, Look(task.record, *wanted))
    if not isinstance(counted, FileFailure):
        return record  # type: ignore[no-any-return]
    if is_local and path.is_file() and not path.stat().st_size:
        return task.record.damaged("EmptyFile", f"the file is empty: {query.lfn}")
    return task.record.damaged(counted.error_type, counted.error)
