"""Certified luminosity sections: a synthetic golden JSON, and the sections of each data file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from intccms.sample.events.kinematics import Array

__all__ = ["OUTSIDE", "Sections", "drawn", "golden"]

OUTSIDE = 0.05  # share of the data events that is not certified
N_RUNS = 60
FIRST_RUN, LAST_RUN = 278820, 284044  # the end of 2016, when a file's name says nothing else
_RUNS = re.compile(r"_(\d{6})-(\d{6})_")


@dataclass(frozen=True, slots=True)
class Sections:
    """Luminosity sections; both arrays hold run and section in order, shape (n, 2)."""

    ranges: dict[str, list[list[int]]]  # the certified ones, as the JSON file has them
    certified: Array
    other: Array

    def of_file(self, index: int, n_files: int) -> Sections:
        """Give one of `n_files` files its own sections; no section is in two files."""
        if n_files > len(self.other):
            raise ValueError(f"{n_files} data files are too many: {len(self.other)} sections")
        parts = (np.array_split(rows, n_files)[index] for rows in (self.certified, self.other))
        return Sections(self.ranges, *parts)


def golden(path: str, seed: int) -> Sections:
    """Make up the runs and ranges of one golden JSON.

    The runs lie in the range that the file's name gives (``Cert_271036-284044_…``), at its end
    where 2016 is concerned. Each eighth run is not certified at all, and the ends of the others
    are not.
    """
    found = _RUNS.search(PurePath(path).name)
    first, last = (int(found[1]), int(found[2])) if found else (FIRST_RUN, LAST_RUN)
    first = max(first, FIRST_RUN) if last == LAST_RUN else first
    rng = np.random.default_rng([seed, first, last])
    ranges, certified, other = {}, [], []
    for i, run in enumerate(np.sort(rng.choice(np.arange(first, last + 1), N_RUNS, replace=False))):
        section = np.arange(1, rng.integers(40, 400))
        start, stop = int(rng.integers(2, 10)), len(section) - int(rng.integers(1, 8))
        gap = int(rng.integers(start + 5, stop - 5))
        known = [[start, gap], [gap + 4, stop]] if i % 3 == 0 else [[start, stop]]
        known = [] if i % 8 == 7 else known
        is_good = np.zeros(len(section), dtype=bool)
        for low, high in known:
            is_good |= (section >= low) & (section <= high)
            ranges[str(run)] = known
        rows = np.stack([np.full(len(section), run), section], axis=1)
        certified.append(rows[is_good])
        other.append(rows[~is_good])
    return Sections(ranges, np.concatenate(certified), np.concatenate(other))


def drawn(sections: Sections, n_events: int, rng: np.random.Generator) -> Array:
    """Draw each event's run and section, in the order in which they were taken."""
    rows = sections.certified[rng.integers(0, len(sections.certified), n_events)]
    others = sections.other[rng.integers(0, len(sections.other), n_events)]
    rows = np.where(rng.random((n_events, 1)) < OUTSIDE, others, rows)
    return rows[np.lexsort(rows.T[::-1])]
