"""The Dask executor: goes on when workers die, hang or leave, or the scheduler is out of reach."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import cloudpickle
from distributed import Client, Future

from intccms.errors import ClusterLostError, WorkerLostError
from intccms.execution.dask.flights import Attempt, Flight, Radio, Shipped, error_of
from intccms.execution.dask.merging import Merging
from intccms.execution.dask.scheduler import NOTHING, Workers, gathered
from intccms.execution.totals import Totals
from intccms.execution.travel import Parcel

__all__ = ["DaskExecutor"]

log = logging.getLogger(__name__)

Item = TypeVar("Item")

AHEAD = 4  # tasks a thread has waiting, so that it never idles
TICK_S = 0.5  # between looks for what nobody announces: lost connections, tasks that hang
PAUSE_S = 0.02  # after one is finished, for others to join it: there are some waiting ahead
PATIENCE_S = 1800.0  # a task that runs longer hangs (reads give up long before)
RUNS = 3  # of an item that hangs
CANCELLATIONS = 10  # of an item whose tasks went away with a connection or a restart
REPORT_S = 10.0  # a report comes before its result, or it does not come


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
        self._runs: list[_Run] = []

    def close(self) -> None:
        """Take off the cluster what nobody waits for any more, as after an interrupt."""
        while self._runs:
            self._runs.pop().close()

    @property
    def n_workers(self) -> int:
        """Threads of all workers; 1 where there is none, or nobody answers."""
        return max(sum(Workers(self.client).threads.values()), 1)

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
        parcel = Parcel.pack(function, arguments)
        name = getattr(function, "__name__", "task")
        shipped = Shipped(parcel, is_split=totals is not None, name=name)
        run = _Run(self, shipped, totals, careful=careful)
        waiting = iter(items)
        self._runs.append(run)
        try:
            yield from run.answers(waiting)
        except Exception:
            if self.client.status not in ("closing", "closed"):
                raise
            yield from run.all_lost(waiting)
        finally:
            run.close()
            if run in self._runs:
                self._runs.remove(run)


class _Run:
    """One call of `DaskExecutor.map`."""

    def __init__(
        self, executor: DaskExecutor, shipped: Shipped, totals: Totals | None, *, careful: bool
    ) -> None:
        self.client, self.patience_s = executor.client, executor.patience_s
        self.shipped, self.careful = shipped, careful
        self.function: Future[Any] | None = None
        self.workers = Workers(self.client)
        self.woken = threading.Event()
        self.radio = Radio(self.client, self.woken.set)
        self.flights: dict[Flight, None] = {}  # in the order of their submission
        self.again: deque[Flight] = deque()
        self.merging: Merging | None = None
        if totals is not None:
            self.merging = Merging(self.workers, totals, 2 * self.patience_s)

    def answers(self, items: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield each item with its answer."""
        while self._is_connected():
            self._fill(items)
            if not self.flights and (self.merging is None or self.merging.is_finished()):
                return
            if self.woken.wait(TICK_S):
                time.sleep(PAUSE_S)
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
        if self.function is None or self.function.status in ("cancelled", "error"):
            if self.function is not None and self.function.status == "cancelled":
                log.warning("the scheduler knows this run no more: what was running is sent again")
            self.function = self.shipped.to_task(self.client)
            self.radio.listen()
        return True

    def _fill(self, items: Iterator[Any]) -> None:
        threads = self.workers.threads
        room = len(threads) if self.careful else AHEAD * sum(threads.values())
        new: list[Flight] = []
        while len(self.flights) < max(room, 1):
            if self.again:
                flight = self.again.popleft()
            else:
                try:
                    flight = Flight(next(items))
                except StopIteration:
                    break
            self.flights[flight] = None  # before it is submitted: whatever happens, it counts
            new.append(flight)
        _submit(self, new, self.workers.free())

    def _finished(self) -> Iterator[tuple[Any, Any]]:
        done = [
            (flight, one)
            for flight in self.flights
            for one in flight.attempts
            if one.status == "finished"
        ]
        if self.merging is None:
            results = gathered(self.client, [one.future for _, one in done])
        else:
            results = [_reported(one) for _, one in done]
        for (flight, winner), result in zip(done, results, strict=True):
            if flight not in self.flights or result is NOTHING:
                continue
            has_sums = False
            if self.merging is not None:
                result, has_sums = result
                if has_sums:
                    self.merging.add(flight.item, winner.future, winner.worker)
            self._land(flight, winner if has_sums else None)
            yield flight.item, result

    def _gone(self) -> Iterator[tuple[Any, Any]]:
        """Yield what Dask has given up; what was cancelled is submitted again."""
        for flight in list(self.flights):
            failed = [one for one in flight.attempts if one.status == "error"]
            if failed:
                error = error_of(failed[0].future)
                self._land(flight)
                yield flight.item, error
                continue
            for one in list(flight.attempts):
                if one.status == "cancelled" or one.is_mute(REPORT_S):
                    flight.attempts.remove(one)
                    self.radio.forget(one)
            if not flight.attempts:
                del self.flights[flight]
                flight.n_cancelled += 1
                if flight.n_cancelled < CANCELLATIONS:
                    self.again.append(flight)
                else:
                    yield flight.item, WorkerLostError(f"cancelled {flight.n_cancelled} times")

    def _hanging(self) -> Iterator[tuple[Any, Any]]:
        """Submit elsewhere what runs for too long; yield what does so everywhere.

        What never began counts too when no worker says a word: it waits behind what hangs.
        """
        if not self.workers.threads:  # to have no worker is no reason to give anything up
            return
        now = time.monotonic()
        for flight in list(self.flights):
            if now - flight.busy_since(self.radio.last_word) < self.patience_s:
                continue
            others = self.workers.note_hanging(one.key for one in flight.attempts)
            if not flight.has_begun and not self.workers.stuck:
                continue
            flight.n_late += 1
            if flight.n_late == RUNS:
                self._land(flight)
                hung = f"it hung, and was given {RUNS} times {self.patience_s:g} s"
                yield flight.item, WorkerLostError(hung)
                return  # starting workers anew takes its time: look again what hangs
            log.warning("a task runs for more than %g s: it is run elsewhere", self.patience_s)
            if others:
                _submit(self, [flight], others)
            else:
                self._retire(flight)
                _submit(self, [flight], self.workers.free())
                return

    def _land(self, flight: Flight, winner: Attempt | None = None) -> None:
        """Take an item off the list and, but for the sums of the winner, off the cluster."""
        self.flights.pop(flight, None)
        self._retire(flight, winner)

    def _retire(self, flight: Flight, winner: Attempt | None = None) -> None:
        """Forget all attempts, and start the workers anew that hang because of them."""
        for one in flight.attempts:
            self.radio.forget(one, keep=one is winner)
        flight.attempts = []
        if flight.n_late:
            self.workers.restart_stuck()

    def close(self) -> None:
        """Take everything off the cluster that is still there."""
        if self.client.status == "running":
            self.radio.close()
            for flight in list(self.flights):
                self._land(flight)
            if self.merging is not None:
                self.merging.close()
            if self.function is not None:
                self.function.release()


def _submit(run: _Run, flights: list[Flight], workers: list[str]) -> None:
    """Submit items together: each message to the scheduler costs it a millisecond."""
    if not flights:
        return
    assert run.function is not None
    name = run.shipped.name
    attempts = run.radio.submit(name, run.function, [one.item for one in flights], workers)
    for flight, attempt in zip(flights, attempts, strict=True):
        flight.attempts.append(attempt)


def _reported(attempt: Attempt) -> Any:
    return NOTHING if attempt.report is None else cloudpickle.loads(attempt.report)
