"""Rows, each in a process of its own, in alternating order; equal histograms before any time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

__all__ = ["Measured", "compare", "measure"]

TOLERANCE = 1e-9  # relative to the largest value of a histogram
LONGEST = 4000  # characters of a row's complaint
TOP = Path(__file__).parents[1]


@dataclass
class Measured:
    """The repeats of one row on one set."""

    row: str
    data_set: str
    repeats: list[dict[str, float]] = field(default_factory=list)
    note: str = ""

    def of(self, name: str) -> tuple[float, float, float]:
        """Give smallest, median and largest value of what was measured."""
        values = [one[name] for one in self.repeats]
        return min(values), median(values), max(values)


def measure(
    data: Path,
    data_set: str,
    rows: Sequence[str],
    repeats: int,
    *,
    said: Callable[[str], None] = lambda _: None,
) -> dict[str, Measured]:
    """Run rows `repeats` times, forwards and backwards in turn.

    Raises
    ------
    RuntimeError
        If a row fails, or its histograms are not those of the others.
    """
    found = {row: Measured(row, data_set) for row in rows}
    reference: dict[str, Any] = {}
    for n in range(repeats):
        for row in rows if n % 2 == 0 else list(reversed(rows)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "histograms.npz"
                one = _run(data, data_set, row, path)
                compare(row, dict(np.load(path)), reference)
            found[row].repeats.append(one)
            said(f"{data_set} {row}: {one['cpu_s']:.2f} s")
    return found


def _run(data: Path, data_set: str, row: str, histograms: Path) -> dict[str, float]:
    asked = {"row": row, "set": data_set, "data": str(data), "histograms": str(histograms)}
    environment = {**os.environ, "PYTHONPATH": f"{TOP}/src:{TOP}", "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.row", json.dumps(asked)],
        cwd=TOP,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"row {row} on {data_set} failed:\n{process.stderr[-LONGEST:]}")
    answer: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return answer


def compare(row: str, histograms: dict[str, Any], reference: dict[str, Any]) -> None:
    """Compare with what other rows gave for the same process and variation."""
    for key, values in histograms.items():
        expected = reference.setdefault(key, values)
        for ours, theirs in zip(values, expected, strict=True):
            if np.abs(ours - theirs).max() > TOLERANCE * np.abs(theirs).max():
                name = " ".join(key.split("\n"))
                raise RuntimeError(f"row {row}: {name} is {ours}, another row says {theirs}")
