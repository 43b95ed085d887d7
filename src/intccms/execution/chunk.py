"""The chunk function: opens, reads and processes one work item, and always returns a receipt."""

from __future__ import annotations

import os
import random
import resource
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlparse

import awkward as ak
from coffea.processor.executor import WorkItem

from intccms.execution.failures import classify, describe
from intccms.execution.reading import ReadMeter, forget, open_source
from intccms.receipts import Receipt

__all__ = ["ChunkOutcome", "ChunkTask", "Processor", "run_chunk"]

BACKOFF_S = 0.5  # before the second try; doubled for each further one


class Processor(Protocol):
    """What the chunk function needs of a processor."""

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Turn events into sums."""


@dataclass(frozen=True)
class ChunkTask:
    """One work item and every place where its file can be opened, best first."""

    item: WorkItem
    pfns: tuple[str, ...]


@dataclass(frozen=True)
class ChunkOutcome:
    """What became of a chunk.

    Parameters
    ----------
    sums
        What the processor returned; None if the chunk failed.
    receipt
        Always there.
    trace
        The user's traceback when a user function failed.
    """

    sums: dict[str, Any] | None
    receipt: Receipt
    trace: str = ""


def run_chunk(task: ChunkTask, processor: Processor, max_retries: int = 3) -> ChunkOutcome:
    """Process one work item; no exception leaves this function but KeyboardInterrupt.

    Parameters
    ----------
    task
        What to read.
    processor
        What to do with it.
    max_retries
        Tries after the first for failures that may pass, each at the next place of the file.
    """
    started, clock = time.time(), time.perf_counter()
    outcome = ChunkOutcome(None, Receipt("", "", "", 0, 0, "failed"))
    for n_try, pfn in enumerate(_places(task.pfns, max_retries), start=1):
        attempt = _Attempt(task.item, pfn, n_try, started, clock)
        try:
            return attempt.run(processor)
        except Exception as exc:  # noqa: BLE001 - sorted by class, kept in the receipt
            outcome = attempt.failed(exc)
            kind = classify(exc, attempt.stage)
        forget(pfn, task.item.treename)
        if kind in ("user", "memory") or (kind == "permanent" and n_try >= len(task.pfns)):
            return outcome
        if n_try <= max_retries:
            pause = BACKOFF_S * 2 ** (n_try - 1)
            time.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - only spreads the load
    return outcome


def _places(pfns: tuple[str, ...], max_retries: int) -> Iterator[str]:
    for n in range(max_retries + 1):
        yield pfns[n % len(pfns)]


class _Attempt:
    """One try to process a chunk; knows at which stage it is."""

    def __init__(self, item: WorkItem, pfn: str, n_try: int, started: float, clock: float) -> None:
        self.item, self.pfn, self.n_try = item, pfn, n_try
        self.started, self.clock = started, clock
        self.stage = "open"
        self.meter = ReadMeter()
        self.open_s = 0.0

    def run(self, processor: Processor) -> ChunkOutcome:
        item, begin = self.item, time.perf_counter()
        source = open_source(self.pfn, item.treename)
        if source.uuid and item.fileuuid and source.uuid != item.fileuuid:
            raise ValueError(
                f"{self.pfn} has uuid {source.uuid}, the metadata says {item.fileuuid}: "
                "it was replaced; make the metadata anew"
            )
        self.open_s = time.perf_counter() - begin
        self.stage = "read"
        bytes_before, begin = source.bytes_requested, time.perf_counter()
        metadata = {
            "dataset": item.dataset,
            "filename": item.filename,
            "fileuuid": item.fileuuid,
            "entrystart": item.entrystart,
            "entrystop": item.entrystop,
        }
        events = source.events(item.entrystart, item.entrystop, self.meter, metadata)
        form_s = time.perf_counter() - begin
        self.stage = "process"
        begin = time.perf_counter()
        sums = processor.process(events)
        process_s = time.perf_counter() - begin - self.meter.read_s - sums["fill_s"]
        self.meter.bytes_read = source.bytes_requested - bytes_before
        receipt = self._receipt(
            status="done",
            n_events=sums["n_events"],
            n_kept=sums["n_kept"],
            sumw=sums["sumw"].value,
            read_s=self.meter.read_s + form_s,
            process_s=process_s,
            fill_s=sums["fill_s"],
        )
        return ChunkOutcome(sums, receipt)

    def failed(self, exc: Exception) -> ChunkOutcome:
        trace = ""
        if classify(exc, self.stage) == "user":
            cause = exc.__cause__ or exc
            trace = "".join(traceback.format_exception(cause))
        receipt = self._receipt(
            status="failed",
            stage=self.stage,
            error_type=type(exc).__name__,
            error=describe(exc),
        )
        return ChunkOutcome(None, receipt, trace)

    def _receipt(self, **fields: Any) -> Receipt:
        place = urlparse(self.pfn)
        return Receipt(
            dataset=self.item.dataset,
            file=self.item.filename,
            uuid=self.item.fileuuid,
            entry_start=self.item.entrystart,
            entry_stop=self.item.entrystop,
            tries=self.n_try,
            host=socket.gethostname(),
            worker=str(os.getpid()),
            redirector=f"{place.scheme}://{place.netloc}" if place.netloc else "",
            bytes_read=self.meter.bytes_read,
            open_s=self.open_s,
            wall_s=time.perf_counter() - self.clock,
            rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            started=self.started,
            **fields,
        )
