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
from intccms.execution.dask.submissions import (
    Attempt,
    Job,
    Merging,
    ReportChannel,
    SentFunction,
    explained,
)
from intccms.execution.failures import Patience, lost_worker
from intccms.execution.marks import Mark
from intccms.execution.parcel import Parcel

log = logging.getLogger(__name__)

Item = TypeVar("Item")

AHEAD = 4  # tasks a thread has waiting, so that it never idles
TICK_S = 0.5  # between looks for what nobody announces: lost connections, tasks that hang
PAUSE_S = 0.02  # after one is finished, for others to join it: there are some waiting ahead
RUNS = 2  # of an item that hangs
CANCELLATIONS = 10  # of an item whose tasks went away with a connection or a restart
ASKED = 20  # times, at each tick, for what dead workers have left
NO_WORKER_S = 3600.0  # that there may be none
NO_MARK = Mark(0, "", "")
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
        sent = SentFunction(parcel, is_split=totals is not None, name=name)
        patience = Patience(self.patience_s if timeout_s is None else timeout_s)
        run = _Run(self.client, sent, totals, patience, careful=careful)
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
        sent: SentFunction,
        totals: Totals | None,
        patience: Patience,
        *,
        careful: bool,
    ) -> None:
        self.client, self.patience = client, patience
        self.sent, self.careful = sent, careful
        self.function: Future[Any] | None = None
        self.workers = Workers(self.client)
        self.woken = threading.Event()
        self.channel = ReportChannel(self.client, self.woken.set)
        self.jobs: dict[Job, None] = {}  # in the order of their submission
        self.again: deque[Job] = deque()
        self.leaves_marks = False  # what ends its worker is known by them, once one was seen
        self.merging: Merging | None = None
        if totals is not None:
            self.merging = Merging(self.workers, totals, 2 * patience.seconds)

    def answers(self, items: Iterator[Any], absence: Absence) -> Iterator[tuple[Any, Any]]:
        """Yield each item with its answer."""
        while self._is_connected():
            self._fill(items)
            if not self.jobs and (self.merging is None or self.merging.is_finished()):
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
        while self.jobs or self.again:
            job = self.again.popleft() if self.again else self.jobs.popitem()[0]
            yield job.item, lost
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
            self.function = self.sent.to_task(self.client)
            self.channel.listen()
        return True

    def _fill(self, items: Iterator[Any]) -> None:
        threads = self.workers.threads
        room = len(threads) if self.careful else AHEAD * sum(threads.values())
        new: list[Job] = []
        while len(self.jobs) < max(room, 1):
            if self.again:
                job = self.again.popleft()
            else:
                try:
                    job = Job(next(items))
                except StopIteration:
                    break
            self.jobs[job] = None  # before it is submitted: whatever happens, it counts
            new.append(job)
        _submit(self, new, self.workers.free())

    def _finished(self) -> Iterator[tuple[Any, Any]]:
        done = [(job, one) for job in self.jobs for one in job.attempts if one.status == "finished"]
        if self.merging is None:
            results = gathered(self.client, [one.future for _, one in done])
        else:
            told = [one.report for _, one in done]
            results = [NOTHING if one is None else cloudpickle.loads(one) for one in told]
        for (job, winner), result in zip(done, results, strict=True):
            if job not in self.jobs or result is NOTHING:
                continue
            has_sums = False
            if self.merging is not None:
                result, has_sums = result
                if has_sums:
                    self.merging.add(job.item, winner.future, winner.worker)
            if winner.started is not None:
                self.patience.note(time.monotonic() - winner.started)
            self._finish(job, winner if has_sums else None)
            yield job.item, result

    def _gone(self) -> Iterator[tuple[Any, Any]]:
        """Yield what Dask has given up; what was cancelled is submitted again.

        Raises
        ------
        Exception
            What the function raised, if it was that.
        """
        killed: dict[Job, Attempt] = {}
        for job in list(self.jobs):
            for one in job.attempts:
                if one.status == "error":
                    killed[job] = one
            if job in killed:
                continue
            for one in list(job.attempts):
                if one.status == "cancelled" or one.is_mute(REPORT_S):
                    job.attempts.remove(one)
                    self.channel.forget(one)
            if not job.attempts:
                del self.jobs[job]
                if not self._repeated(job):
                    yield job.item, WorkerLostError(f"cancelled {job.n_cancelled} times")
        yield from self._killed(killed)

    def _repeated(self, job: Job) -> bool:
        job.n_cancelled += 1
        if job.n_cancelled < CANCELLATIONS:
            self.again.append(job)
        return job.n_cancelled < CANCELLATIONS

    def _killed(self, killed: dict[Job, Attempt]) -> Iterator[tuple[Any, Any]]:
        """Yield what has ended its workers; what only waited behind it is submitted again.

        Those who know what they left, and how they ended, may take some time to come back.
        """
        if not killed:
            return
        for one in killed.values():
            error = one.future.exception()
            if not isinstance(error, KilledWorker):
                raise explained(error)
        left = self.workers.marks_of([one.key for one in killed.values()])
        self.leaves_marks |= bool(left)
        for job, one in killed.items():
            marks = left.get(one.key, [])
            is_innocent = not marks and (self.leaves_marks or not job.has_begun)
            may_come = any(mark.nanny and mark.exit_code is None for mark in marks)
            if (may_come or (not marks and job.has_begun)) and job.n_asked < ASKED:
                job.n_asked += 1
                continue
            self._finish(job)
            if not (is_innocent and self._repeated(job)):
                mark = max(marks, key=_how_much, default=NO_MARK)
                yield job.item, lost_worker(mark, max(len(marks), 1))

    def _hanging(self) -> Iterator[tuple[Any, Any]]:
        """Submit elsewhere what runs for too long; yield what does so everywhere.

        What never began counts too when no worker says a word: it waits behind what hangs.
        """
        if not self.workers.threads:  # to have no worker is no reason to give anything up
            return
        now = time.monotonic()
        for job in list(self.jobs):
            job.forget_gone(self.workers.threads)
            if now - job.busy_since(self.channel.last_report) < self.patience.seconds:
                continue
            keys = [one.key for one in job.attempts]
            others = self.workers.note_hanging(keys)
            if not job.is_running and not self.workers.stuck:
                continue
            job.n_late += 1
            left = [one for marks in self.workers.marks_of(keys).values() for one in marks]
            mark = max(left, key=_how_much, default=NO_MARK)
            lost = lost_worker(mark, job.n_late, hung=True)
            if job.n_late == RUNS or lost.is_fault:
                self._finish(job)
                yield job.item, lost
                return  # starting workers anew takes its time: look again what hangs
            log.warning("%s; it is run elsewhere", lost)
            if others:
                _submit(self, [job], others)
            else:
                self._retire(job)
                _submit(self, [job], self.workers.free())
                return

    def _finish(self, job: Job, winner: Attempt | None = None) -> None:
        """Take an item off the list and, but for the sums of the winner, off the cluster."""
        self.jobs.pop(job, None)
        self._retire(job, winner)

    def _retire(self, job: Job, winner: Attempt | None = None) -> None:
        """Forget all attempts, and start the workers anew that hang because of them."""
        for one in job.attempts:
            self.channel.forget(one, keep=one is winner)
        job.attempts = []
        if job.n_late:
            self.workers.restart_stuck()

    def close(self) -> None:
        """Take everything off the cluster that is still there."""
        if self.client.status == "running":
            self.channel.close()
            for job in list(self.jobs):
                self._finish(job)
            if self.merging is not None:
                self.merging.close()
            if self.function is not None:
                self.function.release()


def _submit(run: _Run, jobs: list[Job], workers: list[str]) -> None:
    """Submit items together: each message to the scheduler costs it a millisecond."""
    if not jobs:
        return
    assert run.function is not None
    name = run.sent.name
    attempts = run.channel.submit(name, run.function, [one.item for one in jobs], workers)
    for job, attempt in zip(jobs, attempts, strict=True):
        job.attempts.append(attempt)


def _how_much(mark: Mark) -> tuple[bool, bool, bool]:
    """Order what workers have left by what it says."""
    return bool(mark.function), mark.exit_code is not None, bool(mark.exit_code)
