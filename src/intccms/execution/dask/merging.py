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
LEVELS = 2  # of such tasks, before the client takes the sum and the workers may forget it
TRIES = 3  # of an addition that takes too long
URGENT = 10  # priority of additions over chunks that have not begun


@dataclass(eq=False)
class _Sum:
    """An addition on the workers."""

    group: str
    level: int
    parts: list[Future[Any]]
    tries: list[Future[Any]] = field(default_factory=list)
    since: float = 0.0  # of the last try

    def release(self, *, but: Future[Any] | None = None) -> None:
        for one in (*self.parts, *self.tries):
            if one is not but:
                one.release()


class Merging:
    """The tree of additions of one run.

    A sum that is lost with its worker is made again by Dask, from its chunks if need be. What
    cannot be made again is left out; the totals say which chunks they hold.

    Parameters
    ----------
    workers
        Of the cluster.
    totals
        Gets the sums of up to ``FAN_IN ** LEVELS`` chunks at a time.
    patience_s
        An addition that takes longer is tried elsewhere too, and left out in the end.
    """

    def __init__(self, workers: Workers, totals: Totals, patience_s: float) -> None:
        self.client: Client = workers.client
        self.workers, self.totals, self.patience_s = workers, totals, patience_s
        self._waiting: dict[tuple[str, int], list[Future[Any]]] = {}
        self._busy: list[_Sum] = []
        self._adder: Future[Any] | None = None  # `_sum`: a scheduler need not have our packages

    def add(self, item: Any, work: Future[Any]) -> None:
        """Take the task that has made, besides a report, the sums of `item`."""
        self._put(self.totals.group_of(item), 0, work)

    def _put(self, group: str, level: int, future: Future[Any]) -> None:
        waiting = self._waiting.setdefault((group, level), [])
        waiting.append(future)
        if len(waiting) >= FAN_IN:
            self._merge(_Sum(group, level + 1, self._waiting.pop((group, level))))

    def _merge(self, one: _Sum) -> None:
        if one not in self._busy:
            self._busy.append(one)
        if self._adder is None or self._adder.status in ("cancelled", "error"):
            payload = cloudpickle.dumps(_sum)
            self._adder = self.client.submit(cloudpickle.loads, payload, key=f"adder-{uuid4().hex}")
        free = self.workers.free()
        one.since = time.monotonic()
        one.tries.append(
            self.client.submit(
                operator.call, self._adder, one.parts, key=f"sum-{uuid4().hex}", priority=URGENT,
                workers=free or None, allow_other_workers=bool(free),
            )
        )  # fmt: skip

    def advance(self) -> None:
        """Go on with the additions that are finished."""
        for one in list(self._busy):
            finished = [future for future in one.tries if future.status == "finished"]
            if finished:
                self._take(one, finished[0])
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

    def _take(self, one: _Sum, future: Future[Any]) -> None:
        if one.level < LEVELS:
            self._busy.remove(one)
            one.release(but=future)  # Dask keeps how the parts are made while it has their sum
            self._put(one.group, one.level, future)
            return
        [sums] = gathered(self.client, [future])
        if sums is not NOTHING:
            self.totals.take(one.group, sums)
            self._busy.remove(one)
            one.release()

    def _drop(self, one: _Sum) -> None:
        log.warning("sums of %s are lost with their workers", one.group)
        self._busy.remove(one)
        one.release()

    def is_finished(self) -> bool:
        """Whether all is added up, when nothing more will come."""
        if any(one.level < LEVELS for one in self._busy):
            return False
        rest: dict[str, list[Future[Any]]] = {}
        for (group, _), futures in self._waiting.items():
            rest.setdefault(group, []).extend(futures)
        self._waiting = {}
        for group, futures in rest.items():
            self._merge(_Sum(group, LEVELS, futures))
        return not self._busy

    def close(self) -> None:
        """Forget everything that was not fetched."""
        for one in self._busy:
            one.release()
        for futures in self._waiting.values():
            for future in futures:
                future.release()
        if self._adder is not None:
            self._adder.release()
        self._busy, self._waiting = [], {}


def _sum(several: list[Any]) -> Any:
    """Add up sums; a chunk's come with its report."""
    return merged(one[1] if isinstance(one, tuple) else one for one in several)
