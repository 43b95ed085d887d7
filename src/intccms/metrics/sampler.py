"""What runs on a Dask scheduler to sample its workers.

It goes there as code, pickled by value, and uses distributed only: the scheduler need not have
this package.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cloudpickle
from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin

__all__ = ["NAME", "Sample", "Sampler", "WorkerLoad", "fetch", "run_by_value", "start", "stop"]

NAME = "intccms-worker-tracker"  # of the plugin
MAX_SAMPLES = 20_000  # then every second one goes: five hours at one a second


class Sample(NamedTuple):
    """All workers at one time."""

    t: float  # seconds since the epoch
    n_workers: int
    n_threads: int
    memory_bytes: int
    memory_limit_bytes: int
    largest_bytes: int  # memory of the worker that has most
    cpu_percent: float  # sum: 100 is one core
    n_executing: int
    spilled_bytes: int


class WorkerLoad(NamedTuple):
    """One worker, as it was seen last."""

    address: str
    host: str
    n_threads: int
    memory_limit_bytes: int
    first_seen: float
    last_seen: float
    memory_bytes: int
    peak_bytes: int
    cpu_percent: float
    mean_cpu_percent: float
    n_executing: int
    spilled_bytes: int
    n_seen: int  # samples that the mean is made of


class Sampler(SchedulerPlugin):
    """Samples a scheduler's workers; lives on it.

    Workers that come and go are noted when they do, so that the integral of their threads is
    exact; their load is what the last heartbeat said.

    Parameters
    ----------
    interval_s
        Between two samples.
    stays
        Whether it goes on when nobody uses it.
    """

    def __init__(self, interval_s: float, *, stays: bool = False) -> None:
        self.name = NAME  # at which the scheduler keeps it
        self.interval_s, self.stays = interval_s, stays
        self.users: set[str] = set()
        self.samples: list[Sample] = []
        self.n_dropped = 0
        self.workers: dict[str, WorkerLoad] = {}
        self._clock: asyncio.TimerHandle | None = None

    def attach(self, scheduler: Any) -> None:
        """Begin."""
        self._scheduler = scheduler
        scheduler.add_plugin(self, name=NAME)
        self.sample()
        self.sample_every(self.interval_s)

    def sample_every(self, interval_s: float) -> None:
        """Set the clock."""
        self.detach()
        self.interval_s = interval_s
        self._clock = asyncio.get_running_loop().call_later(interval_s, self._tick)

    def _tick(self) -> None:
        self.sample()
        self.sample_every(self.interval_s)

    def detach(self) -> None:
        """End; the samples stay."""
        if self._clock is not None:
            self._clock.cancel()
        self._clock = None

    async def close(self) -> None:
        """End with the scheduler."""
        self.detach()

    def sample(self) -> None:
        """Look at all workers."""
        now = time.time()
        memory = limit = largest = executing = spilled = threads = 0
        cpu = 0.0
        for address, worker in self._scheduler.workers.items():
            load = worker.metrics
            own, own_cpu = load.get("memory", 0), load.get("cpu", 0.0)
            own_spilled = load.get("spilled_bytes", {}).get("disk", 0)
            own_executing = load.get("task_counts", {}).get("executing", 0)
            known = self.workers.get(address)
            first, peak, mean, n = (now, 0, 0.0, 0) if known is None else (
                known.first_seen, known.peak_bytes, known.mean_cpu_percent, known.n_seen
            )  # fmt: skip
            self.workers[address] = WorkerLoad(
                address, worker.host, worker.nthreads, worker.memory_limit, first, now,
                own, max(own, peak), own_cpu, mean + (own_cpu - mean) / (n + 1), own_executing,
                own_spilled, n + 1,
            )  # fmt: skip
            threads += worker.nthreads
            memory += own
            limit += worker.memory_limit
            largest = max(largest, own)
            cpu += own_cpu
            executing += own_executing
            spilled += own_spilled
        n_workers = len(self._scheduler.workers)
        self._append(
            Sample(now, n_workers, threads, memory, limit, largest, cpu, executing, spilled)
        )

    def _append(self, row: Sample) -> None:
        self.samples.append(row)
        if len(self.samples) > MAX_SAMPLES:
            n_before = len(self.samples)
            self.samples = self.samples[::2]
            self.n_dropped += n_before - len(self.samples)

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Note that a worker came."""
        self._note(scheduler)

    def remove_worker(
        self, scheduler: Any, worker: str, *, stimulus_id: str = "", **kwargs: Any
    ) -> None:
        """Note that a worker left."""
        self._note(scheduler)

    def _note(self, scheduler: Any) -> None:
        n_workers, n_threads = len(scheduler.workers), scheduler.total_nthreads
        self._append(
            self.samples[-1]._replace(t=time.time(), n_workers=n_workers, n_threads=n_threads)
        )


def start(interval_s: float, user: str, *, dask_scheduler: Any) -> int:
    """Sample for a user; return the position of the first sample for them."""
    sampler = dask_scheduler.plugins.get(NAME)
    if sampler is None:
        sampler = Sampler(interval_s)
        sampler.attach(dask_scheduler)
    elif interval_s < sampler.interval_s:
        sampler.sample_every(interval_s)
    if not sampler.users:  # highest and mean are those of a run
        sampler.workers = {}
    sampler.users.add(user)
    sampler.sample()
    return int(sampler.n_dropped + len(sampler.samples)) - 1


def fetch(since: int, *, dask_scheduler: Any) -> dict[str, Any] | None:
    """Return the samples since a position; None if nobody samples."""
    sampler = dask_scheduler.plugins.get(NAME)
    if sampler is None:
        return None
    first = max(since - sampler.n_dropped, 0)
    return {  # of types that every client knows
        "now": time.time(),
        "interval_s": sampler.interval_s,
        "samples": [tuple(one) for one in sampler.samples[first:]],
        "end": sampler.n_dropped + len(sampler.samples),
        "workers": [tuple(one) for one in sampler.workers.values()],
    }


def stop(since: int, user: str, *, dask_scheduler: Any) -> dict[str, Any] | None:
    """Return the samples since a position; without users the sampler goes."""
    sampler = dask_scheduler.plugins.get(NAME)
    if sampler is None:
        return None
    sampler.sample()
    rest = fetch(since, dask_scheduler=dask_scheduler)
    sampler.users = {one for one in sampler.users - {user} if one in dask_scheduler.clients}
    if not sampler.users and not sampler.stays:
        sampler.detach()
        dask_scheduler.remove_plugin(name=NAME)
    return rest


def run_by_value(client: Client, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function on the scheduler of a client, which need not have the function's module."""
    module = sys.modules[function.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        return client.run_on_scheduler(function, *arguments)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
