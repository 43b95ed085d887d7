"""How many events a chunk has when the configuration says ``auto``: looks at one file."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import psutil
import uproot

from intccms.analysis.processor import AnalysisProcessor
from intccms.engine.systematics import BYTES_PER_ROW
from intccms.errors import BadContentError
from intccms.execution.executors import Executor
from intccms.metadata import FileCount, Metadata
from intccms.reading.source import ReadMeter, open_source

log = logging.getLogger(__name__)

SIZES = (400_000, 300_000, 200_000, 150_000, 100_000, 75_000, 50_000, 30_000, 20_000)
PER_WORKER = 4  # chunks, at least: a few slow ones must not decide when the run ends
N_FILES = 3  # that are looked at, if the first are damaged
LOOK = 5_000  # events that are processed to see what is read
# Measured with `python -m benchmarks.memory`:
BASE_BYTES = 400e6  # a worker with all packages and some open files
COPIES = 6.0  # bytes in memory for each byte of a column
ROWS_SHARE = 0.05  # of the events, which an object variation may let pass
USABLE = 0.7  # of a worker's memory: Dask pauses it above 0.8


@dataclass(frozen=True)
class Load:
    """What decides the size of chunks.

    Parameters
    ----------
    event_bytes, stored_bytes
        Of the columns that the analysis reads, for each event: in memory, and as they are stored.
    n_shifts
        Object variations.
    batch_bytes
        Bound of a batch of them.
    memory_bytes
        Of one worker.
    n_events, n_workers
        In all files, and on how many workers.
    """

    event_bytes: float
    stored_bytes: float
    n_shifts: int
    batch_bytes: float
    memory_bytes: float
    n_events: int
    n_workers: int

    def needed(self, n_events: int) -> float:
        """Estimate the memory in bytes of a worker whose chunks have `n_events` events."""
        rows = n_events * ROWS_SHARE * self.n_shifts * BYTES_PER_ROW
        return BASE_BYTES + COPIES * n_events * self.event_bytes + min(rows, self.batch_bytes)


@dataclass(frozen=True)
class ChunkSize:
    """Events per chunk, and why."""

    n_events: int
    reason: str


def choose(load: Load) -> ChunkSize:
    """Choose the largest size that fits into memory and gives every worker several chunks."""
    room = USABLE * load.memory_bytes
    fitting = [size for size in SIZES if load.needed(size) <= room]
    enough = [size for size in SIZES if load.n_events / size >= PER_WORKER * load.n_workers]
    possible = [size for size in fitting if size in enough]
    chosen = possible[0] if possible else SIZES[-1]
    if chosen == SIZES[0]:
        why = "more would not be faster"
    elif fitting and chosen == fitting[0]:
        why = "more would not fit"
    elif not fitting:
        why = "even that may not fit"
    else:
        why = f"each worker gets {PER_WORKER} chunks or more"
    reason = (
        f"{chosen:,} events a chunk: {load.event_bytes:,.0f} bytes/event in memory "
        f"({load.stored_bytes:,.0f} stored), {load.n_shifts} object variations, "
        f"{load.memory_bytes / 1e9:.1f} GB and {load.n_events / load.n_workers:,.0f} events for "
        f"each of {load.n_workers} workers; {why}"
    )
    return ChunkSize(chosen, reason)


def rechunked(metadata: Metadata, processor: AnalysisProcessor, executor: Executor) -> Metadata:
    """Cut the work into chunks of the best size where ``general.chunk_size`` is ``auto``."""
    config = processor.config
    if config.general.chunk_size != "auto" or metadata.pieces is not None or not metadata.files:
        return metadata
    measured = _columns(metadata, processor)
    if measured is None:
        return metadata
    event_bytes, stored_bytes = measured
    shifts = (len(processor.plan(name).shifts) for name in processor.tasks)
    size = choose(
        Load(
            event_bytes,
            stored_bytes,
            max(shifts, default=0) if processor.has_analysis else 0,
            config.general.batch_memory_mb * 1e6,
            worker_memory(executor),
            sum(file.n_events for file in metadata.files),
            executor.n_workers,
        )
    )
    log.info("%s", size.reason)
    return replace(metadata.cut(size.n_events), chunking=size.reason)


def worker_memory(executor: Executor) -> float:
    """Return the bytes that one worker may use: Dask's limit, else its share of the machine."""
    client: Any = getattr(executor, "client", None)
    if client is None:
        return float(psutil.virtual_memory().total / executor.n_workers)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [one["memory_limit"] / one["nthreads"] for one in workers if one["memory_limit"]]
    return float(min(limits, default=2e9))


def _columns(metadata: Metadata, processor: AnalysisProcessor) -> tuple[float, float] | None:
    """Measure bytes per event, in memory and stored, on the largest file of simulation.

    A damaged file is booked when it is processed; the next one tells as much. None: none does.
    """
    is_data = {name: task.is_data for name, task in processor.tasks.items()}
    files = sorted(metadata.files, key=lambda one: (is_data[one.dataset], -one.n_events))
    for file in files[:N_FILES]:
        try:
            return _columns_of(file, metadata, processor)
        except (BadContentError, OSError) as exc:
            log.debug("%s tells nothing of its columns: %s", file.lfn, exc)
    return None


def _columns_of(
    file: FileCount, metadata: Metadata, processor: AnalysisProcessor
) -> tuple[float, float]:
    tree_name = metadata.fileset[file.dataset].tree_name
    meter = ReadMeter()
    n_events = min(LOOK, file.n_events)
    events = open_source(file.pfn, tree_name).events(
        0, n_events, meter, {"dataset": file.dataset, "fileuuid": file.uuid}
    )
    processor.check(events)
    stored = sum(meter.columns.values()) / max(n_events, 1)
    if not file.pfn.endswith(".root"):
        return 3 * stored, stored
    with uproot.open({file.pfn: None}) as opened:
        branches = [opened[tree_name][name] for name in meter.columns]
        in_memory = sum(branch.uncompressed_bytes for branch in branches) / file.n_events
        return in_memory, sum(branch.compressed_bytes for branch in branches) / file.n_events
