"""A look at the engine while one works on it: ``python -m benchmarks.quick``.

Few rows on one set, CPU seconds of fresh processes after their imports; the table is that of
``python -m benchmarks`` with all rows and targets.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.data import SETS, ensure
from benchmarks.measuring import measure
from benchmarks.rows import ROWS

__all__ = ["main"]

QUICK = "floor,hand,hand+54+weights,kit,kit+54+weights"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("outputs/bench/data"))
    parser.add_argument("--set", choices=SETS, default="1m")
    parser.add_argument("--rows", default=QUICK, help=f"of {', '.join(ROWS)}")
    parser.add_argument("--repeats", type=int, default=2)
    asked = parser.parse_args()
    ensure(asked.data.resolve(), SETS[asked.set])
    rows = asked.rows.split(",")
    found = measure(asked.data.resolve(), asked.set, rows, asked.repeats)
    sys.stdout.write(f"{SETS[asked.set].title}\n{'row':28} {'CPU s':>8} {'(min-max)':>13} ")
    sys.stdout.write(f"{'kHz/CPU s':>10} {'peak MB':>8}\n")
    for name in rows:
        one = found[name]
        low, middle, high = one.of("cpu_s")
        rate = one.repeats[0]["n_events"] / middle / 1e3
        sys.stdout.write(f"{name:28} {middle:8.2f}  {low:5.2f}-{high:5.2f} {rate:11.0f} ")
        sys.stdout.write(f"{one.of('peak_rss_bytes')[1] / 1e6:8.0f}\n")


if __name__ == "__main__":
    main()
