"""The chunk function: opens, reads and processes one work item, and always returns a receipt."""

from __future__ import annotations

import logging
import os
import random
import resource
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlparse

import awkward as ak
from coffea.processor import accumulate
from coffea.processor.executor import WorkItem

from intccms.datasets.places import best_first, note_failure
from intccms.execution.failures import FailureKind, classify, describe, is_read_failure
from intccms.partials.store import PartialStore
from intccms.reading.source import ReadMeter, forget, open_source
from intccms.receipts import Receipt

__all__ = ["ChunkOutcome", "ChunkPolicy", "ChunkTask", "Processor", "joined", "keep", "run_chunk"]

log = logging.getLogger(__name__)

TIMES = ("open_s", "read_s", "process_s", "fill_s", "wall_s")
BACKOFF_S = 0.5  # before the second try; doubled for each further one


class Processor(Protocol):
    """What the chunk function needs of a processor."""

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Turn events into sums."""


@dataclass(frozen=True)
class ChunkTask:
    """One work item and every place where its file can be opened, best first.

    Parameters
    ----------
    key
        Of its result in the store; None if the result cannot be reused.
    part
        Entries that are processed, of those of the item; None: all of them.
    """

    item: WorkItem
    pfns: tuple[str, ...]
    key: str | None = None
    part: tuple[int, int] | None = None

    @property
    def work(self) -> WorkItem:
        """What is processed: the item or its part."""
        if self.part is None:
            return self.item
        return replace(self.item, entrystart=self.part[0], entrystop=self.part[1])


@dataclass(frozen=True)
class ChunkPolicy:
    """How chunks are treated.

    Parameters
    ----------
    max_retries
        Tries after the first for failures that may pass, each at the next place of the file.
    store
        Where results are kept; None: nowhere.
    reuse
        Whether a result that is there is taken.
    """

    max_retries: int = 3
    store: PartialStore | None = None
    reuse: bool = True


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
    may_pass
        Whether a failure may be gone at the end of the run.
    """

    sums: dict[str, Any] | None
    receipt: Receipt
    trace: str = ""
    may_pass: bool = False


def run_chunk(task: ChunkTask, processor: Processor, policy: ChunkPolicy) -> ChunkOutcome:
    """Process one work item; no exception leaves this function but KeyboardInterrupt.

    A finished chunk is stored before it is reported, so that a run that is killed at any point
    finds it again. A chunk for which the memory does not suffice is halved.
    """
    known = _stored(task, policy)
    if known is not None:
        return known
    outcome = _tried(task, task.work, processor, policy)
    keep(task, outcome, policy)
    return outcome


def keep(task: ChunkTask, outcome: ChunkOutcome, policy: ChunkPolicy) -> None:
    """Store the result of a whole chunk for later runs."""
    if outcome.sums is None or policy.store is None or task.key is None or task.part is not None:
        return
    try:
        policy.store.save(task.key, {"sums": outcome.sums, "receipt": asdict(outcome.receipt)})
    except OSError as exc:  # the result is good all the same, only not kept
        log.warning("cannot keep the result of a chunk of %s: %s", task.item.filename, exc)


def _stored(task: ChunkTask, policy: ChunkPolicy) -> ChunkOutcome | None:
    if policy.store is None or task.key is None or task.part is not None or not policy.reuse:
        return None
    saved = policy.store.load(task.key)
    if saved is None:
        return None
    # the file may have another name by now; the events are the same, its uuid says so
    receipt = replace(Receipt(**saved["receipt"]), status="resumed", file=task.item.filename)
    return ChunkOutcome(saved["sums"], receipt)


def _tried(
    task: ChunkTask, item: WorkItem, processor: Processor, policy: ChunkPolicy
) -> ChunkOutcome:
    """Try until it succeeds or cannot; `item` is that of the task or a part of it."""
    started, clock = time.time(), time.perf_counter()
    outcome = ChunkOutcome(None, Receipt("", "", "", 0, 0, "failed"))
    kind: FailureKind = "permanent"
    for n_try, pfn in enumerate(_places(task.pfns, policy.max_retries), start=1):
        attempt = _Attempt(item, pfn, n_try, started=started, clock=clock)
        try:
            return attempt.run(processor, task.item.entrystart)
        except Exception as exc:  # noqa: BLE001 - sorted by class, kept in the receipt
            outcome = attempt.failed(exc)
            kind = classify(exc, attempt.stage)
            if kind == "transient":
                note_failure(pfn, exc)
        forget(pfn, item.treename)
        if kind == "memory" and len(item) > 1:
            return _halved(task, item, processor, policy)
        if kind in ("user", "memory") or (kind == "permanent" and n_try >= len(task.pfns)):
            return outcome
        if n_try <= policy.max_retries:
            pause = BACKOFF_S * 2 ** (n_try - 1)
            time.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - only spreads the load
    return replace(outcome, may_pass=kind == "transient")


def _halved(
    task: ChunkTask, item: WorkItem, processor: Processor, policy: ChunkPolicy
) -> ChunkOutcome:
    middle = (item.entrystart + item.entrystop) // 2
    parts: list[ChunkOutcome] = []
    for start, stop in ((item.entrystart, middle), (middle, item.entrystop)):
        half = replace(item, entrystart=start, entrystop=stop)
        parts.append(_tried(task, half, processor, policy))
        if parts[-1].sums is None:
            break
    return joined(item, parts)


def joined(item: WorkItem, parts: list[ChunkOutcome]) -> ChunkOutcome:
    """Make the outcome of `item` from those of its parts; it fails if one of them has failed."""
    for part in parts:
        if part.sums is None:
            return replace(part, receipt=_over(part.receipt, item))
    receipts = [part.receipt for part in parts]
    summed = {
        name: sum(getattr(receipt, name) for receipt in receipts)
        for name in ("n_events", "n_kept", "bytes_read", *TIMES)
    }
    sums = accumulate([part.sums for part in parts])
    tries = max(receipt.tries for receipt in receipts) + 1
    receipt = replace(receipts[0], **summed, tries=tries, sumw=sums["sumw"].value)
    return ChunkOutcome(sums, _over(receipt, item))


def _over(receipt: Receipt, item: WorkItem) -> Receipt:
    """Let the receipt of a part speak for the whole."""
    return replace(receipt, entry_start=item.entrystart, entry_stop=item.entrystop)


def _places(pfns: tuple[str, ...], max_retries: int) -> Iterator[str]:
    ordered = best_first(pfns)
    for n in range(max_retries + 1):
        yield ordered[n % len(ordered)]


class _Attempt:
    """One try to process a chunk; knows at which stage it is."""

    def __init__(
        self, item: WorkItem, pfn: str, n_try: int, *, started: float, clock: float
    ) -> None:
        self.item, self.pfn, self.n_try = item, pfn, n_try
        self.started, self.clock = started, clock
        self.stage = "open"
        self.meter = ReadMeter()
        self.open_s = 0.0

    def run(self, processor: Processor, seed_entry: int) -> ChunkOutcome:
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
            "entrystart": seed_entry,  # a half draws the random numbers of the whole
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
            stage="read" if is_read_failure(exc) and self.stage == "process" else self.stage,
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
