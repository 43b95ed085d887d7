"""Items on their way through a Dask cluster: each may be submitted more than once."""

from __future__ import annotations

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
from intccms.execution.failures import contained, portable
from intccms.execution.travel import Parcel

__all__ = ["Attempt", "Flight", "Radio", "Shipped", "explained"]


class Shipped(NamedTuple):
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
        marks.begin(key)
        try:
            result = contained(function, cloudpickle.loads(item), *arguments)
        except Exception as exc:
            if (readable := portable(exc)) is exc:
                raise
            raise readable from None
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
class Flight:
    """One item on its way."""

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

    def busy_since(self, last_word: float) -> float:
        """Return when the youngest attempt began; where it did not, the last word of a worker."""
        begun = [
            max(one.submitted, last_word) if one.started is None else one.started
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


class Radio:
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
        self.last_word = time.monotonic()

    def listen(self) -> None:
        """Begin to listen; again when the scheduler has forgotten this client."""
        self.client.subscribe_topic(self.topic, self._hear)

    def _hear(self, event: tuple[float, tuple[str, str, bytes | None]]) -> None:
        key, worker, report = event[1]
        self.last_word = time.monotonic()
        attempt = self.attempts.get(key)
        if attempt is None:
            return
        if report is None:
            attempt.started, attempt.began_on = self.last_word, worker
        else:
            attempt.report, attempt.worker = report, worker
            self.wake()

    def submit(
        self, name: str, shipped: Future[Any], items: list[Any], workers: list[str]
    ) -> list[Attempt]:
        """Submit items; preferably to `workers`, if there are any."""
        attempts = [Attempt(f"{name}-{uuid4().hex}") for _ in items]
        keys = [attempt.key for attempt in attempts]
        self.attempts.update(zip(keys, attempts, strict=True))  # first: they may be quick
        futures = self.client.map(
            operator.call,
            [shipped] * len(items),
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
