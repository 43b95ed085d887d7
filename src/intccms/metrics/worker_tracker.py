"""Number and load of the workers over time.

On a Dask cluster the scheduler samples them: `Sampler` goes there as code, pickled by value, as the
scheduler need not have this package, and stays there when the client goes away. On one machine the
processes are looked at. No thread is started here.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import cloudpickle
import numpy as np
import psutil
from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin

from intccms.errors import InputError
from intccms.storage import write_json

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

    def after(self, known: WorkerLoad | None) -> WorkerLoad:
        """Return it with the highest and the mean of all that was seen of this worker."""
        if known is None:
            return self
        n_seen = known.n_seen + 1
        mean = known.mean_cpu_percent + (self.cpu_percent - known.mean_cpu_percent) / n_seen
        return self._replace(
            first_seen=known.first_seen,
            peak_bytes=max(self.memory_bytes, known.peak_bytes),
            mean_cpu_percent=mean,
            n_seen=n_seen,
        )


def _sample_of(loads: Sequence[WorkerLoad], now: float) -> Sample:
    """Add up the workers that are there."""
    return Sample(
        now, len(loads), sum(one.n_threads for one in loads),
        sum(one.memory_bytes for one in loads), sum(one.memory_limit_bytes for one in loads),
        max((one.memory_bytes for one in loads), default=0),
        sum(one.cpu_percent for one in loads), sum(one.n_executing for one in loads),
        sum(one.spilled_bytes for one in loads),
    )  # fmt: skip


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
        loads = []
        for address, worker in self._scheduler.workers.items():
            load = worker.metrics
            memory, cpu = load.get("memory", 0), load.get("cpu", 0.0)
            fresh = WorkerLoad(
                address, worker.host, worker.nthreads, worker.memory_limit, now, now, memory,
                memory, cpu, cpu, load.get("task_counts", {}).get("executing", 0),
                load.get("spilled_bytes", {}).get("disk", 0), 1,
            )  # fmt: skip
            loads.append(fresh.after(self.workers.get(address)))
        self.workers |= {load.address: load for load in loads}
        self._append(_sample_of(loads, now))

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


@dataclass
class Timeline:
    """Samples of the workers, by time, and the workers that were there.

    Parameters
    ----------
    samples
        Each holds until the next.
    workers
        By address.
    interval_s
        Between two samples; changes of the number of workers are samples of their own.
    """

    samples: list[Sample] = field(default_factory=list)
    workers: dict[str, WorkerLoad] = field(default_factory=dict)
    interval_s: float = 1.0

    def add(self, samples: Iterable[Sample], workers: Iterable[WorkerLoad]) -> None:
        """Take what was sampled since."""
        self.samples += samples
        self.workers |= {worker.address: worker for worker in workers}

    def integral(self, name: str, start: float, stop: float) -> float | None:
        """Return the integral of a column of `Sample` over time; None if nothing was sampled."""
        if not self.samples or stop <= start:
            return None
        begins = [start, *(sample.t for sample in self.samples[1:]), stop]
        values = [float(getattr(sample, name)) for sample in self.samples]
        return float(np.dot(values, np.diff(np.clip(begins, start, stop))))

    def peak(self, name: str) -> int | None:
        """Return the largest value of a column of `Sample`."""
        return max((int(getattr(sample, name)) for sample in self.samples), default=None)

    def save(self, path: Path) -> None:
        """Write it as JSON, by columns."""
        columns = {
            name: [getattr(sample, name) for sample in self.samples] for name in Sample._fields
        }
        workers = [worker._asdict() for worker in self.workers.values()]
        content = {"interval_s": self.interval_s, "samples": columns, "workers": workers}
        write_json(path, content)

    @classmethod
    def load(cls, path: Path) -> Timeline:
        """Read what `save` has written.

        Raises
        ------
        InputError
            If it is not there or not as it was written.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            columns = [content["samples"][name] for name in Sample._fields]
            samples = [Sample(*row) for row in zip(*columns, strict=True)]
            workers = [WorkerLoad(**one) for one in content["workers"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"no samples of workers in {path}: {error}") from error
        return cls(samples, {one.address: one for one in workers}, content["interval_s"])


class WorkerTracker:
    """Tracks the workers of a client's cluster.

    Parameters
    ----------
    client
        Of a cluster; may be another one than that which started the tracking.
    interval_s
        Between two samples; if somebody tracks them already, theirs counts.

    Examples
    --------
    ::

        with WorkerTracker(client) as tracker:
            run()
        tracker.timeline.save(path)
    """

    def __init__(self, client: Client, *, interval_s: float = 1.0) -> None:
        self.client, self.interval_s = client, interval_s
        self.timeline = Timeline(interval_s=interval_s)
        self._end = 0

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Begin to sample, or to listen to somebody who does; earlier samples are left out."""
        self._end = run_by_value(self.client, start, self.interval_s, self.client.id)

    def fetch(self) -> tuple[Sequence[Sample], Sequence[WorkerLoad]]:
        """Add to `timeline` what was sampled since the last time, and return it.

        Times are turned into those of this machine's clock.
        """
        return self._take(fetch, self._end)

    def stop(self) -> tuple[Sequence[Sample], Sequence[WorkerLoad]]:
        """Fetch the rest, and let the scheduler forget it if nobody else uses it."""
        return self._take(stop, self._end, self.client.id)

    def _take(
        self, function: Callable[..., Any], *arguments: Any
    ) -> tuple[Sequence[Sample], Sequence[WorkerLoad]]:
        before = time.time()
        answer = run_by_value(self.client, function, *arguments)
        if answer is None:
            return [], []
        ahead = answer["now"] - (before + time.time()) / 2
        self._end = answer["end"]
        self.timeline.interval_s = answer["interval_s"]
        samples = [Sample(row[0] - ahead, *row[1:]) for row in answer["samples"]]
        workers = [
            one._replace(first_seen=one.first_seen - ahead, last_seen=one.last_seen - ahead)
            for one in (WorkerLoad(*row) for row in answer["workers"])
        ]
        self.timeline.add(samples, workers)
        return samples, workers


SPAWNED = "multiprocessing.spawn"  # in the command line of a pool's process


class ProcessTracker:
    """Looks at the processes that this one has started, or at itself if there are none.

    Has the methods of `WorkerTracker`; a sample is taken when it is fetched.

    Parameters
    ----------
    interval_s
        Between two fetches.
    """

    def __init__(self, *, interval_s: float = 1.0) -> None:
        self.timeline = Timeline(interval_s=interval_s)
        self._host = socket.gethostname()
        self._known: dict[int, psutil.Process] = {}  # cpu_percent compares with the call before

    def start(self) -> None:
        """Take the first sample."""
        self.fetch()

    def fetch(self) -> tuple[Sequence[Sample], Sequence[WorkerLoad]]:
        """Take a sample and return it."""
        now, limit = time.time(), int(psutil.virtual_memory().total)
        loads = []
        for process in self._processes():
            try:
                with process.oneshot():
                    memory, cpu = int(process.memory_info().rss), float(process.cpu_percent())
                    is_busy = process.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
            except psutil.Error:  # it has ended
                continue
            name = str(process.pid)
            fresh = WorkerLoad(
                name, self._host, 1, limit, now, now, memory, memory, cpu, cpu, int(is_busy), 0, 1
            )
            loads.append(fresh.after(self.timeline.workers.get(name)))
        sample = _sample_of(loads, now)._replace(memory_limit_bytes=limit)  # that of the machine
        self.timeline.add([sample], loads)
        return [sample], loads

    def stop(self) -> tuple[Sequence[Sample], Sequence[WorkerLoad]]:
        """Take the last sample and return it."""
        return self.fetch()

    def _processes(self) -> list[psutil.Process]:
        own = psutil.Process()
        found: dict[int, psutil.Process] = {}
        for child in own.children():
            try:
                if child.pid in self._known or any(SPAWNED in part for part in child.cmdline()):
                    found[child.pid] = self._known.get(child.pid, child)
            except psutil.Error:
                continue
        self._known = found or {own.pid: self._known.get(own.pid, own)}
        return list(self._known.values())
