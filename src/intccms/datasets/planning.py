"""From counted files to work items: entry ranges of one file each; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from coffea.processor.executor import WorkItem

from intccms.datasets.contents import FileCount
from intccms.datasets.fileset import Fileset

__all__ = ["file_indices", "work_items"]


def work_items(
    fileset: Fileset, counts: Iterable[FileCount], chunk_size: int
) -> Iterator[WorkItem]:
    """Cut the events of each file into work items of about `chunk_size`."""
    index = file_indices(fileset)
    trees = {files.dataset: files.tree_name for files in fileset}
    for file in counts:
        for chunk, (start, stop) in enumerate(_ranges(file.n_events, chunk_size)):
            yield WorkItem(
                dataset=file.dataset,
                filename=file.lfn,
                treename=trees[file.dataset],
                entrystart=start,
                entrystop=stop,
                fileuuid=file.uuid,
                usermeta={"file_index": index[file.dataset, file.lfn], "chunk": chunk},
            )


def file_indices(fileset: Fileset) -> dict[tuple[str, str], int]:
    """Give the position of each file in the listing of its dataset, by dataset and LFN."""
    return {(files.dataset, lfn): i for files in fileset for i, lfn in enumerate(files.lfns)}


def _ranges(n_events: int, chunk_size: int) -> Iterator[tuple[int, int]]:
    """Cut entries into ranges of about `chunk_size`, as coffea does."""
    if n_events == 0:
        return
    step = math.ceil(n_events / max(round(n_events / chunk_size), 1))
    for start in range(0, n_events, step):
        yield start, min(start + step, n_events)
