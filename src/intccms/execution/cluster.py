"""The Dask executor: goes on when workers die, hang or leave, or the scheduler is out of reach.

It uses no more of distributed than its public calls. The function travels as a task, not as
scattered data: where all workers that had it are gone, Dask makes it again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import cloudpickle
from distributed import Client, Future, KilledWorker, get_worker

from intccms.errors import ClusterLostError, WorkerLostError
from intccms.execution.merging import NOTHING, URGENT, Merging, gathered
from intccms.execution.totals import Totals

__all__ = ["DaskExecutor"]

log = logging.getLogger(__name__)

Item = TypeVar("Item")

AHEAD = 4  # tasks a thread has waiting, so that it never idles
TICK_S = 0.5  # between looks for what nobody announces: lost connections, tasks that hang
PATIENCE_S = 600.0  # a task that runs longer hangs, and is run elsewhere too
RUNS = 3  # of an item that hangs
CANCELLATIONS = 10  # of an item whose tasks went away with a connection or a restart


class DaskExecutor:
    """Runs on the workers of a `distributed.Client`.

    Parameters
    ----------
    client
        Stays open.
    patience_s
        An item that runs longer is run on another worker too; the first answer wins.
    """

    name = "dask"

    def __init__(self, client: Client, *, patience_s: float = PATIENCE_S) -> None:
        self.client = client
        self.patience_s = patience_s

    @property
    def n_workers(self) -> int:
        """Threads of all workers; 1 where there is none, or nobody answers."""
        return max(sum(self.threads().values()), 1)

    def threads(self) -> dict[str, int]:
        """Return the number of threads of each worker."""
        try:
            threads: dict[str, int] = self.client.nthreads()
        except (OSError, TimeoutError):
            return {}
        return threads

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Item],
        *,
        arguments: tuple[Any, ...] = (),
        totals: Totals | None = None,
        careful: bool = False,
    ) -> Iterator[tuple[Item, Any]]:
        """See `Executor.map`."""
        run = _Run(self, (function, arguments), totals, careful=careful)
        waiting = iter(items)
        try:
            yield from run.answers(waiting)
        except Exception:
            if self.client.status not in ("closing", "closed"):
                raise
            yield from run.all_lost(waiting)
        finally:
            run.close()


@dataclass(eq=False)
class _Try:
    """One submission of an item."""

    token: str
    work: Future[Any]
    answer: Future[
        Any
    ]  # what the client asks for; with totals, `work` keeps the sums on the worker

    def release(self) -> None:
        self.answer.release()
        if self.work is not self.answer:
            self.work.release()


@dataclass(eq=False)
class _Flight:
    """One item on its way."""

    item: Any
    tries: list[_Try] = field(default_factory=list)
    n_cancelled: int = 0


class _Run:
    """One call of `DaskExecutor.map`."""

    def __init__(
        self,
        executor: DaskExecutor,
        shipped: tuple[Callable[..., Any], tuple[Any, ...]],
        totals: Totals | None,
        *,
        careful: bool,
    ) -> None:
        self.executor, self.client = executor, executor.client
        self.careful = careful
        self.name = getattr(shipped[0], "__name__", "task")
        self.payload = cloudpickle.dumps(shipped)
        self.topic = f"intccms-{uuid4().hex}"
        self.started: dict[str, float] = {}  # token of a try -> when it began
        self.flights: dict[_Flight, None] = {}  # in the order of their submission
        self.again: deque[_Flight] = deque()
        self.woken = threading.Event()
        self.room, self.room_until = 1, 0.0
        self.merging: Merging | None = None
        if totals is not None:
            self.merging = Merging(self.client, totals, RUNS * executor.patience_s)
        self.shipped: Future[Any] | None = None

    def answers(self, items: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield each item with its answer."""
        while self._is_connected():
            self._fill(items)
            if not self.flights and (self.merging is None or self.merging.is_finished()):
                return
            self.woken.wait(TICK_S)
            self.woken.clear()
            yield from self._finished()
            yield from self._gone()
            yield from self._hanging()
            if self.merging is not None:
                self.merging.advance()
        yield from self.all_lost(items)

    def all_lost(self, items: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield everything that is left: there is nobody to run it."""
        lost = ClusterLostError("the connection to the scheduler is lost, and did not come back")
        while self.flights or self.again:
            flight = self.again.popleft() if self.again else self.flights.popitem()[0]
            yield flight.item, lost
        for item in items:
            yield item, lost

    def _is_connected(self) -> bool:
        """Wait while the client looks for its scheduler; False: it has given up."""
        while self.client.status == "connecting":
            time.sleep(TICK_S / 10)
        if self.client.status != "running":
            return False
        if self.shipped is None or self.shipped.status == "cancelled":
            if self.shipped is not None:
                log.warning("the scheduler knows this run no more: what was running is sent again")
            key = f"function-{uuid4().hex}"
            self.shipped = self.client.submit(cloudpickle.loads, self.payload, key=key)
            self.client.subscribe_topic(self.topic, self._note_start)
        return True

    def _note_start(self, event: tuple[float, str]) -> None:
        self.started[event[1]] = time.monotonic()

    def _fill(self, items: Iterator[Any]) -> None:
        room = self._room()
        while len(self.flights) < room:
            if self.again:
                flight = self.again.popleft()
            else:
                try:
                    flight = _Flight(next(items))
                except StopIteration:
                    return
            self.flights[flight] = None  # before it is submitted: whatever happens, it counts
            flight.tries.append(self._submit(flight.item))

    def _room(self) -> int:
        """How many items may be on their way; workers come and go."""
        if time.monotonic() > self.room_until:
            threads = self.executor.threads()
            n = len(threads) if self.careful else AHEAD * sum(threads.values())
            self.room, self.room_until = max(n, 1), time.monotonic() + TICK_S
        return self.room

    def _submit(self, item: Any, workers: list[str] | None = None) -> _Try:
        token = uuid4().hex
        work = answer = self.client.submit(
            _call, self.shipped, item, (self.topic, token), key=f"{self.name}-{token}",
            workers=workers, allow_other_workers=bool(workers),
        )  # fmt: skip
        if self.merging is not None:
            answer = self.client.submit(_report, work, key=f"report-{token}", priority=URGENT)
        answer.add_done_callback(lambda _: self.woken.set())
        return _Try(token, work, answer)

    def _finished(self) -> Iterator[tuple[Any, Any]]:
        done = [
            (flight, one)
            for flight in self.flights
            for one in flight.tries
            if one.answer.status == "finished"
        ]
        results = gathered(self.client, [one.answer for _, one in done])
        for (flight, one), result in zip(done, results, strict=True):
            if flight not in self.flights or result is NOTHING:
                continue
            if self.merging is not None:
                result, has_sums = result
                if has_sums:
                    self.merging.add(flight.item, one.work)
                    one.work = one.answer  # the sums stay, only the report is released
            self._land(flight)
            yield flight.item, result

    def _gone(self) -> Iterator[tuple[Any, Any]]:
        """Yield what Dask has given up; what was cancelled is submitted again."""
        for flight in list(self.flights):
            failed = [one for one in flight.tries if one.answer.status == "error"]
            flight.tries = [one for one in flight.tries if one.answer.status != "cancelled"]
            if failed:
                error = _error_of(failed[0].answer)
                self._land(flight)
                yield flight.item, error
            elif not flight.tries:
                del self.flights[flight]
                flight.n_cancelled += 1
                if flight.n_cancelled < CANCELLATIONS:
                    self.again.append(flight)
                else:
                    yield flight.item, WorkerLostError(f"cancelled {flight.n_cancelled} times")

    def _hanging(self) -> Iterator[tuple[Any, Any]]:
        """Submit elsewhere what runs for too long; yield what does so everywhere."""
        now, patience_s = time.monotonic(), self.executor.patience_s
        for flight in list(self.flights):
            since = [self.started.get(one.token, now) for one in flight.tries]
            if now - max(since) < patience_s:
                continue
            if len(since) < RUNS:
                log.warning("a task runs for more than %g s: it is run elsewhere", patience_s)
                flight.tries.append(self._submit(flight.item, self._others(flight)))
            else:
                self._land(flight)
                hung = f"it hung on {RUNS} workers, for {now - min(since):.0f} s"
                yield flight.item, WorkerLostError(hung)

    def _others(self, flight: _Flight) -> list[str] | None:
        """Workers that are not busy with it."""
        keys = {one.work.key for one in flight.tries}
        try:
            processing = self.client.processing()
        except (OSError, TimeoutError):
            return None
        others = [worker for worker, theirs in processing.items() if keys.isdisjoint(theirs)]
        return others or None

    def _land(self, flight: _Flight) -> None:
        """Take an item off the list and off the cluster."""
        self.flights.pop(flight, None)
        for one in flight.tries:
            self.started.pop(one.token, None)
            one.release()

    def close(self) -> None:
        """Take everything off the cluster that is still there."""
        if self.client.status == "running":
            self.client.unsubscribe_topic(self.topic)
            for flight in list(self.flights):
                self._land(flight)
            if self.merging is not None:
                self.merging.close()


def _error_of(answer: Future[Any]) -> WorkerLostError:
    """Say that the workers died.

    Raises
    ------
    Exception
        What the function raised, if it was that.
    """
    error = answer.exception()
    if isinstance(error, KilledWorker):
        where = getattr(error.last_worker, "address", error.last_worker)
        return WorkerLostError(f"the workers that ran it died, the last one at {where}")
    raise error


def _call(shipped: tuple[Any, ...], item: Any, names: tuple[str, str]) -> Any:
    """Run on a worker: say that it begins, and do it."""
    topic, token = names
    get_worker().log_event(topic, token)
    function, arguments = shipped
    return function(item, *arguments)


def _report(result: tuple[Any, Any]) -> tuple[Any, bool]:
    """Run on a worker: leave the sums there, and say whether there are any."""
    report, sums = result
    return report, sums is not None
