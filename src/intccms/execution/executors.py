"""Where functions run: in this process, in local processes or on a Dask cluster.

All give their results one by one as they finish, so that progress and receipts are live and the
client holds few at a time. coffea's executors return only the merged whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

import cloudpickle

from intccms.schema import General

__all__ = ["Executor", "IterativeExecutor", "open_executor"]

Item = TypeVar("Item")
Function = Callable[..., Any]
AHEAD = 4  # tasks a worker has waiting, so that it never idles


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
    ) -> Iterator[tuple[Item, Any]]:
        """Yield each item with its result, in the order in which they finish.

        Parameters
        ----------
        function
            Called as ``function(item, *arguments)``; shipped with cloudpickle.
        items
            What to run it on.
        arguments
            The same for every item; shipped to a worker once.
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
    ) -> Iterator[tuple[Item, Any]]:
        """See `Executor.map`."""
        for item in items:
            yield item, function(item, *arguments)


_shipped: tuple[Callable[..., Any], tuple[Any, ...]] | None = None  # in a pool's process


def _receive(payload: bytes) -> None:
    global _shipped  # noqa: PLW0603 - the only state a pool's process can keep
    _shipped = cloudpickle.loads(payload)


def _run_shipped(payload: bytes) -> bytes:
    if _shipped is None:
        raise RuntimeError("the worker process was started without its function")
    function, arguments = _shipped
    result: bytes = cloudpickle.dumps(function(cloudpickle.loads(payload), *arguments))
    return result


class FuturesExecutor:
    """Runs in `n_workers` processes of this machine."""

    name = "futures"

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Item],
        *,
        arguments: tuple[Any, ...] = (),
    ) -> Iterator[tuple[Item, Any]]:
        """See `Executor.map`."""
        payload = cloudpickle.dumps((function, arguments))
        queue = iter(items)
        running: dict[Future[bytes], Item] = {}
        with ProcessPoolExecutor(
            self.n_workers, get_context("spawn"), initializer=_receive, initargs=(payload,)
        ) as pool:
            try:
                while True:
                    for item in _next(queue, AHEAD * self.n_workers - len(running)):
                        running[pool.submit(_run_shipped, cloudpickle.dumps(item))] = item
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield running.pop(future), cloudpickle.loads(future.result())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _next(queue: Iterator[Item], n: int) -> Iterator[Item]:
    for _ in range(n):
        try:
            yield next(queue)
        except StopIteration:
            return


class DaskExecutor:
    """Runs on the workers of a `distributed.Client`."""

    name = "dask"

    def __init__(self, client: Any) -> None:
        self.client = client

    @property
    def n_workers(self) -> int:
        """Threads of all workers."""
        threads: dict[str, int] = self.client.nthreads()
        return max(sum(threads.values()), 1)

    def map(
        self,
        function: Callable[..., Any],
        items: Iterable[Item],
        *,
        arguments: tuple[Any, ...] = (),
    ) -> Iterator[tuple[Item, Any]]:
        """See `Executor.map`."""
        from distributed import as_completed

        shared = [self.client.scatter(argument, broadcast=True) for argument in arguments]
        queue = iter(items)
        running: dict[Any, Item] = {}
        finished = as_completed(with_results=True)
        try:
            while True:
                for item in _next(queue, AHEAD * self.n_workers - len(running)):
                    future = self.client.submit(function, item, *shared, pure=False, retries=1)
                    running[future.key] = item
                    finished.add(future)
                if not running:
                    return
                future, result = next(finished)
                yield running.pop(future.key), result
                future.release()
        finally:
            if running:
                self.client.cancel(list(running), force=True)


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
    if client is not None:
        yield DaskExecutor(client)
    elif general.executor == "iterative":
        yield IterativeExecutor()
    elif general.executor == "futures":
        yield FuturesExecutor(n_workers)
    else:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
            ) as cluster,
            Client(cluster) as local,
        ):
            yield DaskExecutor(local)
