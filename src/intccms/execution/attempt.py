"""One try to process a chunk: opens, reads and processes; columns of earlier runs may be reused."""

from __future__ import annotations

import logging
import os
import resource
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlparse

import awkward as ak
from awkward.contents import Content

from intccms.datasets.files import check_reachable
from intccms.datasets.skimmed_rows import EventMetadata, OriginalJson, check_unchanged
from intccms.errors import SkimWriteError
from intccms.execution.failures import FailureKind, classify, describe, is_read_failure
from intccms.execution.tasks import ChunkReport, ChunkStatus, ChunkTask
from intccms.fingerprint.watching import Inputs, adopt, inputs_of
from intccms.reading.columns import ColumnCache, Columns, KeptColumns, ReadMeter
from intccms.reading.events import ChunkEvents
from intccms.reading.source import Source, forget, forms_of, open_source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ColumnPolicy:
    """Which columns are kept from run to run, and where.

    Parameters
    ----------
    cache
        Where.
    digests
        By dataset, of all that decides which columns of which events a chunk has besides its
        file: above all the skim selection. None: nothing can be kept.
    whole_of
        Makes of the sums of a chunk what is known of all its events, in terms of JSON.
    selection
        The function that decides which events a chunk has; None: all of them.
    reuse
        Whether what is there is read.
    """

    cache: ColumnCache
    digests: Mapping[str, str | None]
    whole_of: Callable[[dict[str, Any]], OriginalJson]
    selection: Callable[..., Any] | None = None
    reuse: bool = True

    def of_chunk(self, task: ChunkTask) -> ChunkColumns | None:
        """Return the kept columns of a chunk; None if they are not to be kept."""
        item = task.work
        digest = self.digests.get(item.dataset)
        if digest is None or not item.fileuuid:
            return None
        parts = {
            "digest": digest,
            "file": task.file_key,
            "tree": item.treename,
            "entries": [item.entrystart, item.entrystop],
        }
        return ChunkColumns(self, self.cache.key_of(parts), len(item))


class ChunkColumns:
    """The kept columns of one chunk: read if they are there, written when it is done."""

    def __init__(self, policy: ColumnPolicy, key: str, n_events: int) -> None:
        self._policy, self._key, self._n = policy, key, n_events
        self._found: KeptColumns | None = None

    @property
    def is_used(self) -> bool:
        """Whether columns were there."""
        return self._found is not None

    def events(
        self,
        opened: Callable[[], Source],
        start: int,
        meter: ReadMeter,
        metadata: EventMetadata,
    ) -> ChunkEvents | None:
        """Return the events that pass the skim selection, if they are there.

        Parameters
        ----------
        opened
            Opens the file, for a column that was not kept.
        start
            First entry in the file.
        """
        found = self._policy.cache.load(self._key) if self._policy.reuse else None
        form = None if found is None else self._policy.cache.base_form(found.layout)
        if found is None or form is None:
            return None
        inputs = Inputs.from_json(found.inputs)
        if not inputs.is_current:
            return None
        adopt(self._policy.selection, inputs)

        def fetch(names: Sequence[str], empty: bool) -> dict[str, Content]:
            return opened().fetch(start, start + self._n, meter)(names, empty)

        self._found = found
        columns = Columns(fetch, self._n, meter).take(found.index)
        columns.preset(found.columns)
        meter.columns |= dict.fromkeys(found.columns, 0)
        metadata["whole"] = found.whole
        return ChunkEvents(columns, forms_of(found.layout, lambda: form), metadata)

    def save(self, events: ChunkEvents, sums: dict[str, Any], source: Source | None) -> None:
        """Keep what was read, if anything was; a failure costs no more than that.

        Parameters
        ----------
        events
            Those that the processor was given.
        sums
            What it made of them.
        source
            What was opened; None if nothing was.
        """
        kept = events.columns.kept
        inputs = inputs_of(self._policy.selection)
        if source is None or kept is None or inputs.beyond:
            return
        cache, layout = self._policy.cache, source.layout
        whole = self._policy.whole_of(sums)
        columns = kept.collected()
        try:
            cache.save_base_form(layout, source.base_form)
            found = KeptColumns(whole, layout, kept.index, columns, inputs.to_json())
            cache.save(self._key, found)
        except OSError as exc:
            log.warning("cannot keep the columns of a chunk: %s", exc)


