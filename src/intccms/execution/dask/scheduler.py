"""Questions to a Dask scheduler, which may be out of reach and workers gone when it answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

import cloudpickle
from distributed import Client, Future, KilledWorker

from intccms.errors import NoWorkersError
from intccms.execution import marks

log = logging.getLogger(__name__)

REFRESH_S = 0.5  # between two counts of the workers
ASK_S = 10.0  # for the marks of workers
GATHER_S = 60.0  # to fetch results that are there
RESTART_S = 30.0  # to wait for a worker that is started anew
NOTICE_S = 10.0  # without a worker, before that is told
GONE = (TimeoutError, OSError, CancelledError, KilledWorker)
NOTHING = object()  # in place of a result that is not there


class Workers:
    """The workers of a cluster as they come and go, and those of them that hang."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._threads: dict[str, int] = {}
        self._until = 0.0
        self._hanging: dict[str, set[str]] = {}  # worker -> keys of tasks

    @property
    def threads(self) -> dict[str, int]:
        """Number of threads of each; what was last known, if nobody answers."""
        if time.monotonic() > self._until:
            with suppress(*GONE):
                self._threads = self.client.nthreads()
            self._until = time.monotonic() + REFRESH_S
        return self._threads

    def note_hanging(self, keys: Iterable[str]) -> list[str]:
        """Remember who has the tasks `keys`, which hang; return the others that are free."""
        try:
            processing: dict[str, tuple[str, ...]] = self.client.processing()
        except GONE:
            return []
        wanted = set(keys)
        for worker, theirs in processing.items():
            if mine := wanted & set(theirs):
                self._hanging.setdefault(worker, set()).update(mine)
        stuck = self.stuck
        return [
            worker
            for worker, theirs in processing.items()
            if worker not in stuck and not wanted & set(theirs)
        ]

    @property
    def stuck(self) -> list[str]:
        """Workers that hang with all their threads."""
        threads = self.threads
        return [w for w, keys in self._hanging.items() if len(keys) >= threads.get(w, 1)]

    def marks_of(self, tasks: list[str]) -> dict[str, list[marks.Mark]]:
        """Ask all hosts what workers have left of some tasks; the nannies, as they outlive them."""

        async def asked(nanny: bool) -> Any:
            return await self.client.run(marks.left, tasks, nanny=nanny, on_error="ignore")

        found: dict[str, list[marks.Mark]] = {}
        cloudpickle.register_pickle_by_value(marks)
        try:
            for nanny in (True, False):
                with suppress(*GONE, ValueError):  # there may be no nannies
                    answers = self.client.sync(asked, nanny, callback_timeout=ASK_S)
                    several = [marks.Mark(*one) for answer in answers.values() for one in answer]
                    several.sort(key=lambda one: one.exit_code is not None)  # who knows is last
                    for one in {(one.pid, one.task): one for one in several}.values():
                        found.setdefault(one.task, []).append(one)
                if found:
                    break
        finally:
            cloudpickle.unregister_pickle_by_value(marks)
        return found

    def free(self) -> list[str]:
        """Workers to prefer: some, if others are stuck; none if all are alike.

        Dask would let tasks wait behind what hangs.
        """
        stuck = self.stuck
        return [worker for worker in self.threads if worker not in stuck] if stuck else []

    def restart_stuck(self) -> None:
        """Start the stuck workers anew, which only a nanny can: a thread cannot be ended."""
        stuck = [worker for worker in self.stuck if worker in self.threads]
        if not stuck:
            return
        log.warning("workers that hang are started anew: %s", ", ".join(stuck))
        with suppress(*GONE, ValueError):  # those without a nanny stay as they are
            self.client.restart_workers(stuck, timeout=RESTART_S, raise_for_error=False)
            for worker in stuck:
                del self._hanging[worker]


class Absence:
    """Tells when there is no worker at all, and ends the wait for one.

    Parameters
    ----------
    workers
        Of the cluster.
    timeout_s
        How long there may be none.
    tell
        Shows a text, or, with an empty one, that it is over.
    """

    def __init__(self, workers: Workers, timeout_s: float, tell: Callable[[str], None]) -> None:
        self.workers, self.timeout_s, self.tell = workers, timeout_s, tell
        self._since: float | None = None
        self._is_told = False

    def check(self) -> None:
        """Look how long there has been no worker.

        Raises
        ------
        NoWorkersError
            If it is too long.
        """
        if self.workers.threads:
            if self._is_told:
                log.warning("workers have come")
                self.tell("")
            self._since, self._is_told = None, False
            return
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        scheduler = self.workers.client.scheduler
        where = scheduler.address if scheduler else "the scheduler"
        if now - self._since > self.timeout_s:
            raise NoWorkersError(
                f"no worker at {where} for {self.timeout_s:g} s (general.worker_timeout); what is "
                "finished is kept: look after the workers, then run the same again"
            )
        if now - self._since > NOTICE_S and not self._is_told:
            self._is_told = True
            log.warning(
                "no worker at %s: waiting for one, %g s at most (general.worker_timeout)",
                where, self.timeout_s,
            )  # fmt: skip
            self.tell("no worker: waiting for one")


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
