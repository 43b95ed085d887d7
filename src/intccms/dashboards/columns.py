"""What the plots show: columns of equal length, made of the state of a run.

Pure: a `RunState` and the time in, lists and arrays out; tested without Bokeh.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intccms.dashboards.state import RunState
from intccms.metrics.worker_tracker import Sample
from intccms.receipts import PARTS, ChunkStatus

__all__ = [
    "Columns",
    "busy",
    "chunk_states",
    "clock",
    "dataset_progress",
    "failed",
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
Floats = NDArray[np.float64]

N_POINTS = 240
N_BINS = 40
N_DATASETS = 14
N_FAILURES = 8
STATES = ("done", "resumed", "running", "waiting", "failed")  # kept columns or not: done
NOBODY = Sample(0.0, 0, 0, 0, 0, 0, 0.0, 0, 0)
TIMES = (*PARTS, "decompress_s")
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
    found: Columns = {"t": grid}
    for name, amounts, unit in (("khz", state.n_events, 1e3), ("gbps", state.n_bytes, 0.125e9)):
        per_s = np.array(amounts, dtype=float) / (end - begin)
        done = [
            _ramps(begin, per_s, times) - _ramps(end, per_s, times)
            for times in (grid, grid - window)
        ]
        found[name] = np.maximum(done[0] - done[1], 0) / np.maximum(width, window / 4) / unit
    return found


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
        return (
            f"busy: first {'chunk' if n == 1 else f'{n:,} chunks'} running for {now - since:.0f} s"
        )
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
    chunks = state.chunks
    left = state.n_chunks - sum(chunks.values())
    running = min(state.n_busy, left)
    done = sum(n for status, n in chunks.items() if status.is_in_rates)
    resumed = sum(n for status, n in chunks.items() if status.is_resumed)
    numbers = [done, resumed, running, left - running, state.n_lost]
    texts = [f"{number:,}" for number in numbers]
    if chunks[ChunkStatus.CACHED]:
        texts[0] += f" ({chunks[ChunkStatus.CACHED]:,} from kept columns)"
    return {
        "state": list(STATES),
        "n": numbers,
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
            text = f"{lost:.0f} % failed" if lost >= 1 else f"{lost:.1g} % failed"
            text = text if lost else "done"
        elif state.ended is None and rate:
            text += f", {clock(left / rate)} left"
        if one.n_unopened:
            text += f", {one.n_unopened:,} files lost"
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
    for part in TIMES:
        found[part] = [getattr(one, part, 0.0) for one in slow]
    found["read_s"] = [
        max(read - unpack, 0.0)
        for read, unpack in zip(found["read_s"], found["decompress_s"], strict=True)
    ]
    found["other_s"] = [
        max(one.wall_s - sum(found[part][index] for part in TIMES), 0.0)
        for index, one in enumerate(slow)
    ]
    return {**found}


def summary(state: RunState, now: float) -> dict[str, str]:
    """Return the numbers that matter most, ready to be shown."""
    elapsed = _elapsed(state, now)
    n_left = sum(one.n_left for one in state.datasets.values())
    over = state.ended is not None
    found = rate_now(state, now)
    khz, gbps = found or (0.0, 0.0)
    last = state.timeline.samples[-1] if state.timeline.samples else None
    threads = last.n_threads if last else 0
    if over and elapsed and state.started is not None and state.ended is not None:
        core_s = state.timeline.integral("n_threads", state.started, state.ended)
        threads = core_s / elapsed if core_s else threads  # type: ignore[assignment]
    rate = _rate(state, now)
    known = sum(state.chunks.values())
    text = f"{khz / 1e3:.3g} MHz" if khz >= 1e3 else f"{khz:.3g} kHz"
    waiting = busy(state, now)
    return {
        "event rate": text if found else waiting or "-",
        "data rate": f"{gbps:.3g} Gbit/s" if found else "-",
        "per core": f"{khz / threads:.3g} kHz" if found and threads else "-",
        "workers": f"{last.n_workers:,}" if last else "-",
        "chunks": f"{known:,} / {state.n_chunks:,}",
        "failed": failed(state),
        "elapsed": clock(elapsed),
        "time left": "done" if over else clock(n_left / rate) if rate else "-",
        **({"now": waiting} if found and waiting else {}),
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
