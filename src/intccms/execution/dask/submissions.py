"""Items and their sums on a Dask cluster: submitted, maybe more than once, and added up there."""

from __future__ import annotations

import logging
import operator
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

import cloudpickle
from distributed import Client, Future, get_worker

from intccms.errors import OtherCodeError
from intccms.execution import marks
from intccms.execution.accounting import Totals, merged
from intccms.execution.dask.scheduler import NOTHING, Workers, gathered
from intccms.execution.failures import isolated
from intccms.execution.parcel import Parcel


class SentFunction(NamedTuple):
    """What travels to the workers once; with `is_split`, the function returns (report, sums).

    Dask's scheduler unpacks tasks and need not have our packages: they are made of the standard
    library, cloudpickle and bytes.
    """

    parcel: Parcel
    is_split: bool
    name: str

    def to_task(self, client: Client) -> Future[Any]:
        """Ship it: as a task, which Dask runs again where all copies are lost, unlike data."""
        key = f"function-{uuid4().hex}"
        return client.submit(cloudpickle.loads, cloudpickle.dumps(self), key=key)

    def __call__(self, item: bytes, names: tuple[str, str]) -> Any:
        """Run on a worker."""
        topic, key = names
        worker = get_worker()
        function, arguments = self.parcel.open()
        worker.log_event(topic, (key, worker.address, None))
        marks.begin(key, str(worker.nanny or ""))
        try:
            result = isolated(function, cloudpickle.loads(item), *arguments)
        finally:
            marks.begin("")
        if self.is_split:
            report, sums = result
            said = cloudpickle.dumps((report, sums is not None))
            worker.log_event(topic, (key, worker.address, said))
        return result


@dataclass(eq=False)
class Attempt:
    """One submission of an item; times are those of the monotonic clock of this process."""

    key: str
    future: Future[Any] = field(init=False)
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    began_on: str = ""  # address of the last worker that did
    report: bytes | None = None
    worker: str = ""  # its address
    _finished: float | None = None

    @property
    def status(self) -> str:
        """Of its task."""
        return str(self.future.status)

    def is_mute(self, patience_s: float) -> bool:
        """Whether its result has been there for so long, and nobody took it."""
        if self.status != "finished":
            self._finished = None
        elif self._finished is None:
            self._finished = time.monotonic()
        return self._finished is not None and time.monotonic() - self._finished > patience_s


@dataclass(eq=False)
class Job:
    """One item that is not finished, with all submissions of it."""

    item: Any
    attempts: list[Attempt] = field(default_factory=list)
    n_cancelled: int = 0
    n_late: int = 0
    n_asked: int = 0  # for what its workers have left

    def forget_gone(self, workers: Collection[str]) -> None:
        """Take those attempts for not begun whose worker is gone: Dask runs them again."""
        for one in self.attempts:
            if one.started is not None and one.began_on not in workers:
                one.started, one.submitted = None, time.monotonic()

    def busy_since(self, last_report: float) -> float:
        """Return when the youngest attempt began; where it did not, the last word of a worker."""
        begun = [
            max(one.submitted, last_report) if one.started is None else one.started
            for one in self.attempts
        ]
        return max(begun, default=time.monotonic())

    @property
    def is_running(self) -> bool:
        """Whether a worker has begun with it and is still there."""
        return any(one.started is not None for one in self.attempts)

    @property
    def has_begun(self) -> bool:
        """Whether any worker began with it."""
        return any(one.began_on for one in self.attempts)


