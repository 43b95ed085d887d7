"""Chunks whose columns an earlier run has kept: what they are, and which are worth keeping."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from awkward.contents import Content

from intccms.execution.tasks import ChunkTask
from intccms.fingerprint import Inputs, adopt, inputs_of
from intccms.reading.cache import ColumnCache, KeptColumns
from intccms.reading.columns import Columns, ReadMeter
from intccms.reading.events import ChunkEvents
from intccms.reading.source import Source, forms_of

__all__ = ["ChunkColumns", "ColumnPolicy"]

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
    local_too
        Whether columns of files that are not read over the network are kept.
    """

    cache: ColumnCache
    digests: Mapping[str, str | None]
    whole_of: Callable[[dict[str, Any]], dict[str, Any]]
    selection: Callable[..., Any] | None = None
    reuse: bool = True
    local_too: bool = False

    def of_chunk(self, task: ChunkTask, pfn: str) -> ChunkColumns | None:
        """Return the kept columns of a chunk; None if they are not to be kept."""
        item = task.work
        digest = self.digests.get(item.dataset)
        if digest is None or not item.fileuuid or not (self.local_too or "://" in pfn):
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
        metadata: dict[str, Any],
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
        metadata = metadata | {"whole": found.whole}
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
