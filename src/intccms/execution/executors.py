"""Where functions run: in this process, in local processes or on a Dask cluster.

All give their results one by one as they finish, so that progress and reports are live and the
client holds few at a time. coffea's executors return only the merged whole.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cloudpickle

from intccms.execution import marks
from intccms.execution.accounting import Totals
from intccms.execution.chunk import patient_collector
from intccms.execution.failures import Patience, alarmed, contained, isolated, lost_worker
from intccms.execution.marks import Mark
from intccms.execution.parcel import Parcel
from intccms.interrupts import OverdueError, unheard
from intccms.schema import General

log = logging.getLogger(__name__)

Item = TypeVar("Item")

DEATHS = 2  # an item whose process died so often is given up
AHEAD = 64  # items among which one is looked for whose file is open
START_S = 300.0  # for a process to begin with an item: it imports what that needs
JOIN_S = 5.0  # to learn how a process ended that has ended
TICK_S = 1.0  # between looks for items that hang


class FuturesExecutor:
    """Runs in `n_workers` processes of this machine, which stay until `close`.

    Parameters
    ----------
    n_workers
        How many at most.
    patience_s
        An item that runs longer is taken to hang: its process is killed. None: see `Patience`.
    """

    name = "futures"

    def __init__(self, n_workers: int, *, patience_s: float | None = None) -> None:
        self.n_workers = n_workers
        self.patience_s = patience_s
        self._slots: list[_Slot] = []

    def close(self) -> None:
        """End the processes."""
        while self._slots:
            self._slots.pop().close()

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
        payload = Parcel.pack(function, arguments).data
        todo, slots = _Queue(items), self._slots
        patience = Patience(self.patience_s if timeout_s is None else timeout_s)
        try:
            while True:
                self._fill(todo, payload)
                busy = {slot.future: slot for slot in slots if slot.future is not None}
                if not busy:
                    return
                done, _ = wait(busy, timeout=TICK_S, return_when=FIRST_COMPLETED)
                for future in done:
                    slot = busy[future]
                    job, answer = slot.answer()
                    if isinstance(answer, marks.Mark):
                        job.n_deaths += 1
                        answer = lost_worker(answer, job.n_deaths, hung=job.hung)
                        if job.n_deaths < DEATHS and not (job.hung and answer.is_fault):
                            log.warning("%s; it is run once more: %s", answer, job.place)
                            todo.again.append(job)
                            continue
                        yield job.item, answer
                        continue
                    patience.note(time.monotonic() - slot.since)
                    if totals is not None:
                        answer, sums = answer
                        if sums is not None:
                            totals.take(totals.group_of(job.item), sums)
                    yield job.item, answer
                for slot in slots:
                    slot.end_if_older(patience.seconds)
        finally:
            for slot in [one for one in slots if one.future is not None]:  # nobody waits for it
                slots.remove(slot)
                slot.close()

    def _fill(self, todo: _Queue, payload: bytes) -> None:
        """Give every idle process an item, and start processes while there are items for them."""
        idle = [slot for slot in self._slots if slot.future is None]
        while idle or len(self._slots) < self.n_workers:
            slot = idle.pop(0) if idle else None
            taken = {one.job.place for one in self._slots if one.future is not None}
            job = todo.next(slot.job.place if slot else "", taken)
            if job is None:
                return
            if slot is None:
                slot = _Slot()
                self._slots.append(slot)
            slot.run(job, payload)


@dataclass(eq=False)
class _Job:
    item: Any
    n_deaths: int = 0
    hung: bool = False

    @property
    def place(self) -> str:
        """The file that is opened for it; empty if it does not say."""
        return getattr(self.item, "place", "")


class _Queue:
    """What is still to be run: first what lost its process, then the next item."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.again: deque[_Job] = deque()
        self._items = iter(items)
        self._ahead: deque[_Job] = deque()

    def next(self, place: str, taken: set[str]) -> _Job | None:
        """Return what a process is to run that has `place` open, while others have `taken`.

        A file is opened by as few processes as may be, for opening it can take longer than a chunk.
        """
        if self.again:
            return self.again.popleft()
        self._ahead.extend(_Job(item) for item in islice(self._items, AHEAD - len(self._ahead)))
        near = (job for job in self._ahead if job.place == place)
        free = (job for job in self._ahead if job.place not in taken)
        job = next(chain(near, free, self._ahead), None)
        if job is not None:
            self._ahead.remove(job)
        return job


