"""From work items to an `AnalysisResult`: runs the chunks, keeps the books, normalises once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from intccms.datasets import DatasetManager, Fileset
from intccms.datasets.contents import FileCount
from intccms.datasets.metadata import Metadata, collect
from intccms.engine.columns import rechunked
from intccms.engine.duplicates import Duplicates, count_duplicates
from intccms.engine.inputs import check_columns, make_processor, truncations
from intccms.engine.keys import chunk_policy, key_of, plan_code, prune
from intccms.engine.processor import AnalysisProcessor
from intccms.engine.results import AnalysisResult, Collected, lumis_of, result_of
from intccms.errors import FunctionError, IncompleteError
from intccms.execution.accounting import LumiBooks
from intccms.execution.chunk import ChunkOutcome
from intccms.execution.executors import Executor, open_executor
from intccms.execution.rounds import ChunkRun, place_of
from intccms.execution.tasks import ChunkReport, ChunkStatus, ChunkTask, Observer, Silent
from intccms.interrupts import Interrupted
from intccms.schema import Config
from intccms.skimming.reading import input_store, skimmed_metadata
from intccms.skimming.writing import (
    SkimTable,
    SkimWriter,
    finished,
    probed,
    source_of,
    unwritten,
)
from intccms.usercode.reloading import check_current

__all__ = ["AnalysisResult", "chunk_size", "count_files", "make_processor", "process", "run"]

log = logging.getLogger(__name__)

SAME_FAULTS = 3  # a user function that fails like this often will not get better


def run(config: Config, client: Any = None, *, observer: Observer | None = None) -> AnalysisResult:
    """Find the files, count them and run the analysis.

    Parameters
    ----------
    config
        What to do and, without a client, where.
    client
        A `distributed.Client`; it stays open.
    observer
        Is told of everything that finishes.

    Raises
    ------
    IncompleteError
        If more was lost to damaged numbers than ``general.max_lost_fraction`` allows; other losses
        are in the ledger.
    """
    check_current(config)
    observer = observer or Silent()
    fileset = DatasetManager(config).fileset(config.general.processes)
    processor = make_processor(config, fileset, trained=True)
    with open_executor(config.general, client, code=config, tell=observer.notice) as executor:
        metadata = count_files(processor, fileset, lambda: executor, observer)
        result = process(config, metadata, executor, processor=processor, observer=observer)
    _check_content(result, config)
    return result


def count_files(  # noqa: PLR0913 - the first four are what every run has
    processor: AnalysisProcessor,
    fileset: Fileset,
    workers: Callable[[], Executor],
    observer: Observer,
    *,
    read: Callable[..., Metadata] | None = None,
    known: Mapping[tuple[str, str], FileCount] | None = None,
    before: AnalysisResult | None = None,
) -> Metadata:
    """Find out what events there are, cut them into chunks and check that all columns are there.

    Parameters
    ----------
    workers
        Gives the executor that opens the files; not called if they need not be opened.
    read
        Reads saved metadata, for chunks of ``chunk_size`` events, instead of counting.
    known
        As for `metadata.collect`.
    before
        Of an earlier run in this process: columns of which it knows are not looked at again.
    """
    config, size = processor.config, chunk_size(processor.config)
    if config.general.use_skimmed_input:
        metadata = skimmed_metadata(config, fileset, workers)
    elif read is not None:
        metadata = read(chunk_size=size)
    else:
        observer.begin("counting events", total=fileset.n_files, unit="files")
        metadata = collect(
            fileset, workers(), chunk_size=size, on_file=lambda _: observer.advance(),
            tell=observer.notice, known=known,
        )  # fmt: skip
        observer.end()
    if config.general.chunk_size == "auto":
        metadata = rechunked(metadata, processor, workers())
    if before is None or not _is_known(before, processor, metadata):
        check_columns(processor, metadata, workers)
    return metadata


def _is_known(before: AnalysisResult, processor: AnalysisProcessor, metadata: Metadata) -> bool:
    """Whether an earlier run has done the same with the same files."""
    if before.collected is None or type(processor) is not AnalysisProcessor:
        return False
    keys, _ = plan_code(processor)
    places = {place_of(task): task.key for task in _tasks(metadata, processor, keys)}
    return before.collected.again(places) is not None


def _check_content(result: AnalysisResult, config: Config) -> None:
    """Refuse a result from damaged inputs; other losses are in the ledger, for whoever asks."""
    bad = [lost for lost in result.ledger.lost_chunks if lost.error.startswith("BadContentError")]
    if bad and result.ledger.lost_fraction() > config.general.max_lost_fraction:
        one = bad[0]
        more = f" and {len(bad) - 1} more chunks" if len(bad) > 1 else ""
        raise IncompleteError(f"dataset {one.dataset!r}, {one.file}: {one.error}{more}")


def chunk_size(config: Config) -> int:
    """Return the wanted number of events per chunk."""
    size = config.general.chunk_size
    return size if isinstance(size, int) else config.preprocess.skimming.chunk_size


def process(
    config: Config,
    metadata: Metadata,
    executor: Executor,
    *,
    processor: AnalysisProcessor,
    observer: Observer | None = None,
    before: AnalysisResult | None = None,
) -> AnalysisResult:
    """Run all work items and add up what they give.

    Parameters
    ----------
    before
        Of an earlier run in this process: what it collected is taken where nothing has changed
        that decides the sums.

    Raises
    ------
    FunctionError
        If a function of the user fails; its traceback is attached as a note, once.
    Interrupted
        On Ctrl-C or the like, with one line that says what is kept.
    """
    observer = observer or Silent()
    duplicates = _duplicates(processor, metadata, executor, observer)
    keys, planned = plan_code(processor)
    tasks = _tasks(metadata, processor, keys)
    n_events = sum(len(task.item) for task in tasks)
    start = time.perf_counter()
    collected = Collected()
    shared = _warned_of_shared(metadata.fileset, lumis_of(processor, metadata, Collected()))
    parts: dict[str, list[int]] = {}
    for task in tasks:
        parts.setdefault(task.item.dataset, []).append(len(task.item))
    observer.begin(processor.activity, total=n_events, unit="events", parts=parts)
    for one in metadata.failures:
        unopened = ChunkReport(  # of a file that is lost before there are chunks of it
            one.dataset, one.lfn, "", 0, 0, ChunkStatus.FAILED,
            stage="open", error_type=one.error_type, error=one.error,
        )  # fmt: skip
        observer.report(unopened)
    chunks = ChunkRun(executor, processor, chunk_policy(processor, planned))
    places = {place_of(task): task.key for task in tasks}
    kept = before.collected if before is not None and processor.writer is None else None
    known = kept.again(places) if kept is not None and chunks.policy.reuse else None
    if known is not None:
        collected = known
        for report in known.reports.values():
            observer.report(report)
    else:
        _collect(collected, chunks, tasks, processor, observer)
        collected.keys = places
    observer.end()
    _stop_on_fault(collected.faults, 1)
    if collected.changed:
        raise FunctionError(
            f"{min(collected.changed)} was changed while the run was reading it; run again: what "
            "was done with its present content is kept"
        )
    _warn_of_limits(processor, collected)
    wall_s = time.perf_counter() - start
    prune(config, chunks.policy, tasks)
    tables = {name: sums.pop("skim_parts", SkimTable()) for name, sums in collected.sums.items()}
    writer = processor.writer
    skims = {} if writer is None else finished(writer, metadata, tables, executor)
    result = result_of(processor, metadata, collected, wall_s)
    _warned_of_shared(metadata.fileset, result.lumis, shared)
    return replace(
        result,
        skims=skims, chunking=metadata.chunking, duplicates=duplicates, collected=collected,
    )  # fmt: skip


def _collect(
    collected: Collected,
    chunks: ChunkRun,
    tasks: list[ChunkTask],
    processor: AnalysisProcessor,
    observer: Observer,
) -> None:
    """Run the chunks and take what they give."""
    try:
        for outcome in _outcomes(chunks, tasks, processor.writer):
            if collected.take(outcome):
                observer.report(outcome.report)
            _stop_on_fault(collected.faults, SAME_FAULTS)
    except KeyboardInterrupt:
        n_done = sum(report.status.is_processed for report in collected.reports.values())
        raise Interrupted(
            f"interrupted: {n_done} of {len(tasks)} chunks are finished and kept in "
            f"{processor.config.general.cache_url}; the same again goes on from there"
        ) from None
    collected.sums = chunks.totals.by_group


def _duplicates(
    processor: AnalysisProcessor, metadata: Metadata, executor: Executor, observer: Observer
) -> tuple[Duplicates, ...]:
    """Count repeated events where ``general.check_duplicates`` asks for it, and warn of them."""
    if not processor.config.general.check_duplicates or type(processor) is not AnalysisProcessor:
        return ()
    observer.begin("comparing events")
    is_skim = metadata.skimmed_rows is not None
    options = input_store(processor.config).reader_options if is_skim else None
    found = count_duplicates(metadata, executor, options)
    observer.end()
    for one in found:
        log.log(logging.WARNING if one.is_odd else logging.INFO, "%s", one)
    return found


def _warned_of_shared(
    fileset: Fileset, lumis: LumiBooks | None, before: frozenset[tuple[str, str]] = frozenset()
) -> frozenset[tuple[str, str]]:
    """Warn of datasets with sections in common, and name them; only events may tell of some.

    Where a dataset has a selection, somebody has thought of it.
    """
    found = () if lumis is None else lumis.shared
    for one in found:
        if one.datasets not in before:
            has_veto = any(
                files.has_selection for files in fileset if files.dataset in one.datasets
            )
            log.log(logging.INFO if has_veto else logging.WARNING, "%s", one)
    return frozenset(one.datasets for one in found)


def _tasks(
    metadata: Metadata, processor: AnalysisProcessor, keys: dict[str, str | None]
) -> list[ChunkTask]:
    """Make the task of each work item, with the key of its result."""
    datasets = {one.dataset: one for one in metadata.fileset}
    counts = {(count.dataset, count.lfn): count for count in metadata.files}
    tasks: list[ChunkTask] = []
    for item in metadata.work_items:
        files, count = datasets[item.dataset], counts.get((item.dataset, item.filename))
        source: dict[str, Any] = dict(item.usermeta or {})
        if processor.writer is not None and count is not None:
            source |= source_of(count) | {"n_listed": files.n_listed}
        task = ChunkTask(
            replace(item, usermeta=source),
            files.pfns(item.filename),
            pieces=metadata.rows_of(item),
            digest="" if count is None else count.digest,
        )
        tasks.append(replace(task, key=key_of(task, files, keys[item.dataset])))
    return tasks


def _outcomes(
    chunks: ChunkRun, tasks: list[ChunkTask], writer: SkimWriter | None
) -> Iterator[ChunkOutcome]:
    """Run the chunks, unless it is known that what they keep cannot be written."""
    reason = "" if writer is None else probed(writer, chunks.executor, chunks.policy.max_retries)
    if reason:
        log.error("nothing is processed: %s", reason)
        yield from (unwritten(task, reason) for task in tasks)
    else:
        yield from chunks.outcomes(tasks)


def _warn_of_limits(processor: AnalysisProcessor, collected: Collected) -> None:
    """Warn of what the result cannot be relied on for."""
    for note in truncations(processor):
        log.warning("%s", note)
    drawing = [name for name, sums in collected.sums.items() if sums["n_draws"]]
    if drawing:
        log.warning(
            "functions draw random numbers in %s: the result is reproducible for these chunks "
            "only, another chunk_size gives other numbers",
            ", ".join(drawing),
        )
    if collected.inputs.beyond:
        log.warning(
            "results are never kept, as functions look at what cannot be looked at again: %s",
            ", ".join(collected.inputs.beyond),
        )


def _stop_on_fault(faults: dict[str, list[ChunkOutcome]], enough: int) -> None:
    for error, outcomes in faults.items():
        if len(outcomes) >= enough:
            fault = FunctionError(error)
            fault.add_note(outcomes[0].trace)
            raise fault
