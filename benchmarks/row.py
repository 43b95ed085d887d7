"""One row, in this process: ``python -m benchmarks.row '<JSON>'`` prints what it cost."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import SETS, files_of
from benchmarks.rows import ROWS, Row
from benchmarks.setup import make_config

__all__ = ["cpu_s", "main"]

Histograms = dict[tuple[str, str], Any]
Work = Callable[[], tuple[int, Any]]


def cpu_s() -> float:
    """Return the seconds of CPU of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _floor(row: Row, data: Path, name: str, out: Path) -> Work:
    from benchmarks.floor import read

    chosen = SETS[name]
    files = files_of(data, chosen)
    return lambda: (read(files, chosen.chunk_size), {})


def _hand_written(row: Row, data: Path, name: str, out: Path) -> Work:
    from benchmarks.handwritten import Physics, run

    chosen = SETS[name]
    physics = Physics(str(data / chosen.folder), row.n_sources, row.weights)
    files = files_of(data, chosen)
    return lambda: run(physics, files, chosen.chunk_size)


def _kit(row: Row, data: Path, name: str, out: Path) -> Work:
    from benchmarks.kit import run, run_bare

    chosen = SETS[name]
    table = make_config(
        data / chosen.folder,
        n_sources=row.n_sources,
        weights=row.weights,
        closures=row.closures,
    )
    table["datasets"]["max_files"] = chosen.files
    settings: dict[str, Any] = {
        "general.executor": "iterative",
        "general.output_dir": str(out),
        "general.chunk_size": chosen.chunk_size,
        "general.processes": list(chosen.processes),
        **row.settings,
    }
    do = run_bare if row.kind == "bare" else run
    return lambda: do(table, settings)


def _data_frame(row: Row, data: Path, name: str, out: Path) -> Work:
    from benchmarks.dataframe import run

    chosen = SETS[name]
    files = files_of(data, chosen)
    return lambda: run(data / chosen.folder, row.n_sources, files)


KINDS = {
    "floor": _floor,
    "hand-written": _hand_written,
    "RDataFrame": _data_frame,
    "intccms": _kit,
    "bare": _kit,
}


def main(asked: dict[str, str]) -> dict[str, Any]:
    """Run a row and return what it cost; its histograms go to ``histograms``."""
    row = ROWS[asked["row"]]
    with tempfile.TemporaryDirectory() as out:
        work = KINDS[row.kind](row, Path(asked["data"]), asked["set"], Path(out))
        started_s, begun, wall = cpu_s(), time.time(), time.perf_counter()
        n_events, answer = work()
        wall, spent_s = time.perf_counter() - wall, cpu_s() - started_s
    overhead = warm_up = 0.0
    if row.kind == "intccms":
        from benchmarks.kit import overhead_s

        chosen = SETS[asked["set"]]
        overhead = 0.0 if row.settings else overhead_s(answer, Path(asked["data"]) / chosen.folder)
        warm_up = min(receipt.started for receipt in answer.reports) - begun
        answer = answer.histograms
    if row.kind in ("intccms", "bare"):
        from benchmarks.kit import histograms_of

        answer = histograms_of(answer)
    arrays = {"\n".join(key): value for key, value in answer.items()}
    np.savez(asked["histograms"], **arrays)
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024
    return {
        "cpu_s": spent_s,
        "startup_cpu_s": started_s,
        "wall_s": wall,
        "peak_rss_bytes": peak,
        "n_events": n_events,
        "overhead_s": overhead,
        "warm_up_s": warm_up,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