class _Slot:
    """One process, in a pool of its own: when it dies, it is known what it was running."""

    def __init__(self) -> None:
        self.payload: bytes | None = None  # what the process runs on items
        self.future: Future[bytes] | None = None
        self.job = _Job(None)
        self.since = 0.0  # when it was given its item; then, when the process began with it
        self.has_begun = False
        self.n_runs = 0
        self._start()

    def _start(self) -> None:
        others = active_children()
        with unheard():  # it is for this process to say what ends
            self.pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_begin)
            self.pool.submit(os.getpid)  # starts it
        self.payload = None
        self.process = next(one for one in active_children() if one not in others)

    def run(self, job: _Job, payload: bytes) -> None:
        """Begin with an item; a process that died while it was idle is replaced."""
        data = cloudpickle.dumps(job.item)
        try:
            self._submit(data, payload)
        except BrokenExecutor:
            self.pool.shutdown()
            self._start()
            self._submit(data, payload)
        self.job, self.since, self.has_begun = job, time.monotonic(), False

    def _submit(self, data: bytes, payload: bytes) -> None:
        if self.payload is not payload:
            self.pool.submit(_receive, payload)
            self.payload = payload
        self.n_runs += 1
        self.future = self.pool.submit(_run, data, f"run {self.n_runs}")

    def answer(self) -> tuple[_Job, Any]:
        """Return the finished item with its result, or with the mark that its process has left.

        Raises
        ------
        Exception
            What the function raised.
        """
        assert self.future is not None
        future, self.future = self.future, None
        try:
            return self.job, cloudpickle.loads(future.result())
        except BrokenExecutor:
            self.pool.shutdown()
            self.process.join(JOIN_S)
            pid, code = self.process.pid or 0, self.process.exitcode
            self._start()
            return self.job, marks.left_by(pid, code)

    def end_if_older(self, patience_s: float) -> None:
        """Kill the process if its item hangs; it may still be starting."""
        if self.future is None or time.monotonic() - self.since < patience_s:
            return
        if not self.has_begun:
            mark = marks.left_by(self.process.pid or 0)
            self.has_begun = mark.task == f"run {self.n_runs}"
            if self.has_begun:
                self.since = mark.since
            else:
                patience_s = max(patience_s, START_S)
        if time.monotonic() - self.since > patience_s:
            self.job.hung = True
            self.process.kill()

    def close(self) -> None:
        """End the process, whatever it does: results are stored all at once or not at all."""
        if self.future is not None:
            self.process.kill()
        self.pool.shutdown(cancel_futures=True)


_parcel: Parcel | None = None  # in a worker process: what it runs on items


def _begin() -> None:
    """Let a worker process end with its parent: it would wait for work for ever."""

    def end() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _receive(payload: bytes) -> None:
    """Take what is run on items; it is opened by the first, where a failure is seen."""
    global _parcel  # noqa: PLW0603 - the only state a worker process can keep
    _parcel = Parcel(payload)


def _run(payload: bytes, name: str) -> bytes:
    assert _parcel is not None
    function, arguments = _parcel.open()
    marks.begin(name)
    result = isolated(function, cloudpickle.loads(payload), *arguments)
    return bytes(cloudpickle.dumps(result))


class Executor(Protocol):
    """Runs a function on items."""

    name: str

    @property
    def n_workers(self) -> int:
        """Cores that work at the same time."""

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
        """Yield each item with its result, in the order in which they finish.

        No item is left out: instead of a result there is a `WorkerLostError` where the workers
        that had the item died or hung, again and again.

        Parameters
        ----------
        function
            Called as ``function(item, *arguments)``; shipped with cloudpickle.
        items
            What to run it on.
        arguments
            The same for every item; shipped to a worker once.
        totals
            With it the function returns a small report, which is yielded, and sums (or None),
            which are added up where they are made; `totals` has them when all is yielded. Sums
            that are lost with a worker, and cannot be made again, are missing there.
        careful
            Whether items may kill their workers, so that none should wait behind another.
        timeout_s
            What takes longer is taken to hang; None: see `Patience`.
        """


