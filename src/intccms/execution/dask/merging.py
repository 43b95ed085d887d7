"""Sums that are added up on the Dask workers that made them, so that the client sees few."""

from __future__ import annotations

import logging
import operator
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import cloudpickle
from distributed import Client, Future

from intccms.execution.dask.scheduler import NOTHING, Workers, gathered
from intccms.execution.totals import Totals, merged

__all__ = ["Merging"]

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
                self._drop(one)  # the scheduler knows neither it nor its parts any more
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

    def _drop(self, one: _Sum) -> None:
        log.warning("sums of %s are lost with their workers", one.group)
        del self._busy[one]
        one.release()

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
