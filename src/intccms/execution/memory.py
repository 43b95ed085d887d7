"""How much memory chunks take: one model for chunk sizes, batches and the forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil

from intccms.execution.executors import Executor

SIZES = (400_000, 300_000, 200_000, 150_000, 100_000, 75_000, 50_000, 30_000, 20_000)
PER_WORKER = 4  # chunks, at least: a few slow ones must not decide when the run ends
# Measured with `python -m benchmarks.memory`:
BASE_BYTES = 400e6  # a worker with all packages and some open files
COPIES = 6.0  # bytes in memory for each byte of a column
BYTES_PER_ROW = 600  # of an event in one object variation: peak memory of the chain
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


def worker_memory(executor: Executor) -> float:
    """Return the bytes that one worker may use: Dask's limit, else its share of the machine."""
    client: Any = getattr(executor, "client", None)
    if client is None:
        return float(psutil.virtual_memory().total / executor.n_workers)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [one["memory_limit"] / one["nthreads"] for one in workers if one["memory_limit"]]
    return float(min(limits, default=2e9))
