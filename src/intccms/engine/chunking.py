"""How many events a chunk has when the configuration says ``auto``: looks at one file."""

from __future__ import annotations

import logging
from dataclasses import replace

import uproot

from intccms.engine.processor import AnalysisProcessor
from intccms.datasets.contents import FileCount
from intccms.datasets.metadata import Metadata
from intccms.errors import BadContentError
from intccms.execution.executors import Executor
from intccms.execution.memory import Load, choose, worker_memory
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source

log = logging.getLogger(__name__)

N_FILES = 3  # that are looked at, if the first are damaged
LOOK = 5_000  # events that are processed to see what is read


def rechunked(metadata: Metadata, processor: AnalysisProcessor, executor: Executor) -> Metadata:
    """Cut the work into chunks of the best size where ``general.chunk_size`` is ``auto``."""
    config = processor.config
    if config.general.chunk_size != "auto" or metadata.pieces is not None or not metadata.files:
        return metadata
    measured = _columns(metadata, processor)
    if measured is None:
        return metadata
    event_bytes, stored_bytes = measured
    shifts = (len(processor.plan(name).shifts) for name in processor.tasks)
    size = choose(
        Load(
            event_bytes,
            stored_bytes,
            max(shifts, default=0) if processor.has_analysis else 0,
            config.general.batch_memory_mb * 1e6,
            worker_memory(executor),
            sum(file.n_events for file in metadata.files),
            executor.n_workers,
        )
    )
    log.info("%s", size.reason)
    return replace(metadata.cut(size.n_events), chunking=size.reason)


def _columns(metadata: Metadata, processor: AnalysisProcessor) -> tuple[float, float] | None:
    """Measure bytes per event, in memory and stored, on the largest file of simulation.

    A damaged file is booked when it is processed; the next one tells as much. None: none does.
    """
    is_data = {name: task.is_data for name, task in processor.tasks.items()}
    files = sorted(metadata.files, key=lambda one: (is_data[one.dataset], -one.n_events))
    for file in files[:N_FILES]:
        try:
            return _columns_of(file, metadata, processor)
        except (BadContentError, OSError) as exc:
            log.debug("%s tells nothing of its columns: %s", file.lfn, exc)
    return None


def _columns_of(
    file: FileCount, metadata: Metadata, processor: AnalysisProcessor
) -> tuple[float, float]:
    tree_name = metadata.fileset[file.dataset].tree_name
    meter = ReadMeter()
    n_events = min(LOOK, file.n_events)
    events = open_source(file.pfn, tree_name).events(
        0, n_events, meter, {"dataset": file.dataset, "fileuuid": file.uuid}
    )
    processor.check(events)
    stored = sum(meter.columns.values()) / max(n_events, 1)
    if not file.pfn.endswith(".root"):
        return 3 * stored, stored
    with uproot.open({file.pfn: None}) as opened:
        branches = [opened[tree_name][name] for name in meter.columns]
        in_memory = sum(branch.uncompressed_bytes for branch in branches) / file.n_events
        return in_memory, sum(branch.compressed_bytes for branch in branches) / file.n_events
