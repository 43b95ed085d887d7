"""Certified luminosity sections: a synthetic golden JSON, and the sections of each data file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np

from intccms.sample.kinematics import Array

__all__ = ["OUTSIDE", "Certified", "Sections", "golden"]

OUTSIDE = 0.05  # share of the data events that is not certified
N_RUNS = 60
FIRST_RUN, LAST_RUN = 278820, 284044  # the end of 2016, when a file's name says nothing else
_RUNS = re.compile(r"_(\d{6})-(\d{6})_")


@dataclass(frozen=True, slots=True)
class Sections:
    """Sections of one file; shape (n, 2) of run and section, in order."""

    certified: Array
    other: Array

    def drawn(self, n_events: int, rng: np.random.Generator) -> Array:
        """Draw each event's section, in the order in which they were taken, shape (n_events, 2)."""
        outside = rng.random(n_events) < OUTSIDE
        chosen = self.certified[rng.integers(0, len(self.certified), n_events)]
        others = self.other[rng.integers(0, len(self.other), n_events)]
        sections = np.where(outside[:, np.newaxis], others, chosen)
        return sections[np.lexsort((sections[:, 1], sections[:, 0]))]

    @property
    def all(self) -> Array:
        """Every section of the file, also those in which no event was kept."""
        both = np.concatenate([self.certified, self.other])
        return both[np.lexsort((both[:, 1], both[:, 0]))]


@dataclass(frozen=True)
class Certified:
    """A golden JSON: certified ranges of sections by run, and how many sections a run has."""

    ranges: dict[int, list[list[int]]]
    n_sections: dict[int, int]

    def as_json(self) -> dict[str, list[list[int]]]:
        """Return the content of the JSON file."""
        return {str(run): ranges for run, ranges in self.ranges.items() if ranges}

    @cached_property
    def _lists(self) -> tuple[Array, Array]:
        """Certified and other sections in order, each of shape (n, 2)."""
        every = np.concatenate(
            [
                np.stack([np.full(n, run), np.arange(1, n + 1)], axis=1)
                for run, n in self.n_sections.items()
            ]
        )
        is_good = np.zeros(len(every), dtype=bool)
        for run, ranges in self.ranges.items():
            for low, high in ranges:
                is_good |= (every[:, 0] == run) & (every[:, 1] >= low) & (every[:, 1] <= high)
        return every[is_good], every[~is_good]

    def of_file(self, index: int, n_files: int) -> Sections:
        """Give one of `n_files` files its own sections; no section is in two files."""
        certified, other = self._lists
        if n_files > len(other):
            raise ValueError(f"{n_files} data files are too many: {len(other)} sections to share")
        return Sections(
            np.array_split(certified, n_files)[index], np.array_split(other, n_files)[index]
        )


def golden(path: str, seed: int) -> Certified:
    """Make up the runs and ranges of one golden JSON.

    The runs lie in the range that the file's name gives (``Cert_271036-284044_…``), at its end
    where 2016 is concerned. Each eighth run is not certified at all, and the ends of the others
    are not.
    """
    found = _RUNS.search(PurePath(path).name)
    first, last = (int(found[1]), int(found[2])) if found else (FIRST_RUN, LAST_RUN)
    first = max(first, FIRST_RUN) if last == LAST_RUN else first
    rng = np.random.default_rng([seed, first, last])
    runs = np.sort(rng.choice(np.arange(first, last + 1), N_RUNS, replace=False))
    ranges: dict[int, list[list[int]]] = {}
    n_sections: dict[int, int] = {}
    for i, run in enumerate(runs.tolist()):
        n_sections[run] = int(rng.integers(40, 400))
        start, stop = int(rng.integers(2, 10)), n_sections[run] - int(rng.integers(1, 8))
        gap = int(rng.integers(start + 5, stop - 5))
        whole = [[start, stop]] if i % 3 else [[start, gap], [gap + 4, stop]]
        ranges[run] = [] if i % 8 == 7 else whole
    return Certified(ranges, n_sections)
