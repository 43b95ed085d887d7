"""What an analysis will read: bytes, requests, chunks, memory and time by dataset.

Pure: statistics of the files and names of columns in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from intccms.metrics.inspector.statistics import DatasetStatistics, Statistics

__all__ = ["DatasetForecast", "Forecast", "forecast"]

COPIES = 3.0  # of a chunk's columns in memory: decompressed, as arrays, what is made of them
RANGES = 1024  # that one vector read of XRootD asks for at most
CHUNKS_PER_CORE = 4  # at least, so that no core waits long for the last one
MEMORY_BYTES = 1e9


@dataclass(frozen=True, slots=True)
class DatasetForecast:
    """What is read of one dataset.

    Parameters
    ----------
    n_events, n_bytes, n_baskets
        Of all listed files; estimated where a sample was inspected.
    fraction
        Part of the compressed bytes of all branches.
    n_requests
        Vector reads, if each chunk is fetched in as few as possible.
    memory_bytes
        Of one chunk in memory, with the copies that arise.
    seconds
        On all cores; None without a measured rate.
    """

    dataset: str
    branches: tuple[str, ...]
    missing: tuple[str, ...]  # asked for, in no file
    n_events: int
    bytes_per_event: float
    fraction: float
    n_bytes: int
    n_baskets: int
    n_requests: int
    chunk_size: int
    n_chunks: int
    memory_bytes: int
    seconds: float | None

    def summary(self) -> dict[str, Any]:
        """Give it, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True)
class Forecast:
    """What is read of all datasets."""

    datasets: dict[str, DatasetForecast]
    n_cores: int
    rate_hz_per_core: float | None

    @property
    def n_events(self) -> int:
        """Events of all datasets."""
        return sum(one.n_events for one in self.datasets.values())

    @property
    def n_bytes(self) -> int:
        """Compressed bytes that will be read."""
        return sum(one.n_bytes for one in self.datasets.values())

    @property
    def chunk_size(self) -> int:
        """The smallest chunk size of all datasets: one that suits each."""
        return min((one.chunk_size for one in self.datasets.values()), default=0)

    @property
    def seconds(self) -> float | None:
        """Time on all cores; None without a measured rate."""
        times = [one.seconds for one in self.datasets.values()]
        return None if None in times else sum(time or 0.0 for time in times)

    def summary(self) -> dict[str, Any]:
        """Give it, ready for JSON."""
        return {
            "n_cores": self.n_cores,
            "rate_hz_per_core": self.rate_hz_per_core,
            "n_events": self.n_events,
            "n_bytes": self.n_bytes,
            "chunk_size": self.chunk_size,
            "seconds": self.seconds,
            "datasets": {name: one.summary() for name, one in self.datasets.items()},
        }


def forecast(
    statistics: Statistics,
    columns: Mapping[str, Collection[str]],
    *,
    n_cores: int = 1,
    rate_hz_per_core: float | None = None,
    memory_bytes: float = MEMORY_BYTES,
) -> Forecast:
    """Say what reading these columns takes.

    Parameters
    ----------
    statistics
        Of the files.
    columns
        Names of the branches that are read, by dataset.
    n_cores
        That work at the same time.
    rate_hz_per_core
        Events per second and core, as an earlier run has measured it.
    memory_bytes
        That a chunk may take.

    Examples
    --------
    >>> forecast(Statistics({}, ()), {}).n_bytes
    0
    """
    total = sum(one.n_events * one.scale for one in statistics.datasets.values())
    share = max(total / (CHUNKS_PER_CORE * n_cores), 1.0)
    datasets = {
        name: _dataset(one, columns.get(name, ()), share, memory_bytes)
        for name, one in statistics.datasets.items()
    }
    if rate_hz_per_core:
        speed = rate_hz_per_core * n_cores
        datasets = {name: _with_time(one, one.n_events / speed) for name, one in datasets.items()}
    return Forecast(datasets, n_cores, rate_hz_per_core)


def _with_time(one: DatasetForecast, seconds: float) -> DatasetForecast:
    return DatasetForecast(**one.summary() | {"seconds": seconds})


def _dataset(
    files: DatasetStatistics, columns: Collection[str], share: float, memory_bytes: float
) -> DatasetForecast:
    read = [files.branches[name] for name in sorted(set(columns) & set(files.branches))]
    n_events = round(files.n_events * files.scale)
    packed = sum(branch.compressed_bytes for branch in read)
    everything = sum(branch.compressed_bytes for branch in files.branches.values())
    bare = sum(branch.uncompressed_bytes / max(branch.n_events, 1) for branch in read)
    per_event = bare * COPIES
    chunk_size = _chunk_size(files, per_event, share, memory_bytes)
    n_baskets = round(sum(branch.n_baskets for branch in read) * files.scale)
    n_chunks = round(
        files.scale
        * sum(math.ceil(n / chunk_size) for n in files.events_per_file.tolist() if n > 0)
    )
    return DatasetForecast(
        dataset=files.dataset,
        branches=tuple(branch.name for branch in read),
        missing=tuple(sorted(set(columns) - set(files.branches))),
        n_events=n_events,
        bytes_per_event=sum(branch.bytes_per_event for branch in read),
        fraction=packed / everything if everything else 0.0,
        n_bytes=round(packed * files.scale),
        n_baskets=n_baskets,
        n_requests=max(n_chunks, math.ceil(n_baskets / RANGES)),
        chunk_size=chunk_size,
        n_chunks=n_chunks,
        memory_bytes=round(per_event * chunk_size),
        seconds=None,
    )


def _chunk_size(
    files: DatasetStatistics, per_event: float, share: float, memory_bytes: float
) -> int:
    """Choose as many events as memory, files and cores allow: whole clusters, if they fit."""
    largest = float(files.events_per_file.max()) if len(files.events_per_file) else 1.0
    n = min(memory_bytes / per_event if per_event else largest, largest, share)
    if files.cluster_events and n >= files.cluster_events:
        n -= n % files.cluster_events
    return max(int(n), 1)