class ReportChannel:
    """What workers say while they work: that an item begins, and its report as it ends.

    A task that follows the item would bring the report too, but later: the worker begins with
    the next item first.

    Parameters
    ----------
    client
        Listens.
    wake
        Called when something is said.
    """

    def __init__(self, client: Client, wake: Callable[[], None]) -> None:
        self.client, self.wake = client, wake
        self.topic = f"intccms-{uuid4().hex}"
        self.attempts: dict[str, Attempt] = {}  # by key of the task
        self.last_report = time.monotonic()

    def listen(self) -> None:
        """Begin to listen; again when the scheduler has forgotten this client."""
        self.client.subscribe_topic(self.topic, self._receive)

    def _receive(self, event: tuple[float, tuple[str, str, bytes | None]]) -> None:
        key, worker, report = event[1]
        self.last_report = time.monotonic()
        attempt = self.attempts.get(key)
        if attempt is None:
            return
        if report is None:
            attempt.started, attempt.began_on = self.last_report, worker
        else:
            attempt.report, attempt.worker = report, worker
            self.wake()

    def submit(
        self, name: str, sent: Future[Any], items: list[Any], workers: list[str]
    ) -> list[Attempt]:
        """Submit items; preferably to `workers`, if there are any."""
        attempts = [Attempt(f"{name}-{uuid4().hex}") for _ in items]
        keys = [attempt.key for attempt in attempts]
        self.attempts.update(zip(keys, attempts, strict=True))  # first: they may be quick
        futures = self.client.map(
            operator.call,
            [sent] * len(items),
            [cloudpickle.dumps(item) for item in items],
            [(self.topic, key) for key in keys],
            key=keys,
            workers=workers or None,
            allow_other_workers=bool(workers),
        )
        for attempt, future in zip(attempts, futures, strict=True):
            attempt.future = future
            future.add_done_callback(lambda _: self.wake())
        return attempts

    def forget(self, attempt: Attempt, *, keep: bool = False) -> None:
        """Listen no more to an attempt, and take it off the cluster."""
        self.attempts.pop(attempt.key, None)
        if not keep:
            attempt.future.release()

    def close(self) -> None:
        """Listen no more."""
        self.client.unsubscribe_topic(self.topic)


def explained(error: BaseException) -> BaseException:
    """Give an error of a task: itself, or what to do about a module that a worker lacks."""
    if isinstance(error, ModuleNotFoundError) and error.name and not error.__cause__:
        other = OtherCodeError(
            f"a worker has no module {error.name!r}: install it there, or connect with "
            "intccms.facility.connect, which sends it"
        )
        other.__cause__ = error
        return other
    return error


log = logging.getLogger(__name__)

FAN_IN = 16  # sums that one task adds up
SETTLE_S = 10.0  # sums that got no company for so long are added up as they are
TRIES = 3  # of an addition that takes too long
URGENT = 10  # priority of additions over chunks that have not begun


@dataclass(eq=False)
class _Sum:
    """An addition: on the worker that has all parts, or, without one, for the client."""

    group: str
    worker: str
    parts: list[Future[Any]]
    tries: list[Future[Any]] = field(default_factory=list)
    since: float = 0.0  # of the last try

    def release(self, *, but: Future[Any] | None = None) -> None:
        for one in (*self.parts, *self.tries):
            if one is not but:
                one.release()


@dataclass
class _Bucket:
    """Sums that wait for others; `since` is when the last one came."""

    parts: list[Future[Any]] = field(default_factory=list)
    since: float = 0.0


