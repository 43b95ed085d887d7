"""The memory of a worker: its peak, and whether it grows: ``python -m benchmarks.memory``.

Both runs have 54 object variations and all weights, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.data import SETS, ensure
from benchmarks.setup import make_config
from intccms.analysis import runner
from intccms.execution.tasks import ChunkReport, Silent
from intccms.schema import load_config

__all__ = ["main"]

LIMITS = {"peak_mb": 1500.0, "slope_mb_per_chunk": 0.1}
PEAK_CHUNK = 100_000  # events
N_CHUNKS = 500
WARM = 0.2  # of the chunks: caches fill


class _Watch(Silent):
    """Notes the memory of this process after each chunk."""

    def __init__(self) -> None:
        self.process, self.rss = psutil.Process(), []

    def report(self, report: ChunkReport) -> None:
        """Take a chunk."""
        self.rss.append(self.process.memory_info().rss / 1e6)


def _measured(data: Path, data_set: str, chunk_size: int) -> dict[str, Any]:
    """Run in this process."""
    chosen, watch = SETS[data_set], _Watch()
    table = make_config(data / chosen.folder, n_sources=27, weights=True)
    table["datasets"]["max_files"] = chosen.files
    with tempfile.TemporaryDirectory() as out:
        settings = {
            "general.executor": "iterative",
            "general.output_dir": out,
            "general.chunk_size": chunk_size,
        }
        runner.run(load_config(table, settings), observer=watch)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    warm = watch.rss[int(WARM * len(watch.rss)) :]
    slope = float(np.polyfit(np.arange(len(warm)), warm, 1)[0]) if len(warm) > 2 else 0.0
    return {"peak_mb": peak_mb, "slope_mb_per_chunk": slope, "n_chunks": len(watch.rss)}


def _apart(asked: argparse.Namespace, chunk_size: int) -> dict[str, Any]:
    """Run in a process of its own."""
    options = ["--data", asked.data, "--set", asked.set, "--one", str(chunk_size)]
    command = [sys.executable, "-m", "benchmarks.memory", *map(str, options)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def main() -> int:
    """Measure, print and write; the status is 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("outputs/bench/data"))
    parser.add_argument("--set", choices=SETS, default="1m")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench/memory.json"))
    parser.add_argument("--one", type=int, metavar="EVENTS", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.data = asked.data.resolve()
    if asked.one:
        sys.stdout.write(json.dumps(_measured(asked.data, asked.set, asked.one)) + "\n")
        return 0
    ensure(asked.data, SETS[asked.set])
    large = _apart(asked, PEAK_CHUNK)
    many = _apart(asked, max(SETS[asked.set].n_events // N_CHUNKS, 1))
    found = {
        "peak_mb": large["peak_mb"],
        "slope_mb_per_chunk": many["slope_mb_per_chunk"],
        "n_chunks": many["n_chunks"],
        "peak_of_small_chunks_mb": many["peak_mb"],
    }
    table = Table("", "measured", "at most", title="memory of a worker")
    for name, value in found.items():
        limit = LIMITS.get(name)
        table.add_row(name, f"{value:,.4g}", "" if limit is None else f"{limit:g}")
    Console().print(table)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1))
    return 0 if all(found[name] <= limit for name, limit in LIMITS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
