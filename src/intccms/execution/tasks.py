"""One work item with every place where its events can be read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from coffea.processor.executor import WorkItem

from intccms.reading.pieces import Piece, halved

__all__ = ["ChunkTask"]


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
        Of the file that was planned, see `datasets.identity`; empty if it is not known.
    """

    item: WorkItem
    pfns: tuple[str, ...]
    key: str | None = None
    part: tuple[int, int] | None = None
    pieces: tuple[Piece, ...] | None = None
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
