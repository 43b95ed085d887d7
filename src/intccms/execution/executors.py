"""Where functions run: in this process, in local processes or on a Dask cluster.

All give their results one by one as they finish, so that progress and receipts are live and the
client holds few at a time. coffea's executors return only the merged whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from intccms.execution.processes import FuturesExecutor
from intccms.execution.totals import Totals
from intccms.schema import General

__all__ = ["Executor", "IterativeExecutor", "open_executor"]

Item = TypeVar("Item")

ALLOWED_FAILURES = 2  # of a task's worker, before Dask gives the task up at the next


class Executor(Protocol):
    """Runs a function on items."""

    name: str

    @property
    def n_workers(self) -> int:
        """Cores that work at the same time."""

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Item],
        *,
        arguments: tuple[Any, ...] = (),
        totals: Totals | None = None,
        careful: bool = False,
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
        """


class IterativeExecutor:
    """Runs everything in this process, in order: for debugging and tests."""

    name = "iterative"
    n_workers = 1

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
        for item in items:
            answer = function(item, *arguments)
            if totals is not None:
                answer, sums = answer
                if sums is not None:
                    totals.take(totals.group_of(item), sums)
            yield item, answer


@contextmanager
def open_executor(general: General, client: Any = None) -> Iterator[Executor]:
    """Give the executor that the configuration asks for and close what was started for it.

    Parameters
    ----------
    general
        Its `executor` and `n_workers` decide when there is no client.
    client
        A `distributed.Client` that the caller owns; it wins and stays open.
    """
    n_workers = general.n_workers or os.cpu_count() or 1
    if client is None and general.executor == "iterative":
        yield IterativeExecutor()
    elif client is None and general.executor == "futures":
        yield FuturesExecutor(n_workers)
    else:
        from intccms.execution.cluster import DaskExecutor

        if client is not None:
            yield DaskExecutor(client)
            return
        with _local_client(n_workers) as local:
            yield DaskExecutor(local)


@contextmanager
def _local_client(n_workers: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    with dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_FAILURES}):
        cluster = LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        )
    with cluster, Client(cluster) as client:
        yield client
