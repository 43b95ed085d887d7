"""How fast files are inspected, beside a bare loop that opens them; what many files take.

    python -m benchmarks.inspector [--files 1000] [--repeated 10000] [--rounds 2] [--out FILE]

1. Local files of 150 branches on 2 cores, against `uproot.open` and `keys()` on as many.
2. The same files, repeated: memory of the client, and when the first record is there.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF
from typing import Any

import numpy as np
import psutil
import uproot

from intccms.execution.executors import FuturesExecutor
from intccms.metrics.inspector import aggregate_statistics, inspect_files

N_BRANCHES = 150
N_EVENTS = 1000
N_CORES = 2


def make_files(folder: Path, n_files: int) -> list[str]:
    """Write one file of NanoAOD's shape and copy it."""
    generator = np.random.default_rng(1)
    columns: dict[str, Any] = {
        "run": np.ones(N_EVENTS, np.uint32),
        "luminosityBlock": np.arange(N_EVENTS, dtype=np.uint32) // 100,
        "event": np.arange(N_EVENTS, dtype=np.uint64),
    }
    for i in range(N_BRANCHES - len(columns)):
        columns[f"Object{i // 10}_{i % 10}"] = generator.normal(size=N_EVENTS).astype(np.float32)
    original = folder / "original.root"
    with uproot.recreate(original) as file:
        file.mktree("Events", {name: column.dtype for name, column in columns.items()})
        file["Events"].extend(columns)
        file.mktree("Runs", {"run": "uint32", "genEventSumw": "float64", "genEventCount": "int64"})
        file["Runs"].extend(
            {
                "run": np.ones(1, np.uint32),
                "genEventSumw": np.ones(1),
                "genEventCount": np.ones(1, np.int64),
            }
        )
    paths = []
    for i in range(n_files):
        paths.append(str(folder / f"{i}.root"))
        shutil.copy(original, paths[-1])
    original.unlink()
    return paths


def opened(path: str) -> int:
    """Open a file and name its branches, as the bare loop does."""
    with uproot.open({path: None}) as file:
        return len(file["Events"].keys())


def cpu_s() -> float:
    """CPU seconds of this process and of those that it has started and that have ended."""
    own, others = (resource.getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def timed(function: Callable[[list[str]], None], paths: list[str]) -> tuple[float, float]:
    """Give wall and CPU seconds of a call."""
    start, before = time.perf_counter(), cpu_s()
    function(paths)
    return time.perf_counter() - start, cpu_s() - before


def bare(paths: list[str]) -> None:
    """Run the bare loop on as many cores."""
    answers = [answer for _, answer in FuturesExecutor(N_CORES).map(opened, paths)]
    assert answers == [N_BRANCHES] * len(paths)


def inspected(paths: list[str]) -> None:
    """Run the inspector, statistics included."""
    statistics = aggregate_statistics(inspect_files(paths, executor=FuturesExecutor(N_CORES)))
    assert statistics.n_events == N_EVENTS * len(paths)


def many(paths: list[str], n_files: int) -> dict[str, float]:
    """Inspect files again and again, keep all records, and look at the memory."""
    process = psutil.Process()
    before = process.memory_info().rss
    datasets = {
        str(i): [paths[j % len(paths)] for j in range(i * len(paths), (i + 1) * len(paths))]
        for i in range(-(-n_files // len(paths)))
    }
    start = time.perf_counter()
    first, peak = 0.0, before

    def watched(records: Iterator[Any]) -> Iterator[Any]:
        nonlocal first, peak
        for record in records:
            first = first or time.perf_counter() - start
            peak = max(peak, process.memory_info().rss)
            yield record

    records = list(watched(inspect_files(datasets, executor=FuturesExecutor(N_CORES))))
    wall_s = time.perf_counter() - start
    aggregate_statistics(records)
    peak = max(peak, process.memory_info().rss)
    return {
        "n_files": len(records),
        "wall_s": wall_s,
        "first_record_s": first,
        "peak_rss_bytes": peak,
        "rss_before_bytes": before,
    }


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--repeated", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        paths = make_files(Path(name), parsed.files)
        bare(paths[: len(paths) // 10])  # imports, caches
        pairs = [(timed(bare, paths), timed(inspected, paths)) for _ in range(parsed.rounds)]
        loops, inspections = zip(*pairs, strict=True)
        (loop_s, loop_cpu_s), (wall_s, inspector_cpu_s) = min(loops), min(inspections)
        found = {
            "n_files": len(paths),
            "n_branches": N_BRANCHES,
            "n_cores": N_CORES,
            "bare_files_per_s": len(paths) / loop_s,
            "inspector_files_per_s": len(paths) / wall_s,
            "ratio": loop_s / wall_s,
            "ratio_of_cpu_seconds": loop_cpu_s / inspector_cpu_s,
            "many": many(paths, parsed.repeated),
        }
    text = json.dumps(found, indent=2)
    sys.stdout.write(text + "\n")
    if parsed.out is not None:
        parsed.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
