"""The kit itself: through the public runner, ledger and all."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from coffea.processor import accumulate
from numpy.typing import NDArray

from benchmarks.setup import CHANNEL, OBSERVABLE
from intccms.analysis import runner
from intccms.analysis.runner import AnalysisResult
from intccms.datasets import DatasetManager
from intccms.histograms.book import Book, make_book
from intccms.reading.columns import ReadMeter
from intccms.reading.source import open_source
from intccms.schema import load_config

__all__ = ["histograms_of", "overhead_s", "run", "run_bare"]


def run(table: dict[str, Any], settings: dict[str, Any]) -> tuple[int, AnalysisResult]:
    """Run the analysis of a configuration; return the number of events and the result."""
    config = load_config(table, settings)
    result = runner.run(config)
    if not result.ledger.is_complete:
        raise RuntimeError(f"events were lost: {result.ledger.lost_chunks}")
    return sum(receipt.n_events for receipt in result.reports), result


def overhead_s(result: AnalysisResult, base_dir: Path) -> float:
    """Return the seconds a chunk takes outside reading, decompression and physics.

    The median of all chunks but the first of each file; making the events is measured again,
    because chunk reports count it as reading.
    """
    seconds = []
    for one in result.reports:
        if not one.entry_start:
            continue
        source = open_source(str(base_dir / one.file), "Events")
        source.events(0, 1, ReadMeter(), {"dataset": one.dataset})
        begin = time.perf_counter()
        source.events(one.entry_start, one.entry_stop, ReadMeter(), {"dataset": one.dataset})
        form_s = time.perf_counter() - begin
        known_s = one.read_s + one.process_s + one.fill_s
        seconds.append(one.wall_s - known_s + form_s)
    return median(seconds) if seconds else 0.0


def histograms_of(book: Book) -> dict[tuple[str, str], NDArray[Any]]:
    """Give values and variances by process and variation, flow bins included."""
    histograms = {}
    histogram = book.histogram(CHANNEL, OBSERVABLE)
    view: Any = histogram.view(flow=True)
    variations = list(histogram.axes["variation"])
    for row, process in enumerate(histogram.axes["process"]):
        for variation in book.variations(process):
            part = view[:, row, variations.index(variation)]
            histograms[process, variation] = np.stack([part["value"], part["variance"]])
    return histograms


def run_bare(table: dict[str, Any], settings: dict[str, Any]) -> tuple[int, Book]:
    """Do the same without plan, chunk reports, ledger, retries and checkpoints."""
    config = load_config(table, settings)
    fileset = DatasetManager(config).fileset(config.general.processes)
    processor = runner.make_processor(config, fileset)
    step = int(config.general.chunk_size or 100_000)
    totals: dict[str, Any] = {}
    for files in fileset:
        for path in files.lfns:
            source = open_source(path, files.tree_name)
            metadata = {"dataset": files.dataset, "filename": path, "fileuuid": source.uuid}
            n_events = source.n_events
            for start in range(0, n_events, step):
                stop, where = min(start + step, n_events), {**metadata, "entrystart": start}
                events = source.events(start, stop, ReadMeter(), where)
                parts = [processor.process(events)]
                if files.dataset in totals:
                    parts.insert(0, totals[files.dataset])
                totals[files.dataset] = accumulate(parts)
    scale = {
        files.dataset: files.xsec_pb
        * config.general.lumi_for(files.year)
        / totals[files.dataset]["sumw"].value
        for files in fileset
    }
    observables = {
        (channel.name, one.name): (one.binning, one.label)
        for channel in config.channels
        for one in channel.observables
    }
    sums = {name: total["histograms"] for name, total in totals.items()}
    book = make_book(sums, scale, {one.dataset: one.process for one in fileset}, observables)
    return sum(total["n_events"] for total in totals.values()), book