class Merging:
    """The tree of additions of one run.

    The sums that one worker made are added up there, which moves nothing and asks little of the
    scheduler; then such sums of all workers are, and the client fetches the result.

    A sum that is lost with its worker is made again by Dask, from its chunks if need be. What
    cannot be made again is left out; the totals say which chunks they hold.

    Parameters
    ----------
    workers
        Of the cluster.
    totals
        Gets the sums of up to ``FAN_IN ** 2`` chunks at a time.
    patience_s
        An addition that takes longer is tried elsewhere too, and left out in the end.
    """

    def __init__(self, workers: Workers, totals: Totals, patience_s: float) -> None:
        self.client: Client = workers.client
        self.workers, self.totals, self.patience_s = workers, totals, patience_s
        self._waiting: dict[tuple[str, str], _Bucket] = {}  # group and worker; "" for the client
        self._busy: dict[_Sum, None] = {}
        self._adder: Future[Any] | None = None  # `_sum`: a scheduler need not have our packages

    def add(self, item: Any, work: Future[Any], worker: str) -> None:
        """Take the task that has made, besides a report, the sums of `item` on `worker`."""
        self._put(self.totals.group_of(item), worker, work)

    def _put(self, group: str, worker: str, future: Future[Any]) -> None:
        bucket = self._waiting.setdefault((group, worker), _Bucket())
        bucket.parts.append(future)
        bucket.since = time.monotonic()
        if len(bucket.parts) >= FAN_IN:
            self._merge(_Sum(group, worker, self._waiting.pop((group, worker)).parts))

    def _settle(self, until: float) -> None:
        """Add up on the workers what has waited there since `until` or longer."""
        for group, worker in list(self._waiting):
            if worker and self._waiting[group, worker].since <= until:
                parts = self._waiting.pop((group, worker)).parts
                if len(parts) > 1:
                    self._merge(_Sum(group, worker, parts))
                else:
                    self._put(group, "", parts[0])

    def _merge(self, one: _Sum) -> None:
        self._busy[one] = None
        if self._adder is None or self._adder.status in ("cancelled", "error"):
            payload = cloudpickle.dumps(_sum)
            self._adder = self.client.submit(cloudpickle.loads, payload, key=f"adder-{uuid4().hex}")
        free = self.workers.free() or ([one.worker] if one.worker and not one.tries else [])
        one.since = time.monotonic()
        one.tries.append(
            self.client.submit(
                operator.call, self._adder, one.parts, key=f"sum-{uuid4().hex}", priority=URGENT,
                workers=free or None, allow_other_workers=bool(free),
            )
        )  # fmt: skip

    def advance(self) -> None:
        """Go on with the additions that are finished."""
        self._settle(time.monotonic() - SETTLE_S)
        ready: dict[_Sum, Future[Any]] = {}
        for one in list(self._busy):
            finished = [future for future in one.tries if future.status == "finished"]
            if finished and one.worker:
                del self._busy[one]
                one.release(but=finished[0])  # Dask keeps how it is made while it has the sum
                self._put(one.group, "", finished[0])
            elif finished:
                ready[one] = finished[0]
            elif any(future.status == "cancelled" for future in one.tries):
                left = [part for part in one.parts if part.status == "finished"]
                left = left if len(left) < len(one.parts) else []
                self._drop(one, left)  # the scheduler knows neither it nor the other parts
                if left:
                    self._merge(_Sum(one.group, one.worker, left))
            elif (
                # Dask blames all that waits at a worker for its death: an addition may be innocent
                all(future.status == "error" for future in one.tries)
                or time.monotonic() - one.since > self.patience_s
            ):
                if len(one.tries) == TRIES:
                    self._drop(one)
                else:
                    self._merge(one)
        fetched = gathered(self.client, list(ready.values()))
        for one, sums in zip(ready, fetched, strict=True):
            if sums is not NOTHING:
                self.totals.take(one.group, sums)
                del self._busy[one]
                one.release()

    def _drop(self, one: _Sum, left: Collection[Future[Any]] = ()) -> None:
        log.warning("sums of %s are lost with their workers", one.group)
        del self._busy[one]
        for future in (*one.tries, *one.parts):
            if future not in left:
                future.release()

    def is_finished(self) -> bool:
        """Whether all is added up, when nothing more will come."""
        self._settle(time.monotonic())
        if any(one.worker for one in self._busy):
            return False
        for group, _ in list(self._waiting):
            self._merge(_Sum(group, "", self._waiting.pop((group, "")).parts))
        return not self._busy

    def close(self) -> None:
        """Forget everything that was not fetched."""
        for one in self._busy:
            one.release()
        for bucket in self._waiting.values():
            for future in bucket.parts:
                future.release()
        if self._adder is not None:
            self._adder.release()
        self._busy, self._waiting = {}, {}


def _sum(several: list[Any]) -> Any:
    """Add up sums; a chunk's come with its report."""
    return merged(one[1] if isinstance(one, tuple) else one for one in several)
