"""What is known of a run while it goes on: the one thing that all dashboards are drawn from.

Fed by chunk reports and samples: live by an observer, on the scheduler by events, or from a saved
measurement afterwards. Touches nothing else.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.execution.tasks import PARTS, ChunkReport, ChunkStatus
from intccms.metrics.worker_tracker import Sample, Timeline, WorkerLoad

N_SLOW = 8  # slowest chunks that are kept


@dataclass
class DatasetState:
    """How far one dataset has come; events of chunks."""

    n_planned: int = 0
    n_chunks: int = 0
    n_done: int = 0
    n_resumed: int = 0
    n_failed: int = 0
    n_unopened: int = 0  # files

    @property
    def n_left(self) -> int:
        """Events of which no chunk report has come."""
        return max(self.n_planned - self.n_done - self.n_resumed - self.n_failed, 0)


@dataclass
class RunState:
    """A run as it is known now.

    Parameters
    ----------
    target_gbps
        Data rate to compare with.
    datasets
        In the order in which they are processed.
    started, ended
        Seconds since the epoch; None: not yet.
    """

    target_gbps: float = 200.0
    notice: str = ""  # what holds the run up now
    datasets: dict[str, DatasetState] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    chunks: Counter[ChunkStatus] = field(default_factory=Counter)
    failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    timeline: Timeline = field(default_factory=Timeline)
    loads: list[WorkerLoad] = field(default_factory=list)
    # of each chunk that was processed in this run
    finished: array[float] = field(default_factory=lambda: array("d"))
    wall_s: array[float] = field(default_factory=lambda: array("d"))
    n_events: array[int] = field(default_factory=lambda: array("q"))
    n_bytes: array[int] = field(default_factory=lambda: array("q"))
    slowest: list[ChunkReport] = field(default_factory=list)  # chunks, the slowest first

    def begin(self, parts: Mapping[str, Sequence[int]], now: float) -> None:
        """Begin anew with a plan: events of each chunk, by dataset."""
        fresh = RunState(self.target_gbps, started=now)
        fresh.datasets = {
            name: DatasetState(sum(sizes), len(sizes)) for name, sizes in parts.items()
        }
        self.__dict__.update(fresh.__dict__)

    def take(self, report: ChunkReport, now: float) -> None:
        """Take a chunk report that came now, or long ago."""
        dataset = self.datasets.setdefault(report.dataset, DatasetState())
        if report.is_unopened:
            dataset.n_unopened += 1
        else:
            self.chunks[report.status] += 1
        n = report.n_planned
        if report.status.is_resumed:
            dataset.n_resumed += n
            return
        if report.status.is_lost:
            dataset.n_failed += n
            place = (report.error_type, report.host or report.redirector, report.stage)
            self.failures[place] += 1
            return
        dataset.n_done += n
        end = report.started + report.wall_s if report.started else now
        self.finished.append(min(max(end, self.started or end), now))
        self.wall_s.append(report.wall_s)
        self.n_events.append(report.n_events)
        self.n_bytes.append(report.bytes_read)
        self.slowest = nlargest(N_SLOW, [*self.slowest, report], key=lambda one: one.wall_s)

    def watch(self, samples: Iterable[Sample], loads: Sequence[WorkerLoad]) -> None:
        """Take samples of the workers."""
        self.timeline.add(samples, loads)
        self.loads = list(loads) or self.loads

    def end(self, now: float) -> None:
        """Note that the run is over."""
        self.ended = now

    @property
    def n_chunks(self) -> int:
        """Chunks that were planned."""
        planned = sum(dataset.n_chunks for dataset in self.datasets.values())
        return max(planned, sum(self.chunks.values()))

    @property
    def n_lost(self) -> int:
        """Chunks that have failed."""
        return sum(n for status, n in self.chunks.items() if status.is_lost)

    @property
    def n_unopened(self) -> int:
        """Files that are lost as they never opened: how many chunks they have is not known."""
        return sum(dataset.n_unopened for dataset in self.datasets.values())

    @property
    def n_busy(self) -> int:
        """Threads that were busy when somebody looked last; none after the run."""
        samples = self.timeline.samples
        return samples[-1].n_executing if samples and self.ended is None else 0

    @property
    def busy_since(self) -> float | None:
        """When the first of the chunks began that are running, as far as can be told."""
        if not self.n_busy or self.started is None:
            return None
        last = max(self.finished, default=self.started)
        idle = (one.t for one in reversed(self.timeline.samples) if not one.n_executing)
        return max(self.started, last, next(idle, self.started))

    def clock(self, now: float) -> float:
        """Return the time that the run has come to: it stops when the run ends."""
        return now if self.ended is None else self.ended


Columns = dict[str, Any]  # sequences of equal length
Floats = NDArray[np.float64]

N_POINTS = 240
N_BINS = 40
N_DATASETS = 14
N_FAILURES = 8
STATES = ("done", "resumed", "running", "waiting", "failed")  # kept columns or not: done
NOBODY = Sample(0.0, 0, 0, 0, 0, 0, 0.0, 0, 0)
BUSY_S = 2.0  # in a chunk: from then on it is worth saying


def clock(seconds: float) -> str:
    """Write minutes and seconds, and hours where there are any.

    Examples
    --------
    >>> clock(62.4), clock(3725.0)
    ('1:02', '1:02:05')
    """
    whole = round(max(seconds, 0.0))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def rates(state: RunState, now: float) -> Columns:
    """Return event rate and data rate over time, averaged over a window that looks back.

    The events of a chunk are spread over the time that it took, once it has ended.
    """
    elapsed = _elapsed(state, now)
    if not elapsed:
        return {"t": [], "khz": [], "gbps": []}
    grid = np.linspace(0.0, elapsed, min(N_POINTS, int(elapsed * 4) + 2))
    window = float(np.clip(elapsed / 12, 2.0, 60.0))
    width = np.minimum(window, np.maximum(grid, 1e-9))
    end = np.array(state.finished) - (state.started or 0.0)
    begin = np.clip(end - np.array(state.wall_s), 0.0, end - 1e-3)
    curves: Columns = {"t": grid}
    for name, amounts, unit in (("khz", state.n_events, 1e3), ("gbps", state.n_bytes, 0.125e9)):
        per_s = np.array(amounts, dtype=float) / (end - begin)
        now_done, then_done = (
            _ramps(begin, per_s, times) - _ramps(end, per_s, times)
            for times in (grid, grid - window)
        )
        curves[name] = np.maximum(now_done - then_done, 0) / np.maximum(width, window / 4) / unit
    return curves


def _ramps(starts: Floats, slopes: Floats, times: Floats) -> Floats:
    """Return the sum of lines that begin to rise at `starts`, at some times."""
    order = np.argsort(starts)
    n = np.searchsorted(starts[order], times, side="right")
    slope: Floats = np.concatenate([[0.0], np.cumsum(slopes[order])])[n]
    offset: Floats = np.concatenate([[0.0], np.cumsum((slopes * starts)[order])])[n]
    return slope * times - offset


def rate_now(state: RunState, now: float) -> tuple[float, float] | None:
    """Return the rates in kHz and Gbit/s of late, and after the run their average.

    Of late is at least twice as long as the longest chunk took: nothing is known of those that are
    running. None: chunks are running, and none has ended yet.
    """
    if state.started is None:
        return 0.0, 0.0
    span = max(state.clock(now) - state.started, 1e-9)
    if state.ended is None:
        if not len(state.finished) and state.n_busy:
            return None
        span = min(span, max(10.0, span / 12, 2 * max(state.wall_s, default=0.0)))
    is_late = np.array(state.finished) > state.clock(now) - span
    if state.ended is not None:
        is_late[:] = True
    khz = float(np.array(state.n_events)[is_late].sum()) / span / 1e3
    return khz, float(np.array(state.n_bytes)[is_late].sum()) / span / 0.125e9


def busy(state: RunState, now: float) -> str:
    """Say what is running, while nothing else is known of it; empty if there is nothing to say."""
    since = state.busy_since
    if since is None or now - since < BUSY_S:
        return ""
    n = state.n_busy
    if not len(state.finished):
        chunks = "chunk" if n == 1 else f"{n:,} chunks"
        return f"busy: first {chunks} running for {now - since:.0f} s"
    return f"busy: {n:,} running, none has ended for {now - since:.0f} s"


def worker_times(state: RunState, now: float) -> Columns:
    """Return workers, threads, busy threads, memory and CPU over time."""
    end, samples = state.clock(now), state.timeline.samples
    # before a run, the workers since somebody looks
    start = state.started or next((one.t for one in samples), end)
    samples = [one for one in samples if start - 1.0 <= one.t <= end + 1.0]
    # never empty: Bokeh's varea_step hangs the browser then
    samples = samples[:: len(samples) // N_POINTS + 1] + samples[-1:] or [NOBODY]
    return {
        "t": [max(one.t - start, 0.0) for one in samples],
        "workers": [one.n_workers for one in samples],
        "threads": [one.n_threads for one in samples],
        "busy": [min(one.n_executing, one.n_threads) for one in samples],
        "cores": [one.cpu_percent / 100 for one in samples],
    }


def worker_loads(state: RunState, now: float) -> Columns:
    """Return memory and CPU of each worker that is there, by host; at the end its mean CPU."""
    newest = max((load.last_seen for load in state.loads), default=0.0)
    late = newest - 3 * state.timeline.interval_s
    loads = sorted(
        (load for load in state.loads if load.last_seen >= late),
        key=lambda load: (load.host, load.address),
    )
    return {
        "x": list(range(1, len(loads) + 1)),
        "worker": [load.address for load in loads],
        "host": [load.host for load in loads],
        "memory_gb": [load.memory_bytes / 1e9 for load in loads],
        "peak_gb": [load.peak_bytes / 1e9 for load in loads],
        "limit_gb": [load.memory_limit_bytes / 1e9 for load in loads],
        "cpu": [
            (load.cpu_percent if state.ended is None else load.mean_cpu_percent)
            / max(load.n_threads, 1)
            for load in loads
        ],
        "busy": [load.n_executing for load in loads],
        "spilled_gb": [load.spilled_bytes / 1e9 for load in loads],
    }


def chunk_states(state: RunState, now: float) -> Columns:
    """Return the number of chunks in each state."""
    chunks = state.chunks
    left = state.n_chunks - sum(chunks.values())
    running = min(state.n_busy, left)
    done = sum(n for status, n in chunks.items() if status.is_in_rates)
    resumed = sum(n for status, n in chunks.items() if status.is_resumed)
    numbers = [done, resumed, running, left - running, state.n_lost]
    texts = [f"{number:,}" for number in numbers]
    if chunks[ChunkStatus.CACHED]:
        texts[0] += f" ({chunks[ChunkStatus.CACHED]:,} kept)"
    return {
        "state": list(STATES),
        "n": numbers,
        "all": [1.0] * len(numbers),
        "fraction": [number / max(state.n_chunks, 1) for number in numbers],
        "text": texts,
    }


def dataset_progress(state: RunState, now: float) -> Columns:
    """Return how far each dataset is, and when it will be finished.

    Datasets are processed one after the other: the time left counts what comes before, too. Where
    there are many, those that are unfinished come first.
    """
    left, rows = 0, []
    rate = _rate(state, now)
    for name, one in state.datasets.items():
        total = max(one.n_planned, 1)
        left += one.n_left
        text = f"{100 * (1 - one.n_left / total):.0f} %"
        if not one.n_left:
            lost = 100 * one.n_failed / total
            text = f"{lost:.{'0f' if lost >= 1 else '1g'}} % failed" if lost else "done"
        elif state.ended is None and rate:
            text += f", {clock(left / rate)} left"
        if one.n_unopened:
            text += f", {one.n_unopened:,} files lost"
        parts = (one.n_done / total, one.n_resumed / total, one.n_failed / total)
        rows.append((name, *parts, text, one.n_left > 0))
    if len(rows) > N_DATASETS:
        rows = sorted(rows, key=lambda row: not row[-1])[:N_DATASETS]
    names = ("dataset", "done", "resumed", "failed", "text")
    progress: Columns = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    return progress | {"all": [1.0] * len(rows)}


def failures(state: RunState, now: float) -> Columns:
    """Return the number of failed chunks by class of error and host, most first."""
    most = state.failures.most_common(N_FAILURES)
    return {
        "label": [
            f"{kind} ({stage}) · {host or 'no host'}" if stage else f"{kind} · {host or 'no host'}"
            for (kind, host, stage), _ in most
        ],
        "n": [number for _, number in most],
        "text": [f"{number:,}" for _, number in most],
    }


def runtimes(state: RunState, now: float) -> Columns:
    """Return the distribution of the time that chunks took."""
    walls = np.array(state.wall_s)
    if not len(walls):
        return {"x": [], "width": [], "n": []}
    n_bins = int(np.clip(np.sqrt(len(walls)) * 1.5, 6, N_BINS))
    counts, edges = np.histogram(walls, bins=n_bins, range=(0.0, float(walls.max()) or 1.0))
    return {"x": (edges[:-1] + edges[1:]) / 2, "width": np.diff(edges), "n": counts}


def slow_chunks(state: RunState, now: float) -> Columns:
    """Return where the time of the slowest chunks went, slowest first."""
    slow = state.slowest
    return {
        "label": [f"{rank}. {one.dataset}" for rank, one in enumerate(slow, start=1)],
        "file": [PurePosixPath(one.file).name for one in slow],
        "entries": [f"{one.entry_start:,} to {one.entry_stop:,}" for one in slow],
        "host": [one.host for one in slow],
        "tries": [one.tries for one in slow],
        "text": [f"{one.wall_s:.3g} s" for one in slow],
        **{part: [getattr(one, part) for one in slow] for part in (*PARTS, "decompress_s")},
        "read_s": [max(one.read_s - one.decompress_s, 0.0) for one in slow],
        "other_s": [
            max(one.wall_s - sum(getattr(one, part) for part in PARTS), 0.0) for one in slow
        ],
    }


def summary(state: RunState, now: float) -> dict[str, str]:
    """Return the numbers that matter most, ready to be shown."""
    elapsed = _elapsed(state, now)
    n_left = sum(one.n_left for one in state.datasets.values())
    over = state.ended is not None
    rates_now = rate_now(state, now)
    khz, gbps = rates_now or (0.0, 0.0)
    last = state.timeline.samples[-1] if state.timeline.samples else None
    threads: float = last.n_threads if last else 0
    if elapsed and state.started is not None and state.ended is not None:
        core_s = state.timeline.integral("n_threads", state.started, state.ended)
        threads = core_s / elapsed if core_s else threads
    rate = _rate(state, now)
    known = sum(state.chunks.values())
    text = f"{khz / 1e3:.3g} MHz" if khz >= 1e3 else f"{khz:.3g} kHz"
    waiting = busy(state, now)
    return {
        "begun": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.started or now)),
        "event rate": text if rates_now else waiting or "-",
        "data rate": f"{gbps:.3g} Gbit/s" if rates_now else "-",
        "per core": f"{khz / threads:.3g} kHz" if rates_now and threads else "-",
        "workers": f"{last.n_workers:,}" if last else "-",
        "chunks": f"{known:,} / {state.n_chunks:,}",
        "failed": failed(state),
        "elapsed": clock(elapsed),
        "time left": "done" if over else clock(n_left / rate) if rate else "-",
        **({"now": waiting} if rates_now and waiting else {}),
        **({"waiting": state.notice} if state.notice else {}),
    }


def failed(state: RunState) -> str:
    """Count what failed: chunks, and files that never opened."""
    n = state.n_unopened
    return f"{state.n_lost:,}" + (f" + {n:,} {'file' if n == 1 else 'files'}" if n else "")


def _elapsed(state: RunState, now: float) -> float:
    return 0.0 if state.started is None else max(state.clock(now) - state.started, 0.0)


def _rate(state: RunState, now: float) -> float:
    """Events per second since the beginning."""
    elapsed = _elapsed(state, now)
    return sum(state.n_events) / elapsed if elapsed else 0.0
