"""From work items to an `AnalysisResult`: runs the chunks, keeps the books, normalises once."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import fsum
from typing import Any

from intccms.analysis.inputs import check_columns, dataset_tasks, golden_jsons, truncations
from intccms.analysis.keys import chunk_policy, dataset_digests, prune, with_keys
from intccms.analysis.processor import AnalysisProcessor
from intccms.datasets import DatasetFiles, DatasetManager, Fileset
from intccms.engine.corrections import check_correction_files
from intccms.errors import FunctorError, IntccmsError
from intccms.execution.chunk import ChunkOutcome, ChunkTask
from intccms.execution.executors import Executor, open_executor
from intccms.execution.ledger import Ledger, LostChunk
from intccms.execution.lumis import LumiBooks, balanced, file_sections
from intccms.execution.observer import Observer, Silent
from intccms.execution.rounds import ChunkRun, FileSums
from intccms.histograms.book import Book, make_book
from intccms.histograms.cutflow import Cutflow, make_cutflow
from intccms.histograms.exact import ExactSums
from intccms.metadata import Metadata, collect
from intccms.receipts import Receipt
from intccms.schema import Config

__all__ = ["AnalysisResult", "make_processor", "process", "run"]

log = logging.getLogger(__name__)

SAME_FAULTS = 3  # a user function that fails like this often will not get better
RUNS_TOLERANCE = 1e-4  # relative difference of Runs and Events sums in an unfiltered file


@dataclass(frozen=True)
class AnalysisResult:
    """What an analysis gives.

    Parameters
    ----------
    histograms
        Normalised histograms of all channels.
    cutflow
        By channel and process.
    ledger
        What was planned, processed and lost.
    receipts
        One for each planned chunk.
    wall_s
        Seconds from the first chunk to the last.
    lumis
        Luminosity sections of the data; None if there is none.
    """

    histograms: Book
    cutflow: Cutflow
    ledger: Ledger
    receipts: tuple[Receipt, ...]
    wall_s: float
    lumis: LumiBooks | None = None


def make_processor(config: Config, fileset: Fileset) -> AnalysisProcessor:
    """Make the processor, after a look at its correction files and golden JSONs.

    Raises
    ------
    InputError
        If one of them is absent or malformed.
    """
    check_correction_files(config, list(dict.fromkeys(files.year for files in fileset)))
    return AnalysisProcessor(config, dataset_tasks(config, fileset))


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
    """
    observer = observer or Silent()
    fileset = DatasetManager(config).fileset(config.general.processes)
    processor = make_processor(config, fileset)
    with open_executor(config.general, client, code=config) as executor:
        observer.begin("counting events", total=fileset.n_files, unit="files")
        metadata = collect(
            fileset,
            executor,
            chunk_size=chunk_size(config),
            on_file=lambda _: observer.advance(),
        )
        observer.end()
        check_columns(processor, metadata)
        return process(config, metadata, executor, processor=processor, observer=observer)


def chunk_size(config: Config) -> int:
    """Return the wanted number of events per chunk."""
    size = config.general.chunk_size
    return size if isinstance(size, int) else config.preprocess.skimming.chunk_size


@dataclass
class _Collected:
    """What has come back so far."""

    receipts: dict[tuple[str, str, int], Receipt] = field(default_factory=dict)  # by chunk
    faults: dict[str, list[ChunkOutcome]] = field(default_factory=dict)
    sums: dict[str, dict[str, Any]] = field(default_factory=dict)  # by dataset, when all are in

    def take(self, outcome: ChunkOutcome) -> bool:
        """Keep the receipt; say whether it is the first of its chunk."""
        receipt = outcome.receipt
        key = (receipt.dataset, receipt.file, receipt.entry_start)
        is_first = key not in self.receipts
        self.receipts[key] = receipt
        if outcome.trace:
            self.faults.setdefault(receipt.error, []).append(outcome)
        return is_first

    def files(self, dataset: str) -> dict[str, FileSums]:
        """Give the sums by file."""
        files: dict[str, FileSums] = self.sums.get(dataset, {}).get("files", {})
        return files

    @cached_property
    def file_events(self) -> dict[tuple[str, str], int]:
        """Number of processed events by dataset and file."""
        events: dict[tuple[str, str], int] = {}
        for (dataset, file, _), receipt in self.receipts.items():
            if receipt.status != "failed":
                events[dataset, file] = events.get((dataset, file), 0) + receipt.n_events
        return events


def process(
    config: Config,
    metadata: Metadata,
    executor: Executor,
    *,
    processor: AnalysisProcessor,
    observer: Observer | None = None,
) -> AnalysisResult:
    """Run all work items and add up what they give.

    Raises
    ------
    FunctorError
        If a function of the user fails; its traceback is attached as a note, once.
    """
    observer = observer or Silent()
    tasks = [
        ChunkTask(item, metadata.fileset[item.dataset].pfns(item.filename))
        for item in metadata.work_items
    ]
    files = {one.dataset: one for one in metadata.fileset}
    tasks = with_keys(tasks, files, dataset_digests(processor))
    n_events = sum(len(task.item) for task in tasks)
    start = time.perf_counter()
    collected = _Collected()
    parts: dict[str, list[int]] = {}
    for task in tasks:
        parts.setdefault(task.item.dataset, []).append(len(task.item))
    observer.begin("processing", total=n_events, unit="events", parts=parts)
    chunks = ChunkRun(executor, processor, chunk_policy(config))
    for outcome in chunks.outcomes(tasks):
        if collected.take(outcome):
            observer.receipt(outcome.receipt)
        _stop_on_fault(collected.faults, SAME_FAULTS)
    collected.sums = chunks.totals.by_group
    observer.end()
    _stop_on_fault(collected.faults, 1)
    for note in (*truncations(processor), *_random_note(collected)):
        log.warning("%s", note)
    wall_s = time.perf_counter() - start
    prune(config, chunks.policy, tasks)
    result = _result(config, metadata, collected, wall_s)
    return replace(result, lumis=_lumis(processor, metadata, collected))


