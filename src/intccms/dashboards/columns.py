"""What the plots show: columns of equal length, made of the state of a run.

Pure: a `RunState` and the time in, lists and arrays out; tested without Bokeh.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from intccms.dashboards.state import RunState
from intccms.metrics.worker_tracker import Sample

__all__ = [
    "Columns",
    "chunk_states",
    "clock",
    "dataset_progress",
    "failures",
    "rate_now",
    "rates",
    "runtimes",
    "slow_chunks",
    "summary",
    "worker_loads",
    "worker_times",
]

Columns = dict[str, Any]  # sequences of equal length

N_POINTS = 240
N_BINS = 40
N_DATASETS = 14
N_FAILURES = 8
STATES = ("done", "resumed", "running", "waiting", "failed")
NOBODY = Sample(0.0, 0, 0, 0, 0, 0, 0.0, 0, 0)
PARTS = ("open_s", "read_s", "decompress_s", "process_s", "fill_s")


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
    """Return event rate and data rate over time, averaged over a window that looks back."""
    elapsed = _elapsed(state, now)
    if not elapsed:
        return {"t": [], "khz": [], "gbps": []}
    grid = np.linspace(0.0, elapsed, min(N_POINTS, int(elapsed * 4) + 2))
    window = float(np.clip(elapsed / 12, 2.0, 60.0))
    width = np.minimum(window, np.maximum(grid, 1e-9))
    finished = np.array(state.finished) - (state.started or 0.0)
    order = np.argsort(finished)
    found: Columns = {"t": grid}
    for name, amounts, unit in (("khz", state.n_events, 1e3), ("gbps", state.n_bytes, 0.125e9)):
        total = np.concatenate([[0], np.cumsum(np.array(amounts, dtype=float)[order])])
        upto = np.searchsorted(finished[order], grid, side="right")
        before = np.searchsorted(finished[order], grid - window, side="right")
        found[name] = (total[upto] - total[before]) / np.maximum(width, window / 4) / unit
    return found


def rate_now(state: RunState, data: Columns) -> tuple[float, float]:
    """Return the rates in kHz and Gbit/s: the last ones, and after the run their average."""
    if state.ended is None or state.started is None:
        return _last(data["khz"]), _last(data["gbps"])
    elapsed = max(state.ended - state.started, 1e-9)
    return sum(state.n_events) / elapsed / 1e3, sum(state.n_bytes) / elapsed / 0.125e9


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
        "memory_gb": [one.memory_bytes / 1e9 for one in samples],
        "largest_gb": [one.largest_bytes / 1e9 for one in samples],
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
    known = sum(state.chunks.values())
    left = state.n_chunks - known
    samples = state.timeline.samples
    busy = samples[-1].n_executing if samples and state.ended is None else 0
    running = min(busy, left)
    counts = {**state.chunks, "running": running, "waiting": left - running}
    total = max(state.n_chunks, 1)
    numbers = [counts.get(name, 0) for name in STATES]
    return {
        "state": list(STATES),
        "n": numbers,
        "fraction": [number / total for number in numbers],
        "text": [f"{number:,}" for number in numbers],
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
            text = f"{lost:.0f} % failed" if lost >= 1 else f"{lost:.1g} % failed"
            text = text if lost else "done"
        elif state.ended is None and rate:
            text += f", {clock(left / rate)} left"
        parts = (one.n_done / total, one.n_resumed / total, one.n_failed / total)
        rows.append((name, *parts, text, one.n_left > 0))
    if len(rows) > N_DATASETS:
        rows = sorted(rows, key=lambda row: not row[-1])[:N_DATASETS]
    names = ("dataset", "done", "resumed", "failed", "text")
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


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
        return {"left": [], "right": [], "n": []}
    n_bins = int(np.clip(np.sqrt(len(walls)) * 1.5, 6, N_BINS))
    counts, edges = np.histogram(walls, bins=n_bins, range=(0.0, float(walls.max()) or 1.0))
    return {"left": edges[:-1], "right": edges[1:], "n": counts}


def slow_chunks(state: RunState, now: float) -> Columns:
    """Return where the time of the slowest chunks went, slowest first."""
    slow = state.slowest
    found: dict[str, list[Any]] = {
        "label": [f"{rank}. {one.dataset}" for rank, one in enumerate(slow, start=1)],
        "file": [PurePosixPath(one.file).name for one in slow],
        "entries": [f"{one.entry_start:,} to {one.entry_stop:,}" for one in slow],
        "host": [one.host for one in slow],
        "tries": [one.tries for one in slow],
        "text": [f"{one.wall_s:.3g} s" for one in slow],
    }
    for part in PARTS:
        found[part] = [getattr(one, part, 0.0) for one in slow]
    found["read_s"] = [
        max(read - unpack, 0.0)
        for read, unpack in zip(found["read_s"], found["decompress_s"], strict=True)
    ]
    found["other_s"] = [
        max(one.wall_s - sum(found[part][index] for part in PARTS), 0.0)
        for index, one in enumerate(slow)
    ]
    return {**found}


def summary(state: RunState, now: float) -> dict[str, str]:
    """Return the numbers that matter most, ready to be shown."""
    elapsed, columns = _elapsed(state, now), rates(state, now)
    n_left = sum(one.n_left for one in state.datasets.values())
    over = state.ended is not None
    khz, gbps = rate_now(state, columns)
    last = state.timeline.samples[-1] if state.timeline.samples else None
    threads = last.n_threads if last else 0
    if over and elapsed and state.started is not None and state.ended is not None:
        core_s = state.timeline.integral("n_threads", state.started, state.ended)
        threads = core_s / elapsed if core_s else threads  # type: ignore[assignment]
    rate = _rate(state, now)
    known = sum(state.chunks.values())
    return {
        "event rate": f"{khz / 1e3:.3g} MHz" if khz >= 1e3 else f"{khz:.3g} kHz",
        "data rate": f"{gbps:.3g} Gbit/s",
        "per core": f"{khz / threads:.3g} kHz" if threads else "-",
        "workers": f"{last.n_workers:,}" if last else "-",
        "chunks": f"{known:,} / {state.n_chunks:,}",
        "failed": f"{state.chunks['failed']:,}",
        "elapsed": clock(elapsed),
        "time left": "done" if over else clock(n_left / rate) if rate else "-",
    }


def _elapsed(state: RunState, now: float) -> float:
    return 0.0 if state.started is None else max(state.clock(now) - state.started, 0.0)


def _rate(state: RunState, now: float) -> float:
    """Events per second since the beginning."""
    elapsed = _elapsed(state, now)
    return sum(state.n_events) / elapsed if elapsed else 0.0


def _last(values: Sequence[float]) -> float:
    return float(values[-1]) if len(values) else 0.0
