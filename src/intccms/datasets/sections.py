"""Luminosity sections as sets: added, intersected, and written as golden JSON or one short text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.uint32]
CodeArray = npt.NDArray[np.uint64]

_HALF = np.uint64(32)  # bits of a code: the run, then the section


@dataclass(frozen=True, slots=True, eq=False)
class LumiSections:
    """A set of luminosity sections.

    Parameters
    ----------
    codes : shape (n_sections,)
        ``run << 32 | section``, rising, each once.
    """

    codes: CodeArray

    @classmethod
    def of(cls, runs: npt.ArrayLike, sections: npt.ArrayLike) -> LumiSections:
        """Sections in which events were recorded, in any order and number."""
        high = np.asarray(runs).astype(np.uint64) << _HALF
        return cls(np.unique(high | np.asarray(sections).astype(np.uint64)))

    @classmethod
    def union(cls, several: Iterable[LumiSections]) -> LumiSections:
        """Sections that are in at least one of the sets."""
        codes = [one.codes for one in several]
        return cls(np.unique(np.concatenate(codes))) if codes else cls(np.empty(0, np.uint64))

    @classmethod
    def from_ranges(cls, ranges: Mapping[str, Iterable[Iterable[int]]]) -> LumiSections:
        """Read a golden JSON, ``{run: [[first, last], ...]}``."""
        bounds = [
            (int(run) << 32 | first, last - first + 1)
            for run, pairs in ranges.items()
            for first, last in pairs
        ]
        first, length = np.array(bounds, dtype=np.uint64).reshape(-1, 2).T
        before = np.cumsum(length) - length
        total = int(np.sum(length))
        codes = np.repeat(first - before, length.astype(np.intp))  # may wrap, and wraps back
        return cls(np.unique(codes + np.arange(total, dtype=np.uint64)))

    @classmethod
    def from_text(cls, text: str) -> LumiSections:
        """Read what `to_text` gave."""
        ranges: dict[str, list[list[int]]] = {}
        for block in text.split(";") if text else ():
            run, _, parts = block.partition(":")
            pairs = (part.partition("-") for part in parts.split(","))
            ranges[run] = [[int(first), int(last or first)] for first, _, last in pairs]
        return cls.from_ranges(ranges)

    def to_ranges(self) -> dict[str, list[list[int]]]:
        """Return the sections as a golden JSON has them, runs and sections rising."""
        ends = np.flatnonzero(np.diff(self.codes) != 1)  # no section is number 2**32 - 1
        first = self.codes[np.concatenate(([0], ends + 1))] if len(self) else self.codes
        last = self.codes[np.concatenate((ends, [-1]))] if len(self) else self.codes
        ranges: dict[str, list[list[int]]] = {}
        runs = (first >> _HALF).tolist()
        for run, low, high in zip(runs, _section(first), _section(last), strict=True):
            ranges.setdefault(str(run), []).append([int(low), int(high)])
        return ranges

    def to_text(self) -> str:
        """Return the sections in few letters.

        Examples
        --------
        >>> LumiSections.of([7, 7, 7, 9], [1, 2, 5, 3]).to_text()
        '7:1-2,5;9:3'
        """
        return ";".join(
            f"{run}:" + ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in pairs)
            for run, pairs in self.to_ranges().items()
        )

    @property
    def runs(self) -> IntArray:
        """Run of each section."""
        return (self.codes >> _HALF).astype(np.uint32)

    @property
    def sections(self) -> IntArray:
        """Number of each section in its run."""
        return _section(self.codes)

    @property
    def first(self) -> tuple[int, int]:
        """Run and number of the first section."""
        return int(self.runs[0]), int(self.sections[0])

    def n_by_run(self) -> dict[int, int]:
        """Count the sections of each run."""
        runs, counts = np.unique(self.runs, return_counts=True)
        return dict(zip(runs.tolist(), counts.tolist(), strict=True))

    def holds(self, runs: npt.ArrayLike, sections: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Say for each event, shape (n_events,), whether its section is in the set.

        Examples
        --------
        >>> LumiSections.from_ranges({"7": [[1, 2], [5, 5]]}).holds([7, 7, 8], [2, 3, 5])
        array([ True, False, False])
        """
        high = np.asarray(runs).astype(np.uint64) << _HALF
        return np.isin(high | np.asarray(sections).astype(np.uint64), self.codes)

    def within(self, ranges: Mapping[str, Iterable[Iterable[int]]]) -> LumiSections:
        """Keep those in the ranges of a golden JSON, which may be as wide as numbers are.

        Examples
        --------
        >>> LumiSections.of([7, 7, 8], [2, 9, 5]).within({"7": [[5, 4294967295]]}).to_text()
        '7:9'
        """
        bounds = sorted(
            (int(run) << 32 | first, int(run) << 32 | last)
            for run, pairs in ranges.items()
            for first, last in pairs
        )
        starts, ends = np.array(bounds, dtype=np.uint64).reshape(-1, 2).T
        reach = np.maximum.accumulate(ends)  # ranges may overlap
        before = np.searchsorted(starts, self.codes, side="right")
        inside = before > 0
        inside[inside] = reach[before[inside] - 1] >= self.codes[inside]
        return LumiSections(self.codes[inside])

    def __add__(self, other: LumiSections) -> LumiSections:
        """Sections that are in either set."""
        return LumiSections(np.union1d(self.codes, other.codes))

    def __sub__(self, other: LumiSections) -> LumiSections:
        """Sections that are in this set only."""
        return LumiSections(np.setdiff1d(self.codes, other.codes, assume_unique=True))

    def __and__(self, other: LumiSections) -> LumiSections:
        """Sections that are in both sets."""
        return LumiSections(np.intersect1d(self.codes, other.codes, assume_unique=True))

    def __eq__(self, other: object) -> bool:
        """Whether both sets hold the same sections."""
        return isinstance(other, LumiSections) and np.array_equal(self.codes, other.codes)

    def __hash__(self) -> int:
        """Hash the sections."""
        return hash(self.codes.tobytes())

    def __len__(self) -> int:
        """Count the sections."""
        return len(self.codes)


def _section(codes: CodeArray) -> IntArray:
    return (codes & np.uint64(0xFFFFFFFF)).astype(np.uint32)
