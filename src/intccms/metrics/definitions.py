"""Every performance metric once: name, formula, unit and meaning; the only home of formulas.

Pure: measured numbers in, metrics out. Units are decimal: 1 GB = 1e9 B, 1 Gbit = 1e9 bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

TOLERANCE = 0.05  # of times that different clocks and samples give


@dataclass(frozen=True)
class Measured:
    """What was measured in a run; rates leave out what was resumed or lost.

    Times of chunks are wall-clock seconds summed over all threads. What is None was not measured.

    Parameters
    ----------
    n_events, n_chunks, bytes_read
        Processed in this run; compressed bytes requested from files.
    wall_s, warm_up_s
        From the first chunk sent to the last one received, and until the first one began: workers
        start and import in this time.
    chunk_s
        In chunks, from the start of the first try to the end of the last.
    open_s, read_s, decompress_s, process_s, fill_s
        Parts of it; decompression is part of reading.
    core_s, worker_s
        Integrals of the number of threads and of workers over the time of the run.
    n_cached, n_events_cached
        Chunks, of `n_chunks`, whose columns an earlier run had kept: little was read for them;
        and their events.
    n_planned, n_resumed, n_lost
        Chunks.
    n_impossible
        Chunks with a negative time, or with parts that are longer than the whole.
    peak_rss_bytes
        Largest memory of a worker process.
    memory_byte_s
        Integral of the memory of all workers over the time of the run.
    column_bytes, tree_bytes
        Compressed sizes of what was read, and of all branches of the same entries.
    n_columns, n_branches
        Branches that were read, and all of them.
    """

    n_events: int
    bytes_read: int
    wall_s: float
    warm_up_s: float | None = None
    n_chunks: int = 0
    chunk_s: float = 0.0
    open_s: float = 0.0
    read_s: float = 0.0
    decompress_s: float = 0.0
    process_s: float = 0.0
    fill_s: float = 0.0
    core_s: float | None = None
    worker_s: float | None = None
    n_cached: int = 0
    n_events_cached: int = 0
    n_planned: int | None = None
    n_resumed: int = 0
    n_lost: int = 0
    n_impossible: int = 0
    peak_workers: int | None = None
    peak_rss_bytes: int = 0
    memory_byte_s: float | None = None
    column_bytes: int | None = None
    tree_bytes: int | None = None
    n_columns: int | None = None
    n_branches: int | None = None


@dataclass(frozen=True)
class Metric:
    """One metric.

    Parameters
    ----------
    name, label, unit
        How it is called in files and in tables; the unit is empty for pure numbers.
    formula, doc
        The formula in words of `Measured`, and what it tells.
    value
        Computes it; None where something was not measured.
    group
        Heading of the table that it is listed in.
    digits
        Significant ones that are shown.
    """

    name: str
    label: str
    unit: str
    formula: str
    doc: str
    value: Callable[[Measured], float | None]
    group: str
    digits: int = 4


def _ratio(above: float | None, below: float | None, scale: float = 1.0) -> float | None:
    return None if above is None or not below else above / below * scale


_RATE, _WORK, _TIME, _INPUT = "Throughput", "Workers", "Where the time goes", "Input"

METRICS: tuple[Metric, ...] = (
    Metric("event_rate_khz", "event rate", "kHz", "n_events / wall_s",
           "Events of the whole run per second of the clock on the wall.",
           lambda m: _ratio(m.n_events, m.wall_s, 1e-3), _RATE),
    Metric("data_rate_gbps", "data rate", "Gbit/s", "8 bytes_read / wall_s",
           "Compressed data requested from files, per second on the wall.",
           lambda m: _ratio(8 * m.bytes_read, m.wall_s, 1e-9), _RATE),
    Metric("event_rate_core_khz", "event rate per core", "kHz", "n_events / core_s",
           "Events per second and thread that was there, busy or not.",
           lambda m: _ratio(m.n_events, m.core_s, 1e-3), _RATE),
    Metric("event_rate_chunk_khz", "event rate in chunks", "kHz", "n_events / chunk_s",
           "Events per second that a thread spent in chunks: without waiting for work.",
           lambda m: _ratio(m.n_events, m.chunk_s, 1e-3), _RATE),
    Metric("wall_s", "wall time", "s", "wall_s", "From the first chunk to the last.",
           lambda m: m.wall_s, _RATE),
    Metric("warm_up_s", "warm-up of the workers", "s", "warm_up_s",
           "Until the first chunk began: workers start, import and get the processor.",
           lambda m: m.warm_up_s, _TIME, 3),
    Metric("n_events", "events", "", "n_events", "Events processed in this run.",
           lambda m: m.n_events, _RATE, 12),
    Metric("n_chunks", "chunks", "", "n_chunks", "Chunks processed in this run.",
           lambda m: m.n_chunks, _RATE, 12),
    Metric("n_cached_chunks", "chunks from kept columns", "", "n_cached",
           "Of these, chunks whose columns an earlier run had kept: rates count their events, but "
           "little or nothing was read for them.", lambda m: m.n_cached, _RATE, 12),
    Metric("avg_workers", "workers, average", "", "worker_s / wall_s",
           "Average over time, also of workers that come and go.",
           lambda m: _ratio(m.worker_s, m.wall_s), _WORK),
    Metric("peak_workers", "workers, most", "", "max(workers)", "At any one time.",
           lambda m: m.peak_workers, _WORK),
    Metric("total_cores", "cores, average", "", "core_s / wall_s",
           "Threads of all workers, average over time.",
           lambda m: _ratio(m.core_s, m.wall_s), _WORK),
    Metric("core_hours", "core hours", "h", "core_s / 3600", "What the run has cost.",
           lambda m: _ratio(m.core_s, 3600.0), _WORK),
    Metric("core_efficiency", "core efficiency", "", "chunk_s / core_s",
           "Part of the threads' time that was spent in chunks.",
           lambda m: _ratio(m.chunk_s, m.core_s), _WORK),
    Metric("speedup_factor", "chunks at a time", "", "chunk_s / wall_s",
           "Chunks in progress at the same time, on average: the speed-up over one thread.",
           lambda m: _ratio(m.chunk_s, m.wall_s), _WORK),
    Metric("peak_memory_gb", "memory of a worker, most", "GB", "max(rss)",
           "Largest resident memory of any worker process.",
           lambda m: _ratio(m.peak_rss_bytes or None, 1e9), _WORK),
    Metric("avg_memory_gb", "memory of a worker, average", "GB", "memory_byte_s / worker_s",
           "Average over workers and time.",
           lambda m: _ratio(m.memory_byte_s, m.worker_s, 1e-9), _WORK),
    Metric("chunk_time_s", "in chunks", "s", "chunk_s",
           "Wall time in chunks, all threads: reading and waiting included, so not CPU time.",
           lambda m: m.chunk_s, _TIME),
    Metric("avg_chunk_s", "per chunk", "s", "chunk_s / n_chunks", "Average time of a chunk.",
           lambda m: _ratio(m.chunk_s, m.n_chunks), _TIME),
    Metric("open_share", "opening files", "%", "open_s / chunk_s", "Part of the time in chunks.",
           lambda m: _ratio(m.open_s, m.chunk_s, 100), _TIME, 3),
    Metric("read_share", "reading", "%", "(read_s - decompress_s) / chunk_s",
           "Fetching and interpreting, without decompression.",
           lambda m: _ratio(m.read_s - m.decompress_s, m.chunk_s, 100), _TIME, 3),
    Metric("decompress_share", "decompressing", "%", "decompress_s / chunk_s",
           "Part of the time in chunks.",
           lambda m: _ratio(m.decompress_s, m.chunk_s, 100), _TIME, 3),
    Metric("process_share", "functions", "%", "process_s / chunk_s",
           "Selections, corrections, observables.",
           lambda m: _ratio(m.process_s, m.chunk_s, 100), _TIME, 3),
    Metric("fill_share", "filling histograms", "%", "fill_s / chunk_s",
           "Part of the time in chunks.",
           lambda m: _ratio(m.fill_s, m.chunk_s, 100), _TIME, 3),
    Metric("read_gb", "read", "GB", "bytes_read", "Compressed data requested from files.",
           lambda m: m.bytes_read / 1e9, _INPUT),
    Metric("bytes_per_event", "read per event", "B", "bytes_read / n_events",
           "Compressed data requested from files per event.",
           lambda m: _ratio(m.bytes_read, m.n_events), _INPUT),
    Metric("branch_coverage", "branches read", "%", "n_columns / n_branches",
           "Part of the branches of the trees that the run has read, of at least one chunk.",
           lambda m: _ratio(m.n_columns, m.n_branches, 100), _INPUT, 3),
    Metric("bytes_read_fraction", "bytes of the trees read", "%", "column_bytes / tree_bytes",
           "Baskets that were read, of all for the same entries; those read twice count twice.",
           lambda m: _ratio(m.column_bytes, m.tree_bytes, 100), _INPUT, 3),
)  # fmt: skip

# Names of earlier tools: (name here, factor to their unit). They called the wall time that chunks
# take CPU time.
ALIASES: Mapping[str, tuple[str, float]] = {
    "overall_rate_gbps": ("data_rate_gbps", 1.0),
    "overall_rate_mbps": ("data_rate_gbps", 125.0),  # MB/s
    "data_rate_mbps": ("data_rate_gbps", 125.0),
    "event_rate_wall_khz": ("event_rate_khz", 1.0),
    "event_rate_elapsed_khz": ("event_rate_khz", 1.0),
    "event_rate_core_hz": ("event_rate_core_khz", 1e3),
    "event_rate_agg_khz": ("event_rate_chunk_khz", 1.0),
    "event_rate_cpu_total_khz": ("event_rate_chunk_khz", 1.0),
    "wall_time": ("wall_s", 1.0),
    "elapsed_time_seconds": ("wall_s", 1.0),
    "total_cpu_time": ("chunk_time_s", 1.0),
    "avg_cpu_time_per_chunk": ("avg_chunk_s", 1.0),
    "total_events": ("n_events", 1.0),
    "num_chunks": ("n_chunks", 1.0),
    "total_bytes_compressed": ("read_gb", 1e9),
    "total_bytes_read": ("read_gb", 1e9),
    "time_avg_workers": ("avg_workers", 1.0),
    "avg_concurrency": ("speedup_factor", 1.0),
    "avg_memory_per_worker_bytes": ("avg_memory_gb", 1e9),
    "peak_memory_bytes": ("peak_memory_gb", 1e9),
}


def evaluate(measured: Measured) -> dict[str, float | None]:
    """Return the values of all metrics, in the order of `METRICS`.

    Examples
    --------
    >>> values = evaluate(Measured(n_events=3_000_000, bytes_read=5 * 10**9, wall_s=20.0))
    >>> values["event_rate_khz"], values["data_rate_gbps"], values["core_hours"]
    (150.0, 2.0, None)
    """
    return {metric.name: metric.value(measured) for metric in METRICS}


def by_old_names(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the metrics that earlier tools know, under their names and in their units."""
    return {
        name: None if (value := values[own]) is None else value * factor
        for name, (own, factor) in ALIASES.items()
    }


