"""Writing skims: what the chunks of a run keep, and the manifests at its end.

Parts are written on the workers by `SkimStore`; small ones are put together at the end.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np

from intccms.datasets import DatasetFiles
from intccms.datasets.contents import FileCount
from intccms.datasets.metadata import Metadata
from intccms.errors import InputError, SkimWriteError, attempted
from intccms.execution.chunk import ChunkOutcome
from intccms.execution.executors import Executor, IterativeExecutor
from intccms.execution.tasks import ChunkReport, ChunkStatus, ChunkTask
from intccms.fingerprint.digest import by_content, fingerprint, is_reproducible
from intccms.histograms.exact import ExactSums
from intccms.histograms.sums import original_json
from intccms.schema import Config, General, WorkerEval
from intccms.skimming import SkimColumns, SkimManifest, SkimPart, SkimStore, retire

PER_FILE = (
    "source_events", "source_sumw", "source_count", "source_sections", "source_digest"
)  # fmt: skip
PER_DATASET = ("dataset", "n_listed", "fingerprint", "is_data")


@dataclass
class SkimTable:
    """The records of parts of one dataset, small enough for a hundred thousand of them.

    Parameters
    ----------
    lines
        One JSON text a part, without what all parts or all of a file have in common.
    columns
        Branches by the digest that a line has in their place.
    """

    lines: list[str] = field(default_factory=list)
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, part: SkimPart) -> SkimTable:
        """Take the record of one part."""
        plain = part.to_json()
        for name in (*PER_FILE, *PER_DATASET):
            del plain[name]
        digest = _digest(part.columns)
        line = json.dumps(plain | {"columns": digest}, separators=(",", ":"))
        return cls([line], {digest: part.columns})

    def __add__(self, other: SkimTable) -> SkimTable:
        """Return a table with the records of both."""
        return SkimTable(self.lines + other.lines, self.columns | other.columns)

    def __iadd__(self, other: SkimTable) -> Self:
        """Take in the other; a table of many is not copied for each."""
        self.lines += other.lines
        self.columns |= other.columns
        return self

    def parts(self, like: SkimPart, counts: Iterable[FileCount]) -> Iterator[SkimPart]:
        """Return the records back.

        Parameters
        ----------
        like
            Has what holds for all of the dataset.
        counts
            Its files.
        """
        common = {name: getattr(like, name) for name in PER_DATASET}
        files = {count.lfn: source_of(count) for count in counts}
        for line in self.lines:
            plain = json.loads(line)
            columns = {"columns": self.columns[plain["columns"]]}
            yield SkimPart.from_json(plain | common | files.get(plain["source"], {}) | columns)


@lru_cache(maxsize=64)
def _digest(columns: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(columns).encode()).hexdigest()[:16]


log = logging.getLogger(__name__)

NOT_COMPARABLE = "not comparable"

Entries = tuple[str, int, int]  # uuid, first entry, the one after the last


def only_skims(general: General) -> bool:
    """Whether a run stops after the skim selection."""
    return general.analysis == "skip" or not general.run_analysis


def writes_skims(general: General) -> bool:
    """Whether a run writes skims; one that makes nothing else does."""
    return general.run_skimming or (only_skims(general) and not general.use_skimmed_input)


def selection_fingerprint(config: Config) -> str:
    """Identify the skim selection; the same text for all that have no form to be compared.

    Files in its arguments count by content, wherever they are.
    """
    selection = config.preprocess.skimming.selection
    if selection is not None:
        kwargs = by_content(selection.static_kwargs)
        selection = selection.model_copy(update={"static_kwargs": kwargs})
    identity = fingerprint(selection, versions=False)  # a skim is read for longer than they last
    if identity.unstable and not is_reproducible(selection):
        log.warning("the skim selection cannot be compared: %s", ", ".join(identity.unstable))
        return NOT_COMPARABLE
    return identity.digest


def at_storage(store: SkimStore, workers: Callable[[], Executor]) -> Executor:
    """Tell where the storage of skims can be reached: on workers, if only they know its secrets."""
    kwargs = (store.output.to_kwargs, store.output.from_kwargs)
    return workers() if any(map(_has_secret, kwargs)) else IterativeExecutor()


def _has_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_has_secret, value))
    return isinstance(value, WorkerEval)


@dataclass
class SkimWriter:
    """Writes what the chunks keep; it travels to the workers with the processor.

    Parameters
    ----------
    store
        Where to.
    columns
        What is kept, by dataset.
    fingerprint
        Of the skim selection.
    target_part_size
        Kept events for which chunks of a file are put together; None: they are not.
    weights
        What an event counts, in words, by dataset.
    """

    store: SkimStore
    columns: dict[str, SkimColumns]
    fingerprint: str
    target_part_size: int | None = None
    weights: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, fileset: Iterable[DatasetFiles]) -> SkimWriter:
        """Make it as configured.

        Raises
        ------
        ConfigError
            If the writer does not know one of its options.
        """
        skimming = config.preprocess.skimming
        store = SkimStore.of(skimming, config.general.path("skimmed_dir"))
        store.check()
        columns = {
            files.dataset: SkimColumns.of(config.preprocess, files.weight_branch)
            for files in fileset
        }
        weights = {files.dataset: files.weight for files in fileset}
        target = skimming.target_part_size
        return cls(store, columns, selection_fingerprint(config), target, weights)

    def begin(self) -> None:
        """Take back what manifests say of other skims at the same place: it is overwritten now.

        Raises
        ------
        SkimWriteError
            If that cannot be written.
        """
        for dataset in self.columns:
            retire(self.store, dataset, self.fingerprint)

    def check(self, events: Any, *, is_data: bool) -> None:
        """Look whether all branches to keep are there; nothing is written.

        Raises
        ------
        MissingColumnError
            If one is not.
        """
        about = events.metadata
        columns = self.columns[about["dataset"]]
        none = np.arange(0)
        events = events.narrowed(none) if hasattr(events, "narrowed") else events[none]
        columns.take(events, is_data=is_data, source=about["filename"])

    def write(self, events: Any, sums: Mapping[str, Any], *, is_data: bool) -> SkimTable:
        """Write the kept events of a chunk.

        Parameters
        ----------
        events
            The events, with the metadata of the chunk.
        sums
            Of all its events.
        is_data
            Whether they are collision data.

        Raises
        ------
        MissingColumnError, SkimWriteError
            As `SkimStore.write` does.
        """
        about, source = events.metadata, events.metadata["source"]
        original = original_json(sums)
        part = SkimPart(
            dataset=about["dataset"],
            source=about["filename"],
            uuid=about["fileuuid"],
            entry_start=about["entries"][0],
            entry_stop=about["entries"][1],
            n_in=original["n_events"],
            sumw=original["sumw"],
            weights=original["weights"],
            fingerprint=self.fingerprint,
            weight=self.weights.get(about["dataset"], ""),
            spectrum=original["spectrum"],
            piece=about["piece"],
            is_data=is_data,
            sections=original["sections"],
            **source,
        )
        return SkimTable.of(self.store.write(events, self.columns[about["dataset"]], part))

    def is_whole(self, sums: Mapping[str, Any]) -> bool:
        """Return whether all parts that the sums of a chunk tell of are still there."""
        return all(self._holds(json.loads(line)) for line in sums["skim_parts"].lines)

    def _holds(self, plain: dict[str, Any]) -> bool:
        names = dict.fromkeys((*PER_FILE, *PER_DATASET))
        part = SkimPart.from_json(names | plain | {"columns": (), "fingerprint": self.fingerprint})
        if self.store.holds(part):
            return True
        if self.target_part_size is None:
            return False
        dataset = part.path.partition("/")[0]
        if dataset not in self._moved:
            self._moved[dataset] = by_entries(self.store.load(dataset, self.fingerprint))
        moved = self._moved[dataset].get((part.uuid, part.entry_start, part.entry_stop))
        return moved is not None and self.store.holds(moved)

    @cached_property
    def _moved(self) -> dict[str, dict[Entries, SkimPart]]:
        return {}


def by_entries(manifest: SkimManifest | None) -> dict[Entries, SkimPart]:
    """Find records by uuid and entries of the original, wherever their rows are now."""
    parts = () if manifest is None else manifest.parts
    return {(part.uuid, part.entry_start, part.entry_stop): part for part in parts}


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
    """Return why nothing can be written, as a worker sees it; empty if it can."""
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
    """Return the outcome of a chunk that was not processed, as its events cannot be written."""
    item = task.item
    report = ChunkReport(
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
    return ChunkOutcome(None, report)


def source_of(count: FileCount) -> dict[str, float | str | None]:
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
    """Return the records of all chunks, and one for each file without events of its own."""
    counts = metadata.files_of(files.dataset)
    nothing = SkimPart(
        dataset=files.dataset,
        n_listed=files.n_listed,
        fingerprint=writer.fingerprint,
        is_data=files.is_data,
        source="",
        uuid="",
        file_index=0,
        chunk=0,
        entry_start=0,
        entry_stop=0,
        n_in=0,
        sumw=ExactSums.zeros(1).to_json(),
        sections="" if files.is_data else None,
    )

    def empty(file: FileCount, **about: Any) -> SkimPart:
        index = files.lfns.index(file.lfn)
        return replace(nothing, source=file.lfn, uuid=file.uuid, file_index=index, **about)

    yield from table.parts(nothing, counts)
    for count in counts:
        if not count.n_events:
            yield empty(count, **source_of(count))
    for twin in metadata.twins_of(files.dataset):
        same = (twin.same_dataset, twin.same_as)
        yield empty(twin.file, source_events=0, same_as=same)


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
) -> tuple[SkimPart, ...] | Exception:
    return attempted(store.coalesce, parts, target)  # the small parts are good, too
