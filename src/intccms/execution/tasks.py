"""What is run and what is said of it: tasks, chunk reports, and who is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from coffea.processor.executor import WorkItem

from intccms.datasets.skimmed_rows import SkimmedRows, halved
from intccms.redaction import redacted


@dataclass(frozen=True)
class ChunkTask:
    """One work item and every place where its file can be opened, best first.

    Parameters
    ----------
    key
        Of its result in the store; None if the result cannot be reused.
    part
        Entries that are processed, of those of the item; None: all of them.
    pieces
        What stands in for the entries of the file; None: nothing does.
    digest
        Of the file that was planned, see `datasets.files`; empty if it is not known.
    """

    item: WorkItem
    pfns: tuple[str, ...]
    key: str | None = None
    part: tuple[int, int] | None = None
    pieces: tuple[SkimmedRows, ...] | None = None
    digest: str = ""

    @property
    def file_key(self) -> list[str]:
        """What the file is, in the keys of all that is kept of it."""
        return [str(self.item.fileuuid), self.digest]

    @property
    def place(self) -> str:
        """What is opened for it."""
        return str(self.item.filename)

    def halves(self) -> list[ChunkTask]:
        """Split what is processed in two; one part only if it cannot be split."""
        start, stop = self.work.entrystart, self.work.entrystop
        if self.pieces is not None:
            return [
                replace(self, part=(start, stop), pieces=pieces) for pieces in halved(self.pieces)
            ]
        middle = (start + stop) // 2
        cuts = [(start, middle), (middle, stop)]
        return [replace(self, part=cut) for cut in cuts if cut[0] < cut[1]]

    @property
    def work(self) -> WorkItem:
        """What is processed: the item or its part."""
        start, stop = self.part or (self.item.entrystart, self.item.entrystop)
        if self.pieces is not None:
            start, stop = self.pieces[0].entries[0], self.pieces[-1].entries[1]
        return replace(self.item, entrystart=start, entrystop=stop)


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
class ChunkReport:
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

    @classmethod
    def of(cls, item: WorkItem, status: ChunkStatus, **fields: Any) -> ChunkReport:
        """Make the report of a work item; `fields` are the others."""
        events = (item.entrystart, item.entrystop)
        return cls(item.dataset, item.filename, item.fileuuid, *events, status, **fields)

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
        """Return it as JSON has it; keyword arguments make the same report again."""
        return asdict(self) | {"status": self.status.value}


class Observer(Protocol):
    """Told of each stage of a run and of each thing that is finished in it."""

    def begin(
        self,
        stage: str,
        *,
        total: int | None = None,
        unit: str = "steps",
        parts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Say that a stage begins, e.g. ``files``, ``chunks``, ``fit``.

        Parameters
        ----------
        stage
            What is done now, in words for people.
        total
            How many `unit` it has; for chunks the number of events.
        unit
            What is counted: ``files``, ``events``, ``steps``.
        parts
            For chunks: how many events each has, by dataset.
        """

    def advance(self, n: int = 1) -> None:
        """Say that `n` more units of the stage are done."""

    def notice(self, text: str) -> None:
        """Show what holds the stage up, as long as it does; empty: nothing any more."""

    def report(self, report: ChunkReport) -> None:
        """Take the report of a chunk, which counts as its events."""

    def end(self) -> None:
        """Say that the stage is over."""


class Silent:
    """Shows nothing."""

    def begin(
        self,
        stage: str,
        *,
        total: int | None = None,
        unit: str = "steps",
        parts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Ignore it."""

    def advance(self, n: int = 1) -> None:
        """Ignore it."""

    def notice(self, text: str) -> None:
        """Ignore it."""

    def report(self, report: ChunkReport) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""