def formatted(metric: Metric, value: float | None) -> str:
    """Write a value with its unit.

    Examples
    --------
    >>> formatted(METRICS[0], 25_959.2), formatted(METRICS[1], None)
    ('25,960 kHz', '-')
    """
    if value is None:
        return "-"
    rounded = float(f"{value:.{metric.digits}g}")
    is_whole = metric.digits >= 12 or abs(rounded) >= 10**metric.digits
    return f"{rounded:,{'.0f' if is_whole else f'.{metric.digits}g'}} {metric.unit}".rstrip()


def violations(measured: Measured) -> list[str]:
    """Say what cannot be: each is a fault of the measurement, and shown beside it."""
    m = measured
    parts = m.open_s + m.read_s + m.process_s + m.fill_s
    wrong = {
        f"{m.chunk_s:.1f} s in chunks, but the threads had {m.core_s or 0:.1f} s only": (
            m.core_s is not None and m.chunk_s > m.core_s * (1 + TOLERANCE)
        ),
        f"the parts of the chunks add up to {parts:.1f} s, the chunks took {m.chunk_s:.1f} s": (
            parts > m.chunk_s * (1 + TOLERANCE)
        ),
        f"{m.decompress_s:.1f} s of {m.read_s:.1f} s of reading went into decompression": (
            m.decompress_s > m.read_s * (1 + TOLERANCE)
        ),
        f"{m.n_chunks} chunks processed + {m.n_resumed} resumed + {m.n_lost} lost are not the "
        f"{m.n_planned} that were planned": (
            m.n_planned is not None and m.n_chunks + m.n_resumed + m.n_lost != m.n_planned
        ),
        f"{m.n_impossible} chunks have a negative time, or parts that are longer than the whole": (
            m.n_impossible > 0
        ),
    }
    return [text for text, is_wrong in wrong.items() if is_wrong]
