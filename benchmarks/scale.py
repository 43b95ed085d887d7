"""Many chunks that read nothing, through the real executor: ``python -m benchmarks.scale``.

The scheduler, the client and the workers (50 in a process, which cannot open sockets for more)
are processes of their own, so that each can be measured. A chunk takes its sums, as large as
real ones, from a store that holds the same for all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import psutil
from coffea.processor.executor import WorkItem
from distributed import Client, Scheduler, Worker
from rich.console import Console
from rich.table import Table

from intccms.execution.chunk import ChunkPolicy
from intccms.execution.dask.cluster import DaskExecutor
from intccms.execution.rounds import ChunkRun
from intccms.execution.tasks import ChunkReport, ChunkTask
from intccms.histograms.exact import ExactSums
from intccms.histograms.sums import HistogramSums

__all__ = ["Answer", "main"]

N_DATASETS, CHUNKS_OF_FILE = 20, 4
LABELS = ("nominal", *(f"v{i}" for i in range(66)))  # 54 shifts, 12 weights
EDGES = np.linspace(200.0, 3000.0, 21)
LIMITS = {"scheduler_ms_per_chunk": 1.0, "client_mb": 1000.0}
START_S = 300.0
WORKERS_OF_PROCESS = 50


@dataclass(frozen=True)
class Answer:
    """A store in which every result is there, and the same; a chunk of `chunk_s` seconds."""

    chunk_s: float = 0.0

    def load(self, key: str) -> dict[str, Any]:
        """Give sums and receipt."""
        time.sleep(self.chunk_s)
        receipt = ChunkReport(key.rpartition("/")[0], "", key, 0, 1000, "done", n_events=1000)
        return {"sums": _sums(), "receipt": asdict(receipt)}


_made: dict[str, Any] = {}


def _sums() -> dict[str, Any]:
    """Make sums of a thousand selected events in all variations, once a process."""
    if not _made:
        rng = np.random.default_rng(1)
        values, weights = rng.uniform(0, 4000, 1000), rng.normal(1, 0.1, (len(LABELS), 1000))
        filled = HistogramSums.filled(LABELS, EDGES, values, weights)
        _made.update(
            n_events=1000,
            n_kept=30,
            n_draws=0,
            fill_s=0.0,
            sumw=ExactSums.total(weights[0]),
            histograms={("channel", "observable"): filled},
            cutflow={},
        )
    return _made


async def _serve_scheduler(path: str) -> None:
    async with Scheduler(
        host="127.0.0.1", dashboard=False, scheduler_file=path, validate=False
    ) as scheduler:
        await scheduler.finished()


async def _serve_workers(path: str, n_workers: int) -> None:
    workers = [
        Worker(scheduler_file=path, nthreads=1, dashboard=False, memory_limit=0)
        for _ in range(n_workers)
    ]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


@contextmanager
def _cluster(n_workers: int) -> Iterator[tuple[Client, psutil.Process, list[psutil.Process]]]:
    """Start a scheduler and workers; give a client and the processes of both."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "scheduler.json")
        command = [sys.executable, "-m", "benchmarks.scale", "--serve", path]
        firsts = range(0, n_workers, WORKERS_OF_PROCESS)
        counts = [min(WORKERS_OF_PROCESS, n_workers - first) for first in firsts]
        roles = [["scheduler"], *(["workers", "--workers", str(count)] for count in counts)]
        servers = []
        quiet = {**os.environ, "DASK_LOGGING__DISTRIBUTED": "warning"}
        quiet["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] = "600s"  # many workers, few cores
        # each worker counts the open files of its process, which it shares with others here
        quiet["DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL"] = "60s"
        try:
            for role in roles:
                servers.append(subprocess.Popen([*command, "--role", *role], env=quiet))
                _wait_for(Path(path))
            with Client(scheduler_file=path) as client:
                client.wait_for_workers(n_workers, timeout=START_S)
                scheduler, *workers = (psutil.Process(one.pid) for one in servers)
                yield client, scheduler, workers
        finally:
            for one in reversed(servers):
                one.kill()
                one.wait()


def _wait_for(path: Path) -> None:
    until = time.monotonic() + START_S
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError("the scheduler did not start")
        time.sleep(0.1)


def _tasks(n_chunks: int) -> list[ChunkTask]:
    tasks = []
    for i in range(n_chunks):
        file, place = divmod(i, CHUNKS_OF_FILE)
        dataset = f"dataset_{i * N_DATASETS // n_chunks}"  # one after the other, as in a plan
        name = f"/store/mc/campaign/{dataset}/NANOAODSIM/{file:08d}.root"
        start = 100_000 * place
        uuid = f"{file:032x}"
        item = WorkItem(dataset, name, "Events", start, start + 100_000, uuid, {"file_index": 0})
        tasks.append(ChunkTask(item, (f"root://xcache/{name}",), f"{dataset}/{i}"))
    return tasks


def _moved() -> int:
    """Count the bytes that went over the loopback device: nobody else should use it meanwhile."""
    return int(psutil.net_io_counters(pernic=True)["lo"].bytes_sent)


def _cpu_s(processes: list[psutil.Process]) -> float:
    times = [one.cpu_times() for one in processes]
    return float(sum(one.user + one.system for one in times))


def measure(n_chunks: int, n_workers: int, chunk_s: float) -> dict[str, Any]:
    """Run the chunks and say what they cost whom."""
    own = psutil.Process(os.getpid())
    tasks = _tasks(n_chunks)
    with _cluster(n_workers) as (client, scheduler, workers):
        before = [_cpu_s(some) for some in ([scheduler], workers, [own])]
        rss, peak, moved = own.memory_info().rss, 0, _moved()
        run = ChunkRun(DaskExecutor(client), Nothing(), ChunkPolicy(store=Answer(chunk_s)))
        begin, receipts, times = time.monotonic(), [], []
        for outcome in run.outcomes(tasks):
            receipts.append(outcome.report)
            times.append(time.monotonic() - begin)
            if len(times) % 1000 == 0:
                peak = max(peak, own.memory_info().rss)
        wall_s = time.monotonic() - begin
        n_merged = sum(sums["n_events"] for sums in run.totals.by_group.values()) // 1000
        after = [_cpu_s(some) for some in ([scheduler], workers, [own])]
        spent = [(b - a) * 1e3 / n_chunks for a, b in zip(before, after, strict=True)]
        return {
            "n_chunks": n_chunks,
            "n_workers": n_workers,
            "n_merged": n_merged,
            "wall_s": wall_s,
            "chunks_per_s": n_chunks / wall_s,
            "scheduler_ms_per_chunk": spent[0],
            "workers_ms_per_chunk": spent[1],
            "client_ms_per_chunk": spent[2],
            "client_mb": peak / 1e6,
            "client_growth_mb": (peak - rss) / 1e6,
            "scheduler_mb": scheduler.memory_info().rss / 1e6,
            "sums_kb_per_chunk": len(cloudpickle.dumps(_sums())) / 1e3,
            "moved_kb_per_chunk": (_moved() - moved) / 1e3 / n_chunks,
            "last_percent_s": times[-1] - times[int(0.99 * (n_chunks - 1))],
            "after_last_chunk_s": wall_s - times[-1],
        }


class Nothing:
    """A processor that is never asked."""

    def process(self, events: Any) -> dict[str, Any]:
        """Fail: all results are stored."""
        raise NotImplementedError


def main() -> int:
    """Measure, print and write; the status is 1 if chunks are missing or a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--chunk-s", type=float, default=0.0, help="seconds that a chunk sleeps")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench/scale.json"))
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--role", choices=("scheduler", "workers"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role == "scheduler":
        asyncio.run(_serve_scheduler(asked.serve))
    elif asked.role == "workers":
        asyncio.run(_serve_workers(asked.serve, asked.workers))
    else:
        return _report(measure(asked.chunks, asked.workers, asked.chunk_s), asked.out)
    return 0


def _report(found: dict[str, Any], out: Path) -> int:
    table = Table("", "measured", "at most", title="chunks that read nothing")
    for name, value in found.items():
        limit = LIMITS.get(name)
        table.add_row(name, f"{value:,.4g}", "" if limit is None else f"{limit:g}")
    Console().print(table)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1))
    is_whole = found["n_merged"] == found["n_chunks"]
    return 0 if is_whole and all(found[k] <= v for k, v in LIMITS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