Options = Callable[[], Mapping[str, Any]]


class Processor(Protocol):
    """What the chunk function needs of a processor."""

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Turn events into sums."""


class Attempt:
    """One try to process the events of a task, which has one piece at most.

    Parameters
    ----------
    task, pfn
        What to process, and where to open it.
    n_try
        From 1 on.
    started, clock
        When the first try began: seconds since the epoch, and on the clock for durations.
    """

    def __init__(
        self, task: ChunkTask, pfn: str, n_try: int, *, started: float, clock: float
    ) -> None:
        self.task, self.pfn, self.n_try = task, pfn, n_try
        self.item = task.work
        self.piece = None if task.pieces is None else task.pieces[0]
        self.tree_name = str(self.piece.tree_name if self.piece else self.item.treename)
        self.started, self.clock = started, clock
        self.stage = "open"
        self.meter = ReadMeter()
        self._source: Source | None = None

    def run(
        self,
        processor: Processor,
        reader_options: Options | None = None,
        columns: ColumnPolicy | None = None,
    ) -> tuple[dict[str, Any], ChunkReport]:
        """Give the sums and the report; whatever goes wrong is raised."""
        kept = None
        if columns is not None and self.piece is None:
            kept = columns.of_chunk(self.task)
        begin = time.perf_counter()
        events = self._events(kept, reader_options)
        self.meter.read_s += time.perf_counter() - begin - self._input_s
        self.stage = "process"
        begin, input_s = time.perf_counter(), self._input_s
        try:
            sums = processor.process(events)
        except Exception:
            with suppress(OSError):
                self._check_unchanged()
            self.stage = "process"  # what was raised says more
            raise
        self._check_unchanged()
        in_functions_s = time.perf_counter() - begin - (self._input_s - input_s)
        if kept is not None:
            kept.save(events, sums, self._source)
        sums["columns"] = dict(self.meter.columns)
        return sums, self._report(
            ChunkStatus.CACHED if kept is not None and kept.is_used else ChunkStatus.DONE,
            n_events=sums["n_events"],
            n_kept=sums["n_kept"],
            sumw=sums["sumw"].value,
            process_s=in_functions_s - sums["fill_s"],
            fill_s=sums["fill_s"],
        )

    @property
    def _input_s(self) -> float:
        """Seconds spent on the file so far, whoever has asked for it."""
        return self.meter.open_s + self.meter.read_s

    def _events(self, kept: ChunkColumns | None, reader_options: Options | None) -> ChunkEvents:
        """Give the events: those that are kept from an earlier run, else those of the file."""
        start, stop = self.item.entrystart, self.item.entrystop
        metadata = self._metadata()
        if kept is not None:
            self.stage = "read"
            opened = partial(self._opened, reader_options)
            events = kept.events(opened, start, self.meter, metadata)
            if events is not None:
                return events
        self.stage = "open"
        source = self._opened(reader_options)
        self.stage = "read"
        start, stop = (start, stop) if self.piece is None else self.piece.rows
        return source.events(start, stop, self.meter, metadata)

    def _opened(self, reader_options: Options | None) -> Source:
        if self._source is not None:
            return self._source
        check_reachable(self.pfn)
        begin = time.perf_counter()
        if self.piece is not None:
            options = {} if reader_options is None else reader_options()
            check_unchanged(self.pfn, self.piece, options)
            source = open_source(self.pfn, self.tree_name, options, self.piece.sha256)
        else:
            source = self._planned_file()
        self.meter.open_s += time.perf_counter() - begin
        self._source = source
        return source

    def _planned_file(self) -> Source:
        """Open the file, which must be the one that was planned.

        Raises
        ------
        ValueError
            If it is another one.
        """
        source = open_source(self.pfn, self.tree_name)
        if source.has_changed() or (self.task.digest and source.digest != self.task.digest):
            forget(self.pfn, self.tree_name)  # it was opened for an earlier run
            source = open_source(self.pfn, self.tree_name)
        expected = self.item.fileuuid
        is_other = bool(source.uuid and expected and source.uuid != expected)
        if is_other or (self.task.digest and source.digest != self.task.digest):
            raise ValueError(
                f"{self.pfn} is not the file that was planned (uuid {expected}): it was replaced "
                "or rewritten; run again to count it anew"
            )
        return source

    def _check_unchanged(self) -> None:
        """Refuse what was read of a file that somebody wrote to at the same time.

        Raises
        ------
        ValueError
            If it is another file now.
        OSError
            If its place does not say.
        """
        if self.piece is not None or self._source is None:
            return
        self.stage = "read"
        try:
            has_changed = self._source.has_changed(ask=True)
        except (OSError, ValueError) as exc:  # of a connection that is closed, too
            raise OSError(f"{self.pfn} cannot be read any more: {describe(exc)}") from exc
        if has_changed:
            raise ValueError(f"{self.pfn} was changed while it was read")
        self.stage = "process"

    def _metadata(self) -> EventMetadata:
        """Say what the events are, in terms of JSON."""
        item, planned = self.item, self.task.item
        metadata: EventMetadata = {
            "dataset": item.dataset,
            "filename": item.filename,
            "fileuuid": item.fileuuid,
            "entrystart": planned.entrystart,  # a half draws the random numbers of the whole
            "entrystop": item.entrystop,
            "entries": [item.entrystart, item.entrystop],
            "piece": self._part_name(),
            "source": dict(item.usermeta or {}),
        }
        if self.piece is not None:
            metadata["whole"] = self.piece.whole
        return metadata

    def _part_name(self) -> str:
        """Tell parts of one planned chunk apart; empty for the whole."""
        if self.task.part is None and self.item == self.task.item:
            return ""
        rows = "" if self.piece is None else f"_{self.piece.rows[0]}"
        return f"{self.item.entrystart}_{self.item.entrystop}{rows}"

    def failed(self, exc: Exception) -> ChunkReport:
        """Give the report of a try that `exc` ended."""
        if isinstance(exc, SkimWriteError):
            self.stage = "write"
        elif self.stage == "process" and is_read_failure(exc):
            self.stage = "read"
        return self._report(
            ChunkStatus.FAILED,
            stage=self.stage,
            error_type=type(exc).__name__,
            error=describe(exc),
        )

    def trace(self, exc: Exception) -> str:
        """Give the traceback of a user's function; empty if something else failed."""
        if classify(exc, self.stage) is not FailureKind.USER:
            return ""
        return "".join(traceback.format_exception(exc.__cause__ or exc))

    def _report(self, status: ChunkStatus, **fields: Any) -> ChunkReport:
        place = urlparse(self.pfn)
        report = ChunkReport.of(
            self.item,
            status,
            tries=self.n_try,
            host=socket.gethostname(),
            worker=str(os.getpid()),
            redirector=f"{place.scheme}://{place.netloc}" if place.netloc else "",
            bytes_read=sum(self.meter.columns.values()),
            n_requests=self.meter.n_requests,
            decompress_s=self.meter.decompress_s,
            open_s=self.meter.open_s,
            read_s=self.meter.read_s,
            wall_s=time.perf_counter() - self.clock,
            rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            started=self.started,
            **fields,
        )
        if not report.has_possible_times:
            log.warning("a fault of the measurement: times that cannot be, %s", report)
        return report
