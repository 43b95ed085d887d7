"""What is known of a run while it goes on: the one thing that all dashboards are drawn from.

Fed by receipts and samples: live by an observer, on the scheduler by events, or from a saved
measurement afterwards. Touches nothing else.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from intccms.metrics.worker_tracker import Sample, Timeline, WorkerLoad
from intccms.receipts import ChunkStatus, Receipt

__all__ = ["DatasetState", "RunState"]

N_SLOW = 8  # slowest chunks that are kept


@dataclass
class DatasetState:
    """How far one dataset has come; events of chunks."""

    n_planned: int = 0
    n_chunks: int = 0
    n_done: int = 0
    n_resumed: int = 0
    n_failed: int = 0
    n_unopened: int = 0  # files

    @property
    def n_left(self) -> int:
        """Events of which no receipt has come."""
        return max(self.n_planned - self.n_done - self.n_resumed - self.n_failed, 0)


@dataclass
class RunState:
    """A run as it is known now.

    Parameters
    ----------
    target_gbps
        Data rate to compare with.
    datasets
        In the order in which they are processed.
    started, ended
        Seconds since the epoch; None: not yet.
    """

    target_gbps: float = 200.0
    notice: str = ""  # what holds the run up now
    datasets: dict[str, DatasetState] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    chunks: Counter[ChunkStatus] = field(default_factory=Counter)
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    timeline: Timeline = field(default_factory=Timeline)
    loads: list[WorkerLoad] = field(default_factory=list)
    # of each chunk that was processed in this run
    finished: array[float] = field(default_factory=lambda: array("d"))
    wall_s: array[float] = field(default_factory=lambda: array("d"))
    n_events: array[int] = field(default_factory=lambda: array("q"))
    n_bytes: array[int] = field(default_factory=lambda: array("q"))
    _slow: list[tuple[float, int, Receipt]] = field(default_factory=list)

    def begin(self, parts: Mapping[str, Sequence[int]], now: float) -> None:
        """Begin anew with a plan: events of each chunk, by dataset."""
        fresh = RunState(self.target_gbps, started=now)
        fresh.datasets = {
            name: DatasetState(sum(sizes), len(sizes)) for name, sizes in parts.items()
        }
        self.__dict__.update(fresh.__dict__)

    def take(self, receipt: Receipt, now: float) -> None:
        """Take a receipt that came now, or long ago."""
        dataset = self.datasets.setdefault(receipt.dataset, DatasetState())
        if receipt.is_unopened:
            dataset.n_unopened += 1
        else:
            self.chunks[receipt.status] += 1
        n = receipt.n_planned
        if receipt.status.is_resumed:
            dataset.n_resumed += n
            return
        if receipt.status.is_lost:
            dataset.n_failed += n
            place = (receipt.error_type, receipt.host or receipt.redirector, receipt.stage)
            self.failures[place] += 1
            return
        dataset.n_done += n
        end = receipt.started + receipt.wall_s if receipt.started else now
        self.finished.append(min(max(end, self.started or end), now))
        self.wall_s.append(receipt.wall_s)
        self.n_events.append(receipt.n_events)
        self.n_bytes.append(receipt.bytes_read)
        slow = (receipt.wall_s, len(self.wall_s), receipt)
        if len(self._slow) < N_SLOW:
            heapq.heappush(self._slow, slow)
        else:
            heapq.heappushpop(self._slow, slow)

    def watch(self, samples: Iterable[Sample], loads: Sequence[WorkerLoad]) -> None:
        """Take samples of the workers."""
        self.timeline.add(samples, loads)
        self.loads = list(loads) or self.loads

    def end(self, now: float) -> None:
        """Note that the run is over."""
        self.ended = now

    @property
    def n_chunks(self) -> int:
        """Chunks that were planned."""
        planned = sum(dataset.n_chunks for dataset in self.datasets.values())
        return max(planned, sum(self.chunks.values()))

    @property
    def n_lost(self) -> int:
        """Chunks that have failed."""
        return sum(n for status, n in self.chunks.items() if status.is_lost)

    @property
    def n_unopened(self) -> int:
        """Files that are lost as they never opened: how many chunks they have is not known."""
        return sum(dataset.n_unopened for dataset in self.datasets.values())

    @property
    def n_busy(self) -> int:
        """Threads that were busy when somebody looked last; none after the run."""
        samples = self.timeline.samples
        return samples[-1].n_executing if samples and self.ended is None else 0

    @property
    def busy_since(self) -> float | None:
        """When the first of the chunks began that are running, as far as can be told."""
        if not self.n_busy or self.started is None:
            return None
        last = max(self.finished, default=self.started)
        idle = (one.t for one in reversed(self.timeline.samples) if not one.n_executing)
        return max(self.started, last, next(idle, self.started))

    @property
    def slowest(self) -> list[Receipt]:
        """The slowest chunks, slowest first."""
        return [receipt for *_, receipt in sorted(self._slow, reverse=True)]

    def clock(self, now: float) -> float:
        """Return the time that the run has come to: it stops when the run ends."""
        return now if self.ended is None else self.ended
