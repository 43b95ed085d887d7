"""Load of the worker processes of this machine, for the executors that need no Dask."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import psutil

from intccms.metrics.worker_tracker import Sample, Timeline, WorkerLoad

__all__ = ["ProcessTracker"]

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
            known = self.timeline.workers.get(name)
            first, peak, mean, n = (now, 0, 0.0, 0) if known is None else (
                known.first_seen, known.peak_bytes, known.mean_cpu_percent, known.n_seen
            )  # fmt: skip
            loads.append(
                WorkerLoad(
                    name, self._host, 1, limit, first, now, memory, max(memory, peak), cpu,
                    mean + (cpu - mean) / (n + 1), int(is_busy), 0, n + 1,
                )
            )  # fmt: skip
        sizes = [load.memory_bytes for load in loads]
        sample = Sample(
            now, len(loads), len(loads), sum(sizes), limit, max(sizes, default=0),
            sum(load.cpu_percent for load in loads), sum(load.n_executing for load in loads), 0,
        )  # fmt: skip
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
