"""Sums that are added up on the Dask workers that made them, so that the client sees few."""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, KilledWorker

from intccms.execution.totals import Totals, merged

__all__ = ["NOTHING", "URGENT", "Merging", "gathered"]

log = logging.getLogger(__name__)

FAN_IN = 16  # sums that one task adds up
LEVELS = 2  # of such tasks, before the client takes the sum and the workers may forget it
URGENT = 10  # priority of what follows a finished task, over tasks that have not begun
GATHER_S = 60.0  # to fetch results that are there
GONE = (TimeoutError, OSError, CancelledError, KilledWorker)
NOTHING = object()  # in place of a result that is not there


@dataclass(eq=False)
class _Sum:
    """A task that adds up."""

    group: str
    level: int
    future: Future[Any]
    since: float


class Merging:
    """The tree of additions of one run.

    A sum that is lost with its worker is made again by Dask, from its chunks if need be. What
    cannot be made again is left out; the totals say which chunks they hold.

    Parameters
    ----------
    client
        Of the cluster.
    totals
        Gets the sums of up to ``FAN_IN ** LEVELS`` chunks at a time.
    patience_s
        An addition that takes longer is left out.
    """

    def __init__(self, client: Client, totals: Totals, patience_s: float) -> None:
        self.client, self.totals, self.patience_s = client, totals, patience_s
        self._waiting: dict[tuple[str, int], list[Future[Any]]] = {}
        self._busy: list[_Sum] = []

    def add(self, item: Any, work: Future[Any]) -> None:
        """Take the task that has made, besides a report, the sums of `item`."""
        self._put(self.totals.group_of(item), 0, work)

    def _put(self, group: str, level: int, future: Future[Any]) -> None:
        waiting = self._waiting.setdefault((group, level), [])
        waiting.append(future)
        if len(waiting) >= FAN_IN:
            self._merge(group, level + 1, self._waiting.pop((group, level)))

    def _merge(self, group: str, level: int, futures: list[Future[Any]]) -> None:
        future = self.client.submit(_sum, futures, pure=False, priority=URGENT)
        for one in futures:  # Dask keeps how they were made as long as their sum is needed
            one.release()
        self._busy.append(_Sum(group, level, future, time.monotonic()))

    def advance(self) -> None:
        """Go on with the additions that are finished."""
        for one in list(self._busy):
            status = one.future.status
            if status == "finished" and one.level < LEVELS:
                self._busy.remove(one)
                self._put(one.group, one.level, one.future)
            elif status == "finished":
                self._fetch(one)
            elif status in ("error", "cancelled") or self._is_late(one):
                log.warning("sums of %s are lost with their workers (%s)", one.group, status)
                self._drop(one)

    def _fetch(self, one: _Sum) -> None:
        [sums] = gathered(self.client, [one.future])
        if sums is not NOTHING:
            self.totals.take(one.group, sums)
            self._drop(one)

    def _drop(self, one: _Sum) -> None:
        self._busy.remove(one)
        one.future.release()

    def _is_late(self, one: _Sum) -> bool:
        return time.monotonic() - one.since > self.patience_s

    def is_finished(self) -> bool:
        """Whether all is added up, when nothing more will come."""
        rest: dict[str, list[Future[Any]]] = {}
        for (group, _), futures in self._waiting.items():
            rest.setdefault(group, []).extend(futures)
        self._waiting = {}
        for group, futures in rest.items():
            self._merge(group, LEVELS, futures)
        return not self._busy

    def close(self) -> None:
        """Forget everything that was not fetched."""
        for one in list(self._busy):
            self._drop(one)
        for futures in self._waiting.values():
            for future in futures:
                future.release()
        self._waiting = {}


def _sum(several: list[Any]) -> Any:
    """Add up sums; a chunk's come with its report."""
    return merged(one[1] if isinstance(one, tuple) else one for one in several)


def gathered(client: Client, futures: list[Future[Any]]) -> list[Any]:
    """Fetch the results of finished tasks; `NOTHING` for those that went away in between."""
    if not futures:
        return []
    try:
        return _fetched(client, futures)
    except GONE:
        if len(futures) == 1:
            return [NOTHING]
    return [gathered(client, [future])[0] for future in futures]


def _fetched(client: Client, futures: list[Future[Any]]) -> list[Any]:
    async def gather() -> list[Any]:
        results: list[Any] = await client.gather(futures, asynchronous=True)
        return results

    # with a limit: a task whose worker has just died is run again, for as long as that takes
    fetched: list[Any] = client.sync(gather, callback_timeout=GATHER_S)
    return fetched