def _lumis(
    processor: AnalysisProcessor, metadata: Metadata, collected: _Collected
) -> LumiBooks | None:
    golden = {k: golden_jsons(t.lumi_mask) for k, t in processor.tasks.items() if t.is_data}
    seen = {name: collected.sums.get(name, {}).get("sections", {}) for name in golden}
    opened = (metadata.files, metadata.failures)
    files = file_sections(*opened, seen=seen, n_processed=collected.file_events)
    return balanced(files, golden)


def _random_note(collected: _Collected) -> list[str]:
    drawing = [name for name, sums in collected.sums.items() if sums["n_draws"]]
    if not drawing:
        return []
    return [
        f"functions draw random numbers in {', '.join(drawing)}: the result is reproducible for "
        "these chunks only, another chunk_size gives other numbers"
    ]


def _stop_on_fault(faults: dict[str, list[ChunkOutcome]], enough: int) -> None:
    for error, outcomes in faults.items():
        if len(outcomes) >= enough:
            fault = FunctorError(error)
            fault.add_note(outcomes[0].trace)
            raise fault


def _result(
    config: Config, metadata: Metadata, collected: _Collected, wall_s: float
) -> AnalysisResult:
    never_opened = [
        LostChunk(failure.dataset, failure.lfn, None, f"{failure.error_type}: {failure.error}")
        for failure in metadata.failures
    ]
    receipts = [collected.receipts[_position(item)] for item in metadata.work_items]
    ledger = Ledger.closed(metadata.fileset.keys(), receipts, never_opened)
    for count in metadata.files:
        if not count.n_events:
            ledger.add_empty(count.dataset)
    scale: dict[str, float] = {}
    for files in metadata.fileset:
        if files.dataset in collected.sums:
            scale[files.dataset] = _scale(config, files, metadata, (collected, ledger))
    sums = {key: collected.sums[key] for key in scale}
    process_of = {files.dataset: files.process for files in metadata.fileset}
    wanted = config.general.channels
    observables = {
        (channel.name, observable.name): (observable.binning, observable.label)
        for channel in config.channels
        if wanted is None or channel.name in wanted
        for observable in channel.observables
    }
    book = make_book(
        {key: value["histograms"] for key, value in sums.items()},
        scale,
        process_of,
        observables if config.general.run_histogramming else {},
        tuple(dict.fromkeys(files.process for files in metadata.fileset if files.is_data)),
    )
    flow = {key: value["cutflow"] for key, value in sums.items()}
    cutflow = make_cutflow(flow, scale, process_of)
    return AnalysisResult(book, cutflow, ledger, tuple(receipts), wall_s)


def _position(item: Any) -> tuple[str, str, int]:
    return item.dataset, item.filename, item.entrystart


def _scale(
    config: Config,
    files: DatasetFiles,
    metadata: Metadata,
    found: tuple[_Collected, Ledger],
) -> float:
    """Return xsec · lumi / sumw of a dataset, 1 for data.

    Where the ``Runs`` tree of a file disagrees with its events, the file was filtered before it
    came here: its ``Runs`` sum counts, for the part of its events that was processed.

    Raises
    ------
    IntccmsError
        If the sum of weights is not positive.
    """
    collected, ledger = found
    book = ledger.datasets[files.dataset]
    exact = ExactSums.zeros(1)
    from_runs: list[float] = []
    in_files = collected.files(files.dataset)
    for count in metadata.files_of(files.dataset):
        key = (files.dataset, count.lfn)
        if count.lfn not in in_files:
            continue
        fraction = collected.file_events[key] / max(count.n_events, 1)
        runs = None if count.runs_sumw is None else count.runs_sumw * fraction
        sumw = in_files[count.lfn].sumw
        filtered = count.runs_count not in (None, count.n_events)
        if collected.file_events[key] == count.n_events and runs is not None:
            filtered = _differ(runs, sumw.value)
        if filtered and runs is not None:
            from_runs.append(runs)
        else:
            exact = exact + sumw
    if from_runs:
        book.sumw_source = "runs"
    total = fsum([exact.value, *from_runs])
    book.processed.sumw = total
    if not book.lost.files:
        book.planned.sumw = total
    if files.is_data:
        return 1.0
    if total <= 0:
        raise IntccmsError(
            f"dataset {files.dataset!r}: the sum of {files.weight_branch} is {total:g}, it must "
            "be positive; are its events all there?"
        )
    return files.xsec_pb * config.general.lumi_for(files.year) / total


def _differ(runs: float, events: float) -> bool:
    return abs(runs - events) > RUNS_TOLERANCE * max(abs(runs), abs(events))
