"""The whole benchmark: ``python -m benchmarks``; `benchmarks/README.md` says what each row is."""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import datetime
from pathlib import Path

from rich.console import Console

from benchmarks.data import SETS, ensure
from benchmarks.dataframe import is_installed
from benchmarks.measuring import Measured, measure
from benchmarks.report import cost_plot, cost_table, ratio_table, write_json, write_readme
from benchmarks.rows import ROWS
from benchmarks.targets import judged

__all__ = ["PLAN", "main"]

SHIFTS = ("hand+54", "kit+54", "kit+54+weights", "kit+200")
PLAN = {  # set: repeats and rows
    "1m": (
        5,
        (
            *("floor", "hand", "hand+54", "hand+54+weights", "hand+200", "rdf", "rdf+54"),
            *("kit", "kit-bare", "kit+weights", "kit+10", "kit+54", "kit+54+weights"),
            *("kit+54-closures", "kit+200"),
        ),
    ),
    "1m-bkg": (5, ("floor", "hand", "kit", *SHIFTS)),
    "4m": (3, ("floor", "hand", "rdf+54", "kit", "kit+54", "kit-futures", "kit-dask")),
    "1600": (3, ("floor", "hand", "kit")),
}
README = Path(__file__).with_name("README.md")


def main(arguments: list[str] | None = None) -> int:
    """Make the data, measure, print and write."""
    asked = _arguments().parse_args(arguments)
    data, out = asked.data.resolve(), asked.out
    console = Console(width=max(Console().width, 110))
    logging.basicConfig(level=logging.WARNING)
    found: dict[str, dict[str, Measured]] = {}
    for name in asked.sets.split(","):
        repeats, rows = PLAN.get(name, PLAN["1m"])
        rows = tuple(asked.rows.split(",")) if asked.rows else rows
        console.print(f"{SETS[name].title}: {ensure(data, SETS[name]) / 1e9:.2f} GB")
        there = [row for row in rows if ROWS[row].kind != "RDataFrame" or is_installed()]
        measured = measure(data, name, there, asked.repeats or repeats, said=console.print)
        found[name] = {row: measured.get(row) or _absent(row, name) for row in rows}
    results = judged(found)
    console.print(cost_table(found), ratio_table(results))
    stem = out / f"{datetime.now():%Y-%m-%dT%H%M%S}"
    write_json(stem.with_suffix(".json"), found, results)
    cost_plot(stem.with_suffix(".png"), found)
    console.print(f"written: {stem}.json, {stem}.png")
    if asked.write_readme:
        write_readme(README, found, results)
    return 0


def _absent(row: str, name: str) -> Measured:
    return Measured(row, name, note="not installed (make servers)")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("outputs/bench/data"))
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"))
    parser.add_argument("--sets", default=",".join(PLAN), help=f"of {', '.join(SETS)}")
    parser.add_argument("--rows", help=f"of {', '.join(ROWS)}; default: those of the set")
    parser.add_argument("--repeats", type=int, help="default: 5 of small sets, 3 of large ones")
    parser.add_argument(
        "--write-readme", action="store_true", help="put the tables into benchmarks/README.md"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
