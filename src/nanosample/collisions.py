"""Synthetic collision data: the expected mixture seen through a muon trigger, in sections."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from nanosample.detector import looks_selected, may_trigger, reconstruct
from nanosample.generation import generate_unweighted
from nanosample.settings import Kind
from nanosample.vectors import Array, Batch

log = logging.getLogger(__name__)

BATCH = 40_000
OVERSAMPLING = 60  # events generated for each data event at most
N_BULK_BATCHES = 25  # until ordinary events fill a file
OUTSIDE = 0.05  # share of the data events that is not certified
N_RUNS = 60
FIRST_RUN, LAST_RUN = 278820, 284044  # the end of 2016, when a file's name says nothing else
_RUNS = re.compile(r"_(\d{6})-(\d{6})_")
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Expectation:
    """What all data of a year hold.

    `efficiency` takes pseudorapidity and transverse momentum of muons and gives the probability
    to find them, relative to simulation: the scale factors that an analysis applies to simulation.
    """

    components: tuple[tuple[Kind, float], ...]  # backgrounds and how often each happens
    efficiency: Callable[[Array, Array], Array]


def collide(expected: Expectation, share: float, n_events: int, rng: Rng) -> Batch:
    """Make the events of one data file: all boosted ones that are expected, then ordinary ones.

    Boosted events are those that can pass the selection. Their number follows from cross section
    and luminosity, so after the selection data agree with simulation. The rest of the file is
    filled with a small part of the ordinary events that fire a muon trigger: before the selection
    the file is a prescaled stream, as real ones are 10^4 times too large for a demonstration.
    If even the boosted events do not fit, those that look selected are kept first.

    Parameters
    ----------
    share
        Part of the year's data that the file should hold.

    Returns
    -------
    Batch
        At most `n_events` events.
    """
    boosted = np.array([n * kind.boosted_fraction for kind, n in expected.components])
    # multijets would be all of it, and hardly one in 10^5 of them has a muon that fires
    fires = np.array([kind.model != "multijet" for kind, _ in expected.components])
    bulk = fires * [n * (1 - kind.boosted_fraction) for kind, n in expected.components]
    boosted *= share / (1 - OUTSIDE)
    affordable = min(1.0, OVERSAMPLING * n_events / max(boosted.sum(), 1))
    recorded = list(_recorded(expected, boosted * affordable, rng, is_boosted=True))
    for _ in range(N_BULK_BATCHES):
        if sum(map(len, recorded)) >= n_events or not bulk.any():
            break
        recorded += _recorded(expected, BATCH * bulk / bulk.sum(), rng, is_boosted=False)
    events = Batch.stacked(recorded)
    if len(events) < n_events:
        return events
    if affordable < 1:
        log.info("data files hold %.2g of the expected data, for want of room", affordable)
    rank = ~looks_selected(events) + 0.5 * rng.random(len(events))
    return events.taken(rng.permutation(np.argsort(rank)[:n_events]))


def _recorded(
    expected: Expectation, counts: Array, rng: Rng, *, is_boosted: bool
) -> Iterator[Batch]:
    """Generate events as nature does and keep those that the muon trigger keeps."""
    for (kind, _), count in zip(expected.components, counts, strict=True):
        for start in np.arange(0, count, BATCH):
            n_events = min(count - start, BATCH)
            generated = generate_unweighted(kind, n_events, rng, is_boosted=is_boosted)
            events = reconstruct(generated.taken(may_trigger(generated)), rng)
            leading = (events["muons"][name][:, 0] for name in ("eta", "pt"))
            is_found = rng.random(len(events)) < expected.efficiency(*leading)
            yield events.taken(events.values["has_trigger"] & is_found)


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

    def drawn(self, n_events: int, rng: Rng) -> Array:
        """Draw each event's run and section, in the order in which they were taken."""
        rows = self.certified[rng.integers(0, len(self.certified), n_events)]
        others = self.other[rng.integers(0, len(self.other), n_events)]
        rows = np.where(rng.random((n_events, 1)) < OUTSIDE, others, rows)
        return rows[np.lexsort(rows.T[::-1])]


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