class IterativeExecutor:
    """Runs everything in this process, in order: for debugging and tests."""

    name = "iterative"
    n_workers = 1

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
        """See `Executor.map`; what crashes ends this process, and what hangs outside Python too."""
        patience = Patience(timeout_s)
        for item in items:
            begin = time.monotonic()
            try:
                with alarmed(patience.seconds):
                    answer = contained(function, item, *arguments)
            except OverdueError as overdue:
                mark = Mark(os.getpid(), "", str(overdue))
                yield item, lost_worker(mark, 1, hung=True)
                continue
            patience.note(time.monotonic() - begin)
            if totals is not None:
                answer, sums = answer
                if sums is not None:
                    totals.take(totals.group_of(item), sums)
            yield item, answer


@contextmanager
def open_executor(
    general: General,
    client: Any = None,
    *,
    code: Any = None,
    tell: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Iterator[Executor]:
    """Give the executor that the configuration asks for and close what was started for it.

    Parameters
    ----------
    general
        Its `facility`, `executor` and `n_workers` decide when there is no client.
    client
        A `distributed.Client` that the caller owns; it wins and stays as it is.
    code
        The configuration: what its functions need is sent to the workers of a facility.
    tell
        Shows what holds everything up; with an empty text, that it is over.
    **options
        For `facility.connect`.

    Raises
    ------
    InputError
        If the facility cannot be reached or does not fit.
    """
    n_workers = general.n_workers or os.cpu_count() or 1
    if client is None and general.facility is None and general.executor == "iterative":
        with patient_collector():
            yield IterativeExecutor()
        return
    if client is None and general.facility is None and general.executor == "futures":
        with closing(FuturesExecutor(n_workers)) as processes:
            yield processes
        return
    from intccms import facility
    from intccms.execution.dask.cluster import DaskExecutor

    with ExitStack() as stack:
        if client is None and general.facility is None:
            opened = facility.connect("local", n_workers=n_workers, **options)
            client = stack.enter_context(opened)
        elif client is None:
            if code is not None:
                modules, inputs = facility.modules_of(code), facility.inputs_of(code)
                options = {"modules": modules, "inputs": inputs} | options
            if "worker_timeout" in general.model_fields_set:  # else what suits the facility
                options = {"patience_s": general.worker_timeout} | options
            assert general.facility is not None
            opened = facility.connect(general.facility, n_workers=general.n_workers, **options)
            client = stack.enter_context(opened)
        dask = DaskExecutor(client, no_worker_s=general.worker_timeout, tell=tell)
        yield stack.enter_context(closing(dask))


class WorkerPool:
    """Workers of this machine that stay from one run to the next, as in a notebook.

    Runs that name a client or a facility, or need no other process, are not its concern; nor is
    a second run at the same time, which starts its own.
    """

    def __init__(self) -> None:
        self._began: tuple[Any, ...] = ()  # what its workers were started with
        self._workers: Any = None  # a `FuturesExecutor` or a `distributed.Client`
        self._open = ExitStack()
        self._use = threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a run is using its workers."""
        return self._use.locked()

    @contextmanager
    def executor(
        self, general: General, client: Any = None, *, tell: Callable[[str], None], code: Any = None
    ) -> Iterator[Executor]:
        """Give an executor on workers that are there, else start them.

        They are started anew where the number of them, the environment, the working directory or
        the path of modules is another than it was.

        Parameters
        ----------
        general, client, tell, code
            As for `open_executor`.
        """
        own = client is None and general.facility is None and general.executor != "iterative"
        if not own or not self._use.acquire(blocking=False):
            with open_executor(general, client, code=code, tell=tell) as executor:
                yield executor
            return
        try:
            n_workers = general.n_workers or os.cpu_count() or 1
            if self._began != _conditions(general.executor, n_workers):
                self.close()
                self._workers = self._open.enter_context(_started(general.executor, n_workers))
                self._began = _conditions(general.executor, n_workers)  # to start may change them
                atexit.register(self.close)
            if general.executor == "futures":
                yield self._workers
            else:
                with open_executor(general, self._workers, tell=tell) as executor:
                    yield executor
        finally:
            self._use.release()

    def close(self) -> None:
        """End the workers; the next run starts others."""
        self._began, self._workers = (), None
        atexit.unregister(self.close)
        self._open.close()


def _conditions(executor: str, n_workers: int) -> tuple[Any, ...]:
    return executor, n_workers, dict(os.environ), Path.cwd(), tuple(sys.path)


def _started(executor: str, n_workers: int) -> Any:
    if executor == "futures":
        return closing(FuturesExecutor(n_workers))
    from intccms import facility

    return facility.connect("local", n_workers=n_workers)
