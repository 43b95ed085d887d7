"""The event files of the benchmark: made once, in a folder of their own, then reused."""

from __future__ import annotations

import gzip
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from correctionlib import schemav2

from benchmarks.setup import MANY_SOURCES, PROCESSES, make_config, source_keys
from intccms.schema import load_config
from nanosample import write_sample
from nanosample.calibration import binning, correction, formula

__all__ = ["SETS", "DataSet", "ensure", "files_of"]

SIGNAL = "signal"


@dataclass(frozen=True)
class DataSet:
    """Events to measure on.

    Parameters
    ----------
    title
        For the table.
    files, events
        Files of each process, and events in each.
    branches
        Columns of a file at least; None: as the sample has them, about 180.
    chunk_size
        Events in a chunk.
    folder
        Of the files; sets share them.
    with_signal
        Whether the files are read that are rich in signal.
    """

    title: str
    folder: str
    files: int
    events: int = 200_000
    branches: int | None = None
    chunk_size: int = 100_000
    with_signal: bool = True

    @property
    def processes(self) -> tuple[str, ...]:
        """What is read."""
        return tuple(p for p in PROCESSES if self.with_signal or p != SIGNAL)

    @property
    def n_events(self) -> int:
        """In all files."""
        return len(self.processes) * self.files * self.events


SETS = {
    "tiny": DataSet("20 k events, to try it", "tiny", 1, 4_000, chunk_size=2_000),
    "1m": DataSet("1.0 M events, signal-rich", "many", 1),
    "1m-bkg": DataSet("0.8 M events, backgrounds only", "many", 1, with_signal=False),
    "4m": DataSet("4.0 M events, signal-rich", "many", 4),
    "4m-bkg": DataSet("3.2 M events, backgrounds only", "many", 4, with_signal=False),
    "1600": DataSet("0.5 M events, 1,600 branches", "wide", 1, 100_000, 1600, chunk_size=25_000),
}


def files_of(data: Path, chosen: DataSet) -> dict[str, list[str]]:
    """Give the files of a set by process."""
    files = {}
    for entry in make_config(data / chosen.folder)["datasets"]["datasets"]:
        if entry["name"] in chosen.processes:
            folder = data / chosen.folder / entry["directories"]
            names = [folder / f"{entry['name']}_{i}.root" for i in range(chosen.files)]
            files[entry["name"]] = [str(name) for name in names]
    return files


def ensure(data: Path, chosen: DataSet, *, n_processes: int = 2) -> int:
    """Make the files of a set that are not there; return the size of all in bytes."""
    folder = data / chosen.folder
    files = [Path(one) for several in files_of(data, chosen).values() for one in several]
    marker = folder / "n_files"  # written last: a folder without it is not whole
    if not marker.exists() or int(marker.read_text()) < chosen.files:
        with ProcessPoolExecutor(n_processes, get_context("spawn")) as pool:
            list(pool.map(_write, [(folder, chosen, name) for name in PROCESSES]))
        _write_many_sources(folder)
        marker.write_text(str(chosen.files))
    return sum(one.stat().st_size for one in files)


def _write(asked: tuple[Path, DataSet, str]) -> None:
    """Write the files of one process, and the corrections."""
    folder, chosen, process = asked
    table = make_config(folder, n_sources=27, weights=True)
    table["datasets"]["datasets"] = [
        one for one in table["datasets"]["datasets"] if one["name"] == process
    ]
    table["corrections"] = [
        one for one in table["corrections"] if not one["name"].startswith("xsec")
    ]
    write_sample(
        folder,
        load_config(table),
        files_per_process=chosen.files,
        events_per_file=chosen.events,
        branches=chosen.branches,
    )


def _write_many_sources(folder: Path) -> None:
    """Write more sources of jet energy than there are: each of a size of its own."""
    file, n_sources = MANY_SOURCES
    edges = {"JetEta": [-5.4, -3.0, -1.3, 0.0, 1.3, 3.0, 5.4]}
    made = []
    for i, key in enumerate(source_keys(n_sources)[1].values()):
        size = 0.002 + 0.0003 * i
        inside = [
            formula(f"{size * (1 + 0.2 * region)}+0.02*exp(-max(9,min(x,6500))/60)", "JetPt")
            for region in (2, 1, 0, 0, 1, 2)
        ]
        made.append(correction(key, "JetEta JetPt", binning(edges, inside)))
    content = schemav2.CorrectionSet(schema_version=2, corrections=made)
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content.model_dump_json(exclude_unset=True).encode(), mtime=0))
