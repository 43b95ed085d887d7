"""The record of one processed chunk: who read what, how long it took and how it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from intccms.redaction import redacted

__all__ = ["PARTS", "ChunkStatus", "Receipt"]

PARTS = ("open_s", "read_s", "process_s", "fill_s")  # of the time of a chunk; none is in another
CLOCK_S = 1e-3  # by which parts may exceed the whole: clocks are read one after the other


class ChunkStatus(StrEnum):
    """How a chunk ended, and what it counts for."""

    DONE = "done"
    CACHED = "cached"  # from columns that an earlier run has kept
    RESUMED = "resumed"  # its result was there from an earlier run
    FAILED = "failed"

    @property
    def is_lost(self) -> bool:
        """Whether its events are missing in the result."""
        return self is ChunkStatus.FAILED

    @property
    def is_processed(self) -> bool:
        """Whether its events are in the result."""
        return not self.is_lost

    @property
    def is_resumed(self) -> bool:
        """Whether nothing was done for it in this run."""
        return self is ChunkStatus.RESUMED

    @property
    def is_in_rates(self) -> bool:
        """Whether its events were processed in this run, so that its times say how quickly."""
        return self.is_processed and not self.is_resumed


@dataclass(frozen=True, slots=True)
class Receipt:
    """What happened to one work item; there is exactly one for each, whatever happened.

    Times are wall-clock seconds, sizes bytes. `sumw` is the sum of ``genWeight`` over all
    events of the chunk before any cut (for data the number of events).
    """

    dataset: str
    file: str  # LFN, or the path as it was listed
    uuid: str
    entry_start: int
    entry_stop: int
    status: ChunkStatus
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
    code: str = ""  # digest of what was run; empty where other processes cannot find it

    def __post_init__(self) -> None:
        """Take a status that was written down, too; leave credentials out of what is said."""
        object.__setattr__(self, "status", ChunkStatus(self.status))
        for name in ("file", "error", "redirector"):
            object.__setattr__(self, name, redacted(getattr(self, name)))

    @property
    def is_unopened(self) -> bool:
        """Whether it stands for a file that never opened: how many entries it has is not known."""
        return self.status.is_lost and self.entry_stop == self.entry_start

    @property
    def n_planned(self) -> int:
        """Events that this chunk should have, read or not."""
        return self.entry_stop - self.entry_start

    @property
    def has_possible_times(self) -> bool:
        """Whether no time is negative, and the parts add up to no more than the whole."""
        parts = [getattr(self, part) for part in PARTS]
        return (
            min(*parts, self.decompress_s, self.wall_s) >= 0
            and sum(parts) <= self.wall_s + CLOCK_S
            and self.decompress_s <= self.read_s + CLOCK_S
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; keyword arguments make the same receipt again."""
        return asdict(self) | {"status": self.status.value}
