"""The Dask executor: goes on when workers die, hang or leave, or the scheduler is out of reach."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import cloudpickle
from distributed import Client, Future, KilledWorker

from intccms.errors import ClusterLostError, WorkerLostError
from intccms.execution.accounting import Totals
from intccms.execution.dask.scheduler import NOTHING, Absence, Workers, gathered
from intccms.execution.dask.submissions import Attempt, Flight, Merging, Radio, Shipped, explained
from intccms.execution.failures import Patience, lost_worker
from intccms.execution.marks import Mark
from intccms.execution.parcel import Parcel

__all__ = ["DaskExecutor"]

log = logging.getLogger(__name__)

Item = TypeVar("Item")

AHEAD = 4  # tasks a thread has waiting, so that it never idles
TICK_S = 0.5  # between looks for what nobody announces: lost connections, tasks that hang
PAUSE_S = 0.02  # after one is finished, for others to join it: there are some waiting ahead
RUNS = 2  # of an item that hangs
CANCELLATIONS = 10  # of an item whose tasks went away with a connection or a restart
ASKED = 20  # times, at each tick, for what dead workers have left
NO_WORKER_S = 3600.0  # that there may be none
REPORT_S = 10.0  # a report comes before its result, or it does not come


class DaskExecutor:
    """Runs on the workers of a `distributed.Client`.

    Parameters
    ----------
    client
        Stays open.
    patience_s
        An item that runs longer is run on another worker too; the first answer wins. None: see
        `Patience`.
    no_worker_s
        How long there may be no worker at all.
    tell
        Shows a text as long as there is none; with an empty one, that it is over.
    """

    name = "dask"

    def __init__(
        self,
        client: Client,
        *,
        patience_s: float | None = None,
        no_worker_s: float = NO_WORKER_S,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.client, self.no_worker_s, self.tell = client, no_worker_s, tell
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

    def map(  # noqa: PLR0913
        self,
        function: Callable[..., Any],
        items: Iterable[Item],
        *,
        arguments: tuple[Any, ...] = (),
        totals: Totals | None = None,
        careful: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[tuple[Item, Any]]:
        """See `Executor.map`."""
        parcel = Parcel.pack(function, arguments)
        name = getattr(function, "__name__", "task")
        shipped = Shipped(parcel, is_split=totals is not None, name=name)
        patience = Patience(self.patience_s if timeout_s is None else timeout_s)
        run = _Run(self.client, shipped, totals, patience, careful=careful)
        waiting = iter(items)
        self._runs.append(run)
        try:
            yield from run.answers(waiting, Absence(run.workers, self.no_worker_s, self.tell))
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
        self,
        client: Client,
        shipped: Shipped,
        totals: Totals | None,
        patience: Patience,
        *,
        careful: bool,
    ) -> None:
        self.client, self.patience = client, patience
        self.shipped, self.careful = shipped, careful
        self.function: Future[Any] | None = None
        self.workers = Workers(self.client)
        self.woken = threading.Event()
        self.radio = Radio(self.client, self.woken.set)
        self.flights: dict[Flight, None] = {}  # in the order of their submission
        self.again: deque[Flight] = deque()
        self.merging: Merging | None = None
        if totals is not None:
            self.merging = Merging(self.workers, totals, 2 * patience.seconds)

    def answers(self, items: Iterator[Any], absence: Absence) -> Iterator[tuple[Any, Any]]:
        """Yield each item with its answer."""
        while self._is_connected():
            self._fill(items)
            if not self.flights and (self.merging is None or self.merging.is_finished()):
                return
            if self.woken.wait(TICK_S):
                time.sleep(PAUSE_S)
            self.woken.clear()
            absence.check()
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
            if winner.started is not None:
                self.patience.note(time.monotonic() - winner.started)
            self._land(flight, winner if has_sums else None)
            yield flight.item, result

    def _gone(self) -> Iterator[tuple[Any, Any]]:
        """Yield what Dask has given up; what was cancelled is submitted again.

        Raises
        ------
        Exception
            What the function raised, if it was that.
        """
        killed: dict[Flight, Attempt] = {}
        for flight in list(self.flights):
            for one in flight.attempts:
                if one.status == "error":
                    killed[flight] = one
            if flight in killed:
                continue
            for one in list(flight.attempts):
                if one.status == "cancelled" or one.is_mute(REPORT_S):
                    flight.attempts.remove(one)
                    self.radio.forget(one)
            if not flight.attempts:
                del self.flights[flight]
                if not self._repeated(flight):
                    yield flight.item, WorkerLostError(f"cancelled {flight.n_cancelled} times")
        yield from self._killed(killed)

    def _repeated(self, flight: Flight) -> bool:
        flight.n_cancelled += 1
        if flight.n_cancelled < CANCELLATIONS:
            self.again.append(flight)
        return flight.n_cancelled < CANCELLATIONS

    def _killed(self, killed: dict[Flight, Attempt]) -> Iterator[tuple[Any, Any]]:
        """Yield what has ended its workers; what only waited behind it is submitted again.

        Those who know what they left may take some time to come back.
        """
        if not killed:
            return
        for one in killed.values():
            error = one.future.exception()
            if not isinstance(error, KilledWorker):
                raise explained(error)
        left = self.workers.marks_of([one.key for one in killed.values()])
        for flight, one in killed.items():
            marks = left.get(one.key, [])
            is_innocent = not marks and (bool(left) or not flight.has_begun)
            if not marks and flight.has_begun and flight.n_asked < ASKED:
                flight.n_asked += 1
                continue
            self._land(flight)
            if not (is_innocent and self._repeated(flight)):
                mark = max(marks, key=lambda mark: bool(mark.function), default=Mark(0, "", ""))
                yield flight.item, lost_worker(mark, max(len(marks), 1))

    def _hanging(self) -> Iterator[tuple[Any, Any]]:
        """Submit elsewhere what runs for too long; yield what does so everywhere.

        What never began counts too when no worker says a word: it waits behind what hangs.
        """
        if not self.workers.threads:  # to have no worker is no reason to give anything up
            return
        now = time.monotonic()
        for flight in list(self.flights):
            flight.forget_gone(self.workers.threads)
            if now - flight.busy_since(self.radio.last_word) < self.patience.seconds:
                continue
            keys = [one.key for one in flight.attempts]
            others = self.workers.note_hanging(keys)
            if not flight.is_running and not self.workers.stuck:
                continue
            flight.n_late += 1
            left = [one for marks in self.workers.marks_of(keys).values() for one in marks]
            mark = max(left, key=lambda mark: bool(mark.function), default=Mark(0, "", ""))
            lost = lost_worker(mark, flight.n_late, hung=True)
            if flight.n_late == RUNS or lost.is_fault:
                self._land(flight)
                yield flight.item, lost
                return  # starting workers anew takes its time: look again what hangs
            log.warning("%s; it is run elsewhere", lost)
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
