"""What the rows are measured against: ratios of two of them, repeat by repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.measuring import Measured

__all__ = ["TARGETS", "Found", "Measurements", "Ratio", "Target", "judged"]

Measurements = Mapping[str, Mapping[str, Measured]]  # by set and row
Quantity = Literal["cpu_s", "whole_cpu_s", "wall_s"]


@dataclass(frozen=True)
class Ratio:
    """Smallest, median and largest of a number that was measured several times."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Ratio:
        """Sum up values."""
        return cls(min(values), median(values), max(values))

    def __str__(self) -> str:
        """For the table."""
        return f"{self.middle:.3g} ({self.low:.3g} - {self.high:.3g})"


@dataclass(frozen=True)
class Target:
    """A ratio that should be small.

    Parameters
    ----------
    title
        For the table.
    data_set, above, below
        What is divided by what.
    limit
        The target; None: the ratio is for information.
    quantity
        CPU after the imports, CPU of the whole process, or wall-clock time.
    less
        A set whose numbers are subtracted first: what remains is the cost of more events.
    """

    title: str
    data_set: str
    above: str
    below: str
    limit: float | None = None
    quantity: Quantity = "cpu_s"
    less: str | None = None

    def ratio(self, found: Measurements) -> Ratio | None:
        """Divide; None where a row was not measured."""
        values = [self._values(found, row) for row in (self.above, self.below)]
        if not all(values):
            return None
        return Ratio.of([a / b for a, b in zip(*values, strict=False) if b > 0])

    def _values(self, found: Measurements, row: str) -> list[float]:
        measured = self._of(found, self.data_set, row)
        if self.less is None:
            return measured
        smaller = self._of(found, self.less, row)
        return [a - median(smaller) for a in measured] if smaller else []

    def _of(self, found: Measurements, data_set: str, row: str) -> list[float]:
        repeats = found.get(data_set, {}).get(row, Measured(row, data_set)).repeats
        if self.quantity == "whole_cpu_s":
            return [one["cpu_s"] + one["startup_cpu_s"] for one in repeats]
        return [one[self.quantity] for one in repeats]


@dataclass(frozen=True)
class Found:
    """What became of a target."""

    title: str
    ratio: Ratio
    limit: float | None

    @property
    def verdict(self) -> str:
        """For the table."""
        if self.limit is None:
            return ""
        return "met" if self.ratio.middle <= self.limit else "MISSED"


NOMINAL, ALL = "kit", "kit+54+weights"
TARGETS = (
    Target("nominal / hand-written", "1m", NOMINAL, "hand", 0.75),
    Target("nominal / hand-written, backgrounds", "1m-bkg", NOMINAL, "hand", 0.75),
    Target("nominal / floor", "1m", NOMINAL, "floor", 1.5),
    Target("nominal / floor, backgrounds", "1m-bkg", NOMINAL, "floor", 1.5),
    Target("+54 and weights / nominal, backgrounds", "1m-bkg", ALL, NOMINAL, 1.2),
    Target("+54 and weights / nominal, signal-rich", "1m", ALL, NOMINAL, 1.45),
    Target("+54 / hand-written +54, backgrounds", "1m-bkg", "kit+54", "hand+54", 0.8),
    Target("+54 / hand-written +54, signal-rich", "1m", "kit+54", "hand+54", 1.0),
    Target("+54 / RDataFrame +54 with its start-up, 1 M", "1m", "kit+54", "rdf+54", 0.35),
    Target("+54 / RDataFrame +54 with its start-up, 4 M", "4m", "kit+54", "rdf+54", 0.7),
    Target("the same with our imports too, 1 M", "1m", "kit+54", "rdf+54", quantity="whole_cpu_s"),
    Target("the same with our imports too, 4 M", "4m", "kit+54", "rdf+54", quantity="whole_cpu_s"),
    Target("+54 / RDataFrame +54, each further event", "4m", "kit+54", "rdf+54", 1.2, less="1m"),
    Target("+54 as closures / nominal, signal-rich", "1m", "kit+54-closures", NOMINAL),
    Target("+200 / nominal, backgrounds", "1m-bkg", "kit+200", NOMINAL, 1.4),
    Target("+200 / nominal, signal-rich", "1m", "kit+200", NOMINAL, 2.5),
    Target("nominal / hand-written, 1,600 branches", "1600", NOMINAL, "hand", 0.25),
    Target("ledger, receipts, partials on / off", "1m", NOMINAL, "kit-bare", 1.03),
    Target("futures x2 / iterative, wall", "4m", "kit-futures", NOMINAL, 0.6, quantity="wall_s"),
    Target("dask x2 / iterative, wall", "4m", "kit-dask", NOMINAL, quantity="wall_s"),
)

OVERHEAD = ("s per chunk outside read and physics, 1,600 branches", 0.06)


def judged(found: Measurements) -> list[Found]:
    """Compare everything that was measured with its target."""
    results = []
    for target in TARGETS:
        ratio = target.ratio(found)
        if ratio is not None:
            results.append(Found(target.title, ratio, target.limit))
    wide = found.get("1600", {}).get(NOMINAL)
    if wide is not None and wide.repeats:
        overheads = [one["overhead_s"] for one in wide.repeats]
        results.append(Found(OVERHEAD[0], Ratio.of(overheads), OVERHEAD[1]))
    return results
