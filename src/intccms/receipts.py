"""The record of one processed chunk: who read what, how long it took and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Receipt"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What happened to one work item; there is exactly one for each, whatever happened.

    A chunk is ``resumed`` if its result was there from an earlier run, ``cached`` if columns
    were; neither says how quickly events are read.

    Times are wall-clock seconds, sizes bytes. `sumw` is the sum of ``genWeight`` over all
    events of the chunk before any cut (for data the number of events).
    """

    dataset: str
    file: str  # LFN, or the path as it was listed
    uuid: str
    entry_start: int
    entry_stop: int
    status: Literal["done", "cached", "failed", "resumed"]
    tries: int = 1
    stage: str = ""  # where it failed: open, read, process, write
    error_type: str = ""
    error: str = ""
    host: str = ""
    worker: str = ""  # process id, or the address of the Dask worker
    redirector: str = ""
    n_events: int = 0  # events read
    n_kept: int = 0  # events that at least one channel keeps
    sumw: float = 0.0
    bytes_read: int = 0
    n_requests: int = 0  # to the file, each for one range of bytes or many
    open_s: float = 0.0
    read_s: float = 0.0
    decompress_s: float = 0.0  # part of read_s
    process_s: float = 0.0
    fill_s: float = 0.0
    wall_s: float = 0.0
    rss_bytes: int = 0
    started: float = 0.0  # seconds since the epoch

    @property
    def n_planned(self) -> int:
        """Events that this chunk should have, read or not."""
        return self.entry_stop - self.entry_start
