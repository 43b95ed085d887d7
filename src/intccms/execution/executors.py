"""Where functions run: in this process, in local processes or on a Dask cluster.

All give their results one by one as they finish, so that progress and receipts are live and the
client holds few at a time. coffea's executors return only the merged whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Protocol, TypeVar

from intccms.execution.failures import contained, lost_worker
from intccms.execution.garbage import patient_collector
from intccms.execution.marks import Mark
from intccms.execution.patience import Patience, alarmed
from intccms.execution.processes import FuturesExecutor
from intccms.execution.totals import Totals
from intccms.interrupts import OverdueError
from intccms.schema import General

__all__ = ["Executor", "IterativeExecutor", "open_executor"]

Item = TypeVar("Item")


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
