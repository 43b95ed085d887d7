"""The end of a run that writes skims: small parts are put together, manifests are written.

Writes through `skimming.SkimStore`, on the client and on the workers of the executor.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from intccms.analysis.skim_tables import PER_FILE, SkimTable, exact_as_json
from intccms.analysis.skims import SkimWriter, at_storage, by_entries
from intccms.datasets import DatasetFiles
from intccms.errors import InputError, SkimWriteError
from intccms.execution.chunk import ChunkOutcome
from intccms.execution.executors import Executor
from intccms.execution.tasks import ChunkReport, ChunkStatus, ChunkTask
from intccms.histograms.exact import ExactSums
from intccms.metadata import FileCount, Metadata
from intccms.skimming import SkimManifest, SkimPart, SkimStore

__all__ = ["WrittenSkim", "finished", "probed", "source_of", "unwritten"]

log = logging.getLogger(__name__)

PROBE_S = 0.5  # before the second try; doubled for each further one


@dataclass(frozen=True, slots=True)
class WrittenSkim:
    """What was written of a dataset: its place, and what is in it.

    Parameters
    ----------
    n_files, n_events, size_bytes
        Of the parts.
    is_complete
        Whether it stands for every event of the files of this run.
    """

    url: str
    n_files: int
    n_events: int
    size_bytes: int
    is_complete: bool

    @classmethod
    def of(cls, manifest: SkimManifest, store: SkimStore, files: DatasetFiles) -> WrittenSkim:
        """Sum up a manifest."""
        size_bytes = sum({part.path: part.size_bytes for part in manifest.parts}.values())
        n_events = sum(part.n_out for part in manifest.parts)
        is_complete = not manifest.gaps(files.lfns)
        url = store.url(manifest.dataset)
        return cls(url, len(manifest.paths), n_events, size_bytes, is_complete)


def probed(writer: SkimWriter, executor: Executor, max_retries: int) -> str:
    """Say why nothing can be written, as a worker sees it; empty if it can."""
    ((_, reason),) = executor.map(_probed, [writer], arguments=(max_retries,))
    return str(reason)


def _probed(writer: SkimWriter, max_retries: int) -> str:
    reason = ""
    for n_try in range(max_retries + 1):
        try:
            writer.store.probe()
            writer.begin()
            return ""
        except (InputError, SkimWriteError) as exc:
            reason = str(exc)
        if n_try < max_retries:
            time.sleep(PROBE_S * 2**n_try)
    return reason


def unwritten(task: ChunkTask, reason: str) -> ChunkOutcome:
    """Give the outcome of a chunk that was not processed, as its events cannot be written."""
    item = task.item
    receipt = ChunkReport(
        dataset=item.dataset,
        file=item.filename,
        uuid=item.fileuuid,
        entry_start=item.entrystart,
        entry_stop=item.entrystop,
        status=ChunkStatus.FAILED,
        stage="write",
        error_type=SkimWriteError.__name__,
        error=reason,
    )
    return ChunkOutcome(None, receipt)


def source_of(count: FileCount) -> dict[str, Any]:
    """Say of an original file what a skim of it must know."""
    sums = (count.runs_sumw, count.runs_count)
    values = (count.n_events, *sums, count.sections, count.digest)
    return dict(zip(PER_FILE, values, strict=True))


def finished(
    writer: SkimWriter, metadata: Metadata, tables: dict[str, SkimTable], executor: Executor
) -> dict[str, WrittenSkim]:
    """Put small parts together if asked to and write the manifest of each dataset.

    Parameters
    ----------
    writer
        What has written the parts.
    metadata
        The original files.
    tables
        By dataset, the records of the parts.
    executor
        Puts parts together.
    """
    written: dict[str, WrittenSkim] = {}
    storage = at_storage(writer.store, lambda: executor)
    for files in metadata.fileset:
        parts = list(_records(writer, metadata, files, tables.get(files.dataset, SkimTable())))
        if writer.target_part_size is not None:
            ((_, moved),) = storage.map(_where_now, [(files.dataset, parts)], arguments=(writer,))
            parts = parts if isinstance(moved, Exception) else moved
            parts = _coalesced(writer, parts, executor)
        if not parts:
            continue
        ((_, saved),) = storage.map(_saved, [parts], arguments=(writer.store, files))
        if isinstance(saved, Exception):
            log.error("%s; it is made again from the parts when they are read", saved)
        else:
            written[files.dataset] = saved
    return written


def _saved(parts: list[SkimPart], store: SkimStore, files: DatasetFiles) -> WrittenSkim | Exception:
    try:
        return WrittenSkim.of(store.save(parts), store, files)
    except SkimWriteError as exc:
        return exc


def _where_now(named: tuple[str, list[SkimPart]], writer: SkimWriter) -> list[SkimPart] | Exception:
    """Find parts that were put together with others: a resumed chunk knows its first place."""
    dataset, parts = named
    try:
        moved = by_entries(writer.store.load(dataset, writer.fingerprint))
        now = []
        for part in parts:
            new = moved.get((part.uuid, part.entry_start, part.entry_stop), part)
            is_gone = new.path != part.path and new.fingerprint == part.fingerprint
            now.append(new if is_gone and not writer.store.holds(part) else part)
        return now
    except SkimWriteError as exc:
        return exc


def _records(
    writer: SkimWriter, metadata: Metadata, files: DatasetFiles, table: SkimTable
) -> Iterator[SkimPart]:
    """Give the records of all chunks, and one for each file without events of its own."""
    counts = metadata.files_of(files.dataset)
    common: dict[str, Any] = {
        "dataset": files.dataset,
        "n_listed": files.n_listed,
        "fingerprint": writer.fingerprint,
        "is_data": files.is_data,
    }
    yield from table.parts(common, {count.lfn: source_of(count) for count in counts})
    nothing: dict[str, Any] = {
        **dict.fromkeys(("chunk", "entry_start", "entry_stop", "n_in"), 0),
        "sumw": exact_as_json(ExactSums.zeros(1)),
        "sections": "" if files.is_data else None,
    }
    for count in counts:
        if not count.n_events:
            here: dict[str, Any] = {"source": count.lfn, "file_index": files.lfns.index(count.lfn)}
            yield SkimPart(**common, **source_of(count), **nothing, **here, uuid=count.uuid)
    for twin in metadata.twins_of(files.dataset):
        lfn, uuid = twin.file.lfn, twin.file.uuid
        here = {"source": lfn, "file_index": files.lfns.index(lfn), "source_events": 0}
        same = (twin.same_dataset, twin.same_as)
        yield SkimPart(**common, **nothing, **here, uuid=uuid, same_as=same)


def _coalesced(writer: SkimWriter, parts: list[SkimPart], executor: Executor) -> list[SkimPart]:
    of_file: dict[int, list[SkimPart]] = {}
    for part in parts:
        of_file.setdefault(part.file_index, []).append(part)
    done: list[SkimPart] = []
    arguments = (writer.store, writer.target_part_size)
    for before, after in executor.map(_put_together, list(of_file.values()), arguments=arguments):
        if isinstance(after, Exception):
            log.warning("small parts of %s stay as they are: %s", before[0].source, after)
        done += before if isinstance(after, Exception) else after
    return done


def _put_together(
    parts: list[SkimPart], store: SkimStore, target: int
) -> list[SkimPart] | Exception:
    try:
        return list(store.coalesce(parts, target))
    except Exception as exc:  # noqa: BLE001 - the small parts are good, too
        return exc
